"""Each claim on made-up numbers whose verdict is known; gates, Holm's correction, and false verdicts by chance."""

import json
import math
from dataclasses import dataclass, field, replace
from pathlib import Path

import jobs
import numpy as np
import pandas as pd
import pytest

from megan.config import params as parameters
from megan.config import paths
from megan.report.claims import measures
from megan.report.claims.decide import NOT_SUPPORTED, SUPPORTED, UNDECIDED, decide
from megan.report.claims.effects import AllOf, AnyOf, Part, holm
from megan.report.claims.evidence import Evidence
from megan.report.claims.rules import CLAIMS, GENERATORS, MATCHED, OTHER_LOSSES, SHARING, WASSERSTEIN
from megan.report.claims.table import COLUMNS
from megan.report.inputs import ReportError

ROOT = Path(__file__).parents[2]
PARAMS = parameters.load(ROOT / "params.yaml")
RULES = PARAMS.claims
NAMES = sorted({name for claim in CLAIMS for name in claim.variants})
MULTI, N1 = [f"multi_task_{what}" for what in ("0", *MATCHED)], [f"n_plus_1_{what}" for what in ("short", *MATCHED)]


@dataclass
class World:
    """What is true, from which `evidence` draws: levels by variant, and the noise of a run."""

    accuracy: dict[str, float] = field(default_factory=dict)
    kid: dict[str, float] = field(default_factory=dict)
    distance: dict[str, float] = field(default_factory=dict)
    pace: dict[str, float] = field(default_factory=dict)
    noise: dict[str, float] = field(default_factory=dict)
    accuracy_noise: float = 5e-4
    kid_noise: float = 2e-3
    follows: float = 0.0
    degrades: float = 0.0
    diverged: dict[str, tuple[int, ...]] = field(default_factory=dict)
    seeds: int = 12
    meta_steps: dict[str, int] = field(default_factory=dict)

    def evidence(self, random: int = 0) -> Evidence:
        rng, seeds = np.random.default_rng(random), list(range(self.seeds))

        def frame(levels, level, noise):
            shared = noise * rng.standard_normal((self.seeds, 1))  # what a seed's tasks do to all variants alike
            own = rng.standard_normal((self.seeds, len(NAMES))) * [self.noise.get(name, 1) * noise for name in NAMES]
            table = pd.DataFrame(shared + own, index=pd.Index(seeds, name="seed"), columns=NAMES)
            table += pd.Series({name: levels.get(name, level) for name in NAMES})
            for name, lost in self.diverged.items():
                table.loc[list(lost), name] = np.nan
            return table

        steps = np.arange(1, 11) * 200
        curves = {}
        for name in ("maml", "n_plus_1"):
            heights = 0.9 - 0.5 * np.exp(-steps / self.pace.get(name, 800))
            curve = heights[:, None] + self.accuracy_noise * rng.standard_normal((10, self.seeds))
            curves[name] = pd.DataFrame(curve, index=steps, columns=seeds).drop(
                columns=list(self.diverged.get(name, ()))
            )
        critic = pd.DataFrame(
            [(name, seed, task) for name in WASSERSTEIN for seed in seeds for task in range(16)],
            columns=["variant", "seed", "task"],
        )
        critic["kid"] = rng.standard_normal(len(critic))
        critic["wasserstein"] = self.follows * critic["kid"] + rng.standard_normal(len(critic))
        gan = pd.DataFrame(
            [(images, kind, seed, 500) for images in (100, 25, 10, 5, 1) for kind in range(3) for seed in seeds],
            columns=["images", "class", "seed", "updates"],
        )
        gan["kid"] = 0.2 + self.degrades * (gan["images"] < 25) + 5 * self.kid_noise * rng.standard_normal(len(gan))
        return Evidence(
            meta_steps={name: self.meta_steps.get(name, 2000) for name in NAMES},
            planned={name: tuple(seeds) for name in NAMES},
            diverged={name: self.diverged.get(name, ()) for name in NAMES},
            tasks=dict.fromkeys(NAMES, 100),
            accuracy=frame(self.accuracy, 0.9, self.accuracy_noise),
            kid=frame(self.kid, 0.2, self.kid_noise),
            distance=frame(self.distance, 1.0, 5 * self.kid_noise),
            curves=curves, critic=critic, gan=gan,
        )  # fmt: skip


