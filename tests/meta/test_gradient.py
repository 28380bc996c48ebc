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
AUTHORS_CODE = {"real_weight": 1.0, "fake_steps": 3, "batch_statistics": "apart", "told_real": "never"}
WITH_QUERY = {"outer_fake_batch": "with_query"}
VARIANTS = {
    "maml": {"approach": "maml"},
    "n_plus_1": N_PLUS_1,
    "n_plus_1 fakes from the first step": N_PLUS_1 | {"fake_steps": 3},
    "n_plus_1 equal weight": N_PLUS_1 | {"real_weight": 1.0},
    "n_plus_1 apart": N_PLUS_1 | {"batch_statistics": "apart"},
    "n_plus_1 statistics of reals": N_PLUS_1 | {"batch_statistics": "reals", "outer_fake_weight": 0.5},
    "n_plus_1 statistics of reals, penalty": N_PLUS_1 | {"batch_statistics": "reals", "gan_loss": "wasserstein_gp"},
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
    "n_plus_1 outer fakes with the query": N_PLUS_1 | WITH_QUERY | {"outer_fake_weight": 0.5},
    "n_plus_1 all outer losses with the query": N_PLUS_1
    | WITH_QUERY
    | {"outer_fake_weight": 0.5, "outer_discrimination_weight": 0.7, "batch_statistics": "reals"},
    "n_plus_1 hybrid with the query": N_PLUS_1 | WITH_QUERY | HYBRID,
    "n_plus_1 frozen generator": N_PLUS_1 | {"fake_source": "frozen_generator"},
    **{f"multi_task {shared} shared": MULTI_TASK | {"shared_layers": shared} for shared in range(5)},
    **{
        f"multi_task {loss} {shared} shared": MULTI_TASK | {"gan_loss": loss, "shared_layers": shared}
        for loss in ("vanilla", "wasserstein", "wasserstein_gp")
        for shared in (0, 2)
    },
    "multi_task apart": MULTI_TASK | {"batch_statistics": "apart", "shared_layers": 1},
    "multi_task statistics of reals": MULTI_TASK | {"batch_statistics": "reals", "shared_layers": 1},
    "multi_task not told": MULTI_TASK | {"told_real": "never", "shared_layers": 1},
    "multi_task told at the head": MULTI_TASK | {"told_real": "head", "shared_layers": 1},
    "multi_task told at the head, apart": MULTI_TASK | {"told_real": "head", "batch_statistics": "apart"},
    "multi_task of the authors' code": MULTI_TASK | AUTHORS_CODE,
    "multi_task of the authors' code, wasserstein": MULTI_TASK
    | AUTHORS_CODE
    | {"gan_loss": "wasserstein", "generator_class_weight": 1.0},
    "multi_task of the authors' code, penalty": MULTI_TASK
    | AUTHORS_CODE
    | {"gan_loss": "wasserstein_gp", "penalty_norm": "batch", "gradient_penalty": 0.1, "generator_class_weight": 1.0},
    "multi_task discriminator's inner step": MULTI_TASK | {"discriminator_inner_lr": 0.05, "shared_layers": 1},
    "multi_task generator to be classified right": MULTI_TASK | {"generator_class_weight": 0.7, "shared_layers": 2},
    "multi_task penalty of the batch": MULTI_TASK
    | {"gan_loss": "wasserstein_gp", "penalty_norm": "batch", "shared_layers": 1},
    "n_plus_1 penalty of the batch": N_PLUS_1
    | {"gan_loss": "wasserstein_gp", "penalty_norm": "batch", "gradient_penalty": 0.01},
    "multi_task classifier without fakes": MULTI_TASK | {"classify_fakes": False, "shared_layers": 2},
    "multi_task conditional discriminator": MULTI_TASK | {"condition_discriminator": True, "shared_layers": 4},
    "multi_task lambda": MULTI_TASK | {"discrimination_weight": 0.3, "shared_layers": 3},
    "multi_task hybrid": MULTI_TASK | HYBRID | {"shared_layers": 1},
    "multi_task discrimination with the query": MULTI_TASK | WITH_QUERY | {"outer_discrimination_weight": 0.7},
    "multi_task weighted with the query": MULTI_TASK
    | WITH_QUERY
    | {"outer_fake_weight": 0.5, "outer_discrimination_weight": 0.7, "shared_layers": 1},
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


AUTHORS = Sizes(side=28, channels=1, filters=6, max_pool=False, flat=True, authors=True, relu_first=True)
POOLED = Sizes(side=20, channels=3, filters=6, max_pool=True, flat=True)
SIZES = {
    "colour, max-pooling, the whole map": POOLED,
    "an odd map at every pooling": replace(POOLED, side=84, filters=3),
    "colour, stride": replace(POOLED, side=84, filters=4, max_pool=False, flat=False),
    "grey, pooled, mean": replace(POOLED, channels=1, flat=False),
    "the authors' layers": AUTHORS,
    "the authors' layers on larger colour images": replace(POOLED, side=52, max_pool=False, authors=True),
    "the authors' layers, batch norm first": replace(AUTHORS, relu_first=False),
}


@pytest.mark.parametrize("name", ["together", "apart", "reals"])
def test_statistics_in_the_authors_layers(name, make_system, make_episodes):
    system, episodes = make_system(**N_PLUS_1, sizes=AUTHORS, batch_statistics=name), make_episodes(shots=4)
    weights, made = initial(system), episodes.query
    ours = system.classify_both(
        {key: value.repeat(2, *[1] * (value.dim() - 1)) for key, value in weights.items()}, episodes.support, made
    )
    theirs = reference.Task(system, episodes, 0)
    real, fake = (images[0].permute(0, 3, 1, 2) for images in (episodes.support, made))
    wanted = theirs.classify({key: value[0] for key, value in weights.items()}, real, fake)
    assert all(relative(mine[0], other) < 1e-9 for mine, other in zip(ours, wanted, strict=True))


def test_reals_normalised_by_themselves_do_not_see_the_fakes(make_system, make_episodes):
    episodes, logits = make_episodes(), {}
    for name in ("together", "apart", "reals"):
        system = make_system(**N_PLUS_1, batch_statistics=name)
        weights = {key: value.repeat(2, *[1] * (value.dim() - 1)) for key, value in initial(system).items()}
        logits[name] = system.classify_both(weights, episodes.support, episodes.others)
    (real, fake), (alone, apart), (mixed, _) = logits["reals"], logits["apart"], logits["together"]
    assert torch.allclose(real, alone, rtol=1e-10) and not torch.allclose(real, mixed, rtol=1e-2)
    assert not torch.allclose(fake, apart, rtol=1e-2)


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


@pytest.mark.parametrize("batch", ["own", "with_query"])
@pytest.mark.parametrize("options", [{"outer_fake_weight": 1.0}, {"outer_discrimination_weight": 1.0}, HYBRID])
def test_meta_test_predicts_in_the_batch_of_training(options, batch, make_system, make_episodes):
    system, episodes = make_system(**N_PLUS_1, **options, outer_fake_batch=batch), make_episodes()
    weights = {key: value.repeat(2, *[1] * (value.dim() - 1)) for key, value in initial(system).items()}
    answer = system.answer(weights, episodes, 7)
    for number in range(2):
        task = reference.Task(system, episodes, number)
        wanted, _ = task.answer({key: value[number] for key, value in weights.items()}, 7)
        assert relative(answer[number], wanted) < 1e-9
    assert torch.equal(answer, system.classify(weights, episodes.query)) == (batch == "own")
    trained, _ = system.outer_losses(weights, episodes)
    assert torch.equal(trained, system.answer(weights, episodes, system.inner.steps))


@pytest.mark.parametrize(
    ("steps", "test_steps", "fake_steps", "in_training", "in_test"),
    [
        (5, 5, 2, "00011", "00011"),
        (5, 10, 2, "00011", "0001111111"),
        (1, 3, 2, "1", "111"),
        (5, 3, 2, "00011", "000"),
        (5, 10, 0, "00000", "0000000000"),
        (3, 5, 3, "111", "11111"),
    ],
)
def test_fakes_come_in_after_as_many_steps_in_test(
    steps, test_steps, fake_steps, in_training, in_test, make_system, make_episodes
):
    from megan.meta.adapt import adapt

    options = {"steps": steps, "test_steps": test_steps, "fake_steps": fake_steps, **N_PLUS_1}
    system, episodes = make_system(**options), make_episodes(tasks=1, ways=2, queries=1)
    assert "".join(str(int(system.sees_fakes(step))) for step in range(steps)) == in_training
    assert "".join(str(int(system.sees_fakes(step))) for step in range(test_steps)) == in_test
    weights = initial(system)
    wanted = reference.Task(system, episodes, 0).adapted(
        {name: value[0].requires_grad_() for name, value in weights.items()}, test_steps
    )
    ours = adapt(system, initial(system), episodes, system.inner.test_steps, differentiable=False)
    # Rounding grows with the steps.
    assert all(
        relative(ours[name][0].detach(), value.detach()) < 1e-6 for name, value in wanted.items() if "conv" in name
    )
    moved = not torch.equal(ours["gen.decode0.conv"], initial(system)["gen.decode0.conv"])
    assert moved == ("1" in in_test)


FIRST_ORDER = {
    "maml": {"approach": "maml"},
    "n_plus_1": N_PLUS_1,
    "n_plus_1 outer losses": N_PLUS_1 | {"outer_fake_weight": 0.5, "outer_discrimination_weight": 0.7},
    "n_plus_1 hybrid through both": N_PLUS_1 | HYBRID | {"fooling_through": "both"},
    "n_plus_1 penalty": N_PLUS_1 | {"gan_loss": "wasserstein_gp"},
    "multi_task": MULTI_TASK | {"outer_discrimination_weight": 0.7},
    "multi_task wasserstein": MULTI_TASK | {"gan_loss": "wasserstein", "shared_layers": 2, "outer_fake_weight": 1.0},
}


@pytest.mark.parametrize("name", FIRST_ORDER)
def test_first_order_gradient_is_the_slow_references(name, make_system, make_episodes):
    """Every inner gradient, of classifier, critic and generator, is a constant."""
    options, episodes = FIRST_ORDER[name], make_episodes()
    weights = initial(make_system(**options))
    ours = outer_gradient(make_system(first_order=True, **options), weights, episodes, 2)
    loss, theirs = slow_gradient(make_system(first_order=True, **options), weights, episodes)
    full = outer_gradient(make_system(**options), weights, episodes, 2)
    assert float(ours.loss[0]) == pytest.approx(loss, rel=1e-11)
    assert float(full.loss[0]) == pytest.approx(loss, rel=1e-9), "the inner loop itself is the same"
    touched = [weight for weight, value in theirs.items() if value.any()]
    assert "cls.conv1" in touched or "shared.conv1" in touched
    for weight, value in theirs.items():
        assert torch.allclose(ours.gradient[weight][0], value, rtol=1e-9, atol=1e-12), weight
    # If the two agreed, the test would not notice second-order terms, nor their lack in second order.
    assert all(relative(ours.gradient[weight], full.gradient[weight]) > 1e-3 for weight in touched if "conv" in weight)


def test_first_order_leaves_a_generator_without_outer_fakes_as_it_is(make_system, make_episodes):
    """The outer loss on queries reaches phi through inner gradients only."""
    system, episodes = make_system(first_order=True, **N_PLUS_1), make_episodes()
    gradient = outer_gradient(system, initial(system), episodes, 2).gradient
    assert not any(value.any() for name, value in gradient.items() if name.startswith("gen."))
    assert gradient["cls.conv0"].any()


@pytest.mark.parametrize("options", [{"approach": "maml"}, N_PLUS_1 | {"outer_fake_weight": 1.0}])
def test_first_order_computes_less(options, make_system, make_episodes, monkeypatch):
    """No inner gradient is differentiated: fewer than two thirds of the convolutions and their adjoints."""
    from megan.ops import kernels

    calls = []
    for primitive in ("conv", "conv_data_grad", "conv_weight_grad"):
        original = getattr(kernels, primitive)
        monkeypatch.setattr(
            kernels, primitive, lambda *arguments, original=original: calls.append(1) or original(*arguments)
        )
    counts = []
    for first_order in (False, True):
        system = make_system(first_order=first_order, **options)
        calls.clear()
        outer_gradient(system, initial(system), make_episodes(), 2)
        counts.append(len(calls))
    second, first = counts
    assert 0 < first < 2 / 3 * second


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
    multi_task = make_system(approach="multi_task", classify_fakes=False, told_real="never")
    maml = make_system()
    weights = initial(multi_task)
    own = {name: value for name, value in weights.items() if name.startswith("cls.")}
    ours, theirs = outer_gradient(multi_task, weights, episodes, 2), outer_gradient(maml, own, episodes, 2)
    for name, value in theirs.gradient.items():
        assert float((ours.gradient[name] - value).abs().max()) < 1e-12, name


@pytest.mark.parametrize("statistics", ["together", "apart", "reals"])
def test_the_real_fake_value_has_effect_at_the_head(statistics, make_system, make_episodes):
    """No batch norm follows, which would take it away where all images of a batch have the same value."""
    system = make_system(**MULTI_TASK, told_real="head", batch_statistics=statistics)
    episodes, weights = make_episodes(), initial(system)
    weights = {name: value.repeat(2, *[1] * (value.dim() - 1)) for name, value in weights.items()}
    real, fake = system.classify(weights, episodes.query), system.classify(weights, episodes.query, 0)
    plane = weights["cls.head"][:, -1:]
    assert torch.allclose(real - fake, plane.expand_as(real), rtol=1e-9) and float(plane.abs().min()) > 1e-6


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

    images = torch.rand(2, 3, 4, 4, 1, dtype=torch.float64).requires_grad_()  # three images a task
    direction = torch.randn(4, 4, 1, dtype=torch.float64)
    direction /= direction.norm()
    for slope, wanted in ((1.0, 0.0), (3.0, 4.0)):
        values = slope * (images * direction).sum(dim=(2, 3, 4))
        assert gan_loss.gradient_penalty(values, images).tolist() == pytest.approx([wanted, wanted], abs=1e-9)
        values = slope / 3**0.5 * (images * direction).sum(dim=(2, 3, 4))
        of_batch = gan_loss.gradient_penalty(values, images, of_batch=True)
        assert of_batch.tolist() == pytest.approx([wanted, wanted], abs=1e-9), "the root of the sum over the images"


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
