"""A record is held against a fresh clone with its lock."""

import pytest
import yaml

from megan import __main__ as command_line
from megan import record
from megan.record import check, commands, manifest
from megan.runs import storage

CLONE = {"dvc.yaml": "", "studies/text/dvc.yaml": "", "params.yaml": "# study: x\nstudy: own\n"}


@pytest.fixture
def kept(tmp_path, monkeypatch):
    """`kept(study, *addresses)`: a record with nothing but a lock; git and DVC are not started."""
    seen, studies = [], []

    def would_run(folder, targets):
        seen.append((sorted(path.relative_to(folder).as_posix() for path in folder.rglob("dvc.lock")), list(targets)))
        studies.append((folder / "params.yaml").read_text())
        return [target for target in targets if target.endswith("maml")]

    monkeypatch.setattr(
        commands,
        "git",
        lambda *given: [storage.write_text(check.Path(given[-1]) / place, text) for place, text in CLONE.items()],
    )
    monkeypatch.setattr(commands, "would_run", would_run)

    def make(study, *addresses):
        folder = tmp_path / study
        folder.mkdir()
        (folder / "dvc.lock").write_text(yaml.safe_dump({"stages": {address: {"deps": []} for address in addresses}}))
        storage.write_json(folder / manifest.NAME, {"study": study, "commit": "", "files": manifest.digests(folder)})
        return folder

    return make, seen, studies


def test_the_lock_is_put_where_the_study_has_its_own(kept):
    make, seen, studies = kept
    done = ("config", "prepare", "encoder", "train@maml", "summary", "report")
    assert check.in_clone(make("text", *done)) == ["train@maml"]
    targets = [f"studies/text/dvc.yaml:{address}" for address in ("encoder", "prepare", "train@maml")]
    assert seen == [(["studies/text/dvc.lock"], targets)], "neither config nor what follows the samples"
    assert check.in_clone(make("quick", "encoder", "samples")) == []
    assert seen[1] == (["dvc.lock"], ["encoder", "samples"])
    assert studies == ["# study: x\nstudy: own\n", "# study: x\nstudy: quick\n"], "the root runs the study it names"
    with pytest.raises(record.RecordError, match="names no stage from download to samples"):
        check.in_clone(make("code", "config"))


@pytest.mark.parametrize(("address", "told", "code"), [("encoder", "nothing to run again", 0),
                                                      ("test@maml", "run again: test@maml", 1)])  # fmt: skip
def test_the_command_says_it(kept, monkeypatch, capsys, address, told, code):
    folder = kept[0]("quick", address)
    monkeypatch.setattr(command_line.paths, "RECORD", folder.parent)
    monkeypatch.setattr(record, "compare", lambda *_: iter(()))
    assert command_line.main(["record", "--check", "quick", "--clone"]) == code
    assert told in capsys.readouterr().out


def test_the_command_names_what_the_lock_lacks_and_refuses_clone_alone(kept, monkeypatch, capsys):
    folder = kept[0]("quick", "encoder", "test@n_plus_1")
    monkeypatch.setattr(command_line.paths, "RECORD", folder.parent)
    monkeypatch.setattr(record, "compare", lambda *_: iter(()))
    command_line.main(["record", "--check", "quick", "--clone"])
    assert "not in the record's lock: download, prepare, judge, gan, train, samples" in capsys.readouterr().out
    assert command_line.main(["record", "--clone"]) == 1
    assert "--clone belongs to --check STUDY" in capsys.readouterr().err


def test_what_dvc_says_is_read(monkeypatch, tmp_path):
    said = {"returncode": 1, "stdout": "Running stage 'train@maml':\n> python\n", "stderr": ""}
    said["stderr"] = "ERROR: failed to reproduce 'encoder': [Errno 2] No such file"
    monkeypatch.setattr(commands.subprocess, "run", lambda *_, **__: type("Done", (), said))
    assert commands.would_run(tmp_path, ["download", "encoder", "train@maml"]) == ["encoder", "train@maml"]
    said["stdout"], said["stderr"] = "", "ERROR: you are not inside of a DVC repository"
    with pytest.raises(record.RecordError, match="dvc repro failed: ERROR: you are not inside"):
        commands.would_run(tmp_path, ["encoder"])
