"""Meta-test accuracy after each inner step: the gain from adaptation."""

from pathlib import Path

from megan.config.params import Style
from megan.report import captions, layout, picture, style
from megan.report.inputs import read_table
from megan.report.picture import Picture


def build(tables: Path, styles: dict[str, Style]) -> Picture:
    """One line for each variant, from step 0 (before adaptation) to the last step; a band over seeds."""
    steps = read_table(tables / "steps.csv", ["variant", "seed", "inner_step", "accuracy"])
    facts = captions.read(tables, styles)
    with style.theme():
        figure, panels = layout.panels(styles, facts)
        chosen = style.markers(styles) if len(panels) == 1 else {}
        for panel in panels:
            if panel.reference:
                layout.reference_line(panel, steps[steps["variant"] == panel.reference], "inner_step")
            for name in panel.variants:
                own, marker = steps[steps["variant"] == name], chosen.get(name) or "o"
                look: style.Look = {"linewidth": 2, "marker": marker, "markersize": 4, "markeredgewidth": 0}
                layout.mean_line(panel.axes, own, "inner_step", f"steps/{name}", styles[name].colour, **look)
        layout.finish(panels, styles, facts, [], ("Inner steps", "Meta-test accuracy"))
        return picture.titled(
            figure,
            captions.title(facts, "Meta-test accuracy during adaptation"),
            _caption(facts) + layout.behind(panels, styles) + facts.short,
            f"Line charts of meta-test accuracy after each inner step for {captions.listed(styles)}.",
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
