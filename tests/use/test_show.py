"""`python -m megan show`: the task, the fakes and the predictions are those of the meta-test."""

import jobs
import numpy as np
import pytest
import tiny
import torch
from PIL import Image

from megan import __main__ as command_line
from megan.config import paths
from megan.data.episodes import TaskSet
from megan.meta import fakes, setup
from megan.meta.evaluate import Evaluation
from megan.stages import registry
from megan.use import show
from megan.use.trained import load


@pytest.fixture(autouse=True)
def unchecked(studies, monkeypatch):
    """Only what the command itself does is tested here: no stage has left the data's records."""
    monkeypatch.setattr(registry, "prepare", jobs.job)


@pytest.mark.parametrize("name, variant", [("quick", "maml"), ("quick", "n_plus_1"), ("own", "n_plus_1")])
def test_it_is_the_task_of_the_meta_test(studies, name, variant):
    study, made, make = studies[name], [], fakes.make
    monkeypatch = pytest.MonkeyPatch()
    monkeypatch.setattr(fakes, "make", lambda *given: made.append((given[-1], make(*given))) or made[-1][1])
    shown = show.task(study, variant, number=2, seed=8)
    monkeypatch.undo()
    kept, queries = load(paths.trained(name, variant), seed=8), study.current.tasks.test_queries
    tasks = TaskSet(setup.sampler(study, variant, "test", setup.workers(study)), torch.tensor([8]), "test", 3, queries)
    task = tasks.sample(slice(0, 1), torch.tensor([2]))
    assert torch.equal(shown.support, task.support[0]) and torch.equal(shown.query, task.query[0])
    scores = Evaluation(kept.system, tasks, setup.workers(study), every_step=False)(kept.weights)
    assert shown.accuracy == float(scores.accuracy[0, 2, -1])
    assert float(shown.fake_wins.double().mean()) == float(scores.fake_wins[0, 2, -1])
    if variant == "maml":
        assert not shown.fakes
        return
    titles = ["fakes,\nstep 1\n(not used)", "fakes,\nstep 2", "fakes,\nstep 3", "fakes,\nadapted"]
    assert [title for title, _ in shown.fakes] == titles
    # The inner loop makes those of steps 2 and 3 as well, after they were drawn here.
    for step, drawn, used in ((1, shown.fakes[1][1], made[2]), (2, shown.fakes[2][1], made[4])):
        assert used[0] == step and torch.equal(drawn, used[1][0].detach())


def test_fakes_stand_with_their_class(study):
    shown = show.task(study, "n_plus_1", number=0)
    assert all(images.shape == (tiny.WAYS * 2, tiny.SIDE, tiny.SIDE, 1) for _, images in shown.fakes)
    assert len(set(shown.names)) == tiny.WAYS and len({name[0] for name in shown.names}) == 1, "one alphabet"
    system = load(paths.trained("quick", "n_plus_1")).system

    class Several:
        """Two fakes of each support image, numbered, in the order in which a system makes them."""

        variant, inner = system.variant.model_copy(update={"fakes_per_real": 2}), system.inner

        def fakes(self, *_):
            return torch.arange(6.0).view(1, 6, 1, 1, 1)

        def fake_labels(self, _):
            return torch.tensor([0, 1, 2, 0, 1, 2])

    ordered = show._by_class(Several(), {}, None, 0)
    assert ordered.flatten().tolist() == [0, 3, 1, 4, 2, 5]


def test_the_picture(study, capsys):
    assert command_line.main(["show", "n_plus_1", "--task", "1", "--seed", "3"]) == 0
    path = paths.shown("quick") / "n_plus_1-seed3-task1.png"
    assert capsys.readouterr().out.strip() == str(path)
    with Image.open(path) as image:
        assert image.format == "PNG" and image.width > image.height > 300
    first = path.read_bytes()
    assert command_line.main(["show", "n_plus_1", "--task", "1", "--seed", "3", "--output", "other"]) == 0
    assert paths.PARAMS.with_name("other").read_bytes() == first
    figure = show.picture(show.task(study, "n_plus_1", 1, 3))
    words = [text.get_text() for axes in figure.axes for text in (axes.xaxis.label, axes.yaxis.label)]
    assert sum("%" in text for text in words) == tiny.WAYS * study.current.tasks.test_queries


@pytest.mark.parametrize("name", ["quick", "own"])
def test_ink_is_drawn_black_and_light_is_drawn_light(studies, name):
    shown = show.task(studies[name], "maml", number=0)
    drawn = np.asarray(show.picture(shown).axes[0].images[0].get_array())
    wanted = 1 - shown.support[0, ..., 0] if name == "quick" else shown.support[0]
    assert np.array_equal(drawn, wanted.numpy())


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["n_plus_1", "--task", "-1"], "--task -1: expected a number from 0"),
        (["n_plus_1", "--seed", "5"], "has no seed 5; expected one of: 3, 8"),
        (["n_plus_2"], "unknown variant 'n_plus_2'"),
    ],
)
def test_what_cannot_be_shown(study, capsys, arguments, told):
    assert command_line.main(["show", *arguments]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("megan show: ") and told in line


def test_its_inputs_are_checked_as_those_of_the_meta_test(study, monkeypatch):
    def refused(*given):
        raise registry.RegistryError(" ".join(given[1:]))

    monkeypatch.setattr(registry, "prepare", refused)
    with pytest.raises(registry.RegistryError, match="test maml"):
        show.draw(study, "maml")
