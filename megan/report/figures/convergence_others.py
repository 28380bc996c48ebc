"""Validation and training accuracy against meta-steps of all variants that `convergence` does not show."""

from pathlib import Path

from matplotlib.lines import Line2D

from megan.config.params import Style
from megan.report import captions, curves, layout, picture, style
from megan.report.inputs import read_table
from megan.report.picture import Picture

SUBJECT = "Accuracy during meta-training, other variants"


def build(tables: Path, styles: dict[str, Style]) -> Picture:
    """One panel for each variant, with MAML in grey. Thick validation lines with a band, thin training lines."""
    rows, everything = read_table(tables / "curves.csv", curves.COLUMNS), captions.read(tables, styles)
    choice = layout.chosen(styles, everything)
    if not choice.others:
        return curves.nothing(f"{SUBJECT}, {everything.where}", f"There is none.{choice.sentence}")
    facts = captions.read(tables, choice.others)
    with style.theme():
        figure, panels = layout.multiples(choice.others, styles, everything)
        for panel in panels:
            if panel.reference:
                own = curves.finished(rows, everything, panel.reference, "validation")
                layout.reference_line(panel, own, "meta_step")
            for name in panel.variants:
                colour, training = styles[name].colour, curves.finished(rows, everything, name, "train")
                thin: style.Look = {"linewidth": 0.6, "alpha": 0.6}
                layout.mean_line(panel.axes, training, "meta_step", f"train/{name}", colour, band=False, **thin)
                curves.validation(panel.axes, rows, everything, name, colour)
        panels[0].axes.set_xlim(0, facts.table["meta_steps"].max() * 1.02)
        layout.finish(figure, [panel.axes for panel in panels], ("Meta-steps", "Accuracy"), curves.START)
        _legend(panels, figure)
        return picture.described(
            figure,
            captions.title(facts, SUBJECT),
            f"{curves.WHAT} Thin lines show the training accuracy on query images. {curves.reading(facts)}"
            f"{layout.behind(panels, styles)}{choice.sentence}{facts.short}",
            f"Small line charts of validation and training accuracy for {captions.listed(choice.others)}.",
        )


def _legend(panels: list[layout.Panel], figure: layout.Figure) -> None:
    grey: style.Look = {"color": "#444444"}
    handles = [
        Line2D([], [], linewidth=1.5, label="validation", **grey),
        Line2D([], [], linewidth=0.6, alpha=0.8, label="training", **grey),
    ]
    if any(panel.reference for panel in panels):
        handles.append(Line2D([], [], linewidth=1, linestyle="--", color=style.MUTED, label="MAML, validation"))
    figure.legend(handles=handles, loc="outside upper right", ncols=len(handles), frameon=False)
