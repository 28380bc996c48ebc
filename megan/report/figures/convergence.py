"""Accuracy against meta-steps: how fast, and how high, each variant trains."""

from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from megan.params import Style
from megan.report import captions, layout, style
from megan.report.inputs import read_table

NAME = "convergence"


def draw(tables: Path, out: Path, variants: dict[str, Style]) -> None:
    style.save(build(tables, variants), out, NAME)


def build(tables: Path, variants: dict[str, Style]) -> Figure:
    """Validation as thick lines with a band, training as thin ones; a cross where a seed diverged."""
    curves = read_table(tables / "curves.csv", ["variant", "seed", "meta_step", "split", "accuracy"])
    facts = captions.read(tables, variants)
    with style.theme():
        figure, panels = layout.panels(variants, facts)
        chosen = style.markers(variants) if len(panels) == 1 else {}
        for panel in panels:
            if panel.reference:
                rows = _finished(curves, facts, panel.reference, "validation")
                layout.mean_line(panel.axes, rows, "meta_step", f"reference/{panel.reference}", style.MUTED, band=False, linewidth=1.2)
            for name in panel.variants:
                colour = variants[name].colour
                training = _finished(curves, facts, name, "train")
                layout.mean_line(panel.axes, training, "meta_step", f"train/{name}", colour, band=False, linewidth=0.7, alpha=0.5)
                validation = _finished(curves, facts, name, "validation")
                layout.mean_line(
                    panel.axes, validation, "meta_step", f"validation/{name}", colour, linewidth=2,
                    marker=chosen.get(name) or None, markersize=4, markeredgewidth=0,
                )
                for broken in facts.diverged[facts.diverged["variant"] == name].itertuples():
                    own = curves[(curves["variant"] == name) & (curves["seed"] == broken.seed)]
                    _diverged(panel.axes, own, broken.meta_step, colour, f"diverged/{name}/{broken.seed}")
            # A panel ends with its own variant: beside a longer reference a short run would vanish.
            panel.axes.set_xlim(0, max(facts.table.loc[panel.variants, "meta_steps"]) * 1.02)
        extra = [
            Line2D([], [], color="#444444", linewidth=2, label="validation"),
            Line2D([], [], color="#444444", linewidth=0.7, alpha=0.7, label="training"),
        ]
        if len(facts.diverged):
            extra.append(Line2D([], [], color="#444444", linestyle=":", linewidth=1, marker="X", markeredgewidth=0, label="a seed diverges"))
        layout.finish(panels, variants, facts, extra, "Meta-steps")
        style.headings(figure, captions.title(facts, "Accuracy during meta-training"), _caption(facts, len(panels) > 1) + layout.behind(panels, variants))
    return figure


def _finished(curves: pd.DataFrame, facts: captions.Facts, name: str, split: str) -> pd.DataFrame:
    lost = facts.diverged.loc[facts.diverged["variant"] == name, "seed"]
    return curves[(curves["variant"] == name) & (curves["split"] == split) & ~curves["seed"].isin(lost)]


def _diverged(axes: Axes, own: pd.DataFrame, meta_step: int, colour: str, gid: str) -> None:
    """The seed's own curve, dotted, with a cross at the meta-step that broke it, at its last known height."""
    known = own[own["accuracy"].notna() & (own["meta_step"] <= meta_step)]
    if (known["split"] == "validation").any():
        known = known[known["split"] == "validation"]
    known = known.sort_values("meta_step")
    height = known["accuracy"].iloc[-1] if len(known) else 0.0
    steps, heights = [*known["meta_step"], meta_step], [*known["accuracy"], height]
    axes.plot(
        steps, heights, color=colour, linestyle=":", linewidth=1, marker="X", markevery=[-1],
        markersize=7, markeredgecolor="white", markeredgewidth=0.6, zorder=5, gid=gid, clip_on=False,
    )


def _caption(facts: captions.Facts, several: bool) -> str:
    text = "Lines: mean over seeds, diverged seeds left out. Thin, training: query accuracy averaged since the point before."
    text += " Thick, validation: mean over tasks of held-out meta-training classes."
    if len(facts.diverged):
        text += " Dotted, with a cross: a seed that diverges there."
    if (facts.table["seeds"] > 1).any():
        text += " Band: lowest to highest seed on validation."
    if facts.single:
        text += " A variant with one finished seed has no band."
    if several and facts.table["meta_steps"].nunique() > 1:
        text += " Panels differ in their number of meta-steps."
    return text + " The accuracy axis need not start at 0."
