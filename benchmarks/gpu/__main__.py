"""All that is to be known about the engine on a GPU, in ten minutes.

    python -m benchmarks.gpu                        # everything, in the order of its worth
    python -m benchmarks.gpu --parts correctness speed
    python -m benchmarks.gpu --dry                  # write nothing

A part begins only while there is time left, so a slow machine loses the last ones. The run ends at
once if the first part finds a wrong number. Each part's table is printed when it is done, and kept
in `benchmarks/results/cuda/gpu.md`.
"""

import argparse
import sys
import time
from collections.abc import Callable

import torch

from benchmarks import machine, tables
from benchmarks.gpu import correctness, layers, speed
from benchmarks.gpu.setting import FULL, Size
from benchmarks.measure import Measurement, entries
from benchmarks.peers import shown
from benchmarks.problems import KINDS
from benchmarks.profile_iteration import measure
from benchmarks.scaling import Point, random_split
from benchmarks.tables import Row
from benchmarks.team import Mode
from megan.config import machine as settings

MINUTES = 10.0


def profile(device: str, size: Size) -> list[Row]:
    """Where the time of a meta-iteration goes, by label."""
    split, found = random_split(device), []
    for approach in ("maml", "n_plus_1"):
        rows, _ = measure(Point("meta_batch", size.tasks, approach, max(size.queries)), split, device)
        found += [{"approach": approach} | row for row in rows]
    return found


def peers(device: str, size: Size) -> list[Row]:
    """The meta-gradient of each library that is installed, checked first."""
    kinds = [kind for kind in KINDS.values() if kind.queries in size.queries]
    found = entries(list(size.contenders), kinds, [Mode(1, 1)])
    with Measurement(found, size.tasks, device, lambda message: None) as measurement:
        measurement.check()
        measurement.speed(size.rounds)
    return [
        {"problem": kind.name} | row
        for kind in kinds
        for row in shown([entry for entry in found if entry.kind == kind])
    ]


PARTS: dict[str, Callable[[str, Size], list[Row]]] = {
    "correctness": correctness.rows,
    "speed": speed.iterations,
    "profile": profile,
    "formulations": layers.rows,
    "evaluation": speed.evaluation,
    "peers": peers,
}


def run(device: str, size: Size, names: list[str], minutes: float = MINUTES) -> tuple[str, bool]:
    """The report as Markdown, and whether every number that was checked is right."""
    report, started = [], time.monotonic()
    for name in names:
        spent = time.monotonic() - started
        if spent > 60 * minutes:
            print(f"{name}: left out, {spent:.0f} s have passed", flush=True)
            continue
        try:
            rows = PARTS[name](device, size)
        except correctness.WrongError as error:
            print(f"{name}: wrong numbers, so nothing else is measured: {error}", flush=True)
            return "\n".join([*report, f"**{name}**: wrong: {error}\n"]), False
        except RuntimeError as error:  # one part's failure, such as too little memory, is no reason to lose the others
            print(f"{name}: failed: {(str(error).splitlines() or [''])[0]}", flush=True)
            continue
        print(f"\n{name} ({time.monotonic() - started - spent:.0f} s)\n\n{tables.text(rows)}", flush=True)
        report.append(f"**{name}**\n\n{tables.markdown(rows)}")
    return "\n".join(report), True


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--minutes", type=float, default=MINUTES)
    parser.add_argument("--dry", action="store_true", help="write nothing")
    options = parser.parse_args()
    if not torch.cuda.is_available():
        print("benchmarks.gpu needs a CUDA device, and torch finds none here", file=sys.stderr)
        return 1
    device = settings.device()
    if device == "cpu":
        print("benchmarks.gpu needs a CUDA device, and MEGAN_DEVICE is cpu", file=sys.stderr)
        return 1
    about = machine.describe(device, 1)
    report, right = run(device, FULL, options.parts, options.minutes)
    if not options.dry:
        path = machine.folder(device) / "gpu.md"
        path.write_text(f"{report}\n{tables.caption(about)}", encoding="utf-8")
        print(f"written: {path}")
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(main())
