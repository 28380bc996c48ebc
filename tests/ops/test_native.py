"""The C++ kernels against plain torch, in float64 to rounding; and what happens without a compiler."""

import ctypes
import itertools
import shlex
import sys
import threading

import pytest
import torch
import torch.nn.functional as F

from megan.config import machine
from megan.ops import compiled, native, native_pooling, prebuilt


@pytest.fixture
def kernels(monkeypatch):
    monkeypatch.setenv("MEGAN_KERNEL", "auto")
    if not native.available():
        pytest.skip(f"no native kernels: {native.why_not()}")
    return native


@pytest.fixture
def unloaded(monkeypatch, tmp_path):
    """The module as a new process finds it, with an empty cache folder."""
    monkeypatch.setattr(native, "_functions", {})
    monkeypatch.setattr(native, "_failure", None)
    monkeypatch.setattr(native, "_level", "")
    monkeypatch.setenv("MEGAN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("MEGAN_KERNEL", "auto")
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setattr(compiled, "_ziglang", lambda: [])
    monkeypatch.setattr(prebuilt, "places", lambda: [])
    return tmp_path


def random(*shape, seed=0, dtype=torch.float64):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def plain_conv(x, w, stride):
    """One F.conv2d a task; x [T, B, H, W, C], w [T, 3, 3, C, O]."""
    each = [
        F.conv2d(x[t].permute(0, 3, 1, 2), w[t].permute(3, 2, 0, 1).contiguous(), stride=stride, padding=1).permute(
            0, 2, 3, 1
        )
        for t in range(len(x))
    ]
    return torch.stack(each)


def plain_norm(z, gamma, beta, eps, relu):
    axes = tuple(range(1, z.dim() - 1))
    wide = lambda v: v.view(len(v), *[1] * len(axes), -1)  # noqa: E731
    mean = z.mean(axes)
    rstd = ((z - wide(mean)).square().mean(axes) + eps).rsqrt()
    a = (z - wide(mean)) * wide(rstd) * wide(gamma) + wide(beta)
    return a.relu() if relu else a, mean, rstd


def close(actual, expected, tolerance):
    assert actual.shape == expected.shape and actual.dtype == expected.dtype and actual.is_contiguous()
    assert torch.isfinite(actual).all()
    assert (actual - expected).abs().max() <= tolerance * expected.abs().max().clamp(min=1e-3)


def conv_agrees(tasks, images, height, width, channels, outputs, stride, dtype=torch.float64, tolerance=1e-12):
    x, w = random(tasks, images, height, width, channels), random(tasks, 3, 3, channels, outputs, seed=1)
    z = plain_conv(x.requires_grad_(), w.requires_grad_(), stride)
    dz = random(*z.shape, seed=2)
    dx, dw = torch.autograd.grad(z, (x, w), dz)
    x, w, dz = (t.detach().to(dtype) for t in (x, w, dz))
    close(native.conv(x, w, stride), z.detach().to(dtype), tolerance)
    close(native.conv_data_grad(dz, w, height, width, stride), dx.to(dtype), tolerance)
    close(native.conv_weight_grad(x, dz, stride), dw.to(dtype), tolerance)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("outputs", [1, 2, 3, 5, 16, 64])
@pytest.mark.parametrize("channels", [1, 2, 7, 8, 17, 80])
def test_conv_channels(kernels, channels, outputs, stride):
    conv_agrees(2, 5, 7, 4, channels, outputs, stride)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", [(1, 1), (1, 5), (6, 1), (2, 2), (4, 4), (7, 7), (14, 14), (28, 28), (3, 9), (8, 5)])
def test_conv_sizes(kernels, size, stride):
    for channels, outputs in ((1, 16), (16, 1), (9, 24), (8, 8)):
        conv_agrees(2, 2, *size, channels, outputs, stride)


@pytest.mark.parametrize("images", [*range(1, 14), 25])
def test_conv_images(kernels, images):
    """Every way to split the images into tiles."""
    for stride, (channels, outputs) in itertools.product((1, 2), ((8, 16), (3, 9), (10, 1))):
        conv_agrees(3, images, 4, 3, channels, outputs, stride)


def test_conv_many_images_for_one_chunk(kernels):
    conv_agrees(1, 80, 7, 7, 64, 64, 2)
    conv_agrees(2, 33, 6, 5, 12, 20, 1)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize(("channels", "outputs"), [(64, 64), (1, 64), (17, 5), (32, 1), (2, 16)])
def test_conv_float32(kernels, channels, outputs, stride):
    conv_agrees(2, 7, 14, 9, channels, outputs, stride, torch.float32, 2e-5)


@pytest.mark.parametrize("relu", [True, False])
@pytest.mark.parametrize("channels", [1, 4, 5, 8, 17, 64, 71])
@pytest.mark.parametrize("rows", [(1, 1, 1), (2, 2, 1), (5, 7, 4), (9, 14, 14)])
def test_norm(kernels, rows, channels, relu):
    norm_agrees((3, *rows, channels), relu)


@pytest.mark.parametrize("relu", [True, False])
def test_norm_float32(kernels, relu):
    norm_agrees((2, 5, 14, 14, 64), relu, torch.float32, 3e-5)


def norm_agrees(shape, relu, dtype=torch.float64, tolerance=1e-11):
    eps = 1e-2  # so that even a single row has a gradient of normal size
    z, gamma, beta = random(*shape) + 3, random(shape[0], shape[-1], seed=1), random(shape[0], shape[-1], seed=2)
    a, mean, rstd = plain_norm(z.requires_grad_(), gamma.requires_grad_(), beta.requires_grad_(), eps, relu)
    da = random(*shape, seed=3).requires_grad_()
    grads = torch.autograd.grad(a, (z, gamma, beta), da, create_graph=True)
    cotangents = [random(*g.shape, seed=4 + i) for i, g in enumerate(grads)]
    tensors = [t.detach().to(dtype) for t in (z, mean, rstd, gamma, beta, da)]
    for actual, expected in zip(native.norm_relu(tensors[0], *tensors[3:5], eps, relu), (a, mean, rstd), strict=True):
        close(actual, expected.detach().to(dtype), tolerance)
    for actual, expected in zip(native.norm_relu_grad(*tensors, relu), grads, strict=True):
        close(actual, expected.detach().to(dtype), tolerance)
    # each cotangent alone, with None for the others, then all of them
    for given in ((0,), (1,), (2,), (0, 1, 2)):
        inner = sum((grads[i] * cotangents[i]).sum() for i in given)
        expected = torch.autograd.grad(inner, (z, gamma, beta, da), retain_graph=True, allow_unused=True)
        u = [cotangents[i].to(dtype) if i in given else None for i in range(3)]
        grad_z, grad_gamma, grad_da = native.norm_relu_grad_grad(tuple(tensors), tuple(u), relu)
        for actual, wanted, like in (
            (grad_z, expected[0], z),
            (grad_gamma, expected[1], gamma),
            (grad_da, expected[3], da),
        ):
            close(actual, (torch.zeros_like(like) if wanted is None else wanted).detach().to(dtype), tolerance)
        assert expected[2] is None or not expected[2].any()  # why no gradient for beta is returned


def test_norm_keeps_digits_far_from_zero(kernels):
    z = random(1, 20, 8, 8, 16) + 3000
    a, mean, rstd = native.norm_relu(z.float(), torch.ones(1, 16), torch.zeros(1, 16), 1e-5, False)
    ones = torch.ones(1, 16, dtype=torch.float64)
    _, exact_mean, exact_rstd = plain_norm(z.float().double(), ones, 0 * ones, 1e-5, False)
    torch.testing.assert_close(mean.double(), exact_mean, rtol=2e-7, atol=0)
    torch.testing.assert_close(rstd.double(), exact_rstd, rtol=1e-6, atol=0)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("channels", [1, 16])
def test_bad_values_reach_the_output(kernels, bad, channels):
    x, w, z = random(2, 5, 4, 4, channels), random(2, 3, 3, channels, 16), random(2, 5, 4, 4, 16)
    x[1, 2, 1, 1, 0] = bad
    out, expected = native.conv(x, w, 1), plain_conv(x, w, 1)
    assert torch.equal(out.isfinite(), expected.isfinite()) and not out.isfinite().all()
    out = native.conv_weight_grad(x, z, 1)
    assert out[0].isfinite().all() and not out[1, :, :, 0].isfinite().any()
    z[1, 2, 1, 1, 3] = bad
    out = native.conv_data_grad(z, w, 4, 4, 1)
    assert out[0].isfinite().all() and not out[1, 2, :3, :3].isfinite().any() and out[1, 2, 3].isfinite().all()
    gamma, beta = torch.ones(2, 16, dtype=z.dtype), torch.zeros(2, 16, dtype=z.dtype)
    a, mean, rstd = native.norm_relu(z, gamma, beta, 1e-5)
    for tensor in (a, *native.norm_relu_grad(z, mean, rstd, gamma, beta, z)):
        assert tensor[0].isfinite().all() and not tensor[1, ..., 3].isfinite().any()
        assert tensor[1, ..., :3].isfinite().all() and tensor[1, ..., 4:].isfinite().all()


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_bad_values_pass_the_pooling(kernels, bad):
    z, ones = random(2, 5, 4, 4, 17), torch.ones(2, 17, dtype=torch.float64)
    z[1, 2, 1, 1, 3] = bad
    y, mean, rstd = native_pooling.norm_relu_pool(z, ones, 0 * ones, 1e-5)
    for tensor in (y, *native_pooling.norm_relu_pool_grad(z, mean, rstd, ones, 0 * ones, y)):
        assert tensor[0].isfinite().all() and not tensor[1, ..., 3].isfinite().any()
        assert tensor[1, ..., :3].isfinite().all() and tensor[1, ..., 4:].isfinite().all()


def test_pooling_in_float32_and_task_by_task(kernels):
    """Near the exact values, and a task's are those that it has alone."""
    z, gamma, beta, dy, uz = (
        random(3, *shape, seed=i)
        for i, shape in enumerate(((5, 21, 21, 32), (32,), (32,), (5, 10, 10, 32), (5, 21, 21, 32)))
    )

    def all_of(z, gamma, beta, dy, uz):
        y, mean, rstd = native_pooling.norm_relu_pool(z, gamma, beta, 1e-5)
        saved = (z, mean, rstd, gamma, beta, dy)
        first = native_pooling.norm_relu_pool_grad(*saved)
        second = [
            native_pooling.norm_relu_pool_grad_grad(saved, given) for given in ((uz, gamma, beta), (None, gamma, None))
        ]
        return [y, mean, rstd, *first, *second[0], *second[1]]

    inputs = [z, gamma, beta, dy, uz]
    exact, found = all_of(*inputs), all_of(*(value.float() for value in inputs))
    for actual, expected in zip(found, exact, strict=True):
        close(actual, expected.float(), 1e-4)
    for task in range(3):
        alone = all_of(*(value[task : task + 1].float() for value in inputs))
        assert all(torch.equal(a, b[task : task + 1]) for a, b in zip(alone, found, strict=True))


@pytest.mark.parametrize("wrong", [(2, 5, 3, 3, 4), (2, 5, 2, 2, 5), (2, 5, 2, 4)])
def test_wrong_shapes_of_pooling_are_refused(kernels, wrong):
    z, rows = random(2, 5, 4, 4, 4), [random(2, 4)] * 4
    with pytest.raises(ValueError, match="norm_relu_pool_grad: shapes"):
        native_pooling.norm_relu_pool_grad(z, *rows, random(*wrong))


def test_a_task_does_not_depend_on_its_neighbours(kernels):
    x, w, dz = (random(6, *s, dtype=torch.float32) for s in ((5, 7, 7, 9), (3, 3, 9, 24), (5, 4, 4, 24)))
    gamma = torch.ones(6, 24)
    for one in range(6):
        part = slice(one, one + 1)
        assert torch.equal(native.conv(x, w, 2)[part], native.conv(x[part], w[part], 2))
        assert torch.equal(
            native.conv_data_grad(dz, w, 7, 7, 2)[part], native.conv_data_grad(dz[part], w[part], 7, 7, 2)
        )
        assert torch.equal(native.conv_weight_grad(x, dz, 2)[part], native.conv_weight_grad(x[part], dz[part], 2))
        assert torch.equal(
            native.norm_relu(dz, gamma, gamma, 1e-5)[0][part],
            native.norm_relu(dz[part], gamma[part], gamma[part], 1e-5)[0],
        )


def test_threads_do_not_share_scratch(kernels):
    jobs = [
        (i, random(3, 5, 7, 7, c, seed=i), random(3, 3, 3, c, o, seed=i))
        for i, (c, o) in enumerate([(16, 17), (1, 64), (24, 3), (5, 9)])
    ]

    def work(x, w):
        z = native.conv(x, w, 1)
        ones = torch.ones(3, z.shape[-1], dtype=z.dtype)
        a, mean, rstd = native.norm_relu(z, ones, ones, 1e-5)
        return [z, a, *native.norm_relu_grad_grad((z, mean, rstd, ones, ones, a), (z, ones, ones)),
                native.conv_data_grad(z, w, 7, 7, 1), native.conv_weight_grad(x, z, 1)]  # fmt: skip

    expected = {i: work(x, w) for i, x, w in jobs}
    wrong = []

    def repeat(order):
        for _ in range(20):
            for i, x, w in order:
                if not all(torch.equal(a, b) for a, b in zip(work(x, w), expected[i], strict=True)):
                    wrong.append(i)

    threads = [threading.Thread(target=repeat, args=(order,)) for order in (jobs, jobs[::-1])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_strided_views_are_read_rightly(kernels):
    x, w = random(4, 2, 5, 5, 6).transpose(0, 1), random(2, 3, 3, 8, 6).transpose(3, 4)
    assert torch.equal(native.conv(x, w, 1), native.conv(x.contiguous(), w.contiguous(), 1))


def test_nothing_in_nothing_out(kernels):
    assert native.conv(torch.zeros(0, 5, 4, 4, 8), torch.zeros(0, 3, 3, 8, 8), 1).shape == (0, 5, 4, 4, 8)
    assert native.conv(torch.zeros(2, 0, 4, 4, 8), torch.zeros(2, 3, 3, 8, 8), 2).shape == (2, 0, 2, 2, 8)
    assert native.conv_data_grad(torch.zeros(2, 0, 4, 4, 8), torch.zeros(2, 3, 3, 8, 8), 4, 4, 1).shape == (
        2,
        0,
        4,
        4,
        8,
    )
    assert not native.conv_weight_grad(torch.zeros(2, 0, 4, 4, 8), torch.zeros(2, 0, 4, 4, 8), 1).any()


def test_wrong_shapes_are_named(kernels):
    x, w, row = torch.zeros(2, 5, 4, 4, 8), torch.zeros(2, 3, 3, 8, 16), torch.zeros(2, 8)
    for call in (
        lambda: native.conv(x, w[:1], 1),
        lambda: native.conv(x, w, 3),
        lambda: native.conv(x, w, 1, 0),
        lambda: native.conv(x[:, :, :2], w, 2, 0),
        lambda: native.conv_weight_grad(x, x, 2, 0),
        lambda: native.conv(x[0], w, 1),
        lambda: native.conv(x[..., :4], w, 1),
        lambda: native.conv_data_grad(x, w, 4, 4, 1),
        lambda: native.conv_data_grad(torch.zeros(2, 5, 4, 4, 16), w, 9, 8, 2),
        lambda: native.conv_weight_grad(x, x, 2),
        lambda: native.norm_relu(x, row[:1], row, 1e-5),
        lambda: native.norm_relu(x[:, :0], row, row, 1e-5),
        lambda: native.norm_relu_grad(x, row, row, row, row, x[:, :4]),
        lambda: native.norm_relu_grad_grad((x, row, row, row, row, x), (x[:, 1:], None, None)),
        lambda: native.norm_relu_grad_grad((x, row, row, row, row, x), (None, row.T, None)),
    ):
        with pytest.raises(ValueError, match=r"shapes \("):
            call()
    with pytest.raises(ValueError, match="float64"):
        native.conv(x, w.double(), 1)
    with pytest.raises(ValueError, match="float16"):
        native.conv(x.half(), w.half(), 1)


# ---- building and falling back ----------------------------------------------------------


def test_no_compiler(unloaded, monkeypatch, capsys):
    monkeypatch.setenv("PATH", str(unloaded))
    assert not native.available() and not native.available()
    assert "no C++ compiler" in native.why_not()
    (line,) = capsys.readouterr().err.splitlines()
    assert "plain torch" in line and "pip install 'megan[compiler]'" in line
    with pytest.raises(machine.SettingsError, match=r"no C\+\+ compiler"):
        native.conv(torch.zeros(1, 1, 2, 2, 1), torch.zeros(1, 3, 3, 1, 1), 1)
    monkeypatch.setenv("MEGAN_KERNEL", "native")
    with pytest.raises(machine.SettingsError, match=r"MEGAN_KERNEL = 'native': no C\+\+ compiler"):
        native.available()
    assert not (unloaded / "cache").exists()


def test_an_installed_compiler_serves_where_the_path_has_none(unloaded, monkeypatch):
    """As ziglang's: a module of this Python."""
    monkeypatch.setenv("PATH", str(unloaded))
    compiler = unloaded / "mine"
    compiler.write_text("#!/bin/sh\necho mine\n")
    compiler.chmod(0o755)
    monkeypatch.setattr(compiled, "_ziglang", lambda: [str(compiler)])
    assert compiled._compiler() == ([str(compiler)], "mine\n")


def test_ziglang_is_asked_through_this_python(monkeypatch):
    monkeypatch.setattr(compiled.importlib.util, "find_spec", lambda name: name)
    assert shlex.split(*compiled._ziglang()) == [sys.executable, "-m", "ziglang", "c++"]
    monkeypatch.setattr(compiled.importlib.util, "find_spec", lambda name: None)
    assert compiled._ziglang() == []


def test_a_named_compiler_that_is_none(unloaded, monkeypatch):
    monkeypatch.setenv("CXX", str(unloaded / "nowhere"))
    assert not native.available()
    assert "CXX" in native.why_not() and "nowhere" in native.why_not()


def test_a_compiler_that_fails(unloaded, monkeypatch):
    compiler = unloaded / "compiler"
    compiler.write_text('#!/bin/sh\n[ "$1" = --version ] && echo mine && exit 0\necho sorry >&2\nexit 1\n')
    compiler.chmod(0o755)
    monkeypatch.setenv("CXX", str(compiler))
    assert not native.available()
    assert "cannot compile" in native.why_not() and "sorry" in native.why_not()
    assert not list((unloaded / "cache").iterdir())


def test_a_cache_that_cannot_be_written(unloaded, monkeypatch):
    (unloaded / "cache").write_text("a file, not a folder")
    assert not native.available()
    assert native.why_not()


def test_torch_compiles_nothing(unloaded, monkeypatch):
    monkeypatch.setenv("MEGAN_KERNEL", "torch")
    monkeypatch.setattr(native, "_load", lambda: pytest.fail("loads"))
    assert not native.available()
    assert native.why_not() == "MEGAN_KERNEL = 'torch'"


def test_the_library_is_kept_and_mended(kernels, unloaded, monkeypatch):
    """A small source is compiled once, again when the source changes, and again when the library is damaged."""
    source = unloaded / "small.cpp"
    source.write_text('extern "C" int answer() { return 42; }\n')
    runs = []
    compile_ = compiled._compile
    monkeypatch.setattr(compiled, "_compile", lambda *arguments: (runs.append(1), compile_(*arguments)))
    assert compiled.library(source).answer() == 42
    (first,) = (unloaded / "cache").iterdir()
    compiled.library(source)
    assert len(runs) == 1
    source.write_text('extern "C" int answer() { return 43; }\n')
    assert compiled.library(source).answer() == 43
    (second,) = set((unloaded / "cache").iterdir()) - {first}
    assert first != second and len(runs) == 2
    monkeypatch.setattr(compiled, "_cpu", lambda: "another")
    with monkeypatch.context() as broken:
        broken.setattr(compiled, "_compile", lambda _, source, path: path.write_bytes(b"damaged"))
        with pytest.raises(compiled.Unavailable, match="do not load"):
            compiled.library(source)
    assert compiled.library(source).answer() == 43
    assert len(runs) == 3


def test_processes_may_race(kernels, unloaded, monkeypatch):
    source = unloaded / "small.cpp"
    source.write_text('extern "C" int answer() { return 42; }\n')
    compiler, _ = compiled._compiler()
    path = unloaded / "cache" / "library.so"
    threads = [threading.Thread(target=compiled._compile, args=(compiler, source, path)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ctypes.CDLL(str(path)).answer() == 42
    assert list(path.parent.iterdir()) == [path]
