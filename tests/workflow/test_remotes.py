"""Results shared through a DVC remote (a folder, SSH, S3): a second clone has everything and runs nothing."""

import getpass
import importlib.util
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.workflow.conftest import Project, ran, wait_for
from tests.workflow.test_end_to_end import differing, status

SSHD = shutil.which("sshd", path="/usr/sbin:/usr/bin:/sbin")


@pytest.fixture
def server(tmp_path) -> Iterator[tuple[int, Path]]:
    """A real sshd on loopback with keys of its own: its port, and the key that it accepts."""
    if not SSHD or not shutil.which("ssh-keygen"):
        pytest.skip("not installed: openssh-server")
    if importlib.util.find_spec("dvc_ssh") is None:
        pytest.skip("not installed: dvc-ssh (pip install -c constraints.txt -e '.[cluster]')")
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / name)], check=True)
    port = free_port()
    config = tmp_path / "sshd_config"
    config.write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {tmp_path}/host\nAuthorizedKeysFile {tmp_path}/user.pub\n"
        f"PidFile {tmp_path}/pid\nStrictModes no\nUsePAM no\nPasswordAuthentication no\nSubsystem sftp internal-sftp\n"
    )
    Path("/run/sshd").mkdir(exist_ok=True)  # where it wants to be closed in
    with open(tmp_path / "sshd.log", "w") as log:
        process = subprocess.Popen([SSHD, "-D", "-e", "-f", str(config)], stderr=log)
    with answering(process, port):
        yield port, tmp_path / "user"


@pytest.fixture
def bucket(tmp_path) -> Iterator[str]:
    """A server that speaks S3 over HTTP, with a bucket named `bucket`: its address. The keys are in profile `megan`."""
    for package in ("dvc_s3", "moto", "flask"):
        pytest.importorskip(package, reason="pip install dvc-s3 'moto[server]'")
    keys = {"aws_access_key_id": "name", "aws_secret_access_key": "secret"}
    (tmp_path / "credentials").write_text("\n".join(["[megan]", *(f"{key} = {keys[key]}" for key in keys)]))
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with open(tmp_path / "moto.log", "w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    with answering(process, port):
        import boto3

        boto3.client("s3", endpoint_url=address, region_name="us-east-1", **keys).create_bucket(Bucket="bucket")
        yield address


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@contextmanager
def answering(process: subprocess.Popen, port: int) -> Iterator[None]:
    """Wait until a server answers, and end it afterwards."""

    def answers() -> bool:
        with socket.socket() as one:
            return one.connect_ex(("127.0.0.1", port)) == 0

    try:
        wait_for(answers, str(process.args), seconds=40)
        yield
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def shared(finished, spare) -> Project:
    """The finished project with its results committed."""
    project = spare(finished[0])
    project.run("git add -A")
    project.run("git commit -qm results")
    return project


def second_clone(project: Project, folder: Path) -> Project:
    project.run(f"git clone -q {project.folder} {folder}")
    return Project(folder, project.environment)


def assert_has_everything(clone: Project, project: Project) -> None:
    clone.run("dvc pull")
    assert differing(clone.results(), project.results()) == []
    assert status(clone) == set()
    assert ran(clone.run("dvc repro")) == []


def test_a_second_clone_by_a_folder_and_a_shared_experiment(shared, tmp_path):
    shared.run(f"dvc remote add --default lab {tmp_path / 'lab'}")
    shared.run("git commit -qam remote")
    shared.run("dvc push")
    clone = second_clone(shared, tmp_path / "clone")
    assert_has_everything(clone, shared)

    shared.run(f"git clone -q --bare {shared.folder} {tmp_path / 'bare'}")
    for project in (shared, clone):
        project.run(f"git remote add laboratory {tmp_path / 'bare'}")
    shared.run("dvc exp run -n black -S variants.maml.colour='#000000' summary")
    shared.run("dvc exp push laboratory black")
    assert "black" in clone.run("dvc exp list laboratory")
    clone.run("dvc exp pull laboratory black")
    clone.run("dvc exp apply black")
    assert clone.params()["variants"]["maml"]["colour"].strip("'") == "#000000"
    made = ("results/quick/tables", "results/quick/metrics.json")
    assert differing(clone.content(*made), shared.content(*made)) == []
    assert ran(clone.run("dvc repro summary")) == []


def test_a_second_clone_by_ssh(shared, server, tmp_path):
    port, key = server
    shared.run(f"dvc remote add --default lab ssh://{getpass.getuser()}@127.0.0.1:{port}{tmp_path / 'lab'}")
    shared.run("git commit -qam remote")
    for project in (shared, clone := second_clone(shared, tmp_path / "clone")):
        project.run(f"dvc remote modify --local lab keyfile {key}")
    shared.run("dvc push")
    assert list((tmp_path / "lab/files/md5").glob("*/*")), "nothing came by SSH"
    assert_has_everything(clone, shared)


def test_a_second_clone_by_s3(shared, bucket, tmp_path):
    shared.environment = shared.environment | {"AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "credentials")}
    shared.run("dvc remote add --default lab s3://bucket/megan")
    shared.run(f"dvc remote modify lab endpointurl {bucket}")
    shared.run("git commit -qam remote")
    for project in (shared, clone := second_clone(shared, tmp_path / "clone")):
        project.run("dvc remote modify --local lab profile megan")
    shared.run("dvc push")
    assert_has_everything(clone, shared)