def _levels(names, start, step):
    return {name: start + step * position for position, name in enumerate(names)}


VAGUE = {"accuracy_noise": 0.03, "kid_noise": 0.08}
WORLDS = {
    1: {
        SUPPORTED: [World({"n_plus_1": 0.91}), World({"n_plus_1": 0.95})],
        NOT_SUPPORTED: [World({"n_plus_1": 0.89}), World()],  # worse, and the same
        UNDECIDED: [World({"n_plus_1": 0.904}, **VAGUE)],
    },
    2: {
        SUPPORTED: [World(pace={"n_plus_1": 600})],
        NOT_SUPPORTED: [World(pace={"n_plus_1": 1000})],
        UNDECIDED: [World(pace={"n_plus_1": 780}, **VAGUE)],
    },
    3: {
        SUPPORTED: [World({"maml_short": 0.91})],
        NOT_SUPPORTED: [
            World({"maml_short": 0.91, "multi_task_2": 0.92}),
            World({"maml_short": 0.96}),
        ],  # above MAML; far below
        UNDECIDED: [World({"maml_short": 0.91}, **VAGUE)],
    },
    4: {
        SUPPORTED: [World({"multi_task_0": 0.89})],
        NOT_SUPPORTED: [World(), World({"multi_task_0": 0.92})],
        UNDECIDED: [World({"multi_task_0": 0.89}, **VAGUE)],
    },
    5: {
        SUPPORTED: [World({"n_plus_1_equal": 0.88, "n_plus_1_weighted": 0.89})],
        NOT_SUPPORTED: [
            World({"n_plus_1_equal": 0.88, "n_plus_1_weighted": 0.88}),
            World({"n_plus_1_equal": 0.92, "n_plus_1_weighted": 0.93}),
        ],
        UNDECIDED: [World({"n_plus_1_equal": 0.88, "n_plus_1_weighted": 0.89}, **VAGUE)],
    },
    6: {
        SUPPORTED: [World({"n_plus_1_weighted": 0.89})],
        NOT_SUPPORTED: [World({"n_plus_1_weighted": 0.91})],
        UNDECIDED: [World({"n_plus_1_weighted": 0.89}, **VAGUE)],
    },
    7: {
        SUPPORTED: [World({"n_plus_1_real_fake": 0.89, "n_plus_1_hybrid": 0.88})],
        NOT_SUPPORTED: [World({"n_plus_1_real_fake": 0.89, "n_plus_1_hybrid": 0.91})],
        UNDECIDED: [World({"n_plus_1_real_fake": 0.89, "n_plus_1_hybrid": 0.89}, **VAGUE)],
    },
    8: {
        SUPPORTED: [World(kid={"multi_task_label": 0.5}, noise={"multi_task_label": 40, "multi_task_0": 0.1})],
        NOT_SUPPORTED: [
            World(kid={"multi_task_label": 0.1}),
            World(kid={"multi_task_label": 0.5}, noise={"multi_task_0": 40, "multi_task_label": 0.1}),
        ],
        UNDECIDED: [World(kid={"multi_task_label": 0.5})],  # more realistic, no steadier
    },
    9: {
        SUPPORTED: [World(kid={"multi_task_slow": 0.3})],
        NOT_SUPPORTED: [World(), World(kid={"multi_task_slow": 0.15})],
        UNDECIDED: [World(kid={"multi_task_slow": 0.22}, **VAGUE)],
    },
    10: {
        SUPPORTED: [World(_levels(GENERATORS, 0.86, 0.005), _levels(GENERATORS, 0.4, -0.02))],
        NOT_SUPPORTED: [World(_levels(GENERATORS, 0.86, 0.005), _levels(GENERATORS, 0.2, 0.02))],
        UNDECIDED: [World(**VAGUE)],
    },
    11: {
        SUPPORTED: [
            World(
                {"multi_task_discrimination": 0.88, "n_plus_1_discrimination": 0.88},
                {"multi_task_discrimination": 0.15, "n_plus_1_discrimination": 0.15},
            )
        ],
        NOT_SUPPORTED: [
            World(
                {"multi_task_discrimination": 0.88, "n_plus_1_discrimination": 0.92},
                {"multi_task_discrimination": 0.15, "n_plus_1_discrimination": 0.15},
            )
        ],
        UNDECIDED: [World(**VAGUE)],
    },
    12: {
        SUPPORTED: [World(degrades=0.1)],
        NOT_SUPPORTED: [World(), World(degrades=-0.1)],
        UNDECIDED: [World(degrades=0.03, kid_noise=0.04)],
    },
    13: {
        SUPPORTED: [
            World(noise=dict.fromkeys(OTHER_LOSSES, 30)),
            World(diverged=dict.fromkeys(OTHER_LOSSES, tuple(range(11)))),
        ],
        NOT_SUPPORTED: [
            World(noise=dict.fromkeys(WASSERSTEIN, 30)),
            World(diverged=dict.fromkeys(WASSERSTEIN, tuple(range(9)))),
        ],
        UNDECIDED: [World(seeds=6)],
    },
    14: {
        SUPPORTED: [World(_levels(MULTI, 0.9, -0.01), {**_levels(MULTI, 0.2, 0.02), **_levels(N1, 0.2, 0.02)})],
        NOT_SUPPORTED: [World(_levels(N1, 0.9, -0.01), {**_levels(MULTI, 0.2, 0.02), **_levels(N1, 0.2, 0.02)})],
        UNDECIDED: [
            World(
                _levels(MULTI, 0.9, -0.003),
                {**_levels(MULTI, 0.2, 0.02), **_levels(N1, 0.2, 0.02)},
                accuracy_noise=0.03,
            )
        ],
    },
    15: {
        SUPPORTED: [World({"n_plus_1_short": 0.91})],
        NOT_SUPPORTED: [World({"n_plus_1_short": 0.91, "multi_task_4": 0.92})],
        UNDECIDED: [World({"n_plus_1_short": 0.91}, **VAGUE)],
    },
    16: {
        SUPPORTED: [World({"n_plus_1_short": 0.91}, distance={"n_plus_1_short": 1.3})],
        NOT_SUPPORTED: [
            World({"n_plus_1_short": 0.91}, distance={"n_plus_1_short": 0.8}),
            World({"n_plus_1_short": 0.89}, distance={"n_plus_1_short": 1.3}),
        ],
        UNDECIDED: [World({"n_plus_1_short": 0.91}, distance={"n_plus_1_short": 1.05}, **VAGUE)],
    },
    17: {
        SUPPORTED: [World(follows=2)],
        NOT_SUPPORTED: [World(follows=-2)],
        UNDECIDED: [World(follows=0.3, seeds=5)],
    },
}
CASES = [
    (number, verdict, world)
    for number, verdicts in WORLDS.items()
    for verdict, worlds in verdicts.items()
    for world in worlds
]


