"""How much is tested: a bounded number of faults in every run of the tests, all of them and what takes minutes on request."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--faults", choices=("bounded", "full"), default="bounded", help="how many faults tests/faults injects; full: slow tests too")


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
