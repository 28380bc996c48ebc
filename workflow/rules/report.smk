# Judgement, tables, verdicts, figures, and the page of them all.


rule samples:
    input:
        paths.prepared(STUDY),
        paths.judge(STUDY),
        [paths.tested(STUDY, variant) for variant in VARIANTS],
        modules("samples"),
    output:
        directory(paths.samples(STUDY)),
        paths.provenance(STUDY, "samples"),
    params:
        stage="samples",
    message:
        "samples"
    log:
        f"{LOG}/samples.log",
    threads: CORES
    resources:
        gpu=1,
    shell:
        ALONE


rule summary:
    input:
        paths.encoder(STUDY),
        [paths.trained(STUDY, variant) for variant in VARIANTS],
        [paths.tested(STUDY, variant) for variant in VARIANTS],
        modules("summary"),
    output:
        paths.metrics(STUDY),
        directory(paths.tables(STUDY)),
    params:
        stage="summary",
    message:
        "summary"
    log:
        f"{LOG}/summary.log",
    shell:
        REPRO


rule claims:
    input:
        paths.gan(STUDY),
        paths.samples(STUDY),
        paths.tables(STUDY),
        modules("claims"),
    output:
        directory(paths.claims(STUDY)),
    params:
        stage="claims",
    message:
        "claims"
    log:
        f"{LOG}/claims.log",
    shell:
        REPRO


rule figure:
    input:
        paths.gan(STUDY),
        paths.samples(STUDY),
        paths.tables(STUDY),
        lambda wildcards: modules("figure", wildcards.figure),
    output:
        [paths.figures(STUDY) / f"{{figure}}.{kind}" for kind in ("png", "svg")],
    params:
        stage="figure@{figure}",
    message:
        "figure@{wildcards.figure}"
    log:
        f"{LOG}/figure-{{figure}}.log",
    shell:
        REPRO


rule report:
    input:
        paths.claims(STUDY),
        [paths.figures(STUDY) / f"{figure}.{kind}" for figure in FIGURES for kind in ("png", "svg")],
        paths.tables(STUDY),
        modules("report"),
    output:
        paths.report(STUDY),
    params:
        stage="report",
    message:
        "report"
    log:
        f"{LOG}/report.log",
    shell:
        REPRO
