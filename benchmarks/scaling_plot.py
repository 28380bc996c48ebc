"""Time of a meta-iteration along each axis, compared with proportional growth from the first point."""

from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt


def draw(points: list[Any], path: Path) -> None:
    """`points` of `scaling.Point`."""
    axes = list(dict.fromkeys(point.axis for point in points))
    columns = min(3, len(axes))
    rows = -(-len(axes) // columns)
    figure, panels = plt.subplots(rows, columns, figsize=(3.6 * columns, 3 * rows), squeeze=False, layout="constrained")
    for panel in panels.flat[len(axes) :]:
        panel.set_visible(False)
    for panel, axis in zip(panels.flat, axes, strict=False):
        own = [point for point in points if point.axis == axis]
        values, times = [point.value for point in own], [point.milliseconds for point in own]
        panel.plot(values, times, "o-", color="#d62728", label="measured")
        if values[0]:
            panel.plot(
                values, [times[0] * value / values[0] for value in values], ":", color="#7f7f7f", label="in proportion"
            )
            panel.legend(fontsize=8, frameon=False)
        if values[-1] >= 16:
            panel.set_xscale("log", base=2)
            panel.set_yscale("log", base=2)
            panel.yaxis.set_major_formatter("{x:g}")
            panel.xaxis.set_major_formatter("{x:g}")
        else:
            panel.set_ylim(bottom=0)
        panel.set_xlabel(f"{axis.replace('_', ' ')} ({own[0].approach.replace('_', ' ')})")
        panel.set_ylabel("ms a meta-iteration")
        panel.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=120)
    plt.close(figure)
