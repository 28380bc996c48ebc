"""How many faults to inject: a bounded number in every run of the tests, all of them on request."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--faults", choices=("bounded", "full"), default="bounded", help="how many faults tests/faults injects")


@pytest.fixture(scope="session")
def faults(request: pytest.FixtureRequest):
    """`faults(bounded, full)`: the number of trials that this run is asked for."""
    full = request.config.getoption("--faults") == "full"
    return lambda bounded, all_of_them: all_of_them if full else bounded
