"""Every formulation against the others and against plain torch, to the third derivative, in float64."""

import pytest
import torch
import torch.nn.functional as F

from megan.ops import by_shape, convolution, gathered, kernels, native, normalisation, pooling, separate

FORMULATIONS = {"gathered": gathered, "separate": separate, "by shape": by_shape, "native": native}
SHAPES = [  # tasks, images, height, width, channels, outputs, stride, and no padding
    (1, 1, 2, 2, 1, 1, 2),
    (2, 3, 7, 7, 2, 5, 2),
    (3, 2, 6, 4, 3, 8, 1),
    (2, 5, 14, 14, 8, 16, 2),
    (2, 2, 5, 7, 17, 3, 1),
    (1, 1, 84, 84, 3, 32, 1),  # mini-ImageNet's first layer, with few images
    (1, 1, 42, 42, 32, 32, 1),
    (1, 1, 84, 84, 8, 3, 1),  # the last of its generator
    (1, 2, 84, 84, 3, 16, 2),
    (1, 2, 21, 21, 48, 32, 1),
    (1, 1, 21, 21, 32, 32, 1),
    (1, 5, 10, 10, 32, 32, 1),
    (1, 1, 56, 56, 3, 32, 1),  # the layers of a folder of images
    (1, 1, 28, 28, 32, 32, 1),
    (1, 2, 14, 14, 32, 32, 1),
    (1, 2, 7, 7, 32, 32, 1),
    (1, 5, 28, 28, 1, 64, 2),  # Omniglot's
    (1, 5, 14, 14, 64, 64, 2),
    (1, 5, 7, 7, 64, 64, 2),
    (1, 5, 4, 4, 64, 64, 2),
    (2, 3, 8, 8, 8, 1, 1),
    (2, 3, 8, 8, 1, 8, 2),
    (2, 9, 28, 28, 2, 64, 2),
    (2, 5, 28, 28, 1, 64, 2, 0),  # the layers of the authors' network
    (2, 5, 13, 13, 64, 64, 2, 0),
    (1, 3, 6, 6, 64, 64, 2, 0),
    (2, 3, 7, 8, 9, 1, 2, 0),
    (1, 2, 3, 4, 2, 3, 2, 0),
    (2, 7, 9, 6, 16, 17, 2, 0),
]


@pytest.fixture(params=FORMULATIONS)
def formulation(request, monkeypatch):
    """Make every device use one formulation, its fused normalisation included."""
    module = FORMULATIONS[request.param]
    if module is native and not native.available():
        pytest.skip(f"native kernels: {native.why_not()}")
    monkeypatch.setattr(kernels, "_formulation", lambda x: module)
    monkeypatch.setattr(kernels, "normalisation", lambda x: native if module is native else None)
    return module


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def plain_conv(x, w, stride, padding=1):
    """A loop over tasks through torch's own convolution."""
    both = torch.cat([w, torch.zeros_like(w)], dim=-1)  # torch's second derivative fails with a single output
    outputs = [
        F.conv2d(images.permute(0, 3, 1, 2), weights.permute(3, 2, 0, 1).contiguous(), stride=stride, padding=padding)
        for images, weights in zip(x, both, strict=True)
    ]
    return torch.stack(outputs).permute(0, 1, 3, 4, 2)[..., : w.shape[-1]]


def plain_norm_relu(z, gamma, beta, relu):
    """Written out for autograd. (F.batch_norm's own third derivative treats the statistics as constants.)"""
    over = (1, 2, 3)
    mean, variance = z.mean(dim=over, keepdim=True), z.var(dim=over, keepdim=True, correction=0)
    xhat = (z - mean) / (variance + normalisation.EPSILON).sqrt()
    y = gamma[:, None, None, None] * xhat + beta[:, None, None, None]
    return y.relu() if relu else y


