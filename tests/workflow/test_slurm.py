"""The shrunk project on a real Slurm: jobs that are cancelled, cut and orphaned, and tables that equal the local run's.

The nodes of `slurm.py` have process-number spaces of their own, as machines have, and share this machine's disk.
"""

import subprocess

import psutil
import pytest

from tests.workflow import slurm
from tests.workflow.conftest import Project, ran, wait_for
from tests.workflow.test_end_to_end import differing, status

pytestmark = [pytest.mark.faults, pytest.mark.slow]

STEPS, PAUSE = 24, 12.0  # meta-steps of a training, and seconds between them, so that three limits of a minute cut it
COMMAND = (
    "snakemake --profile workflow/profiles/slurm --slurm-init-seconds-before-status-checks 5 --latency-wait 20"
    " --default-resources runtime=1"
)


@pytest.fixture(scope="module")
def paused(prepared, tmp_path_factory) -> Project:
    """The shrunk project up to the encoder, whose trainings rest for `PAUSE` seconds after each step if asked to."""
    project = prepared[0].copy(tmp_path_factory.mktemp("paused") / "project")
    source = project.path("megan/stages/train.py")
    text = source.read_text(encoding="utf-8")
    resting = text.replace(
        "                advance()\n",
        "                advance()\n                time.sleep(float(__import__('os').environ.get('PAUSE', 0)))\n",
    )
    assert resting != text
    source.write_text(resting, encoding="utf-8")
    needs = project.path("workflow/needs.py")  # a slow machine needs more attempts of a minute
    needs.write_text(needs.read_text(encoding="utf-8").replace("SPARE_RETRIES = 5", "SPARE_RETRIES = 15"))
    project.edit_params(lambda document: document["studies"]["quick"]["tiers"]["headline"].update(meta_steps=STEPS))
    project.run("dvc repro config")
    project.run("git add -A")
    project.run("git commit -qm paused")
    return project


@pytest.fixture(scope="module")
def local(paused, tmp_path_factory) -> Project:
    """The same on one machine, undisturbed. It also compiles the kernels, which takes as long as a job may."""
    project = paused.copy(tmp_path_factory.mktemp("local") / "project")
    project.run("dvc repro")
    return project


@pytest.fixture
def cluster(paused, local, spare):
    """A copy of the project, with a Slurm to run it. Jobs ask for a GPU; without CUDA they compute on the CPU."""
    project = spare(paused)
    project.environment = project.environment | {
        "PAUSE": str(PAUSE),
        "MEGAN_DEVICE": "auto",
        "CUDA_VISIBLE_DEVICES": "",
    }
    with slurm.running(project.environment):
        yield project


def running(rule: str) -> slurm.Row | None:
    """The job of a rule that is at work now."""
    return next((job for job in slurm.jobs() if job.rule == rule and job.state == "RUNNING"), None)


def steps(project: Project, variant: str) -> int:
    """Lines of the unfinished curve of a training."""
    found = [
        path.read_text().count("\n") for path in project.path(f".resume/quick/train@{variant}").glob("*/curve.csv")
    ]
    return max(found, default=0)


def kill_all(process: subprocess.Popen) -> None:
    """SIGKILL of Snakemake and what it has started on this machine; what runs on nodes goes on."""
    for one in [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]:
        one.kill()
    process.wait()


def test_cancelled_cut_drained_and_orphaned(cluster, local, tmp_path):
    """Each ends in the tables of a run on one machine that nothing disturbed, byte for byte."""
    first = cluster.start(COMMAND, tmp_path / "first.log")
    cancelled = wait_for(lambda: steps(cluster, "maml") >= 2 and running("train_maml"), "a checkpoint", seconds=600)
    slurm.ask("scancel", cancelled.job)
    again = wait_for(
        lambda: (job := running("train_maml")) and job.job != cancelled.job and job, "the job once more", seconds=600
    )
    slurm.ask("scontrol", "update", f"nodename={again.node}", "state=drain", "reason=test")
    before_draining = {job.job for job in slurm.jobs()}

    wait_for(lambda: running("train_n_plus_1"), "a job on another node", seconds=600)
    kill_all(first)
    orphans = [job.job for job in slurm.jobs() if job.state in ("RUNNING", "PENDING")]
    assert orphans
    prepared = {path: path.stat().st_ino for path in cluster.path("data/prepared").rglob("*")}
    second = cluster.start(COMMAND, tmp_path / "second.log")
    told = wait_for(
        lambda: "Slurm has jobs of this folder" in (text := (tmp_path / "second.log").read_text()) and text, "the news"
    )
    assert any(job in told for job in orphans)  # one may have ended meanwhile
    code = second.wait(2400)
    rows = slurm.jobs()
    print(*rows, (tmp_path / "second.log").read_text(), sep="\n")
    assert code == 0
    assert {path: path.stat().st_ino for path in cluster.path("data/prepared").rglob("*")} == prepared

    states = {rule: [job.state for job in rows if job.rule == rule] for rule in {job.rule for job in rows}}
    assert {job.job: job.state for job in rows}[cancelled.job] == "CANCELLED"
    assert states["train_n_plus_1"].count("TIMEOUT") + states["train_n_plus_1"].count("FAILED") >= 3
    # A limit may cut a job between its result and its end; the next snakemake then records the result.
    news = (tmp_path / "second.log").read_text()
    finished = {rule for rule in states if f"{rule} was finished by a job of an earlier run" in news}
    assert all(found[-1] == "COMPLETED" for rule, found in states.items() if rule not in finished)
    assert not [job for job in rows if job.node == again.node and job.job not in before_draining]
    for node in slurm.NODES:  # each has one GPU
        turns = sorted((job.begun, job.ended) for job in rows if job.node == node)
        assert all(ended <= begun for (_, ended), (begun, _) in zip(turns, turns[1:], strict=False)), turns
    assert all("gpu" in job.gpu for job in rows)
    assert "continuing from meta-step" in cluster.path(".snakemake/logs/quick/train-n_plus_1.log").read_text()

    assert status(cluster) == set()
    assert ran(cluster.run("dvc repro")) == []
    assert differing(cluster.content("results/quick/tables"), local.content("results/quick/tables")) == []
    assert differing(cluster.results(), local.results()) == []


