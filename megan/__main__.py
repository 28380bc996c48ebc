"""`python -m megan STAGE [ITEM]`: a sub-command for each stage, and `status`, `record`, `show`, `describe`, `compare`.

Every stage first reads `params.yaml` and refuses settings that cannot run. Large modules are
imported only by the stages that need them.
"""

import argparse
import difflib
import re
import signal
import sys
from importlib import metadata
from pathlib import Path
from typing import NoReturn

from megan.config import params as parameters
from megan.config import paths
from megan.config.params import Params
from megan.errors import MeganError
from megan.stages import registry

EXAMPLES = """\
examples:
  python -m megan train maml                 one stage of the study that params.yaml names
  python -m megan --study text status        what is done and what is left of study `text`
  python -m megan record                     copy the finished study to results/record
  python -m megan compare n_plus_1 maml      is N+1 better than MAML on the same tasks?
"""
COMPARE = """\
Compare any two tested variants on the meta-test tasks that both were tested on: A minus B for each seed, the mean
with its 95 % interval and p value over seeds, and a picture in results/<study>/compare.

A and B are [WHERE/]VARIANT[@REVISION]:
  WHERE      a study, or a folder of results such as results/record/omniglot_2500; unset: the current study
  REVISION   a commit, branch or tag of git, or an experiment of DVC; unset: the working tree
"""
COMPARE_EXAMPLES = """\
examples:
  python -m megan compare n_plus_1 maml                       two variants of the current study
  python -m megan --study text compare n_plus_1 maml          of study `text`
  python -m megan compare n_plus_1 n_plus_1@HEAD              a changed parameter against the last commit
  python -m megan compare n_plus_1@heavier n_plus_1@lighter   two experiments of `dvc exp run -n NAME`
  python -m megan compare results/record/omniglot_2500/n_plus_1 results/record/omniglot_2500/maml
  python -m megan compare n_plus_1 maml --output n_plus_1.png

Both must have been tested on the same images with the same ways, shots and queries. The p value holds for one
comparison that was chosen before its result was seen.
"""


