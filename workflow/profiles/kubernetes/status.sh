#!/bin/sh
# Tells Snakemake what became of a Kubernetes job: `status.sh JOB` prints running, success or failed.
state=$(kubectl get "$1" --output='jsonpath={.status.conditions[*].type}' 2> /dev/null) || state=Gone
case "$state" in
    *Complete*) echo success ;;
    *Failed* | Gone) echo failed ;;
    *) echo running ;;
esac