def _decide(evidence, number):
    return next(one for one in decide(CLAIMS, evidence, RULES) if one.claim.number == number)


@pytest.mark.parametrize(
    ("number", "verdict", "world"), CASES, ids=[f"{number}-{verdict}" for number, verdict, _ in CASES]
)
def test_known_verdicts(number, verdict, world):
    decision = _decide(world.evidence(), number)
    assert decision.verdict == verdict, decision.reason
    assert not math.isnan(decision.p) and not math.isnan(decision.p_against)


def test_every_claim_has_every_verdict():
    assert [claim.number for claim in CLAIMS] == list(range(1, 18)) == list(WORLDS)
    assert all(set(worlds) == {SUPPORTED, NOT_SUPPORTED, UNDECIDED} for worlds in WORLDS.values())


def test_by_chance_no_more_than_the_level():
    """Nothing is true of these worlds but noise, so that every "supported" is false.

    For 40 families at 5 %, six or more with one have a probability below 2 %.
    """
    wrong = sum(
        any(
            one.verdict == SUPPORTED
            for one in decide(CLAIMS, World(seeds=5, accuracy_noise=0.01, kid_noise=0.03).evidence(number), RULES)
        )
        for number in range(40)
    )
    assert wrong < 6


def test_one_part_errs_as_often_as_its_level():
    rng = np.random.default_rng(0)
    draws = [Part("", "", tuple(rng.standard_normal(5)), refuted=0.0) for _ in range(4000)]
    for level in (0.05, 0.01):
        share = 4 * math.sqrt(level / 4000)
        assert np.mean([part.p < level for part in draws]) == pytest.approx(level, abs=share)
        assert np.mean([part.p_against < level for part in draws]) == pytest.approx(level, abs=share)


