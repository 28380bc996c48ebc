"""Kernels compiled beforehand: the level chosen, the library loaded, its numbers, and a machine without a compiler."""

import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from megan.ops import compiled, native, normalisation, prebuilt, separate
from tools import build_wheel

ROOT = Path(__file__).parents[2]
V2, V3, V4 = (prebuilt.LEVELS["x86_64"][f"x86-64-v{number}"] for number in (2, 3, 4))
HERE = prebuilt.usable(platform.machine(), prebuilt.processor_flags())


def compiler(level):
    """This machine's own, or ziglang's where it is installed: the one that builds wheels."""
    try:
        command, _ = compiled._compiler()
    except compiled.Unavailable as error:
        pytest.skip(str(error))
    if compiled._ziglang():
        return build_wheel.zig(platform.machine(), level)
    return [*command, *([] if level == "aarch64" else [f"-march={level}"])]


@pytest.fixture(scope="module")
def libraries(tmp_path_factory):
    """A folder with the kernels for each level that this processor can run."""
    if not HERE:
        pytest.skip(f"no level for {platform.machine()}")
    folder = tmp_path_factory.mktemp("libraries")
    for level in HERE:
        build_wheel.build(compiler(level), native.SOURCES, level, folder)
    return folder


@pytest.fixture
def small(tmp_path, monkeypatch):
    """A source of one line, with a library for each level that this processor can run."""
    if not HERE:
        pytest.skip(f"no level for {platform.machine()}")
    source = tmp_path / "small.cpp"
    source.write_text('extern "C" int answer() { return 42; }\n')
    folder = tmp_path / "libraries"
    folder.mkdir()
    for level in HERE:
        build_wheel.build(compiler(level), (source,), level, folder)
    monkeypatch.setattr(prebuilt, "places", lambda: [tmp_path / "nowhere", folder])
    return source, folder


def found(source):
    return prebuilt.library(source.read_bytes(), source.stem)


@pytest.mark.parametrize(
    ("machine", "flags", "best"),
    [
        ("x86_64", V4, "x86-64-v4"),
        ("x86_64", V4 | {"sha_ni", "avx512_bf16"}, "x86-64-v4"),
        *[("x86_64", V4 - {flag}, "x86-64-v3") for flag in sorted(V4 - V3)],
        *[("x86_64", V4 - {flag}, "x86-64-v2") for flag in sorted(V3 - V2)],
        *[("x86_64", V4 - {flag}, None) for flag in sorted(V2)],
        ("aarch64", {"fp", "asimd", "sve"}, "aarch64"),
        ("aarch64", {"fp"}, None),
        ("riscv64", V4, None),
    ],
)
def test_the_level_follows_from_the_flags(machine, flags, best):
    levels = prebuilt.usable(machine, flags)
    assert (levels[0] if levels else None) == best
    assert levels == [level for level in prebuilt.LEVELS.get(machine, ()) if level in levels]  # best first


@pytest.mark.parametrize(
    ("text", "flags"),
    [
        (
            "processor\t: 0\nflags\t\t: fpu avx2 fma\nbugs : x\n\nprocessor\t: 1\nflags\t: none\n",
            {"fpu", "avx2", "fma"},
        ),
        ("processor : 0\nBogoMIPS : 50.00\nFeatures\t: fp asimd crc32\nCPU part : 0xd0c\n", {"fp", "asimd", "crc32"}),
        ("", set()),
    ],
)
def test_flags_are_read_from_what_linux_says(tmp_path, text, flags):
    (tmp_path / "cpuinfo").write_text(text)
    assert prebuilt.processor_flags(tmp_path / "cpuinfo") == flags
    assert prebuilt.processor_flags(tmp_path / "absent") == set()


@pytest.mark.parametrize("level", HERE)
def test_the_library_is_the_one_for_the_processor(small, monkeypatch, level):
    source, _ = small
    monkeypatch.setattr(prebuilt, "processor_flags", lambda: prebuilt.LEVELS[platform.machine()][level])
    library = found(source)
    assert prebuilt.level_of(library) == level and library.answer() == 42
    assert prebuilt.level_of(compiled.library(source)) == level


def test_a_library_of_another_source_is_none(small):
    source, _ = small
    source.write_text('extern "C" int answer() { return 43; }\n')
    assert found(source) is None


def replaced(folder, source, level, content):
    path = folder / prebuilt.name(source.read_bytes(), source.stem, level)
    path.unlink()
    path.write_bytes(content)


def test_what_does_not_load_is_passed_over(small):
    source, folder = small
    replaced(folder, source, HERE[0], b"damaged")
    library = found(source)
    assert prebuilt.level_of(library) == HERE[1] if HERE[1:] else library is None


