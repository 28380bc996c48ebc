"""`python -m megan`: exit codes, and one line on stderr for what a user can mend."""

import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import jobs
import pytest

from megan import __main__ as command_line
from megan.config import machine
from megan.errors import MeganError
from megan.stages import registry

ROOT = Path(__file__).parents[1]


@pytest.fixture
def project(tmp_path, monkeypatch) -> Path:
    """A folder with the shipped parameters, and the working directory of the test."""
    shutil.copyfile(ROOT / "params.yaml", tmp_path / "params.yaml")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def line(capsys: pytest.CaptureFixture[str]) -> str:
    captured = capsys.readouterr()
    assert captured.out == ""
    (only,) = captured.err.splitlines()
    return only


def edit(project: Path, old: str, new: str) -> None:
    text = (project / "params.yaml").read_text(encoding="utf-8")
    assert old in text
    (project / "params.yaml").write_text(text.replace(old, new, 1), encoding="utf-8")


@pytest.mark.parametrize(
    "arguments", [[], ["trian", "maml"], ["train"], ["download", "more"], ["train", "maml", "more"], ["--what"]]
)
def test_wrong_usage_exits_2(arguments, capsys):
    with pytest.raises(SystemExit) as stopped:
        command_line.main(arguments)
    assert stopped.value.code == 2
    assert "usage: python -m megan" in capsys.readouterr().err


def test_help_names_every_stage(capsys):
    with pytest.raises(SystemExit) as stopped:
        command_line.main(["--help"])
    assert stopped.value.code == 0
    told = capsys.readouterr().out
    assert all(command.name in told for command in registry.commands())


@pytest.mark.parametrize(("found", "told"), [("1.2.3", "megan 1.2.3\n"), (None, "version is that of the clone")])
def test_version(capsys, monkeypatch, found, told):
    def version(name):
        if found is None:
            raise metadata.PackageNotFoundError(name)
        return found

    monkeypatch.setattr(metadata, "version", version)
    with pytest.raises(SystemExit) as stopped:
        command_line.main(["--version"])
    assert stopped.value.code == 0 and told in capsys.readouterr().out


@pytest.mark.parametrize("stage", list(registry.commands()), ids=lambda stage: stage.name)
def test_every_stage_checks_the_parameters_first(project, capsys, stage):
    edit(project, "study: quick", "study: quik")
    item = ["maml"] if stage.items else []
    assert command_line.main([stage.name, *item]) == 1
    assert line(capsys) == f"megan {stage.name}: params.yaml: unknown study 'quik'; did you mean 'quick'?"


def test_impossible_study_stops_before_anything_is_made(project, capsys):
    edit(project, "validation_alphabets: 3", "validation_alphabets: 300")
    assert command_line.main(["download"]) == 1
    assert "studies.quick.data.validation_alphabets = 300" in line(capsys)
    assert [path.name for path in project.iterdir()] == ["params.yaml"]


def test_without_the_file(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert command_line.main(["download"]) == 1
    assert (
        line(capsys) == "megan download: params.yaml does not exist here; run the stage from the root of the repository"
    )


@pytest.mark.parametrize("stage", ["train", "test"])
def test_unknown_variant(project, capsys, stage):
    assert command_line.main([stage, "mamal"]) == 1
    assert line(capsys) == f"megan {stage}: params.yaml: unknown variant 'mamal'; did you mean 'maml'?"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["prepare"], "data/raw/quick"),
        (["encoder"], "data/prepared/quick"),
        (["train", "maml"], "data/prepared/quick"),
        (["test", "maml"], "data/prepared/quick"),
        (["summary"], "results/quick"),
        (["judge"], "data/prepared/quick"),
        (["gan"], "data/raw/quick"),
        (["samples"], "data/prepared/quick"),
        (["claims"], "results/quick/"),
        (["report"], "results/quick/"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, list) else "",
)
def test_missing_input_is_named(project, capsys, monkeypatch, arguments, told):
    monkeypatch.setenv("MEGAN_DEVICE", "cpu")
    monkeypatch.setenv("MEGAN_KERNEL", "torch")
    assert command_line.main(arguments) == 1
    message = line(capsys)
    assert message.startswith(f"megan {arguments[0]}: ") and told in message


