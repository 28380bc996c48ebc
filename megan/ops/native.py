"""Convolution and batch norm kernels in C++ for the CPU, compiled beforehand or at first use.

Raw kernels on contiguous CPU tensors (float32 or float64) with a leading task axis, channels
last, without autograd:

    x [T, B, H, W, C]    w [T, 3, 3, C, O]    z [T, B, OH, OW, O]

3x3 convolution, padding 1, stride 1 or 2, OH = (H - 1) // stride + 1; or no padding, stride 2,
OH = (H - 1) // 2. A call runs on the calling thread alone and releases the interpreter lock;
calls from several threads are independent. A task's result does not depend on the other tasks.
"""

import ctypes
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from megan.config import machine
from megan.ops import compiled, extent, prebuilt
from megan.runs import progress

# The file that is compiled, then those that it includes.
SOURCES = (
    Path(__file__).with_name("program.cpp"),
    Path(__file__).with_name("native.cpp"),
    Path(__file__).with_name("pooling.cpp"),
)

_POINTERS_AND_SIZES = {
    "conv": (3, 8, ()),
    "conv_data_grad": (3, 8, ()),
    "conv_weight_grad": (3, 8, ()),
    "norm": (6, 3, (ctypes.c_double, ctypes.c_int)),
    "norm_grad": (9, 3, (ctypes.c_int,)),
    "norm_grad_grad": (12, 3, (ctypes.c_int,)),
    "norm_pool": (6, 5, (ctypes.c_double,)),
    "norm_pool_grad": (9, 5, ()),
    "norm_pool_grad_grad": (12, 5, ()),
}
_TYPES = {torch.float32: "f32", torch.float64: "f64"}

Listener = Callable[[str, Sequence[Tensor | None], Sequence[Tensor], Sequence[float]], None]

_lock = threading.Lock()
_listeners = threading.local()
_functions: dict = {}  # (name, dtype) -> C function, once loaded; (run_program, None) too
_failure: str | None = None  # why the one attempt to load failed
_level = ""  # of kernels compiled beforehand


def available() -> bool:
    """Whether the kernels can be used; compiles them on the first call.

    False with `MEGAN_KERNEL=torch`, which compiles nothing. `SettingsError` with
    `MEGAN_KERNEL=native` where they cannot be built.
    """
    kernel = machine.kernel()
    if kernel == "torch":
        return False
    _load()
    if _failure is not None and kernel == "native":
        raise machine.SettingsError(f"MEGAN_KERNEL = 'native': {_failure}")
    return _failure is None


def level() -> str:
    """The level of processor that the kernels were compiled for beforehand; empty where this machine compiled them."""
    return _level


def why_not() -> str:
    """Why `available()` is false; empty where it is true."""
    if machine.kernel() == "torch":
        return "MEGAN_KERNEL = 'torch'"
    _load()
    return _failure or ""


def conv(x: torch.Tensor, w: torch.Tensor, stride: int, padding: int = 1) -> torch.Tensor:
    """x [T, B, H, W, C], w [T, 3, 3, C, O] -> z [T, B, OH, OW, O]."""
    if x.dim() != 5 or w.dim() != 5:
        raise _wrong("conv", x, w)
    tasks, batch, height, width, channels = x.shape
    outputs = w.shape[4]
    places = _extent((height, width), stride, padding)
    if places is None or w.shape != (tasks, 3, 3, channels, outputs):
        raise _wrong("conv", x, w, stride=stride, padding=padding)
    x, w = _prepare("conv", x, w)
    z = x.new_empty((tasks, batch, *places, outputs))
    _run("conv", (x, w), (z,), tasks, batch, height, width, channels, outputs, stride, padding)
    return z


def conv_data_grad(
    dz: torch.Tensor, w: torch.Tensor, height: int, width: int, stride: int, padding: int = 1
) -> torch.Tensor:
    """dz [T, B, OH, OW, O], w [T, 3, 3, C, O] -> dx [T, B, height, width, C]."""
    if dz.dim() != 5 or w.dim() != 5:
        raise _wrong("conv_data_grad", dz, w)
    tasks, batch, rows, columns, outputs = dz.shape
    channels = w.shape[3]
    if w.shape != (tasks, 3, 3, channels, outputs) or (rows, columns) != _extent((height, width), stride, padding):
        raise _wrong("conv_data_grad", dz, w, height=height, width=width, stride=stride, padding=padding)
    dz, w = _prepare("conv_data_grad", dz, w)
    dx = dz.new_empty((tasks, batch, height, width, channels))
    _run("conv_data_grad", (dz, w), (dx,), tasks, batch, height, width, channels, outputs, stride, padding)
    return dx


