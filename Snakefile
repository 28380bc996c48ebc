# The stages of dvc.yaml, several at a time or on a cluster: `snakemake --cores N`.
#
# Every rule runs its DVC stage. Snakemake decides what can run beside what; DVC alone decides
# what must run, and brings back from its cache what need not. So there is one record of what
# was made from what, dvc.lock, whichever engine was used. See workflow/README.md.

import sys

sys.path.insert(0, str(workflow.basedir))  # the modules that the stages run, installed or not

from megan.config import params as parameters
from megan.config import paths
from megan.errors import MeganError
from megan.report.figures import MODULES as FIGURES

if config:
    sys.exit(
        f"Snakefile: --config and --configfile ({', '.join(map(str, config))}) would not reach the stages;"
        " edit params.yaml instead, or give one run its values by: dvc exp run -S KEY=VALUE"
    )
try:
    PARAMS = parameters.load()
except MeganError as error:
    sys.exit(f"Snakefile: {error}")

STUDY = PARAMS.study
VARIANTS = list(PARAMS.variants)


wildcard_constraints:
    variant="|".join(VARIANTS),
    figure="|".join(FIGURES),


rule all:
    default_target: True
    input:
        [paths.figures(STUDY) / f"{figure}.{kind}" for figure in FIGURES for kind in ("png", "svg")],
        paths.metrics(STUDY),
        paths.report(STUDY),


include: "workflow/rules/stage.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/report.smk"
