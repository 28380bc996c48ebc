"""Second-order meta-gradients: compares megan with other libraries on the same network, tasks and machine.

    python -m benchmarks.peers                      # everything, about ten minutes on two idle cores
    python -m benchmarks.peers --quick              # one round, no memory: does it work?
    python -m benchmarks.peers --only megan loop    # some contenders
    python -m benchmarks.peers --problems maml-q1   # some problems
    python -m benchmarks.peers --meta-batch 4 --problems maml-q15-mini_imagenet    # 84x84 pixels

Writes `peers.csv`, `peers.md` and `peers.png` under `benchmarks/results/<device>/`, and the
table into docs/benchmarks.md; of each problem with large images a table of its own, since they take minutes.
See there for what is measured, and how to install the peers.
"""

import argparse
import math
import os
import sys
import time
from pathlib import Path

from benchmarks import machine, peers_plot, tables
from benchmarks.contenders import CONTENDERS
from benchmarks.measure import Entry, Measurement, entries
from benchmarks.problems import KINDS, LARGE
from benchmarks.team import Mode
from megan.config import machine as settings

DOCUMENT = Path("docs/benchmarks.md")


def main() -> int:
    options = _options()
    device = settings.device()
    threads = min(
        options.threads, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    modes = [Mode(1, threads), Mode(threads, 1)] if device == "cpu" and threads > 1 else [Mode(1, threads)]
    about = machine.describe(device, threads)
    found = entries(options.only, [(KINDS | LARGE)[name] for name in options.problems], modes)
    started = time.monotonic()

    def say(message: str) -> None:
        print(f"[{time.monotonic() - started:5.0f} s] {message}", file=sys.stderr, flush=True)

    about["meta-batch"], about["rounds"] = str(options.meta_batch), str(1 if options.quick else options.rounds)
    with Measurement(found, options.meta_batch, device, say, options.verbose) as measurement:
        measurement.check()
        measurement.speed(1 if options.quick else options.rounds)
        if not options.quick:
            if not options.dry:
                write(found, about, device)  # a run that is stopped in its last part keeps its speeds
            measurement.memory()
    for kind in dict.fromkeys(entry.kind for entry in found):
        print(f"\n{kind.title}\n")
        print(tables.text(shown([entry for entry in found if entry.kind == kind])))
    print("\n" + "\n".join(verdicts(found)) + "\n\n" + tables.caption(about), end="")
    if options.quick or options.dry:
        return 0
    write(found, about, device)
    return 0


def write(found: list[Entry], about: dict[str, str], device: str) -> None:
    folder, on = machine.folder(device), device.partition(":")[0]
    for name, kind in LARGE.items():
        if own := [entry for entry in found if entry.kind == kind]:
            tables.write_csv(folder / f"peers-{name}.csv", [_row(entry) | about for entry in own])
            tables.insert(DOCUMENT, f"peers {name} {on}", _report(own, about))
            print(f"written: {folder}/peers-{name}.csv", flush=True)
    small = [entry for entry in found if entry.kind.name in KINDS]
    if not small:
        return
    report = _report(small, about)
    tables.write_csv(folder / "peers.csv", [_row(entry) | about for entry in small])
    (folder / "peers.md").write_text(report, encoding="utf-8")
    peers_plot.draw(small, folder / "peers.png")
    tables.insert(DOCUMENT, f"peers {on}", report)
    print(f"written: {folder}/peers.csv, peers.md, peers.png", flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--only",
        nargs="+",
        choices=list(CONTENDERS),
        default=list(CONTENDERS),
        metavar="NAME",
        help=", ".join(CONTENDERS),
    )
    parser.add_argument(
        "--problems",
        nargs="+",
        choices=[*KINDS, *LARGE],
        default=list(KINDS),
        metavar="NAME",
        help=", ".join([*KINDS, *LARGE]),
    )
    parser.add_argument("--rounds", type=int, default=3, help="turns of each contender (default 3)")
    parser.add_argument("--meta-batch", type=int, default=32)
    parser.add_argument(
        "--threads",
        type=int,
        default=2,
        help="cores to use: one process of so many threads, and so many processes of one",
    )
    parser.add_argument("--quick", action="store_true", help="one round, no memory, nothing written")
    parser.add_argument("--dry", action="store_true", help="write nothing")
    parser.add_argument("--verbose", action="store_true", help="show what the contenders print")
    return parser.parse_args()


def _row(entry: Entry) -> tables.Row:
    contender = CONTENDERS[entry.name]
    return {
        "problem": entry.kind.name,
        "contender": contender.label,
        "version": machine.version(contender.distribution),
        "processes": str(entry.mode.processes),
        "threads_each": str(entry.mode.threads),
        "tasks_per_second": _number(entry.rate),
        "lowest": _number(min(entry.rates, default=math.nan)),
        "highest": _number(max(entry.rates, default=math.nan)),
        "peak_mib": _number(entry.memory),
        "peak_processes": str(entry.processes or ""),
        "gradient_error": "" if math.isnan(entry.error) else f"{entry.error:.1e}",
        "status": entry.problem or "ok",
    }


def shown(found: list[Entry]) -> list[tables.Row]:
    """One problem for people to read: a line for each contender, its modes side by side."""
    rows = []
    for name in dict.fromkeys(entry.name for entry in found):
        own = [entry for entry in found if entry.name == name]
        label = f"{CONTENDERS[name].label} {machine.version(CONTENDERS[name].distribution)}".strip()
        row = {"contender": label}
        for entry in own:
            row[f"{entry.mode}: tasks/s"] = (
                f"{entry.rate:.1f} ({min(entry.rates):.1f}-{max(entry.rates):.1f})" if entry.rates else "-"
            )
            forks = f" in {entry.processes}" if entry.processes not in (0, entry.mode.processes) else ""
            row[f"{entry.mode}: MiB"] = "-" if math.isnan(entry.memory) else f"{entry.memory:.0f}{forks}"
        row["gradient off by"] = "-" if math.isnan(own[0].error) else f"{max(entry.error for entry in own):.0e}"
        row["remark"] = "; ".join(dict.fromkeys(entry.problem for entry in own if entry.problem)) or ""
        rows.append(row)
    return rows


def verdicts(found: list[Entry]) -> list[str]:
    """Ours over the best peer: each in its best mode; memory at the same number of processes, including forks."""
    lines = []
    for kind in dict.fromkeys(entry.kind for entry in found):
        measured = [entry for entry in found if entry.kind == kind and entry.rates and not entry.problem]
        peers = [entry for entry in measured if not entry.ours]
        for name in dict.fromkeys(entry.name for entry in measured if entry.ours):
            ours = [entry for entry in measured if entry.name == name]
            if not peers:
                continue
            mine, best = max(ours, key=lambda e: e.rate), max(peers, key=lambda e: e.rate)
            line = (
                f"{kind.title}: {CONTENDERS[name].label} {mine.rate / best.rate:.2f} times the best peer"
                f" ({CONTENDERS[best.name].label}, {best.mode})"
            )
            for mode in dict.fromkeys(entry.mode for entry in ours):
                own = next(entry for entry in ours if entry.mode == mode)
                leanest = min((entry.memory for entry in peers if entry.processes == own.processes), default=math.nan)
                if not math.isnan(own.memory / leanest if leanest else math.nan):
                    told = f"{own.memory / leanest:.2f} times" if own.memory > 0 else "less than"
                    line += f"; at {mode} memory {told} the leanest peer's with as many processes ({own.processes})"
            lines.append(line + ".")
    return lines


def _report(found: list[Entry], about: dict[str, str]) -> str:
    parts = [
        "`P x T`: P processes of T threads each. Median of the rounds, and their range;"
        " MiB above as many bare interpreters (`in N`: N processes, since forks count).\n"
    ]
    for kind in dict.fromkeys(entry.kind for entry in found):
        parts.append(f"**{kind.title}**\n\n" + tables.markdown(shown([entry for entry in found if entry.kind == kind])))
    parts.append("\n".join(f"- {line}" for line in verdicts(found)) + "\n")
    parts.append(tables.caption(about))
    return "\n".join(parts)


def _number(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.2f}"


if __name__ == "__main__":
    sys.exit(main())
