"""`python -m megan STAGE [NAME]`: one sub-command a stage, thin.

Every stage reads `params.yaml` first and refuses what cannot run; heavy modules are
imported by the stage that needs them.
"""

import argparse
import sys
from collections.abc import Callable

from megan import params as parameters
from megan.errors import MeganError


def _download(params: parameters.Params, name: str) -> None:
    from megan.data import download

    download.run(params.study, params.current.data)


def _prepare(params: parameters.Params, name: str) -> None:
    from megan.data import prepare

    prepare.run(params.study, params.current.data, params.current.tasks)


def _encoder(params: parameters.Params, name: str) -> None:
    from megan import pretrain

    pretrain.run(params)


def _train(params: parameters.Params, name: str) -> None:
    from megan.meta import train

    train.run(params, name)


def _test(params: parameters.Params, name: str) -> None:
    from megan.meta import test

    test.run(params, name)


def _summary(params: parameters.Params, name: str) -> None:
    from megan.report import summary

    summary.run(params)


def _figure(params: parameters.Params, name: str) -> None:
    from megan.report import figures

    figures.run(name, params)


STAGES: dict[str, tuple[Callable[[parameters.Params, str], None], str | None, str]] = {
    "download": (_download, None, "fetch the study's data set, checked"),
    "prepare": (_prepare, None, "pack the images of each split"),
    "encoder": (_encoder, None, "pre-train the ResNet-18 prototype encoder"),
    "train": (_train, "variant", "meta-train a variant"),
    "test": (_test, "variant", "meta-test a variant"),
    "summary": (_summary, None, "gather metrics and tidy tables"),
    "figure": (_figure, "figure", "draw a figure"),
}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m megan", description="One stage of the reproduction; `dvc repro` runs them all.")
    stages = parser.add_subparsers(dest="stage", required=True)
    for stage, (_, argument, help_text) in STAGES.items():
        command = stages.add_parser(stage, help=help_text)
        if argument:
            command.add_argument("name", metavar=argument.upper())
    chosen = parser.parse_args(arguments)
    run, argument, _ = STAGES[chosen.stage]
    name = getattr(chosen, "name", "")
    try:
        from megan.data import catalogue

        params = parameters.load()
        catalogue.check(params.study, params.current)
        if argument == "variant":
            params.variant(name)
        run(params, name)
    except MeganError as error:
        print(f"megan {chosen.stage}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