def test_as_a_program():
    """In its own process: the exit code is the shell's, and no traceback shows."""
    done = subprocess.run(
        [sys.executable, "-m", "megan", "train", "mamal"], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 1
    assert done.stderr.splitlines() == ["megan train: params.yaml: unknown variant 'mamal'; did you mean 'maml'?"]


def test_stages_that_need_no_torch_do_not_wait_for_it():
    """Starting torch takes seconds, and an unknown name needs none."""
    program = "import sys; from megan.__main__ import main; main(['train', 'mamal']); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, timeout=60).returncode == 0


# Environment variables


@pytest.mark.parametrize(
    "value", ["gpu", "cuda:", "cuda:x", "cuda:-1", "cpu:0", "cuda:0:0", " cpu", "cuda:99999", "cuda:²"]
)
def test_bad_device(monkeypatch, value):
    monkeypatch.setenv("MEGAN_DEVICE", value)
    with pytest.raises(machine.SettingsError, match="MEGAN_DEVICE"):
        machine.device()


@pytest.mark.parametrize("value", ["0", "-1", "two", "1.5", "1e3", " 2", "²", "٣", "99999999999999999999", "+2"])
@pytest.mark.parametrize(
    ("name", "read"), [("MEGAN_THREADS", machine.threads), ("MEGAN_CHUNK", lambda: machine.chunk(8))]
)
def test_bad_number(monkeypatch, name, read, value):
    monkeypatch.setenv(name, value)
    with pytest.raises(machine.SettingsError, match=f"{name} = .*expected a whole number"):
        read()


def test_bad_kernel(monkeypatch):
    monkeypatch.setenv("MEGAN_KERNEL", "cuda")
    with pytest.raises(machine.SettingsError, match="MEGAN_KERNEL = 'cuda': expected auto, native or torch"):
        machine.kernel()


def test_empty_means_unset(monkeypatch, tmp_path):
    for name in ("DEVICE", "THREADS", "CHUNK", "KERNEL", "MIRROR", "CACHE"):
        monkeypatch.setenv(f"MEGAN_{name}", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert machine.device() in ("cpu", "cuda")
    assert machine.threads() >= 1
    assert machine.chunk(8) == 8
    assert machine.kernel() == "auto"
    assert machine.mirror() is None
    assert machine.cache() == tmp_path / "megan"


def test_right_settings(monkeypatch, tmp_path):
    for name, value in {
        "DEVICE": "cpu",
        "THREADS": "3",
        "CHUNK": "5",
        "KERNEL": "torch",
        "MIRROR": "here",
        "CACHE": str(tmp_path),
    }.items():
        monkeypatch.setenv(f"MEGAN_{name}", value)
    assert (machine.device(), machine.threads(), machine.chunk(8)) == ("cpu", 3, 5)
    assert (machine.kernel(), machine.mirror(), machine.cache()) == ("torch", "here", tmp_path)


@pytest.mark.parametrize(("name", "value"), [("MEGAN_THREADS", "many"), ("MEGAN_DEVICE", "gpu")])
def test_bad_setting_stops_a_stage_with_one_line(project, capsys, monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    monkeypatch.setattr(registry, "prepare", jobs.job)  # no inputs are here
    assert command_line.main(["encoder"]) == 1
    assert line(capsys).startswith(f"megan encoder: {name} = {value!r}: expected")


def test_every_error_of_the_package_is_one_the_command_line_prints():
    from megan.config.params import ParamsError
    from megan.errors import DataError
    from megan.report.inputs import ReportError
    from megan.runs.result import StaleError

    for error in (DataError, ParamsError, ReportError, StaleError, machine.SettingsError):
        assert issubclass(error, MeganError)


def test_a_misspelt_command_has_a_hint(capsys):
    with pytest.raises(SystemExit):
        command_line.main(["trian", "maml"])
    assert "unknown command 'trian'; did you mean 'train'?" in capsys.readouterr().err


def test_entry_point_is_the_command_line():
    """`megan`, as pip installs it, is `python -m megan`."""
    import tomllib
    from importlib import import_module

    named = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["scripts"]["megan"]
    module, _, function = named.partition(":")
    assert getattr(import_module(module), function) is command_line.main
