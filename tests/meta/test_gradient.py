"""The outer gradient against a slow reference, a finite difference, and the paper's equalities."""

import importlib.util
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from megan.meta.gradient import outer_gradient, summed
from megan.meta.iteration import State
from megan.models.sizes import Sizes

_spec = importlib.util.spec_from_file_location("reference", Path(__file__).with_name("reference.py"))
reference = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(reference)


def relative(ours, theirs):
    return float((ours - theirs).norm() / theirs.norm())


def initial(system, seeds=(0,)):
    """Float64 weights, away from gamma = 1 and beta = 0, where a wrong derivative can hide."""
    weights = system.initial_weights(torch.tensor(seeds), torch.float64)
    source = torch.Generator().manual_seed(1)
    for name, value in weights.items():
        if "gamma" in name or "beta" in name or "bias" in name:
            value += 0.2 * torch.randn(value.shape, generator=source, dtype=torch.float64)
    return weights


def slow_gradient(system, weights, episodes):
    leaves = {name: value[0].clone().requires_grad_() for name, value in weights.items()}
    total, tasks = 0.0, len(episodes.support)
    gradient = {name: torch.zeros_like(leaf) for name, leaf in leaves.items()}
    for number in range(tasks):
        task = reference.Task(system, episodes, number)
        query, losses = task.outer_losses(leaves)
        total += float(query.detach()) / tasks
        for groups, loss in losses:
            names = [name for name in leaves if name.partition(".")[0] in groups]
            found = torch.autograd.grad(
                loss / tasks,
                [leaves[name] for name in names],
                retain_graph=True,
                allow_unused=True,
                materialize_grads=True,
            )
            for name, value in zip(names, found, strict=True):
                gradient[name] += value
    return total, gradient


N_PLUS_1 = {"approach": "n_plus_1"}
MULTI_TASK = {"approach": "multi_task"}
HYBRID = {"generator_outer_loss": "fooling"}
VARIANTS = {
    "maml": {"approach": "maml"},
    "n_plus_1": N_PLUS_1,
    "n_plus_1 fakes from the first step": N_PLUS_1 | {"fake_steps": 3},
    "n_plus_1 equal weight": N_PLUS_1 | {"real_weight": 1.0},
    "n_plus_1 apart": N_PLUS_1 | {"shared_statistics": False},
    "n_plus_1 two fakes": N_PLUS_1 | {"fakes_per_real": 2},
    "n_plus_1 label": N_PLUS_1 | {"conditioning": "label"},
    "n_plus_1 prototype": N_PLUS_1 | {"conditioning": "prototype"},
    "n_plus_1 unconditioned": N_PLUS_1 | {"conditioning": "none"},
    "n_plus_1 skip": N_PLUS_1 | {"skip": True},
    "n_plus_1 fcn with skip": N_PLUS_1 | {"generator": "fcn", "skip": True},
    "n_plus_1 fcn label": N_PLUS_1 | {"generator": "fcn", "conditioning": "label"},
    "n_plus_1 authors' generator": N_PLUS_1 | {"generator": "authors", "noise_size": 2},
    "n_plus_1 vanilla": N_PLUS_1 | {"gan_loss": "vanilla"},
    "n_plus_1 wasserstein": N_PLUS_1 | {"gan_loss": "wasserstein"},
    "n_plus_1 penalty": N_PLUS_1 | {"gan_loss": "wasserstein_gp"},
    "n_plus_1 real+fake": N_PLUS_1 | {"outer_fake_weight": 1.0},
    "n_plus_1 hybrid": N_PLUS_1 | HYBRID,
    "n_plus_1 hybrid through both": N_PLUS_1 | HYBRID | {"fooling_through": "both"},
    "n_plus_1 discrimination outside": N_PLUS_1 | {"outer_fake_weight": 0.5, "outer_discrimination_weight": 0.7},
    "n_plus_1 frozen generator": N_PLUS_1 | {"fake_source": "frozen_generator"},
    **{f"multi_task {shared} shared": MULTI_TASK | {"shared_layers": shared} for shared in range(5)},
    **{
        f"multi_task {loss} {shared} shared": MULTI_TASK | {"gan_loss": loss, "shared_layers": shared}
        for loss in ("vanilla", "wasserstein", "wasserstein_gp")
        for shared in (0, 2)
    },
    "multi_task apart": MULTI_TASK | {"shared_statistics": False, "shared_layers": 1},
    "multi_task not told": MULTI_TASK | {"told_real": False, "shared_layers": 1},
    "multi_task classifier without fakes": MULTI_TASK | {"classify_fakes": False, "shared_layers": 2},
    "multi_task conditional discriminator": MULTI_TASK | {"condition_discriminator": True, "shared_layers": 4},
    "multi_task lambda": MULTI_TASK | {"discrimination_weight": 0.3, "shared_layers": 3},
    "multi_task hybrid": MULTI_TASK | HYBRID | {"shared_layers": 1},
    "multi_task weighted": MULTI_TASK
    | {"outer_fake_weight": 0.5, "outer_discrimination_weight": 0.7, "shared_layers": 1},
}
SILENT = {"n_plus_1 frozen generator": {"gen"}}  # groups that must get no gradient