def test_slightness_is_said():
    assert "; slight (" in _decide(World({"n_plus_1": 0.91}).evidence(), 1).reason
    assert "more than slight" in _decide(World({"n_plus_1": 0.95}).evidence(), 1).reason


@pytest.mark.parametrize(
    ("world", "number", "reason"),
    [
        (World(meta_steps=dict.fromkeys(NAMES, 20)), 4, "too short: 20 meta-steps, expected at least 1,000"),
        (World(meta_steps={"n_plus_1": 3000}), 1, "unequal length: maml 2,000, n_plus_1 3,000"),
        (World(seeds=3), 1, "too few seeds: 3, expected at least 5"),
        (
            World(seeds=6, diverged={"n_plus_1": (1, 4)}), 1,
            "2 of 6 seeds diverged: 4 left, expected at least 5; diverged seeds: n_plus_1 2",
        ),
        (World(diverged={"n_plus_1": tuple(range(12))}), 1, "12 of 12 seeds diverged: 0 left"),
        (World(seeds=4), 12, "too few seeds: 4"),
    ],
)  # fmt: skip
def test_not_tested(world, number, reason):
    decision = _decide(
        replace(world, accuracy={"n_plus_1": 0.99, "multi_task_0": 0.5}, degrades=0.3).evidence(), number
    )
    assert decision.verdict == UNDECIDED and reason in decision.reason
    assert math.isnan(decision.p) and math.isnan(decision.p_holm) and math.isnan(decision.p_against_holm)


def test_variants_of_unequal_length_show_no_effect():
    decision = _decide(World(accuracy={"n_plus_1": 0.99}, meta_steps={"n_plus_1": 3000}).evidence(), 1)
    assert decision.measured is None and decision.part is None and decision.verdict == UNDECIDED


@pytest.mark.parametrize("number", [3, 15])
def test_seeds_count_where_all_compared_variants_finished_them(number):
    """Six seeds, of which each multi-task variant loses another: every pair has five, all together one."""
    lost = {f"multi_task_{shared}": (shared,) for shared in range(5)}
    accuracy = {name: 0.7 for name in lost}
    decision = _decide(World(accuracy=accuracy, seeds=6, diverged=lost).evidence(), number)
    assert decision.verdict == UNDECIDED and "5 of 6 seeds diverged: 1 left, expected at least 5" in decision.reason
    assert _decide(World(accuracy=accuracy, seeds=6).evidence(), number).verdict != UNDECIDED


def test_absent_variant():
    evidence = World().evidence()
    without = replace(
        evidence, meta_steps={name: steps for name, steps in evidence.meta_steps.items() if name != "multi_task_3"}
    )
    decisions = {one.claim.number: one for one in decide(CLAIMS, without, RULES)}
    for number in (3, 15):
        assert (
            decisions[number].verdict == UNDECIDED and decisions[number].reason == "a variant is absent: multi_task_3"
        )
        assert decisions[number].part is None
    assert not math.isnan(decisions[1].p)


def test_other_tasks_or_seeds_are_no_match():
    evidence = World({"n_plus_1": 0.95}).evidence()
    assert (
        "different tasks: maml 100, n_plus_1 50 per seed"
        in _decide(replace(evidence, tasks={**evidence.tasks, "n_plus_1": 50}), 1).reason
    )
    other = replace(evidence, planned={**evidence.planned, "n_plus_1": tuple(range(11))})
    assert "different seeds" in _decide(other, 1).reason


