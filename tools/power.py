"""Prints the tables of docs/power.md: `python -m tools.power`."""

from pathlib import Path

from megan.config import params, paths
from megan.report.claims import power

RECORD = paths.RECORD / "omniglot_2500"


def main() -> None:
    rules = params.load().claims
    for rows in (power.table(Path(RECORD), rules), power.pilot(rules)):
        print("\n".join(rows), end="\n\n")


if __name__ == "__main__":
    main()
