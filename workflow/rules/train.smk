# The encoders, the plain GAN, and each variant's meta-training and meta-test.

CORES = workflow.resource_settings.cores or 1  # none are given to a cluster: its profile sets threads
SHARE = max(1, CORES // len(VARIANTS))  # of a variant, when all are trained side by side


rule encoder:
    input:
        paths.prepared(STUDY),
        modules("encoder"),
    output:
        directory(paths.encoder(STUDY)),
        paths.provenance(STUDY, "encoder"),
    params:
        stage="encoder",
    message:
        "encoder"
    log:
        f"{LOG}/encoder.log",
    threads: CORES
    resources:
        gpu=1,
    shell:
        ALONE


rule judge:
    input:
        paths.prepared(STUDY),
        modules("judge"),
    output:
        directory(paths.judge(STUDY)),
        paths.provenance(STUDY, "judge"),
    params:
        stage="judge",
    message:
        "judge"
    log:
        f"{LOG}/judge.log",
    threads: CORES
    resources:
        gpu=1,
    shell:
        ALONE


rule gan:
    input:
        paths.raw(STUDY),
        modules("gan"),
    output:
        directory(paths.gan(STUDY)),
        paths.provenance(STUDY, "gan"),
    params:
        stage="gan",
    message:
        "gan"
    log:
        f"{LOG}/gan.log",
    threads: CORES
    resources:
        gpu=1,
    shell:
        ALONE


rule train:
    input:
        paths.prepared(STUDY),
        paths.encoder(STUDY),  # prototypes, where a variant conditions on them
        modules("train"),
    output:
        directory(paths.trained(STUDY, "{variant}")),
        paths.provenance(STUDY, "train-{variant}"),
    params:
        stage="train@{variant}",
    message:
        "train@{wildcards.variant}"
    log:
        f"{LOG}/train-{{variant}}.log",
    threads: SHARE
    resources:
        gpu=1,
    shell:
        REPRO


rule test:
    input:
        paths.prepared(STUDY),
        paths.encoder(STUDY),
        paths.trained(STUDY, "{variant}"),
        modules("test"),
    output:
        directory(paths.tested(STUDY, "{variant}")),
        paths.provenance(STUDY, "test-{variant}"),
    params:
        stage="test@{variant}",
    message:
        "test@{wildcards.variant}"
    log:
        f"{LOG}/test-{{variant}}.log",
    threads: SHARE
    resources:
        gpu=1,
    shell:
        REPRO
