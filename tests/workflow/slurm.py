"""A real Slurm on this machine: a controller, and nodes that each have a process-number space of their own.

Jobs in partition `main` are cancelled for those in partition `urgent`.

It needs root and Debian's packages: apt-get install --no-install-recommends slurmctld slurmd slurm-client munge
"""

import os
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.workflow.conftest import wait_for

PROGRAMS = ("slurmctld", "slurmd", "squeue", "munged", "unshare")
CONFIG = Path("/etc/slurm")  # the only place where jobs find it: Snakemake's plugin strips SLURM_CONF from them
NODES = ("n1", "n2", "n3")

SLURM_CONF = """\
# of tests/workflow/slurm.py
ClusterName=test
SlurmctldHost=localhost(127.0.0.1)
SlurmUser=root
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket={folder}/munge/socket
SlurmctldPort=16817
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/log/slurmctld.log
SlurmdLogFile={folder}/log/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
MpiDefault=none
SwitchType=switch/none
ReturnToService=2
SchedulerType=sched/backfill
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SlurmdParameters=config_overrides
GresTypes=gpu
MinJobAge=3600
KillWait=30
NodeName=n[1-3] NodeHostname=localhost NodeAddr=127.0.0.1 Port=[17001-17003] CPUs=4 RealMemory=40000 Gres=gpu:1
PartitionName=main Nodes=n[1-3] Default=YES MaxTime=INFINITE State=UP PreemptMode=CANCEL
PartitionName=urgent Nodes=n[1-3] PriorityTier=2 PreemptMode=OFF State=UP
PreemptType=preempt/partition_prio
PreemptMode=CANCEL
"""
GRES_CONF = "NodeName=n[1-3] Name=gpu Count=1 File=/dev/null\n"


@dataclass(frozen=True)
class Row:
    """A job as squeue shows it, also after its end."""

    job: str
    rule: str
    state: str
    node: str
    begun: str  # as 2026-01-31T12:00:00, or N/A
    ended: str
    gpu: str


def missing() -> str:
    """Why there can be no Slurm here, or ""."""
    absent = [name for name in PROGRAMS if not shutil.which(name)]
    if absent:
        return f"not installed: {', '.join(absent)}"
    if os.geteuid():
        return "needs root, for process-number spaces"
    config = CONFIG / "slurm.conf"
    if config.exists() and not config.read_text().startswith(SLURM_CONF.splitlines()[0]):
        return f"this machine has a Slurm of its own ({CONFIG}/slurm.conf)"
    return ""


@contextmanager
def running(environment: dict[str, str]) -> Iterator[None]:
    """A cluster of three idle nodes, with one made-up GPU each. Skips the test where there can be none."""
    if reason := missing():
        pytest.skip(reason)
    folder = Path(tempfile.mkdtemp(prefix="slurm-"))  # pytest's own folders are closed to others, which munge refuses
    folder.chmod(0o755)
    for name in ("state", "spool", "log", "munge"):
        (folder / name).mkdir(parents=True, mode=0o755)
    key = folder / "munge/key"
    key.write_bytes(secrets.token_bytes(128))
    key.chmod(0o600)
    CONFIG.mkdir(exist_ok=True)
    (CONFIG / "slurm.conf").write_text(SLURM_CONF.format(folder=folder))
    (CONFIG / "gres.conf").write_text(GRES_CONF)
    started: list[subprocess.Popen] = []

    def start(*command: str) -> None:
        with open(folder / "log" / "daemons", "a") as log:
            started.append(subprocess.Popen(command, stdout=log, stderr=log, env=environment, cwd="/"))

    try:
        own = [f"--{name}-file={folder}/munge/{name}" for name in ("key", "pid", "seed", "log")]
        start("munged", "--foreground", f"--socket={folder}/munge/socket", *own)
        wait_for((folder / "munge/socket").exists, "munge", seconds=20)
        start("slurmctld", "-D")
        for node in NODES:
            start("unshare", "--pid", "--fork", "--mount-proc", "--kill-child", "slurmd", "-D", "-N", node)
        wait_for(lambda: ask("sinfo", "--noheader", "--format=%T %D") == ["idle 3"], "idle nodes", seconds=40)
        yield
    finally:
        for process in reversed(started):
            process.kill()
            process.wait()
        (CONFIG / "slurm.conf").unlink()
        (CONFIG / "gres.conf").unlink()
        shutil.rmtree(folder)


def ask(*command: str) -> list[str]:
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    return [line.strip() for line in done.stdout.splitlines()]


def jobs() -> list[Row]:
    """Every job there has been, in the order of submission."""
    columns = "jobid:|,comment:|,state:|,nodelist:|,starttime:|,endtime:|,tres-per-job:|"
    lines = ask("squeue", "--states=all", "--noheader", "--sort=i", f"--Format={columns}")
    return [Row(*line.replace("rule_compute_", "").rstrip("|").split("|")) for line in lines]
