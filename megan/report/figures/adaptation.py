"""Meta-test accuracy after each inner step of the longest runs: the gain from adaptation."""

from pathlib import Path

from megan.config.params import Style
from megan.report import captions, layout, picture, style
from megan.report.inputs import read_table
from megan.report.picture import Picture


def build(tables: Path, styles: dict[str, Style]) -> Picture:
    """One line for each variant, from step 0 (before adaptation) to the last step; a band over seeds."""
    steps = read_table(tables / "steps.csv", ["variant", "seed", "inner_step", "accuracy"])
    choice = layout.chosen(styles, captions.read(tables, styles))
    facts = captions.read(tables, choice.first)
    with style.theme():
        figure, axes = layout.single()
        looks = style.looks(choice.first)
        for name, own in choice.first.items():
            rows = steps[steps["variant"] == name]
            layout.mean_line(axes, rows, "inner_step", f"steps/{name}", own.colour, linewidth=1.5, **looks[name])
        layout.finish(figure, [axes], ("Inner steps", "Meta-test accuracy"))
        layout.legend(figure, choice.first, facts, [])
        others = f" The page's chart shows the other {len(choice.others)} variants." if choice.others else ""
        return picture.described(
            figure,
            captions.title(facts, "Meta-test accuracy during adaptation"),
            f"{_caption(facts)}{others}{choice.sentence}{facts.short}",
            f"Line chart of meta-test accuracy after each inner step for {captions.listed(choice.first)}.",
        )


def _caption(facts: captions.Facts) -> str:
    text = (
        f"A line shows the mean over {facts.tasks_a_seed} meta-test tasks per seed, and over the seeds that did not"
        " diverge. Step 0 is before adaptation."
    )
    if (facts.table["seeds"] > 1).any():
        text += f" {captions.BAND}"
    if facts.single:
        text += f" {captions.NO_BAND}"
    return f"{text} {captions.AXIS}"