def test_a_diverged_seed_is_in_no_mean_and_is_told():
    evidence = World({"n_plus_1": 0.91}, diverged={"n_plus_1": (3,)}).evidence()
    decision = _decide(evidence, 1)
    paired = (evidence.accuracy["n_plus_1"] - evidence.accuracy["maml"]).drop(index=3)
    assert decision.part.values == pytest.approx(tuple(paired)) and decision.part.seeds == 11
    assert decision.verdict == SUPPORTED and "diverged seeds: n_plus_1 1" in decision.reason


def test_a_diverged_run_is_the_least_stable():
    evidence = World(noise={"multi_task_label": 50}, diverged={"multi_task_0": (2,)}).evidence()
    ranks = measures.instability(evidence.kid, evidence, ["multi_task_label", "multi_task_0"])
    assert ranks.loc[2, "multi_task_0"] == ranks.max().max() == pytest.approx(23.5 / 24)
    assert ranks["multi_task_label"].mean() > ranks["multi_task_0"].mean()


def test_holm_by_hand():
    # Of four: 0.01 x 4, then 0.02 x 3, 0.03 x 2, 0.5 x 1; the third may not fall below the second.
    assert holm([0.03, 0.01, 0.5, 0.02]) == pytest.approx([0.06, 0.04, 0.5, 0.06])
    assert holm([0.01, math.nan]) == pytest.approx([0.02, 1.0])
    assert holm([]) == []


def test_paired_test_by_hand():
    # Differences 1, 2, 3: mean 2, standard deviation 1, t = 2 sqrt(3) = 3.4641 with 2 degrees of freedom.
    part = Part("", "", (1.0, 2.0, 3.0), refuted=5.0)
    t = 2 * math.sqrt(3)
    assert part.p == pytest.approx(0.5 * (1 - t / math.sqrt(2 + t * t)))  # closed form of t with 2 degrees
    assert part.p_against == pytest.approx(0.5 * (1 - (3 * math.sqrt(3)) / math.sqrt(2 + 27)))
    assert part.interval == pytest.approx((2 - 4.302653 / math.sqrt(3), 2 + 4.302653 / math.sqrt(3)))


def test_smallest_detectable_effect_has_its_power():
    rng = np.random.default_rng(0)
    values = rng.standard_normal(6)
    values = (values - values.mean()) / values.std(ddof=1)
    effect = Part("", "", tuple(values), refuted=0.0).detectable(0.05, 0.8)
    found = [Part("", "", tuple(effect + rng.standard_normal(6)), refuted=0.0).p < 0.05 for _ in range(4000)]
    assert np.mean(found) == pytest.approx(0.8, abs=0.03)


def test_parts_that_must_all_hold():
    strong, weak = Part("", "", (1.0, 1.1, 0.9, 1.05), 0.5), Part("", "", (0.1, -0.1, 0.2, -0.1), 0.5)
    both, either = AllOf((strong, weak)), AnyOf((strong, weak))
    assert both.p == weak.p and both.p_against == pytest.approx(min(1, 2 * weak.p_against))
    assert either.p == pytest.approx(2 * strong.p) and either.p_against == strong.p_against


def test_without_spread_only_the_signs_speak():
    assert Part("", "", (0.1,) * 5, refuted=0.05).p == 0.5**5
    assert Part("", "", (0.0,) * 5, refuted=0.05).p == 1


def test_time_to_reach_lies_between_validations():
    evidence = World().evidence()
    slow = pd.DataFrame({seed: [0.5, 0.7, 0.9] for seed in range(5)}, index=[100, 200, 300])
    fast = pd.DataFrame({seed: [0.8, 1.0, 0.9] for seed in range(5)}, index=[100, 200, 300])
    never = pd.DataFrame({seed: [0.5, 0.6, 0.7] for seed in range(5)}, index=[100, 200, 300])
    rules, both = RULES, {"maml": slow, "n_plus_1": fast}
    assert measures.time_to_reach(replace(evidence, curves=both), rules, "n_plus_1", "maml").values == pytest.approx(
        (150.0,) * 5
    )
    assert (
        measures.time_to_reach(replace(evidence, curves={**both, "n_plus_1": never}), rules, "n_plus_1", "maml").values
        == (0.0,) * 5
    )
    assert measures.area(replace(evidence, curves=both), rules, "n_plus_1", "maml").values == pytest.approx(
        (0.225,) * 5
    )