@pytest.mark.parametrize("name", VARIANTS)
def test_gradient_is_the_slow_references(name, make_system, make_episodes):
    system, episodes = make_system(**VARIANTS[name]), make_episodes()
    weights = initial(system)
    ours = outer_gradient(system, weights, episodes, len(episodes.support))
    loss, theirs = slow_gradient(system, weights, episodes)
    assert float(ours.loss[0]) == pytest.approx(loss, rel=1e-11)
    for group in {weight.partition(".")[0] for weight in weights}:
        names = [weight for weight in weights if weight.partition(".")[0] == group]
        flat = [torch.cat([values[weight].flatten() for weight in names]) for values in (ours.gradient, theirs)]
        if group in SILENT.get(name, ()):
            assert not flat[0].any() and not flat[1].any()
            continue
        assert float(flat[1].norm()) > 1e-8, f"{group} gets no gradient, so the comparison shows nothing"
        assert relative(*flat) < 1e-9, group


POOLED = Sizes(side=20, channels=3, filters=6, max_pool=True, flat=True)
SIZES = {
    "colour, max-pooling, the whole map": POOLED,
    "an odd map at every pooling": replace(POOLED, side=84, filters=3),
    "colour, stride": replace(POOLED, side=84, filters=4, max_pool=False, flat=False),
    "grey, pooled, mean": replace(POOLED, channels=1, flat=False),
}


@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
@pytest.mark.parametrize(
    "options",
    [
        {"approach": "maml"},
        N_PLUS_1,
        N_PLUS_1 | {"generator": "fcn", "skip": True, "outer_fake_weight": 1.0},
        N_PLUS_1 | {"gan_loss": "wasserstein_gp", "gradient_penalty": 0.01},  # the usual 10 overflows the reference
        MULTI_TASK | {"shared_layers": 2, "conditioning": "label"},
        MULTI_TASK | {"shared_layers": 4, "condition_discriminator": True},
    ],
)
def test_gradient_at_other_sizes(sizes, options, make_system, make_episodes):
    system = make_system(ways=2, steps=2, sizes=sizes, **options)
    episodes = make_episodes(tasks=1, ways=2, queries=1, size=sizes.side, channels=sizes.channels)
    weights = initial(system)
    ours, (_, theirs) = outer_gradient(system, weights, episodes, 1), slow_gradient(system, weights, episodes)
    for group in {weight.partition(".")[0] for weight in weights}:
        names = [weight for weight in weights if weight.partition(".")[0] == group]
        flat = [torch.cat([values[weight].flatten() for weight in names]) for values in (ours.gradient, theirs)]
        assert float(flat[1].norm()) > 1e-8 and relative(*flat) < 1e-9, group


@pytest.mark.parametrize(
    "options",
    [{"conditioning": "image", "skip": True}, {"conditioning": "label"}, {"conditioning": "prototype"}],
)
def test_gradient_through_the_authors_generator_in_colour(options, make_system, make_episodes):
    sizes = replace(POOLED, side=16)
    system = make_system(ways=2, steps=2, sizes=sizes, noise_size=2, generator="authors", **MULTI_TASK | options)
    episodes = make_episodes(tasks=1, ways=2, queries=1, size=16, channels=3)
    weights = initial(system)
    assert weights["gen.paint"].shape == (1, 3, 3, 64, 3)
    ours, (_, theirs) = outer_gradient(system, weights, episodes, 1), slow_gradient(system, weights, episodes)
    for name in (name for name in weights if name.startswith("gen.")):
        assert float(theirs[name].norm()) > 1e-8 and relative(ours.gradient[name][0], theirs[name]) < 1e-9, name


