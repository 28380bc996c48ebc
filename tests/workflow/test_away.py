"""A study trained where only Python and torch are, in pieces, by killed runs, on two bare machines, and brought home."""

import json
import os
import re
import shutil
import signal
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from megan import __main__ as command_line
from megan.records import outcome
from tests.workflow.conftest import Project, ran, wait_for

pytestmark = pytest.mark.slow

RESULTS = ("results/quick/train/maml", "results/quick/test/maml")
COMPILING = ("c++", "g++", "clang++", "as", "ld")  # a bare machine may have them, and rounding must be as at home
ABSENT = ("dvc", "git", "snakemake", "requests", "urllib3", "matplotlib", "seaborn", "scipy")


@dataclass
class Machine(Project):
    """The code and `params.yaml` alone, no program on the path but a compiler, and no package but those named in docs/record.md."""

    def away(self, arguments: str, expect: int = 0) -> str:
        return self.run(f"{sys.executable} workflow/away.py {arguments}", expect)

    def log(self, name: str) -> str:
        return self.path(f".resume/away/quick/logs/{name}.log").read_text(encoding="utf-8")

    def halfway(self, rows: int) -> int:
        """Wait until training has saved a curve of so many rows, and halt it there. Returns the stage's pid."""
        resume = self.path(".resume/away/quick/.resume/quick/train@maml")
        wait_for(lambda: any(curve.read_text().count("\n") >= rows for curve in resume.glob("*/curve.csv")), "a checkpoint")
        pid = int((resume / "holder.pid").read_text())
        os.kill(pid, signal.SIGSTOP)
        return pid


