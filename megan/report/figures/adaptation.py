"""Meta-test accuracy after each inner step: what the adaptation itself gains."""

from pathlib import Path

from matplotlib.figure import Figure

from megan.config.params import Style
from megan.report import captions, layout, style
from megan.report.inputs import read_table

NAME = "adaptation"


def draw(tables: Path, out: Path, variants: dict[str, Style]) -> None:
    style.save(build(tables, variants), out, NAME)


def build(tables: Path, variants: dict[str, Style]) -> Figure:
    """One line a variant from step 0, before adaptation, to the last; a band over seeds."""
    steps = read_table(tables / "steps.csv", ["variant", "seed", "inner_step", "accuracy"])
    facts = captions.read(tables, variants)
    with style.theme():
        figure, panels = layout.panels(variants, facts)
        chosen = style.markers(variants) if len(panels) == 1 else {}
        for panel in panels:
            if panel.reference:
                rows = steps[steps["variant"] == panel.reference]
                layout.mean_line(
                    panel.axes,
                    rows,
                    "inner_step",
                    f"reference/{panel.reference}",
                    style.MUTED,
                    band=False,
                    linewidth=1.2,
                    linestyle="--",
                )
            for name in panel.variants:
                layout.mean_line(
                    panel.axes,
                    steps[steps["variant"] == name],
                    "inner_step",
                    f"steps/{name}",
                    variants[name].colour,
                    linewidth=2,
                    marker=chosen.get(name) or "o",
                    markersize=4,
                    markeredgewidth=0,
                )
        layout.finish(panels, variants, facts, [], "Inner steps")
        style.headings(
            figure,
            captions.title(facts, "Meta-test accuracy during adaptation"),
            _caption(facts) + layout.behind(panels, variants) + facts.short,
        )
    return figure


def _caption(facts: captions.Facts) -> str:
    text = f"Mean over {facts.tasks_a_seed} meta-test tasks a seed, then over seeds, diverged seeds left out. Step 0: before adaptation."
    if (facts.table["seeds"] > 1).any():
        text += " Band: lowest to highest seed."
    if facts.single:
        text += " A variant with one finished seed has no band."
    return text + " The accuracy axis need not start at 0."