@pytest.mark.parametrize("approach", ["maml", "n_plus_1"])
def test_gradient_is_a_finite_difference(approach, make_system, make_episodes):
    # The inner gradient jumps where a ReLU switches, so the difference must be too small to switch one.
    system, episodes = make_system(approach=approach, steps=2), make_episodes()
    weights = initial(system)
    gradient = outer_gradient(system, weights, episodes, 2).gradient
    source = torch.Generator().manual_seed(3)
    direction = {
        name: torch.randn(value.shape, generator=source, dtype=torch.float64) for name, value in weights.items()
    }
    size = 1e-9

    def loss(sign):
        moved = {name: value + sign * size * direction[name] for name, value in weights.items()}
        return float(outer_gradient(system, moved, episodes, 2).loss[0])

    difference = (loss(1) - loss(-1)) / (2 * size)
    slope = sum(float((gradient[name] * direction[name]).sum()) for name in weights)
    assert slope == pytest.approx(difference, rel=1e-5)


def test_first_order_gradient_points_elsewhere(make_system, make_episodes):
    """If the two agreed, the test above would not notice a missing second-order term."""
    system, episodes = make_system(), make_episodes()
    weights = initial(system)
    full = outer_gradient(system, weights, episodes, 2).gradient
    leaves = {name: value.repeat(2, *[1] * (value.dim() - 1)) for name, value in weights.items()}
    from megan.meta.adapt import adapt

    adapted = {
        name: value.detach().requires_grad_() for name, value in adapt(system, leaves, episodes, 3, False).items()
    }
    loss = system.query_loss(system.classify(adapted, episodes.query), episodes).mean()
    first_order = torch.autograd.grad(loss, adapted["cls.conv1"])[0].sum(dim=0, keepdim=True)
    assert relative(first_order, full["cls.conv1"]) > 0.05


def test_masked_fake_output_equals_maml(make_system, make_episodes):
    """N+1 that never sees fakes, with its fake output masked, is N-way MAML."""
    episodes = make_episodes()
    maml, n_plus_1 = make_system(), make_system(approach="n_plus_1", fake_steps=0)
    weights = initial(maml)
    wider = n_plus_1.initial_weights(torch.tensor([0]), torch.float64) | weights
    minus_infinity = torch.full((1, 1), -1e30, dtype=torch.float64)
    wider["cls.head"] = torch.cat([weights["cls.head"], torch.zeros(1, 64, 1, dtype=torch.float64)], dim=2)
    wider["cls.bias"] = torch.cat([weights["cls.bias"], minus_infinity], dim=1)
    ours, theirs = outer_gradient(n_plus_1, wider, episodes, 2), outer_gradient(maml, weights, episodes, 2)
    assert float(ours.loss[0]) == pytest.approx(float(theirs.loss[0]), abs=1e-12)
    for name, value in theirs.gradient.items():
        mine = ours.gradient[name][..., : value.shape[-1]]
        assert float((mine - value).abs().max()) < 1e-12, name
    assert all(float(value.abs().max()) == 0 for name, value in ours.gradient.items() if name.startswith("gen."))


def test_unused_fake_output_equals_maml_with_as_many_outputs(make_system, make_episodes):
    """Without fakes N+1 is MAML on the same architecture, including the extra output."""
    episodes = make_episodes(ways=3)
    n_plus_1, maml = make_system(approach="n_plus_1", fake_steps=0, ways=3), make_system(ways=4)
    weights = initial(maml)
    wider = n_plus_1.initial_weights(torch.tensor([0]), torch.float64) | weights
    ours, theirs = outer_gradient(n_plus_1, wider, episodes, 2), outer_gradient(maml, weights, episodes, 2)
    for name, value in theirs.gradient.items():
        assert float((ours.gradient[name] - value).abs().max()) < 1e-12, name


def test_initial_classifier_is_the_same_for_maml_and_n_plus_1(make_system):
    seeds = torch.tensor([5])
    narrow = make_system().initial_weights(seeds, torch.float64)
    wide = make_system(approach="n_plus_1").initial_weights(seeds, torch.float64)
    for name, value in narrow.items():
        assert torch.equal(wide[name][..., : value.shape[-1]], value), name


@pytest.mark.parametrize("approach", ["maml", "n_plus_1"])
def test_chunks_and_seeds_do_not_change_the_gradient(approach, make_system, make_episodes):
    from dataclasses import replace

    system, episodes = make_system(approach=approach), make_episodes(tasks=4)

    def part(tasks):
        return replace(episodes, support=episodes.support[tasks], query=episodes.query[tasks], key=episodes.key[tasks])

    weights = initial(system, seeds=(0, 1))
    together = outer_gradient(system, weights, episodes, 2)  # two seeds of two tasks each
    for seed in (0, 1):
        own = {name: value[seed : seed + 1] for name, value in weights.items()}
        alone = summed(
            outer_gradient(system, own, part(slice(2 * seed + task, 2 * seed + task + 1)), 2) for task in (0, 1)
        )
        for name, value in alone.gradient.items():
            assert torch.allclose(together.gradient[name][seed : seed + 1], value, rtol=1e-10, atol=1e-13), name


