"""Accuracy against meta-steps: speed and final accuracy of each variant's training."""

from pathlib import Path

from matplotlib.lines import Line2D

from megan.config.params import Style
from megan.report import captions, layout, picture, style
from megan.report import curves as lines
from megan.report.inputs import read_table
from megan.report.picture import Picture

GREY = "#444444"


def build(tables: Path, styles: dict[str, Style]) -> Picture:
    """Thick validation lines with a band, thin training lines, a cross where a seed diverged."""
    curves = read_table(tables / "curves.csv", lines.COLUMNS)
    facts = captions.read(tables, styles)
    with style.theme():
        figure, panels = layout.panels(styles, facts)
        chosen = style.markers(styles) if len(panels) == 1 else {}
        for panel in panels:
            if panel.reference:
                layout.reference_line(panel, lines.finished(curves, facts, panel.reference, "validation"), "meta_step")
            for name in panel.variants:
                colour, training = styles[name].colour, lines.finished(curves, facts, name, "train")
                layout.mean_line(
                    panel.axes, training, "meta_step", f"train/{name}", colour, band=False, linewidth=0.7, alpha=0.5
                )
                lines.validation(panel.axes, curves, facts, name, colour, chosen.get(name, ""))
            # A panel ends with its own variant. On the axis of a longer reference a short run would be invisible.
            panel.axes.set_xlim(0, max(facts.table.loc[panel.variants, "meta_steps"]) * 1.02)
        extra = [
            Line2D([], [], color=GREY, linewidth=2, label="validation"),
            Line2D([], [], color=GREY, linewidth=0.7, alpha=0.7, label="training"),
        ]
        if len(facts.diverged):
            extra.append(lines.diverged_key())
        layout.finish(panels, styles, facts, extra, ("Meta-steps", "Accuracy"))
        return picture.titled(
            figure,
            captions.title(facts, "Accuracy during meta-training"),
            _caption(facts, len(panels) > 1) + layout.behind(panels, styles) + facts.short,
            f"Line charts of validation and training accuracy against meta-steps for {captions.listed(styles)}.",
        )


def _caption(facts: captions.Facts, several: bool) -> str:
    text = (
        "Thick lines show the validation accuracy on tasks of held-out meta-training classes. Thin lines show the"
        " training accuracy on query images, averaged since the previous point. Both are means over the seeds that"
        " did not diverge."
    )
    if (facts.table["seeds"] > 1).any():
        text += f" {captions.BAND}"
    if facts.single:
        text += f" {captions.NO_BAND}"
    if len(facts.diverged):
        text += f" {captions.CROSS}"
    if several and facts.table["meta_steps"].nunique() > 1:
        text += " Panels differ in their number of meta-steps."
    return f"{text} {captions.AXIS}"