def test_a_failing_job_leaves_a_log(cluster):
    """Of a stage that raises, and of one that is killed before it can say anything."""
    source = cluster.path("megan/stages/gan.py")
    fails = "print('begun', file=open('begun', 'a')); raise SystemExit(7)\n"
    source.write_text(fails + source.read_text(encoding="utf-8"), encoding="utf-8")
    source = cluster.path("megan/stages/judge.py")
    source.write_text("import os; os.kill(os.getpid(), 9)\n" + source.read_text(encoding="utf-8"), encoding="utf-8")
    source = cluster.path("workflow/needs.py")
    source.write_text(source.read_text(encoding="utf-8").replace("SPARE_RETRIES = 15", "SPARE_RETRIES = 1"))
    output = cluster.run(f"{COMMAND} -- gan judge", expect=1)
    for stage, code in (("gan", 7), ("judge", 137)):
        log = cluster.path(f".snakemake/logs/quick/{stage}.log").read_text()
        assert f"{stage} of quick: job " in log and f"{stage}: failed with exit code {code}" in log, output
        assert [job.state for job in slurm.jobs() if job.rule == stage] == ["FAILED"] * 2
    assert cluster.path("begun").read_text() == "begun\n" * 2, "a job itself tries again"


def test_preempted_and_cancelled(cluster, local, tmp_path):
    """Slurm queues the job again under its number; where it refuses to, Snakemake submits another one."""
    cluster.environment |= {"PAUSE": "3"}
    log = tmp_path / "log"
    process = cluster.start(f"{COMMAND.replace('runtime=1', 'runtime=10')} -- train_maml", log)

    def state(job: str) -> str:
        return next(row.state for row in slurm.jobs() if row.job == job)

    def preempt(least: int, requeue: int) -> str:
        """Put something urgent on the node of the training, after `least` steps. Returns the training's job."""
        victim = wait_for(
            lambda: steps(cluster, "maml") >= least and running("train_maml"), "a checkpoint", seconds=300, every=1
        )
        slurm.ask("scontrol", "update", f"jobid={victim.job}", f"requeue={requeue}")
        urgent = "sbatch --partition=urgent --cpus-per-task=4 --time=1 --output=/dev/null --wrap=true"
        slurm.ask(*urgent.split(), f"--nodelist={victim.node}")
        wait_for(lambda: state(victim.job) == "PREEMPTED", "the kill", every=0.5)
        return victim.job

    first = preempt(2, requeue=1)
    wait_for(lambda: state(first) == "PENDING", "a place in the queue", seconds=120, every=1)
    slurm.ask("scontrol", "update", f"jobid={first}", "starttime=now")  # Slurm itself waits for two minutes
    second = preempt(steps(cluster, "maml") + 2, requeue=0)
    code = process.wait(600)
    told, rows = log.read_text(), slurm.jobs()
    print(*rows, told, sep="\n")
    assert code == 0
    assert first == second
    assert f"Slurm has preempted and cancelled job {first}, and is asked to queue it again" in told
    assert f"Slurm does not queue preempted job {second} again: Requested operation is presently disabled" in told
    assert [job.state for job in rows if job.rule == "train_maml"] == ["PREEMPTED", "COMPLETED"]
    assert "continuing from meta-step" in cluster.path(".snakemake/logs/quick/train-maml.log").read_text()
    assert differing(cluster.content("results/quick/train/maml"), local.content("results/quick/train/maml")) == []
