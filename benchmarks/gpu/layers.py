"""Which formulation of the convolutions is the fastest for each layer."""

from collections.abc import Callable

import torch
from torch import Tensor

from benchmarks import flops, grouped
from benchmarks.gpu.setting import Size, wait
from benchmarks.kernels import interleaved
from benchmarks.tables import Row
from megan.ops import gathered, separate

FORMULATIONS = {"gathered": gathered, "separate": separate, "grouped": grouped}
LAYERS = (  # side, channels, outputs, stride: the classifier's, then the generators' at 14 and 28 pixels
    (28, 1, 64, 2),
    (14, 64, 64, 2),
    (7, 64, 64, 2),
    (4, 64, 64, 2),
    (14, 32, 16, 1),
    (28, 16, 16, 1),
)


def rows(device: str, size: Size) -> list[Row]:
    """One row for each layer, number of images and primitive."""
    return [
        row
        for layer in LAYERS
        for images in dict.fromkeys((5, 5 * max(size.queries)))
        for row in _layer(device, size, layer, images)
    ]


def _layer(device: str, size: Size, layer: tuple[int, int, int, int], images: int) -> list[Row]:
    side, channels, outputs, stride = layer
    x = torch.randn(size.tasks, images, side, side, channels, device=device)
    w = torch.randn(size.tasks, 3, 3, channels, outputs, device=device)
    dz = torch.randn_like(gathered.conv(x, w, stride))
    work = size.tasks * flops.primitive(dz.shape[2], channels, outputs, images)
    primitives: dict[str, tuple] = {
        "conv": (x, w, stride),
        "conv_data_grad": (dz, w, side, side, stride),
        "conv_weight_grad": (x, dz, stride),
    }
    found = []
    for primitive, arguments in primitives.items():
        turns = {name: _turn(getattr(module, primitive), arguments, device) for name, module in FORMULATIONS.items()}
        best = interleaved(turns, size.seconds / 10)
        fastest = min(best, key=best.__getitem__)
        found.append(
            {"layer": f"{side}x{side}x{channels} -> {outputs}, stride {stride}", "images": str(images)}
            | {"primitive": primitive}
            | {name: f"{1000 * best[name]:.3f}" for name in FORMULATIONS}
            | {"fastest": fastest, "TFLOP/s": f"{work / best[fastest] / 1e12:.2f}"}
        )
    return found


def _turn(primitive: Callable[..., Tensor], arguments: tuple, device: str) -> Callable[[], None]:
    def run() -> None:
        primitive(*arguments)
        wait(device)

    return run
