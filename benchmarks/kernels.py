"""Speed of the native CPU kernels, compared with torch and with the limit of the core.

One thread, all candidates interleaved within one run: compare columns, not runs.

    python -m benchmarks.kernels                   # all
    python -m benchmarks.kernels --only conv       # or norm
    python -m benchmarks.kernels --dtype float64 --seconds 1

Convolutions in GFLOP/s, 2 * 9 * C * O for each output pixel whether or not taps lie in the
padding (the kernels leave those out, so small images can exceed the limit). The limit is the
best of several large matrix products. Batch norm in GB/s of tensors read and written once.
"""

import argparse
import time
from collections.abc import Callable

import torch

from benchmarks import grouped
from megan.ops import gathered, native, separate

# tasks, images, height, width, channels in and out, stride
CONVOLUTIONS = [
    (4, 5, 28, 28, 1, 64, 2),
    (4, 75, 28, 28, 1, 64, 2),
    (4, 75, 28, 28, 2, 64, 2),
    (4, 5, 14, 14, 64, 64, 2),
    (4, 75, 14, 14, 64, 64, 2),
    (4, 5, 7, 7, 64, 64, 2),
    (4, 75, 7, 7, 64, 64, 2),
    (4, 5, 4, 4, 64, 64, 2),
    (4, 25, 4, 4, 64, 64, 2),
    (4, 75, 4, 4, 64, 64, 2),
    (4, 5, 2, 2, 64, 64, 1),
    (4, 5, 28, 28, 64, 64, 1),
    (4, 5, 28, 28, 16, 16, 1),
    (4, 5, 28, 28, 32, 16, 1),
    (4, 5, 14, 14, 32, 32, 1),
    (4, 5, 14, 14, 80, 17, 1),
    (4, 5, 28, 28, 16, 1, 1),
    (32, 5, 14, 14, 64, 64, 2),
    (1, 5, 84, 84, 3, 32, 1),
    (1, 5, 42, 42, 32, 32, 1),
    (1, 5, 21, 21, 32, 32, 1),
]
# tasks, images, height, width, channels
NORMS = [
    (4, 5, 14, 14, 64),
    (4, 75, 14, 14, 64),
    (4, 75, 7, 7, 64),
    (4, 5, 2, 2, 64),
    (4, 75, 2, 2, 64),
    (4, 5, 28, 28, 16),
    (1, 5, 84, 84, 32),
    (1, 5, 42, 42, 32),
]


def interleaved(candidates: dict[str, Callable[[], object]], seconds: float) -> dict[str, float]:
    """The best time of each candidate over rounds that run each once, for about `seconds` in all."""
    best = dict.fromkeys(candidates, float("inf"))
    end = time.perf_counter() + seconds
    rounds = 0
    while rounds < 3 or time.perf_counter() < end:
        for name, run in candidates.items():
            start = time.perf_counter()
            run()
            best[name] = min(best[name], time.perf_counter() - start)
        rounds += 1
    return best


def limit(dtype: torch.dtype) -> Callable[[], object]:
    a, b, c = (torch.randn(384, 384, dtype=dtype) for _ in range(3))
    return lambda: torch.mm(a, b, out=c)