def test_a_gan_without_a_number_leaves_its_class_out():
    evidence = World(degrades=0.1).evidence()
    broken = evidence.gan.copy()
    broken.loc[(broken["seed"] == 0) & (broken["class"] == 1) & (broken["images"] < 25), "kid"] = np.nan
    before, after = (
        measures.plain_gan(replace(evidence, gan=table), RULES, 25).values for table in (evidence.gan, broken)
    )
    assert len(after) == len(before) == 12 and after[1:] == before[1:] and after[0] != before[0]


def test_document_has_every_rule():
    text = (ROOT / "docs" / "claims.md").read_text(encoding="utf-8")
    rows = {
        int(line.split("|")[1]): line
        for line in text.splitlines()
        if line.startswith("| ") and line.split("|")[1].strip().isdigit()
    }
    for claim in CLAIMS:
        for name in claim.variants:
            together = name in SHARING and "`multi_task_0` to `multi_task_4`" in rows[claim.number]
            assert together or f"`{name}`" in rows[claim.number], (claim.number, name)
    for key in type(RULES).model_fields:
        assert f"`{key}`" in text


# From files


def _write(evidence, study="quick"):
    """The files that hold `evidence`, with the columns that claims read."""
    tables, samples, gan = paths.tables(study), paths.samples(study), paths.gan(study)
    for folder in (tables, samples, gan):
        folder.mkdir(parents=True, exist_ok=True)
    long = evidence.accuracy.reset_index().melt("seed", var_name="variant", value_name="accuracy").dropna()
    long.assign(tasks=long["variant"].map(evidence.tasks)).to_csv(tables / "seeds.csv", index=False)
    pd.DataFrame({"variant": list(evidence.meta_steps), "meta_steps": list(evidence.meta_steps.values())}).to_csv(
        tables / "accuracy.csv", index=False
    )
    lost = [(name, seed) for name, seeds in evidence.diverged.items() for seed in seeds]
    pd.DataFrame(lost, columns=["variant", "seed"]).to_csv(tables / "diverged.csv", index=False)
    curves = [
        curve.rename_axis("meta_step")
        .reset_index()
        .melt("meta_step", var_name="seed", value_name="accuracy")
        .assign(variant=name, split="validation")
        for name, curve in evidence.curves.items()
    ]
    pd.concat(curves).to_csv(tables / "curves.csv", index=False)
    both = [
        frame.reset_index().melt("seed", var_name="variant", value_name=column)
        for column, frame in (("kid", evidence.kid), ("distance", evidence.distance))
    ]
    both[0].merge(both[1], on=["seed", "variant"]).dropna().to_csv(samples / "realism.csv", index=False)
    evidence.critic.to_csv(samples / "tasks.csv", index=False)
    evidence.gan.to_csv(gan / "quality.csv", index=False)


def _params(evidence, names=tuple(NAMES)):
    study = PARAMS.studies["quick"]
    tier = study.tiers.survey.model_copy(update={"seeds": evidence.planned["maml"], "meta_steps": 2000})
    tiers = study.tiers.model_copy(update={"headline": tier, "ablation": tier, "survey": tier})
    variants = {name: PARAMS.variants[name] for name in names}
    return PARAMS.model_copy(
        update={"study": "quick", "studies": {"quick": study.model_copy(update={"tiers": tiers})}, "variants": variants}
    )


@pytest.fixture
def written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    evidence = World({"n_plus_1": 0.91, "multi_task_0": 0.89}, degrades=0.1, diverged={"n_plus_1": (3,)}).evidence()
    _write(evidence)
    return evidence