class Parser(argparse.ArgumentParser):
    """Says which command was meant when one is misspelt."""

    def error(self, message: str) -> NoReturn:
        wrong = re.search(r"invalid choice: '([^']*)' \(choose from (.*)\)", message)
        if wrong:
            near = difflib.get_close_matches(wrong[1], re.findall(r"[\w-]+", wrong[2]), n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"expected one of: {wrong[2].replace(chr(39), '')}"
            message = f"unknown command {wrong[1]!r}; {hint}"
        super().error(message)


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="megan" if Path(sys.argv[0]).name == "megan" else "python -m megan",
        description="Run one stage of the reproduction. `dvc repro` runs all stages.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"megan {_version()}")
    parser.add_argument("--study", default="", help="the study; that of params.yaml if it is not given")
    commands = parser.add_subparsers(dest="stage", required=True)
    for command in registry.commands():
        stage = commands.add_parser(command.name, help=command.description, description=command.description)
        if command.items:
            about = f"a {command.items} of the study; `python -m megan status` lists them"
            stage.add_argument("item", metavar=command.items.upper(), help=about)
    about = "Tell what is done and what is left of a study, with the measured rates and the time left"
    status = commands.add_parser("status", help=about, description=about)
    status.add_argument("studies", metavar="STUDY", nargs="*", help="one or more; that of params.yaml if none is given")
    about = "Copy a finished study to results/record, for git; or compare such a copy with the present code"
    record = commands.add_parser("record", help=about, description=about)
    record.add_argument(
        "--weights",
        type=float,
        default=0,
        metavar="MIB",
        help="also copy the weights of the best maml and n_plus_1 seed, at most this size",
    )
    record.add_argument(
        "--finished",
        action="store_true",
        help="leave out the stages that are not up to date; tables, claims, figures and page are of the variants that"
        " have been tested here, and of those that the present record has from elsewhere; as long as variants are left"
        " to run, the record says that it is provisional",
    )
    record.add_argument(
        "--check",
        metavar="STUDY",
        help="only print how the record of STUDY differs from the present parameters and code",
    )
    record.add_argument(
        "--clone",
        action="store_true",
        help="with --check: also whether a fresh clone with the record's lock has nothing to run from download to"
        " samples",
    )
    about = "Draw one meta-test task of a trained variant: support, fakes at each inner step, queries with predictions"
    show = commands.add_parser("show", help=about, description=about)
    show.add_argument("item", metavar="VARIANT")
    show.add_argument("--task", type=int, default=0, metavar="N", help="number of the task, from 0; unset: 0")
    show.add_argument("--seed", type=int, metavar="S", help="whose weights and tasks; unset: the best in validation")
    show.add_argument("--output", type=Path, metavar="FILE", help="a PNG file; unset: in results/<study>/shown")
    about = "Print a variant with every option, its numbers of weights, and what it takes on this machine"
    describe = commands.add_parser("describe", help=about, description=about)
    describe.add_argument("item", metavar="VARIANT")
    compare = commands.add_parser(
        "compare",
        help="Compare any two tested variants on common tasks: difference, interval, p value, picture",
        description=COMPARE,
        epilog=COMPARE_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    compare.add_argument("a", metavar="A")
    compare.add_argument("b", metavar="B", help="A minus B is computed")
    compare.add_argument("--output", type=Path, metavar="FILE", help="a PNG file; unset: in results/<study>/compare")
    return parser


def _version() -> str:
    try:
        return metadata.version("megan")
    except metadata.PackageNotFoundError:
        return "(not installed by pip, so its version is that of the clone)"


def main(arguments: list[str] | None = None) -> int:
    """Run one sub-command. Returns the exit code."""
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
        print(
            f"megan {chosen.stage}: interrupted; the same command continues from the last checkpoint, if there is one",
            file=sys.stderr,
        )
        return 128 + signal.SIGINT


def _run(chosen: argparse.Namespace) -> int:
    from megan.data import catalogue

    params = parameters.load(study=chosen.study)
    if chosen.stage == "status":
        from megan import status

        print("\n\n".join(status.table(params.of(study)) for study in chosen.studies or [params.study]))
        return 0
    if chosen.stage == "compare":
        from megan.compare import compare

        print(compare(params, chosen.a, chosen.b, chosen.output))
        return 0
    item = getattr(chosen, "item", "")
    asked_for = {item: params.variants[item]} if item in params.variants else params.variants
    catalogue.check(params.study, params.current, asked_for)
    if chosen.stage == "record":
        return _record(params, chosen)
    if chosen.stage == "show":
        params.variant(chosen.item)  # before torch starts, which takes seconds
        from megan.use import show

        print(show.draw(params, chosen.item, chosen.task, chosen.seed, chosen.output))
        return 0
    if chosen.stage == "describe":
        params.variant(chosen.item)
        from megan.use.describe import describe

        print(describe(params, chosen.item))
        return 0
    registry.run(registry.prepare(params, chosen.stage, item))
    return 0


def _record(params: Params, chosen: argparse.Namespace) -> int:
    from megan import record

    if chosen.check is None and chosen.clone:
        raise record.RecordError("--clone belongs to --check STUDY; without it the record would be written")
    if chosen.check is None:
        target = record.make(params, chosen.weights, chosen.finished)
        print(f"{target}: {record.told(target)}; now commit it with git")
        return 0
    folder: Path = paths.RECORD / chosen.check
    commit, lines = record.verify(folder)["commit"], list(record.compare(params, folder))
    print(f"{folder}: made at commit {commit}; all files match their digests")
    print("\n".join(lines) if lines else "the present parameters and code agree with it")
    again = record.in_clone(folder) if chosen.clone else []
    if chosen.clone:
        left = [name for name in record.FROZEN if name not in record.locked_stages(folder)]
        told = f"would run again: {', '.join(again)}" if again else "has nothing to run again"
        print(f"a fresh clone {told}" + (f"; not in the record's lock: {', '.join(left)}" if left else ""))
    return 1 if lines or again else 0


if __name__ == "__main__":
    sys.exit(main())
