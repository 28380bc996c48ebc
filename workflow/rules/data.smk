# From the public files to packed images of each split.


rule download:
    input:
        modules("download"),
    output:
        directory(paths.raw(STUDY)),
    params:
        stage="download",
    message:
        "download"
    log:
        f"{LOG}/download.log",
    shell:
        REPRO


rule prepare:
    input:
        paths.raw(STUDY),
        modules("prepare"),
    output:
        directory(paths.prepared(STUDY)),
    params:
        stage="prepare",
    message:
        "prepare"
    log:
        f"{LOG}/prepare.log",
    shell:
        REPRO