def test_classifier_without_fakes_and_without_sharing_is_maml(make_system, make_episodes):
    """Claim 4's switch: multi-task with no shared layer and no fakes to classify is MAML with a constant plane."""
    episodes = make_episodes()
    multi_task = make_system(approach="multi_task", classify_fakes=False, told_real=False)
    maml = make_system()
    weights = initial(multi_task)
    own = {name: value for name, value in weights.items() if name.startswith("cls.")}
    ours, theirs = outer_gradient(multi_task, weights, episodes, 2), outer_gradient(maml, own, episodes, 2)
    for name, value in theirs.gradient.items():
        assert float((ours.gradient[name] - value).abs().max()) < 1e-12, name


def test_two_networks_share_nothing(make_system, make_episodes):
    """0-shared multi-task: the discriminator does not affect a classifier that sees no fakes."""
    episodes = make_episodes()
    system = make_system(approach="multi_task", classify_fakes=False)
    weights = initial(system)
    ours = outer_gradient(system, weights, episodes, 2)
    weights["dsc.conv2"] = weights["dsc.conv2"] + 0.1
    again = outer_gradient(system, weights, episodes, 2)
    assert all(
        torch.equal(again.gradient[name], value) for name, value in ours.gradient.items() if name.startswith("cls.")
    )
    assert not any(value.any() for name, value in ours.gradient.items() if name.startswith(("dsc.", "gen.")))


def test_penalty_is_zero_for_a_critic_of_slope_one():
    from megan.meta import gan_loss

    images = torch.rand(2, 3, 4, 4, 1, dtype=torch.float64).requires_grad_()
    direction = torch.randn(4, 4, 1, dtype=torch.float64)
    direction /= direction.norm()
    for slope, wanted in ((1.0, 0.0), (3.0, 4.0)):
        values = slope * (images * direction).sum(dim=(2, 3, 4))
        assert gan_loss.gradient_penalty(values, images).tolist() == pytest.approx([wanted, wanted], abs=1e-9)


@pytest.mark.parametrize("source", ["augmentation", "alphabet", "noise"])
def test_controls_stand_in_for_the_generator(source, make_system, make_episodes):
    episodes = make_episodes()
    system = make_system(approach="n_plus_1", fake_source=source)
    weights = initial(system)
    assert not any(name.startswith("gen.") for name in weights)
    made = system.fakes(weights, episodes, 0)
    assert made.shape == episodes.support.shape
    if source == "alphabet":
        assert torch.equal(made, episodes.others)
    else:
        assert not torch.equal(made, system.fakes(weights, episodes, 1)), "the same fakes at every inner step"
        assert torch.equal(made, system.fakes(weights, episodes, 0))
    gradient = outer_gradient(system, weights, episodes, 2).gradient
    assert all(value.isfinite().all() for value in gradient.values())


def test_adam_is_torchs():
    from megan.meta import optimise

    source = torch.Generator().manual_seed(0)
    weight = torch.randn(2, 5, generator=source, dtype=torch.float64)
    theirs = weight.clone().requires_grad_()
    optimiser = torch.optim.Adam([theirs], lr=0.01)
    ours, first, second = {"w": weight.clone()}, {"w": torch.zeros(2, 5).double()}, {"w": torch.zeros(2, 5).double()}
    alive = torch.tensor([True, True])
    for step in range(5):
        gradient = torch.randn(2, 5, generator=source, dtype=torch.float64)
        theirs.grad = gradient.clone()
        optimiser.step()
        optimise.adam(
            ours, (first, second), {"w": gradient}, torch.tensor(step), torch.tensor(0.01, dtype=torch.float64), alive
        )
    assert torch.allclose(ours["w"], theirs.detach(), rtol=1e-12, atol=1e-14)


def test_a_dead_seed_stays_where_it_is(make_system):
    from megan.meta import optimise

    state = State.fresh(make_system(), torch.tensor([0, 1]), torch.float32)
    before = state.snapshot()
    gradient = {name: torch.ones_like(value) for name, value in state.part("theta").items()}
    gradient["cls.conv0"][1] = float("nan")
    alive = optimise.finite(gradient, torch.zeros(2))
    assert alive.tolist() == [True, False]
    optimise.adam(
        state.part("theta"),
        (state.part("first"), state.part("second")),
        gradient,
        state["step"],
        torch.tensor(0.1),
        alive,
    )
    for name in ("theta/cls.conv0", "first/cls.conv0", "second/cls.head"):
        assert torch.equal(state[name][1], before[name][1]), name
        assert not torch.equal(state[name][0], before[name][0]), name
