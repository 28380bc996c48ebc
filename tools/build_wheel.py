"""Builds wheels that hold the native kernels compiled beforehand, so that users need no compiler.

    pip install -c constraints.txt -e '.[compiler]'
    python -m tools.build_wheel                       # x86_64 and aarch64 into dist/, some five minutes
    python -m tools.build_wheel --machine x86_64

A wheel has a library for each level of its processors (`megan/ops/prebuilt.py`), and is good for any
Python 3 on Linux with glibc 2.17 or newer. ziglang's compiler makes all of them on one machine.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from megan.ops import compiled, native, prebuilt

ROOT = Path(__file__).parents[1]
ZIG = [sys.executable, "-m", "ziglang", "c++"]
GLIBC = (2, 17)
PACKAGED = ("pyproject.toml", "README.md", "LICENSE", "megan")  # what a wheel is made from


class BuildError(Exception):
    """A compiler or pip failed; the message is what it said."""


def zig(machine: str, level: str) -> list[str]:
    """The command line of a compiler for a level of processor, whichever machine this is."""
    processor = "generic" if level == machine else level.replace("-", "_")
    return [*ZIG, "-target", f"{machine}-linux-gnu.{GLIBC[0]}.{GLIBC[1]}", f"-mcpu={processor}"]


def build(command: list[str], sources: tuple[Path, ...], level: str, folder: Path) -> Path:
    """Compile a library for `level` into `folder` by `command`, which names the processor. Returns its path.

    `sources` as `compiled.library` takes them.
    """
    path = folder / prebuilt.name(compiled.read(*sources), sources[0].stem, level)
    with tempfile.TemporaryDirectory() as scratch:
        told = Path(scratch) / "level.cpp"
        told.write_text(f'extern "C" const char *megan_level() {{ return "{level}"; }}\n')
        _run([*command, *compiled.FLAGS, "-s", "-o", str(path), str(sources[0]), str(told)])
    return path


def wheel(machine: str, into: Path, say=print) -> Path:
    """Compile the kernels for the levels of `machine`, and pack the wheel. Returns its path."""
    with tempfile.TemporaryDirectory() as scratch:
        tree = Path(scratch) / "tree"
        tree.mkdir()
        for name in PACKAGED:
            copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
            copy(ROOT / name, tree / name)
        folder = tree / "megan" / "ops" / prebuilt.FOLDER
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        for level in prebuilt.LEVELS[machine]:
            built = build(zig(machine, level), native.SOURCES, level, folder)
            say(f"{built.name}: {built.stat().st_size / 2**20:.2f} MiB")
        packed = Path(scratch) / "packed"
        tag = f"manylinux_{GLIBC[0]}_{GLIBC[1]}_{machine}"
        _run([sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(packed),
              f"--config-settings=--build-option=--plat-name={tag}", str(tree)])  # fmt: skip
        (made,) = packed.iterdir()
        into.mkdir(parents=True, exist_ok=True)
        return Path(shutil.copy(made, into))


def _run(command: list[str]) -> None:
    answer = subprocess.run(command, capture_output=True, text=True, errors="replace")
    if answer.returncode:
        raise BuildError(f"{' '.join(command[:4])} ...: {answer.stderr.strip()[-2000:]}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    machines = list(prebuilt.LEVELS)
    parser.add_argument("--machine", nargs="+", choices=machines, default=machines)
    parser.add_argument("--output", type=Path, default=Path("dist"))
    options = parser.parse_args()
    try:
        for machine in options.machine:
            print(f"written: {wheel(machine, options.output)}", flush=True)
    except BuildError as error:
        print(f"no wheel: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
