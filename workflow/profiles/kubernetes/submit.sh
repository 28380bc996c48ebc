#!/bin/sh
# Submits a job script of Snakemake as a Kubernetes job: `submit.sh THREADS MB MINUTES GPUS SCRIPT` prints its name.
# A pod that is asked to end has 120 seconds for its checkpoint. Snakemake submits again, so backoffLimit is 0.
set -eu
IMAGE=registry.example.org/megan:latest # with this project's packages
CLAIM=megan                             # of the persistent volume with the repository
MOUNT=/megan                            # where it is mounted, here and in every pod
kubectl create --output=name --filename=- << END
apiVersion: batch/v1
kind: Job
metadata:
  generateName: megan-
spec:
  backoffLimit: 0
  activeDeadlineSeconds: $(($3 * 60))
  template:
    spec:
      restartPolicy: Never
      terminationGracePeriodSeconds: 120
      containers:
        - name: stage
          image: $IMAGE
          # The signal that asks a pod to end goes to process 1 alone, so the shell passes it on.
          command: [sh, -c, 'trap "kill -TERM -1" TERM; sh $5 & wait \$! ; wait \$!']
          workingDir: $(pwd)
          env:
            - {name: MEGAN_DEVICE, value: "${MEGAN_DEVICE:-auto}"}
          resources:
            requests: {cpu: "$1", memory: "${2}M"}
            limits: {memory: "${2}M"$([ "$4" = 0 ] || echo ", nvidia.com/gpu: \"$4\"")}
          volumeMounts:
            - {name: repository, mountPath: $MOUNT}
      volumes:
        - name: repository
          persistentVolumeClaim: {claimName: $CLAIM}
END