def conv_weight_grad(x: torch.Tensor, dz: torch.Tensor, stride: int, padding: int = 1) -> torch.Tensor:
    """x [T, B, H, W, C], dz [T, B, OH, OW, O] -> dw [T, 3, 3, C, O]."""
    if x.dim() != 5 or dz.dim() != 5:
        raise _wrong("conv_weight_grad", x, dz)
    tasks, batch, height, width, channels = x.shape
    outputs = dz.shape[4]
    places = _extent((height, width), stride, padding)
    if places is None or dz.shape != (tasks, batch, *places, outputs):
        raise _wrong("conv_weight_grad", x, dz, stride=stride, padding=padding)
    x, dz = _prepare("conv_weight_grad", x, dz)
    dw = x.new_empty((tasks, 3, 3, channels, outputs))
    _run("conv_weight_grad", (x, dz), (dw,), tasks, batch, height, width, channels, outputs, stride, padding)
    return dw


def norm_relu(
    z: torch.Tensor, gamma: torch.Tensor, beta: torch.Tensor, eps: float, relu: bool = True
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Batch norm with the batch's own statistics (biased variance), then ReLU.

    z [T, ..., O], gamma and beta [T, O] -> a [T, ..., O], mean [T, O], rstd [T, O]: the
    statistics of each task and channel over everything between the first and last axis.
    """
    tasks, count, channels = _norm_sizes("norm_relu", z, gamma, beta)
    z, gamma, beta = _prepare("norm", z, gamma, beta)
    a, mean, rstd = torch.empty_like(z), torch.empty_like(gamma), torch.empty_like(gamma)
    _run("norm", (z, gamma, beta), (a, mean, rstd), tasks, count, channels, eps, relu)
    return a, mean, rstd


def norm_relu_grad(
    z: torch.Tensor,
    mean: torch.Tensor,
    rstd: torch.Tensor,
    gamma: torch.Tensor,
    beta: torch.Tensor,
    da: torch.Tensor,
    relu: bool = True,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Gradient of `norm_relu`: z, da [T, ..., O], the others [T, O] -> dz [T, ..., O], dgamma, dbeta [T, O]."""
    tasks, count, channels = _norm_sizes("norm_relu_grad", z, mean, rstd, gamma, beta, like=(da,))
    z, mean, rstd, gamma, beta, da = tensors = _prepare("norm_grad", z, mean, rstd, gamma, beta, da)
    dz, dgamma, dbeta = torch.empty_like(z), torch.empty_like(gamma), torch.empty_like(gamma)
    _run("norm_grad", tensors, (dz, dgamma, dbeta), tasks, count, channels, relu)
    return dz, dgamma, dbeta


def norm_relu_grad_grad(
    saved: tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor],
    cotangents: tuple[Tensor | None, Tensor | None, Tensor | None],
    relu: bool = True,
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradient of `norm_relu_grad`.

    **Arguments** `saved` its z, mean, rstd, gamma, beta, da; `cotangents` uz of dz, ugamma of dgamma, ubeta
    of dbeta (None: zero).
    z, da, uz [T, ..., O], the others [T, O] -> grad_z [T, ..., O], grad_gamma [T, O], grad_da [T, ..., O];
    mean and rstd count as functions of z, and the gradient for beta is zero.
    """
    (z, mean, rstd, gamma, beta, da), (uz, ugamma, ubeta) = saved, cotangents
    rows = [mean, rstd, gamma, beta] + [u for u in (ugamma, ubeta) if u is not None]
    tasks, count, channels = _norm_sizes("norm_relu_grad_grad", z, *rows, like=(da,) if uz is None else (da, uz))
    tensors = _prepare("norm_grad_grad", z, mean, rstd, gamma, beta, da, uz, ugamma, ubeta)
    z, gamma = tensors[0], tensors[3]
    grad_z, grad_gamma, grad_da = torch.empty_like(z), torch.empty_like(gamma), torch.empty_like(z)
    _run("norm_grad_grad", tensors, (grad_z, grad_gamma, grad_da), tasks, count, channels, relu)
    return grad_z, grad_gamma, grad_da


def _extent(size: Sequence[int], stride: int, padding: int) -> tuple[int, ...] | None:
    """Output rows and columns, or None for what the kernels cannot compute."""
    if (stride, padding) not in ((1, 1), (2, 1), (2, 0)) or min(size) < 3 - 2 * padding:
        return None
    return tuple(extent.outputs(part, stride, padding) for part in size)


def _norm_sizes(name: str, z: Tensor, *rows: Tensor, like: Sequence[Tensor] = ()) -> tuple[int, int, int]:
    shape = z.shape
    if len(shape) >= 2:
        tasks, channels = shape[0], shape[-1]
        fits = z.numel() > 0
        for row in rows:
            fits = fits and row.shape == (tasks, channels)
        for other in like:
            fits = fits and other.shape == shape
        if fits:
            return tasks, z.numel() // (tasks * channels), channels
    raise _wrong(name, z, *rows, *like)


def _wrong(name: str, *tensors: Tensor, **numbers: object) -> ValueError:
    shapes = ", ".join(str(tuple(t.shape)) for t in tensors)
    return ValueError(
        f"{name}: shapes {shapes} do not fit" + "".join(f", {key} = {value}" for key, value in numbers.items())
    )


def _prepare(name: str, first: Tensor, *others: Tensor | None) -> list[Any]:
    """The tensors, made contiguous (None stays None). They must be on the CPU, all float32 or all float64."""
    dtype = first.dtype
    if dtype not in _TYPES:
        raise ValueError(f"{name}: {dtype}, expected float32 or float64")
    tensors: list[Tensor | None] = [first.contiguous()]
    for tensor in (first, *others):
        if tensor is not None and (tensor.dtype is not dtype or not tensor.is_cpu):
            raise ValueError(f"{name}: {tensor.dtype} on {tensor.device}, expected {dtype} on cpu")
    tensors += [None if tensor is None else tensor.contiguous() for tensor in others]
    return tensors


def _run(name: str, inputs: Sequence[Any], outputs: Sequence[Tensor], *numbers: float) -> None:
    """Call a kernel, and report the call to this thread's listener, if there is one."""
    pointers = [None if tensor is None else tensor.data_ptr() for tensor in (*inputs, *outputs)]
    if function(name, outputs[0].dtype)(*pointers, *numbers):
        raise MemoryError(f"{name}: no memory for intermediate values")
    if (listener := getattr(_listeners, "listener", None)) is not None:
        listener(name, inputs, outputs, numbers)


def function(name: str, dtype: torch.dtype | None = None) -> Any:
    """The C function of a kernel: pointers of its inputs, of its outputs, its numbers -> 0, or 1 if memory ran out.

    `run_program` has no type: its arguments are the first and the last address of instructions.
    """
    found = _functions.get((name, dtype))
    if found is None:
        _load()
        if _failure is not None:
            raise machine.SettingsError(f"the native kernels are not available: {_failure}")
        found = _functions[name, dtype]
    return found


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Call `listener` for every kernel that this thread runs, with its name, inputs, outputs and numbers."""
    _listeners.listener = listener
    try:
        yield
    finally:
        _listeners.listener = None


def _load() -> None:
    """Compile the kernels if needed, and load them, once in a process. This sets `_functions` or `_failure`."""
    global _failure, _level
    if _functions or _failure is not None:
        return
    with _lock:
        if _functions or _failure is not None:
            return
        try:
            library = compiled.library(*SOURCES)
        except compiled.Unavailable as error:
            _failure = str(error)
            if machine.kernel() == "auto":
                progress.say(f"computing in plain torch, about half as fast: {_failure}")
            return
        _level = prebuilt.level_of(library)
        found: dict[tuple[str, torch.dtype | None], Any] = {}
        for name, (pointers, sizes, rest) in _POINTERS_AND_SIZES.items():
            for dtype, suffix in _TYPES.items():
                function = getattr(library, f"{name}_{suffix}")
                function.argtypes = [ctypes.c_void_p] * pointers + [ctypes.c_longlong] * sizes + list(rest)
                function.restype = ctypes.c_int
                found[name, dtype] = function
        library.run_program.argtypes = [ctypes.c_void_p, ctypes.c_void_p]
        found["run_program", None] = library.run_program
        _functions.update(found)
