"""`python -m megan STAGE [ITEM]`: a sub-command for each stage of `dvc.yaml`; and `record`, `show`, `describe`.

Every stage reads `params.yaml` first and refuses what cannot run; heavy modules are
imported by the stage that needs them.
"""

import argparse
import signal
import sys
from pathlib import Path

from megan.config import params as parameters
from megan.config import paths
from megan.config.params import Params
from megan.errors import MeganError
from megan.stages import registry


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m megan", description="One stage of the reproduction; `dvc repro` runs them all."
    )
    commands = parser.add_subparsers(dest="stage", required=True)
    for command in registry.commands():
        stage = commands.add_parser(command.name, help=command.description, description=command.description)
        if command.items:
            stage.add_argument("item", metavar=command.items.upper())
    about = "Copy a finished study to results/record, for git; or check such a copy against the code at hand"
    record = commands.add_parser("record", help=about, description=about)
    record.add_argument(
        "--weights",
        type=float,
        default=0,
        metavar="MIB",
        help="with the best maml and n_plus_1, if they take no more than that",
    )
    record.add_argument("--check", metavar="STUDY", help="only say where the record of STUDY disagrees")
    about = "Draw one meta-test task of a trained variant: support, fakes at each inner step, queries with predictions"
    show = commands.add_parser("show", help=about, description=about)
    show.add_argument("item", metavar="VARIANT")
    show.add_argument("--task", type=int, default=0, metavar="N", help="number of the task, from 0; unset: 0")
    show.add_argument("--seed", type=int, metavar="S", help="whose weights and tasks; unset: the best in validation")
    show.add_argument("--output", type=Path, metavar="FILE", help="a PNG file; unset: in results/<study>/shown")
    about = "Print a variant with every option, its numbers of weights, and what it takes on this machine"
    describe = commands.add_parser("describe", help=about, description=about)
    describe.add_argument("item", metavar="VARIANT")
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run one sub-command; returns the exit code."""
    try:
        parser = _parser()
    except MeganError as error:
        print(f"megan: {error}", file=sys.stderr)
        return 1
    chosen = parser.parse_args(arguments)
    try:
        return _run(chosen)
    except MeganError as error:
        print(f"megan {chosen.stage}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"megan {chosen.stage}: interrupted; the same command begins where it can", file=sys.stderr)
        return 128 + signal.SIGINT


def _run(chosen: argparse.Namespace) -> int:
    from megan.data import catalogue

    params = parameters.load()
    catalogue.check(params.study, params.current, params.variants)
    if chosen.stage == "record":
        return _record(params, chosen.check, chosen.weights)
    if chosen.stage == "show":
        params.variant(chosen.item)  # before torch starts, which takes seconds
        from megan import show

        print(show.draw(params, chosen.item, chosen.task, chosen.seed, chosen.output))
        return 0
    if chosen.stage == "describe":
        params.variant(chosen.item)
        from megan.describe import describe

        print(describe(params, chosen.item))
        return 0
    registry.run(registry.prepare(params, chosen.stage, getattr(chosen, "item", "")))
    return 0


def _record(params: Params, check: str | None, weights_mib: float) -> int:
    from megan import record

    if check is None:
        target = record.make(params, weights_mib)
        size = sum(path.stat().st_size for path in target.rglob("*") if path.is_file())
        print(f"{target}: {size / record.MIB:.1f} MiB; commit it with git")
        return 0
    folder: Path = paths.RECORD / check
    commit, lines = record.verify(folder)["commit"], list(record.compare(params, folder))
    print(f"{folder}: every file is as recorded; made at commit {commit}")
    print("\n".join(lines) if lines else "the parameters and the code at hand agree with it")
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
