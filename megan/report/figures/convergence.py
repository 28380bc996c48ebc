"""Validation accuracy against meta-steps of the longest runs: speed and final accuracy of training."""

from pathlib import Path

from megan.config.params import Style
from megan.report import captions, curves, layout, picture, style
from megan.report.inputs import read_table
from megan.report.picture import Picture

SUBJECT = "Validation accuracy during meta-training"


def build(tables: Path, styles: dict[str, Style]) -> Picture:
    """Lines with a band over seeds, and a cross where a seed diverged. `convergence_others` has the other variants."""
    rows = read_table(tables / "curves.csv", curves.COLUMNS)
    choice = layout.chosen(styles, captions.read(tables, styles))
    facts = captions.read(tables, choice.first)
    with style.theme():
        figure, axes = layout.single()
        looks = style.looks(choice.first)
        for name, own in choice.first.items():
            curves.validation(axes, rows, facts, name, own.colour, **looks[name])
        axes.set_xlim(0, facts.table["meta_steps"].max() * 1.02)
        layout.finish(figure, [axes], ("Meta-steps", "Validation accuracy"), curves.START)
        layout.legend(figure, choice.first, facts, [curves.diverged_key()] if len(facts.diverged) else [])
        others = " Figure convergence_others shows the other variants." if choice.others else ""
        return picture.described(
            figure,
            captions.title(facts, SUBJECT),
            f"{curves.WHAT} {curves.reading(facts)}{others}{choice.sentence}{facts.short}",
            f"Line chart of validation accuracy against meta-steps for {captions.listed(choice.first)}.",
        )