def test_what_says_another_level_is_passed_over(small):
    source, folder = small
    other = build_wheel.build(compiler(HERE[-1]), (source,), "another", folder).read_bytes()
    for level in HERE:
        replaced(folder, source, level, other)
    assert found(source) is None


def test_a_named_compiler_compiles_all_the_same(small, monkeypatch, tmp_path):
    source, _ = small
    command, _ = compiled._compiler()
    monkeypatch.setenv("CXX", command[0])
    monkeypatch.setenv("MEGAN_CACHE", str(tmp_path / "cache"))
    assert prebuilt.level_of(compiled.library(source)) == ""
    assert list((tmp_path / "cache").iterdir())


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def close(ours, theirs):
    for mine, other in zip(ours, theirs, strict=True):
        assert float((mine - other).norm()) <= 1e-12 * float(other.norm())


@pytest.mark.parametrize("level", HERE)
def test_kernels_of_a_level_agree_with_torch(libraries, monkeypatch, level):
    monkeypatch.setattr(prebuilt, "places", lambda: [libraries])
    monkeypatch.setattr(prebuilt, "processor_flags", lambda: prebuilt.LEVELS[platform.machine()][level])
    monkeypatch.setattr(native, "_functions", {})
    monkeypatch.setattr(native, "_failure", None)
    monkeypatch.setattr(native, "_level", "")
    monkeypatch.setenv("MEGAN_KERNEL", "native")
    monkeypatch.delenv("CXX", raising=False)
    assert native.available() and native.level() == level
    for images, side, channels, outputs, stride in ((5, 28, 1, 64, 2), (7, 14, 64, 64, 2), (3, 7, 17, 5, 1)):
        x, w = random(2, images, side, side, channels), random(2, 3, 3, channels, outputs, seed=1)
        dz = random(*separate.conv(x, w, stride).shape, seed=2)
        close(
            [native.conv(x, w, stride), native.conv_data_grad(dz, w, side, side, stride),
             native.conv_weight_grad(x, dz, stride)],
            [separate.conv(x, w, stride), separate.conv_data_grad(dz, w, side, side, stride),
             separate.conv_weight_grad(x, dz, stride)],
        )  # fmt: skip
        mean, r = normalisation._statistics(dz)
        gamma, beta, ugamma, ubeta = (random(2, outputs, seed=seed) for seed in (3, 4, 5, 6))
        da, uz = random(*dz.shape, seed=7), random(*dz.shape, seed=8)
        close(
            native.norm_relu(dz, gamma, beta, normalisation.EPSILON),
            (normalisation._value(dz, gamma, beta, mean, r, True), mean, r),
        )
        close(
            native.norm_relu_grad(dz, mean, r, gamma, beta, da),
            normalisation._first(dz, gamma, beta, mean, r, da, True),
        )
        close(
            native.norm_relu_grad_grad((dz, mean, r, gamma, beta, da), (uz, ugamma, ubeta)),
            normalisation._second((dz, gamma, beta, mean, r, da), (uz, ugamma, ubeta), True),
        )


def test_a_clone_without_a_compiler_finds_the_installed_wheels_kernels(libraries, tmp_path):
    """A new process with nothing on its PATH, and an installed `megan` beside the clone that it runs."""
    site = tmp_path / "site"
    shutil.copytree(libraries, site / "megan" / "ops" / prebuilt.FOLDER)
    about = site / "megan-0.1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: megan\nVersion: 0.1.0\n")
    (tmp_path / "empty").mkdir()
    kept = {key: value for key, value in os.environ.items() if key not in ("CXX", "MEGAN_KERNEL")}
    program = "from megan.ops import kernels, native; print(native.available(), kernels.name('cpu'), native.why_not())"

    def run(path):
        environment = kept | {
            "PATH": str(tmp_path / "empty"),
            "PYTHONPATH": os.pathsep.join(path),
            "MEGAN_CACHE": str(tmp_path / "cache"),
        }  # fmt: skip
        return subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, env=environment, cwd=tmp_path, check=True
        )

    answer = run([str(ROOT), str(site)])
    assert answer.stdout.split() == ["True", "native", HERE[0]] and not answer.stderr
    assert not (tmp_path / "cache").exists()
    if not compiled._ziglang():  # and without the wheel: plain torch, with one line that says what to install
        answer = run([str(ROOT)])
        assert answer.stdout.startswith("False by shape") and len(answer.stderr.splitlines()) == 1
        assert "pip install 'megan[compiler]'" in answer.stderr
