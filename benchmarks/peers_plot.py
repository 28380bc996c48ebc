"""The comparison as bars: a panel for each problem, a bar for each contender and mode."""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from benchmarks.contenders import CONTENDERS
from benchmarks.measure import Entry

OURS, PEER = "#d62728", "#7f7f7f"


def draw(found: list[Entry], path: Path) -> None:
    kinds = list(dict.fromkeys(entry.kind for entry in found))
    figure, panels = plt.subplots(1, len(kinds), figsize=(4.2 * len(kinds), 4.2), squeeze=False, layout="constrained")
    for panel, kind in zip(panels[0], kinds, strict=True):
        entries = [entry for entry in found if entry.kind == kind]
        names = list(dict.fromkeys(entry.name for entry in entries))
        modes = list(dict.fromkeys(entry.mode for entry in entries))
        height = 0.8 / len(modes)
        for entry in entries:
            place, shade = names.index(entry.name), modes.index(entry.mode)
            y = place + (shade - (len(modes) - 1) / 2) * height
            if not entry.rates:
                panel.text(0, y, f" {entry.problem.partition(':')[0]}", va="center", fontsize=7)
                continue
            panel.barh(
                y, entry.rate, 0.92 * height, color=OURS if entry.ours else PEER, alpha=1 if shade == 0 else 0.55
            )
            panel.plot([min(entry.rates), max(entry.rates)], [y, y], color="black", linewidth=0.8)
            panel.text(max(entry.rates), y, f" {entry.rate:.0f}", va="center", fontsize=8)
        panel.set_yticks(range(len(names)), [CONTENDERS[name].label for name in names], fontsize=8)
        panel.invert_yaxis()
        panel.margins(x=0.15)
        panel.set_title(kind.title, fontsize=9)
        panel.set_xlabel("tasks/s")
        panel.spines[["top", "right"]].set_visible(False)
    shades = ", ".join(
        f"{'dark' if index == 0 else 'light'}: {mode} (processes x threads)" for index, mode in enumerate(modes)
    )
    figure.supxlabel(shades, fontsize=8)
    figure.savefig(path, dpi=120)
    plt.close(figure)
