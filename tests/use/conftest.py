"""Two tiny trained studies, made once: `quick` of grey drawings and `own` of colour images."""

import pytest
import tiny

from megan.config.params import Params


def settings(patch: pytest.MonkeyPatch) -> None:
    """One task at a time on one core, so that numbers are equal to the bit."""
    for name, value in (("DEVICE", "cpu"), ("THREADS", "1"), ("CHUNK", "1")):
        patch.setenv(f"MEGAN_{name}", value)


@pytest.fixture(scope="session")
def home(tmp_path_factory):
    """The folder with both studies, and their parameters by name; `params.yaml` there names `quick`."""
    folder, found = tmp_path_factory.mktemp("use"), {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        settings(patch)
        for name, variants in tiny.VARIANTS.items():
            found[name] = tiny.settle(name, multi_task_label={"condition_discriminator": True})
            for variant in variants:
                tiny.train(found[name], variant)
    return folder, found


@pytest.fixture
def studies(home, monkeypatch) -> dict[str, Params]:
    """The parameters by study, with their folder as the working directory."""
    monkeypatch.chdir(home[0])
    settings(monkeypatch)
    return home[1]


@pytest.fixture
def study(studies) -> Params:
    return studies["quick"]