def test_the_plain_normalisation_is_torchs():
    z, gamma, beta = random(1, 4, 5, 3, 7), random(1, 7, seed=1), random(1, 7, seed=2)
    theirs = F.batch_norm(
        z[0].permute(0, 3, 1, 2), None, None, gamma[0], beta[0], training=True, eps=normalisation.EPSILON
    )
    assert torch.allclose(plain_norm_relu(z, gamma, beta, False)[0], theirs.permute(0, 2, 3, 1), rtol=1e-12, atol=1e-12)


def derivatives(function, inputs, order):
    """The value and nested gradients: each order differentiates a random projection of the one before."""
    inputs = [value.clone().requires_grad_() for value in inputs]
    level, found = [function(*inputs)], []
    for depth in range(order + 1):
        found.append([value.detach() for value in level])
        if depth == order:
            return found
        scalar = sum(
            (value * random(*value.shape, seed=7 + depth)).sum() + 0.5 * value.square().sum() for value in level
        )
        level = list(torch.autograd.grad(scalar, inputs, create_graph=True))
    return found


def close(ours, theirs, tolerance):
    scale = max(float(value.norm()) for value in theirs)
    return all(float((a - b).norm()) <= tolerance * scale for a, b in zip(ours, theirs, strict=True))


@pytest.mark.parametrize("shape", SHAPES)
def test_convolution_and_its_derivatives(formulation, shape):
    tasks, images, height, width, channels, outputs, *sizes = shape
    inputs = [random(tasks, images, height, width, channels), random(tasks, 3, 3, channels, outputs, seed=1)]
    ours = derivatives(lambda x, w: convolution.conv(x, w, *sizes), inputs, 3)
    theirs = derivatives(lambda x, w: plain_conv(x, w, *sizes), inputs, 3)
    for order, (mine, other) in enumerate(zip(ours, theirs, strict=True)):
        assert close(mine, other, 1e-11), f"derivative of order {order}"


@pytest.mark.parametrize("relu", [True, False])
@pytest.mark.parametrize(
    "shape",
    [
        (1, 2, 3, 3, 1),
        (3, 4, 5, 3, 7),
        (2, 5, 7, 7, 16),
        (1, 2, 84, 84, 32),
        (1, 2, 21, 21, 8),
        (1, 2, 56, 56, 32),
        (1, 5, 14, 14, 64),
    ],
)
def test_normalisation_and_its_derivatives(formulation, shape, relu):
    inputs = [random(*shape), 1 + 0.3 * random(shape[0], shape[-1], seed=1), 0.3 * random(shape[0], shape[-1], seed=2)]
    ours = derivatives(lambda z, gamma, beta: normalisation.norm_relu(z, gamma, beta, relu), inputs, 3)
    theirs = derivatives(lambda z, gamma, beta: plain_norm_relu(z, gamma, beta, relu), inputs, 3)
    for order, (mine, other) in enumerate(zip(ours, theirs, strict=True)):
        assert close(mine, other, 1e-9), f"derivative of order {order}"


@pytest.mark.parametrize("height,width", [(2, 2), (7, 5), (84, 84), (42, 42), (21, 21), (10, 10)])
def test_max_pooling_and_its_derivatives(height, width):
    """Among values of which many are equal, as ReLU's zeros are: all take the first."""
    x = random(2, 3, height, width, 4).relu()
    inputs = [x + 1e-3 * torch.arange(4), random(4, 5, seed=1)]  # a product, so that second derivatives are not zero

    def ours(x, w):
        return pooling.max_pool(x.square()) @ w

    def theirs(x, w):
        planes = x.square().permute(0, 1, 4, 2, 3).flatten(0, 1)
        return F.max_pool2d(planes, 2).unflatten(0, x.shape[:2]).permute(0, 1, 3, 4, 2) @ w

    for order, (mine, other) in enumerate(zip(*(derivatives(one, inputs, 3) for one in (ours, theirs)), strict=True)):
        assert close(mine, other, 1e-12), f"derivative of order {order}"