def convolutions(dtype: torch.dtype, seconds: float) -> None:
    top = limit(dtype)
    print(
        f"{'T':>3}{'B':>4}{'H':>4}{'W':>4}{'C':>4}{'O':>4}{'s':>3}"
        "  kernel       native gathered separate grouped  limit  native/limit"
    )
    for tasks, images, height, width, channels, outputs, stride in CONVOLUTIONS:
        x = torch.randn(tasks, images, height, width, channels, dtype=dtype)
        w = torch.randn(tasks, 3, 3, channels, outputs, dtype=dtype)
        dz = torch.randn_like(native.conv(x, w, stride))
        flops = 2 * 9 * channels * dz.numel()
        for kernel, arguments in (
            ("conv", (x, w, stride)),
            ("data_grad", (dz, w, height, width, stride)),
            ("weight_grad", (x, dz, stride)),
        ):
            function = kernel if kernel == "conv" else f"conv_{kernel}"
            names = {"native": native, "gathered": gathered, "separate": separate, "grouped": grouped}
            runs = {name: lambda m=module, f=function, a=arguments: getattr(m, f)(*a) for name, module in names.items()}
            best = interleaved({**runs, "limit": top}, seconds)
            rate = {name: flops / best[name] / 1e9 for name in names} | {"limit": 2 * 384**3 / best["limit"] / 1e9}
            shape = f"{tasks:3}{images:4}{height:4}{width:4}{channels:4}{outputs:4}{stride:3}"
            print(
                f"{shape}  {kernel:12}"
                + "".join(f"{rate[n]:7.1f} " for n in rate)
                + f"{rate['native'] / rate['limit']:10.2f}",
                flush=True,
            )


def norms(dtype: torch.dtype, seconds: float) -> None:
    print(f"{'T':>3}{'B':>4}{'H':>4}{'W':>4}{'O':>4}  kernel      native   torch    copy   (GB/s)")
    for shape in NORMS:
        z, da, uz = (torch.randn(shape, dtype=dtype) for _ in range(3))
        gamma, beta, ug, ub = (torch.randn(shape[0], shape[-1], dtype=dtype) for _ in range(4))
        a, mean, rstd = native.norm_relu(z, gamma, beta, 1e-5)
        wide = lambda t: t[:, None, None, None]  # noqa: E731

        def forward(z=z, gamma=gamma, beta=beta, wide=wide):
            variance, mean = torch.var_mean(z, dim=(1, 2, 3), keepdim=True, correction=0)
            return ((z - mean) * torch.rsqrt(variance + 1e-5) * wide(gamma) + wide(beta)).relu()

        def backward(z=z, gamma=gamma, beta=beta, mean=mean, rstd=rstd, da=da, wide=wide):
            xhat = (z - wide(mean)) * wide(rstd)
            g = da * (xhat * wide(gamma) + wide(beta) > 0)
            slope, offset = (g * xhat).mean((1, 2, 3), keepdim=True), g.mean((1, 2, 3), keepdim=True)
            return wide(gamma * rstd) * (g - offset - xhat * slope)

        saved = (z, mean, rstd, gamma, beta, da)
        for kernel, tensors, run, reference in (
            ("forward", 2, lambda: native.norm_relu(z, gamma, beta, 1e-5), forward),  # noqa: B023
            ("grad", 3, lambda: native.norm_relu_grad(*saved), backward),  # noqa: B023
            ("grad_grad", 5, lambda: native.norm_relu_grad_grad(saved, (uz, ug, ub)), None),  # noqa: B023
        ):
            runs = {"native": run, "copy": lambda: a.copy_(z)}  # noqa: B023
            if reference:
                runs["torch"] = reference
            best = interleaved(runs, seconds)
            size = z.numel() * z.element_size() / 1e9
            rate = {name: size * (2 if name == "copy" else tensors) / spent for name, spent in best.items()}
            line = "".join(f"{value:3}" if i == 0 else f"{value:4}" for i, value in enumerate(shape))
            print(
                f"{line}  {kernel:10}{rate['native']:7.1f} {rate.get('torch', float('nan')):7.1f} {rate['copy']:7.1f}",
                flush=True,
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=["conv", "norm"])
    parser.add_argument("--dtype", choices=["float32", "float64"], default="float32")
    parser.add_argument("--seconds", type=float, default=0.3, help="for each line of the table")
    options = parser.parse_args()
    if not native.available():
        parser.error(f"the native kernels are not available: {native.why_not()}")
    torch.set_num_threads(1)
    dtype = getattr(torch, options.dtype)
    with torch.no_grad():
        if options.only != "norm":
            convolutions(dtype, options.seconds)
        if options.only != "conv":
            norms(dtype, options.seconds)


if __name__ == "__main__":
    main()