def machine(home: Project, folder: Path, *absent: str) -> Machine:
    for name in ("megan", "workflow"):
        shutil.copytree(home.path(name), folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copyfile(home.path("params.yaml"), folder / "params.yaml")
    (folder / "site").mkdir()
    (folder / "site" / "sitecustomize.py").write_text(f"import sys\nsys.modules.update(dict.fromkeys({(*ABSENT, *absent)!r}))\n")
    for name in COMPILING:
        if program := shutil.which(name, path=home.environment["PATH"]):
            (folder / "site" / name).symlink_to(program)
    kept = {name: value for name, value in home.environment.items() if name not in ("PATH", "PYTHONPATH")}
    return Machine(folder, kept | {"PATH": str(folder / "site"), "PYTHONPATH": str(folder / "site")})


@pytest.fixture(scope="module")
def home(prepared, tmp_path_factory) -> Project:
    """The shrunk project with a training of a few seconds, its data packed in `packed/`. Only to be copied."""
    project = prepared[0].copy(tmp_path_factory.mktemp("home") / "project")
    project.edit_params(lambda document: document["studies"]["quick"]["tiers"]["headline"].update(meta_steps=24))
    project.run("git commit -qam longer")
    project.run("python workflow/away.py data packed quick:maml")
    return project


@pytest.fixture(scope="module")
def returned(home, tmp_path_factory, request) -> tuple[Path, Machine]:
    """Archives of maml and the encoder from a run that was killed, then asked to stop, then moved to another machine."""
    folder = tmp_path_factory.mktemp("away")
    first = machine(home, folder / "first")
    request.addfinalizer(first.end)
    command = f"{sys.executable} workflow/away.py run quick:maml --minutes 5 --take {home.path('packed')}"
    process = first.start(command)
    stage = first.halfway(rows=5)
    process.kill()
    process.wait()
    os.kill(stage, signal.SIGKILL)

    process = first.start(f"{command} --pack {folder / 'state'}", log=first.path("second.log"))
    stage = first.halfway(rows=9)
    assert "going on from meta-step" in first.log("train@maml")
    process.send_signal(signal.SIGTERM)
    os.kill(stage, signal.SIGCONT)
    assert process.wait(60) == 0
    told = first.path("second.log").read_text()
    assert re.search(r"quick:train@maml +\d+% .*tasks/s +[\d.]+ min left", told), told
    assert "0 of 3 jobs done" in told and "packed 0 results" in told

    second = machine(home, folder / "second")
    told = second.away(f"run quick:maml --take {home.path('packed')} {folder / 'state'} --pack {folder / 'out'} --limit-mib 8")
    assert "3 of 3 jobs done; about 0 minutes left" in told and "packed 3 results" in told
    assert "going on from meta-step" in second.log("train@maml")
    assert all(path.stat().st_size <= 8 * 2**20 for path in (folder / "out").iterdir())
    return folder / "out", second


@pytest.fixture
def at_home(home, spare, monkeypatch) -> Project:
    """A copy of the repository, and the working directory of the test."""
    project = spare(home)
    monkeypatch.chdir(project.folder)
    monkeypatch.setattr(outcome, "CODE", project.folder)
    for name, value in project.environment.items():
        monkeypatch.setenv(name, value)
    return project


def refused(project: Project, archives: Path, capsys) -> str:
    """The one line that an import is refused with, nothing placed."""
    before = project.content("results", "dvc.lock")
    assert command_line.main(["import", str(archives)]) == 1
    captured = capsys.readouterr()
    assert captured.out == "" and project.content("results", "dvc.lock") == before
    (line,) = captured.err.splitlines()
    return line


def index_edited(archives: Path, folder: Path, old: str, new: str) -> Path:
    """A copy of the archives with a text replaced in each index."""
    for path in archives.glob("results-*.zip"):
        with zipfile.ZipFile(path) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
        members["index.json"] = members["index.json"].decode().replace(old, new).encode()
        folder.mkdir(exist_ok=True)
        with zipfile.ZipFile(folder / path.name, "w") as archive:
            for name, content in members.items():
                archive.writestr(name, content)
    return folder


def test_same_numbers_as_an_undisturbed_run_at_home(home, returned, at_home):
    """To the last byte of every file, the records included, so that DVC may take one for the other."""
    at_home.run("dvc repro -s train@maml")
    at_home.run("dvc repro -s test@maml")
    away = Project(returned[1].path(".resume/away/quick"), {})
    assert away.content(*RESULTS) == at_home.content(*RESULTS)


def test_import_then_repro_goes_on(returned, at_home, capsys):
    assert command_line.main(["import", str(returned[0])]) == 0
    assert capsys.readouterr().out == "committed to DVC: encoder, test@maml, train@maml\n"
    assert at_home.run("dvc status encoder train@maml test@maml").strip() == "Data and pipelines are up to date."
    # The other variant has nothing to be tested by, where a dry run ends.
    assert ran(at_home.run("dvc repro --dry summary", expect=None)) == ["train@n_plus_1"]

    made = json.loads(at_home.path("results/quick/provenance/train-maml.json").read_text())
    assert made["commit"] == at_home.run("git rev-parse HEAD").strip()
    pieces = json.loads(at_home.path("results/quick/provenance/away.json").read_text())
    assert [set(piece["stages"]) for piece in pieces] == [{"quick:train@maml"}, {"quick:train@maml", "quick:test@maml", "quick:encoder"}]
    assert all(0 < piece["share_in_stages"] <= 1 and piece["share_cores_busy"] > 0 for piece in pieces)
    assert at_home.run("git status --porcelain").split() == ["??", "dvc.lock", "??", "packed/"]


def test_import_refuses_another_study(returned, at_home, tmp_path, capsys):
    foreign = index_edited(returned[0], tmp_path / "foreign", "result:quick:", "result:omniglot:")
    line = refused(at_home, foreign, capsys)
    assert "is of study 'omniglot', params.yaml says 'quick'; set study: omniglot" in line


def test_import_refuses_a_wrong_digest(returned, at_home, tmp_path, capsys):
    with zipfile.ZipFile(returned[0] / "results-002-quick-01.zip") as archive:
        told = json.loads(archive.read("index.json"))["parts"]["part-00000"]
    wrong = index_edited(returned[0], tmp_path / "wrong", told["sha256"], "0" * 64)
    assert f"of {told['file']} is not what the index describes" in refused(at_home, wrong, capsys)


def test_import_refuses_a_file_elsewhere(returned, at_home, tmp_path, capsys):
    name = "results/quick/train/maml/curve.csv"
    placed = index_edited(returned[0], tmp_path / "placed", name, "megan/train.py")
    line = refused(at_home, placed, capsys)
    assert "quick:train@maml: megan/train.py has no place in it" in line
    lacking = index_edited(returned[0], tmp_path / "lacking", name, "results/quick/train/maml/other.csv")
    assert "curve.csv is not the file that" in refused(at_home, lacking, capsys)


def test_import_refuses_other_parameters(returned, at_home, capsys):
    at_home.edit_params(lambda document: document["studies"]["quick"]["train"].update(learning_rate=0.5))
    line = refused(at_home, returned[0], capsys)
    assert "was made with train.learning_rate = 0.002, params.yaml says 0.5" in line


def test_import_refuses_other_code(returned, at_home, capsys):
    at_home.append("megan/meta/adapt.py", "\n# a comment\n")
    assert "was made by another megan/meta/adapt.py than stands here" in refused(at_home, returned[0], capsys)


def test_import_refuses_other_data(returned, at_home, capsys):
    with open(at_home.path("data/prepared/quick/train.safetensors"), "ab") as file:
        file.write(b"x")
    assert "was made from other data (train: " in refused(at_home, returned[0], capsys)


def test_import_needs_what_a_result_rests_on(returned, at_home, tmp_path, capsys):
    alone = index_edited(returned[0], tmp_path / "alone", "result:quick:train@maml", "state:quick:train@maml")
    assert "quick:test@maml rests on train@maml, which is neither in the archives nor here" in refused(at_home, alone, capsys)


def test_pieces_end_in_time(home, returned, tmp_path):
    """A training far too long for the piece is cut off, its state saved; the rest is not begun."""
    bare = machine(home, tmp_path / "bare")
    bare.edit_params(lambda document: document["studies"]["quick"]["tiers"]["headline"].update(meta_steps=10**6))
    told = bare.away(f"run quick:maml --minutes 0.3 --take {home.path('packed')}")
    assert re.search(r"train@maml +0% ", told) and "0 of 3 jobs done" in told
    (piece,) = json.loads(bare.path(".resume/away/pieces.json").read_text())
    assert set(piece["stages"]) == {"quick:train@maml"} and 15 < piece["wall_seconds"] < 60
    assert list(bare.path(".resume/away/quick/.resume/quick/train@maml").glob("*/state.safetensors"))


def test_what_is_missing_is_named(home, tmp_path):
    """What nothing can do without, at once; what the encoder alone needs, beside the rest of the work."""
    line = machine(home, tmp_path / "none", "filelock", "pydantic").away("run quick:maml", expect=1)
    assert line == "away: not installed here: pydantic, filelock; install them, nothing was begun\n"
    bare = machine(home, tmp_path / "some", "torchvision")
    told = bare.away(f"run quick:maml --take {home.path('packed')} --pack {tmp_path / 'out'}", expect=1)
    assert "quick:encoder failed: torchvision is not installed here" in told
    assert "2 of 3 jobs done" in told and "packed 2 results" in told


def test_unknown_study_and_variant(home, tmp_path):
    bare = machine(home, tmp_path / "bare")
    assert "away: 'quik': params.yaml has no study 'quik'" in bare.away("run quik", expect=1)
    assert "unknown variant 'mamal'; did you mean 'maml'?" in bare.away("run quick:mamal", expect=1)
