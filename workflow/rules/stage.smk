# How a rule runs its DVC stage.

import json
import time
from pathlib import Path

import psutil
import yaml

LOG = f".snakemake/logs/{STUDY}"
STAGES = yaml.safe_load(Path("dvc.yaml").read_text(encoding="utf-8"))["stages"]

# ALONE leaves the threads to the stage: all cores of the machine, as under `dvc repro`. REPRO gives it
# its share of them, where the number of threads changes no result; the user's MEGAN_THREADS goes before it.
ALONE = "dvc --wait-for-lock repro --quiet --single-item {params.stage} > {log} 2>&1"
REPRO = f"MEGAN_THREADS=${{{{MEGAN_THREADS:-{{threads}}}}}} {ALONE}"


def modules(stage, item=""):
    """The source files that dvc.yaml lists for `stage`: one list serves both engines."""
    block = STAGES[stage]
    listed = block.get("do", block)["deps"]
    return [path.replace("${item}", item) for path in listed if path.startswith("megan/")]


def at_work():
    """Pids of the DVC processes that hold a file of this repository."""
    try:
        held = json.loads(Path(".dvc/tmp/rwlock").read_text(encoding="utf-8"))
        holders = [*held["write"].values(), *(reader for readers in held["read"].values() for reader in readers)]
        pids = sorted({int(holder["pid"]) for holder in holders})
    except (OSError, ValueError, KeyError, TypeError):
        return []
    return [pid for pid in pids if _is_dvc(pid)]


def _is_dvc(pid):
    # A killed process stays in DVC's file, and its number may have gone to another.
    try:
        process = psutil.Process(pid)
        return process.status() != psutil.STATUS_ZOMBIE and "dvc" in " ".join(process.cmdline())
    except psutil.Error:
        return False


onstart:
    # A killed snakemake leaves its jobs running. Snakemake removes outputs before each job,
    # and so would take the data from under them; their results are worth the wait.
    if pids := at_work():
        print(f"dvc is at work here (process {', '.join(map(str, pids))}); waiting for it to end", file=sys.stderr)
        while at_work():
            time.sleep(0.2)