def test_files(written):
    jobs.run(_params(written), "claims")
    table = pd.read_csv(paths.claims("quick") / "claims.csv")
    assert list(table.columns) == [*COLUMNS, "dataset"] and table["claim"].tolist() == list(range(1, 18))
    direct = decide(CLAIMS, written, RULES)
    assert table["verdict"].tolist() == [one.verdict for one in direct]
    assert np.allclose(table["effect"], [one.part.effect for one in direct], rtol=1e-4, atol=1e-8)
    content = json.loads((paths.claims("quick") / "claims.json").read_text())
    first = content["claims"][0]
    assert (first["verdict"], first["seeds"], first["parts"][0]["by_seed"]) == (
        SUPPORTED,
        11,
        pytest.approx(direct[0].part.values, rel=1e-4),
    )
    assert first["parts"][0]["decides"] and not content["claims"][4]["parts"][-1]["decides"]
    assert content["rules"]["minimum_seeds"] == 5
    assert content["dataset"] == "glyphs" and set(table["dataset"]) == {"glyphs"}


def test_order_of_rows_and_other_variants_change_nothing(written):
    params = _params(written)
    jobs.run(params, "claims")
    files = [paths.claims("quick") / name for name in ("claims.csv", "claims.json")]
    before = [path.read_bytes() for path in files]
    for path in [
        *paths.tables("quick").iterdir(),
        *paths.samples("quick").iterdir(),
        paths.gan("quick") / "quality.csv",
    ]:
        table = pd.read_csv(path)
        if "variant" in table:  # a variant that params.yaml no longer has
            table = pd.concat([table, table[table["variant"] == table["variant"].iloc[0]].assign(variant="stranger")])
        table.sample(frac=1, random_state=0).to_csv(path, index=False)
    jobs.run(params, "claims")
    assert [path.read_bytes() for path in files] == before


def test_numbers_of_a_diverged_seed_are_not_read(written):
    params = _params(written)
    jobs.run(params, "claims")
    before = (paths.claims("quick") / "claims.json").read_bytes()
    with open(paths.tables("quick") / "seeds.csv", "a") as file:
        file.write("3,n_plus_1,0.0,100\n")
    jobs.run(params, "claims")
    assert (paths.claims("quick") / "claims.json").read_bytes() == before


def test_removed_variant(written):
    jobs.run(_params(written, tuple(name for name in NAMES if name != "n_plus_1_fcn_skip")), "claims")
    table = pd.read_csv(paths.claims("quick") / "claims.csv").set_index("claim")
    assert table.loc[16, "reason"] == "a variant is absent: n_plus_1_fcn_skip"
    assert np.isnan(table.loc[16, "effect"]) and np.isnan(table.loc[16, "p_holm"])


@pytest.mark.parametrize("path", ["tables/seeds.csv", "samples/tasks.csv", "gan/quality.csv"])
def test_missing_file(written, path):
    (paths.results("quick") / path).unlink()
    with pytest.raises(ReportError, match="missing; run `dvc repro`"):
        jobs.run(_params(written), "claims")
    assert not paths.claims("quick").exists()


def test_without_a_judge_claims_of_realism_are_undecided_and_others_are_not(written):
    params, samples = _params(written), paths.samples("quick")
    jobs.run(params, "claims")
    before = pd.read_csv(paths.claims("quick") / "claims.csv", index_col="claim")
    for name in ("realism.csv", "tasks.csv"):
        table = pd.read_csv(samples / name).assign(kid=np.nan, judge_learnt=False)
        table.assign(**({"distance": np.nan} if name == "realism.csv" else {})).to_csv(samples / name, index=False)
    jobs.run(params, "claims")
    after = pd.read_csv(paths.claims("quick") / "claims.csv", index_col="claim")
    of_realism = [8, 9, 10, 11, 14, 16, 17]
    assert set(after.loc[of_realism, "verdict"]) == {"undecided"}
    assert after.loc[of_realism, "reason"].str.startswith("too few seeds with a value: 0 left").all()
    assert after.drop(of_realism)["effect"].equals(before.drop(of_realism)["effect"])
