"""How much is tested, and what many tests make.

Each run injects a bounded number of faults; `--faults=full` injects all of them.
"""

import pytest

from megan.config import params

# Read before a test changes the working directory.
DEFAULTS = params.read()["variant_defaults"] | {"tier": "headline", "label": "a", "colour": "#000000", "noise_size": 4}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--faults",
        choices=("bounded", "full"),
        default="bounded",
        help="how many faults tests/faults injects; full: slow tests too",
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--faults") != "full":
        for item in items:
            if item.get_closest_marker("slow"):
                item.add_marker(pytest.mark.skip(reason="takes minutes; --faults=full runs it"))


@pytest.fixture(scope="session")
def faults(request: pytest.FixtureRequest):
    """`faults(bounded, full)`: the number of trials that this run is asked for."""
    full = request.config.getoption("--faults") == "full"
    return lambda bounded, all_of_them: all_of_them if full else bounded


@pytest.fixture
def make_system():
    """A small system: `make_system(ways=3, steps=3, sizes=Omniglot's, **keys of a variant)`; keys of `inner` too."""
    from megan.meta import systems  # torch takes seconds, and most folders' tests do without
    from megan.models.sizes import Sizes

    def make(ways=3, steps=3, sizes=None, first_order=False, test_steps=None, **options):
        sizes = sizes or Sizes(side=28, channels=1, filters=64, max_pool=False, flat=False)
        inner = params.Inner(steps=steps, test_steps=test_steps or steps, learning_rate=0.4, first_order=first_order)
        return systems.build(params.Variant(**{**DEFAULTS, **options}), inner, ways, sizes, prototype_size=6)

    return make


@pytest.fixture
def made_up(tmp_path, monkeypatch):
    """The class `MadeUp` of a made-up study's results, with the working directory in an empty folder."""
    from made_up import MadeUp

    monkeypatch.chdir(tmp_path)
    return MadeUp
