"""`python -m megan STAGE [NAME]`: one sub-command a stage, thin.

Every stage reads `params.yaml` first and refuses what cannot run; heavy modules are
imported by the stage that needs them.
"""

import argparse
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from megan import params as parameters
from megan.errors import MeganError


def _download(params: parameters.Params, name: str) -> None:
    from megan.data import download

    download.run(params.study, params.current.data, params.current.gan.dataset)


def _prepare(params: parameters.Params, name: str) -> None:
    from megan.data import prepare

    prepare.run(params.study, params.current.data, params.current.tasks)


def _gan(params: parameters.Params, name: str) -> None:
    from megan.gan import stage

    stage.run(params)


def _encoder(params: parameters.Params, name: str) -> None:
    from megan import pretrain

    pretrain.run(params, "encoder")


def _judge(params: parameters.Params, name: str) -> None:
    from megan import pretrain

    pretrain.run(params, "judge")


def _train(params: parameters.Params, name: str) -> None:
    from megan import train

    train.run(params, name)


def _test(params: parameters.Params, name: str) -> None:
    from megan import test

    test.run(params, name)


def _samples(params: parameters.Params, name: str) -> None:
    from megan import samples

    samples.run(params)


def _summary(params: parameters.Params, name: str) -> None:
    from megan.report import summary

    summary.run(params)


def _claims(params: parameters.Params, name: str) -> None:
    from megan.report.claims import stage

    stage.run(params)


def _figure(params: parameters.Params, name: str) -> None:
    from megan.report import figures

    figures.run(name, params)


def _report(params: parameters.Params, name: str) -> None:
    from megan.report import page

    page.run(params)


STAGES: dict[str, tuple[Callable[[parameters.Params, str], None], str | None, str]] = {
    "download": (_download, None, "fetch the study's data set, checked"),
    "prepare": (_prepare, None, "pack the images of each split"),
    "gan": (_gan, None, "train the plain GAN on few images"),
    "encoder": (_encoder, None, "pre-train the ResNet-18 prototype encoder"),
    "judge": (_judge, None, "pre-train the encoder that samples are judged by"),
    "train": (_train, "variant", "meta-train a variant"),
    "test": (_test, "variant", "meta-test a variant"),
    "samples": (_samples, None, "measure the fakes' realism and diversity"),
    "summary": (_summary, None, "gather metrics and tidy tables"),
    "claims": (_claims, None, "decide each claim of the paper"),
    "figure": (_figure, "figure", "draw a figure"),
    "report": (_report, None, "put figures and verdicts on one page"),
}


def _add_records(commands: Any) -> None:
    """`record` and `import`, as `argparse` wants them. What they import must be no part of a stage."""
    recording = commands.add_parser("record", help="copy a finished study to results/record, for git")
    recording.add_argument("variants", nargs="*", metavar="VARIANT", help="of these alone, training and test; otherwise the whole study")
    recording.add_argument("--weights", type=float, default=0, metavar="MIB", help="with the best maml and n_plus_1, if they take no more than that")
    bringing = commands.add_parser("import", help="take in results that workflow/away.py made elsewhere")
    bringing.add_argument("archives", nargs="+", type=Path, metavar="ARCHIVE", help="archives, or folders of them")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m megan", description="One stage of the reproduction; `dvc repro` runs them all.")
    stages = parser.add_subparsers(dest="stage", required=True)
    for stage, (_, argument, help_text) in STAGES.items():
        command = stages.add_parser(stage, help=help_text)
        if argument:
            command.add_argument("name", metavar=argument.upper())
    _add_records(stages)
    chosen = parser.parse_args(arguments)
    name = getattr(chosen, "name", "")
    try:
        from megan.data import catalogue

        params = parameters.load()
        catalogue.check(params.study, params.current, params.variants)
        if chosen.stage not in STAGES:
            from megan.records import record

            record.run(params, chosen)
            return 0
        run, argument, _ = STAGES[chosen.stage]
        if argument == "variant":
            params.variant(name)
        if chosen.stage in ("summary", "claims", "figure", "report"):
            from megan.report import fits

            fits.check(params, chosen.stage, name)
        run(params, name)
    except MeganError as error:
        print(f"megan {chosen.stage}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"megan {chosen.stage}: interrupted; the same command begins where it can", file=sys.stderr)
        return 128 + signal.SIGINT
    return 0


if __name__ == "__main__":
    sys.exit(main())