POOLED = [  # tasks, images, height, width, channels
    (2, 1, 2, 2, 1),
    (2, 3, 7, 5, 5),
    (2, 2, 4, 9, 17),
    (1, 2, 5, 1, 4),  # no window
    (1, 2, 84, 84, 32),
    (1, 2, 42, 42, 32),
    (1, 3, 21, 21, 32),
    (1, 5, 10, 10, 32),
    (1, 2, 56, 56, 32),
    (1, 2, 28, 28, 32),
    (1, 2, 14, 14, 32),
    (1, 5, 7, 7, 32),
]


@pytest.mark.parametrize("shape", POOLED)
def test_normalisation_with_pooling_and_its_derivatives(formulation, shape):
    """Against torch's own pooling of the normalisation written out."""
    inputs = [random(*shape), 1 + 0.3 * random(shape[0], shape[-1], seed=1), 0.3 * random(shape[0], shape[-1], seed=2)]
    if shape[3] == 1:
        assert pooling.norm_relu_pool(*inputs).shape == (1, 2, 2, 0, 4)
        return

    def theirs(z, gamma, beta):
        planes = plain_norm_relu(z, gamma, beta, True).permute(0, 1, 4, 2, 3).flatten(0, 1)
        return F.max_pool2d(planes, 2).unflatten(0, z.shape[:2]).permute(0, 1, 3, 4, 2)

    found = derivatives(pooling.norm_relu_pool, inputs, 3), derivatives(theirs, inputs, 3)
    for order, (mine, other) in enumerate(zip(*found, strict=True)):
        assert close(mine, other, 1e-9), f"derivative of order {order}"


def test_normalisation_with_pooling_takes_the_first_of_equal_pixels(formulation):
    """As pooling by itself does; and with a negative scale the largest pixel is the smallest of its input."""
    z = random(2, 3, 6, 5, 20).mul(2).round()
    gamma, beta = random(2, 20, seed=1), random(2, 20, seed=2)
    found = [
        derivatives(one, [z, gamma, beta], 2)
        for one in (
            pooling.norm_relu_pool,
            lambda z, gamma, beta: pooling.max_pool(normalisation.norm_relu(z, gamma, beta)),
        )
    ]
    for order, (mine, other) in enumerate(zip(*found, strict=True)):
        assert close(mine, other, 1e-11), f"derivative of order {order}"


def test_formulations_agree_in_float32(monkeypatch):
    x, w = random(4, 5, 14, 14, 64).float(), random(4, 3, 3, 64, 64, seed=1).float() / 24
    results = {
        name: module.conv(x, w, 2)
        for name, module in FORMULATIONS.items()
        if module is not native or native.available()
    }
    exact = plain_conv(x.double(), w.double(), 2)
    for name, result in results.items():
        assert float((result - exact).norm() / exact.norm()) < 1e-6, name


def test_a_task_does_not_depend_on_the_others(formulation):
    x, w = random(3, 2, 6, 6, 4), random(3, 3, 3, 4, 8, seed=1)
    together = formulation.conv(x, w, 2)
    for task in range(3):
        alone = formulation.conv(x[task : task + 1].contiguous(), w[task : task + 1].contiguous(), 2)
        assert torch.allclose(together[task : task + 1], alone, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(
    ("images", "side", "channels", "chosen"),
    [(5, 28, 1, "gathered"), (75, 28, 1, "separate"), (5, 7, 64, "gathered"), (5, 14, 64, "separate")],
)
def test_the_formulation_follows_from_the_shape(monkeypatch, images, side, channels, chosen):
    """Few patches are gathered, many are not; gradients to one channel always are."""
    asked = []
    for name in ("gathered", "separate"):
        for primitive in ("conv", "conv_data_grad", "conv_weight_grad"):
            monkeypatch.setattr(FORMULATIONS[name], primitive, lambda *_, name=name: asked.append(name))
    half = (side + 1) // 2
    x, w = torch.empty(4, images, side, side, channels), torch.empty(4, 3, 3, channels, 64)
    dz = torch.empty(4, images, half, half, 64)
    by_shape.conv(x, w, 2)
    by_shape.conv_weight_grad(x, dz, 2)
    by_shape.conv_data_grad(dz, w, side, side, 2)
    assert asked == [chosen, chosen, "gathered" if channels == 1 else chosen]
