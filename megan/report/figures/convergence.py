"""Accuracy against meta-steps: how fast, and how high, each variant trains."""

from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from megan.config.params import Style
from megan.report import captions, layout, style
from megan.report import curves as lines
from megan.report.inputs import read_table

NAME = "convergence"


def draw(tables: Path, out: Path, variants: dict[str, Style]) -> None:
    style.save(build(tables, variants), out, NAME)


def build(tables: Path, variants: dict[str, Style]) -> Figure:
    """Validation as thick lines with a band, training as thin ones; a cross where a seed diverged."""
    curves = read_table(tables / "curves.csv", lines.COLUMNS)
    facts = captions.read(tables, variants)
    with style.theme():
        figure, panels = layout.panels(variants, facts)
        chosen = style.markers(variants) if len(panels) == 1 else {}
        for panel in panels:
            if panel.reference:
                rows = lines.finished(curves, facts, panel.reference, "validation")
                layout.mean_line(
                    panel.axes,
                    rows,
                    "meta_step",
                    f"reference/{panel.reference}",
                    style.MUTED,
                    band=False,
                    linewidth=1.2,
                    linestyle="--",
                )
            for name in panel.variants:
                colour = variants[name].colour
                training = lines.finished(curves, facts, name, "train")
                layout.mean_line(
                    panel.axes, training, "meta_step", f"train/{name}", colour, band=False, linewidth=0.7, alpha=0.5
                )
                lines.validation(panel.axes, curves, facts, name, colour, chosen.get(name, ""))
            # A panel ends with its own variant: beside a longer reference a short run would vanish.
            panel.axes.set_xlim(0, max(facts.table.loc[panel.variants, "meta_steps"]) * 1.02)
        extra = [
            Line2D([], [], color="#444444", linewidth=2, label="validation"),
            Line2D([], [], color="#444444", linewidth=0.7, alpha=0.7, label="training"),
        ]
        if len(facts.diverged):
            extra.append(lines.diverged_key())
        layout.finish(panels, variants, facts, extra, "Meta-steps")
        style.headings(
            figure,
            captions.title(facts, "Accuracy during meta-training"),
            _caption(facts, len(panels) > 1) + layout.behind(panels, variants) + facts.short,
        )
    return figure


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
