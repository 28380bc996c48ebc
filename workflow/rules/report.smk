# Tables and figures.


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


rule figure:
    input:
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
