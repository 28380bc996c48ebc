"""Pre-training of a ResNet-18 as an ordinary classifier of characters. It resumes from its last checkpoint."""

import json
import time

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler

from megan.config.params import Encoder
from megan.models import encoder
from megan.ops import streams
from megan.runs import checkpoint, progress
from megan.runs.interrupt import Interrupt

SAVE_EVERY = 100  # steps


def _batch(images: Tensor, seed: int, which: str, step: int, size: int) -> tuple[Tensor, Tensor]:
    """Images float [size, channels, side, side] and labels int64 [size].

    Keyed by (seed, `encoder` or `judge`, step).
    """
    classes, drawings = images.shape[:2]
    seeds, zero = torch.tensor([seed], device=images.device), torch.zeros(1, dtype=torch.int64, device=images.device)
    draws = streams.uniform(streams.key(seeds, which, step, zero)[0, 0], size)
    place = (draws * classes * drawings).long()
    label, drawing = place // drawings, place % drawings
    return encoder.planes(images[label, drawing]), label


def fit(network: nn.Module, images: Tensor, options: Encoder, resume: checkpoint.Resume, which: str) -> float:
    """Train with AdamW and a one-cycle schedule. Returns the wall time in seconds, including earlier processes."""
    optimiser = torch.optim.AdamW(network.parameters(), lr=options.learning_rate, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, options.learning_rate, total_steps=options.steps)
    first, before = _restore(network, optimiser, schedule, resume)
    started = time.monotonic()
    network.train()
    with Interrupt(which) as interrupt, progress.bar(which, options.steps, first) as bar:
        for step in range(first, options.steps):
            batch, labels = _batch(images, options.seed, which, step, options.batch_size)
            loss = F.cross_entropy(network(batch), labels)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            bar.update()
            if step % 10 == 0:
                bar.set_postfix_str(f"loss {loss.item():.3f}", refresh=False)
            if (step + 1) % SAVE_EVERY == 0 or interrupt.asked:
                _save(network, optimiser, schedule, resume, step + 1, before + time.monotonic() - started)
            interrupt.stop_if_asked()
    return before + time.monotonic() - started


def _save(
    network: nn.Module,
    optimiser: torch.optim.Optimizer,
    schedule: LRScheduler,
    resume: checkpoint.Resume,
    step: int,
    seconds: float,
) -> None:
    tensors = {f"network/{name}": value for name, value in network.state_dict().items()}
    for index, moments in optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser/{index}/{name}": value for name, value in moments.items()}
    state = {
        "step": step,
        "seconds": seconds,
        "groups": optimiser.state_dict()["param_groups"],
        "schedule": schedule.state_dict(),
    }
    resume.save(
        {name: value.cpu().contiguous() for name, value in tensors.items()}, {"told": json.dumps(state, default=str)}
    )


def _restore(
    network: nn.Module, optimiser: torch.optim.Optimizer, schedule: LRScheduler, resume: checkpoint.Resume
) -> tuple[int, float]:
    """Load the last checkpoint. Returns the first step and the wall time so far in seconds."""
    saved = resume.load()
    if not saved:
        return 0, 0.0
    tensors, text = saved
    state = json.loads(text["told"])
    network.load_state_dict(
        {name.removeprefix("network/"): value for name, value in tensors.items() if name.startswith("network/")}
    )
    moments: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        if name.startswith("optimiser/"):
            _, index, moment = name.split("/")
            moments.setdefault(int(index), {})[moment] = value
    optimiser.load_state_dict({"state": moments, "param_groups": state["groups"]})
    schedule.load_state_dict(state["schedule"])
    return state["step"], state["seconds"]


@torch.no_grad()
def accuracy(network: nn.Module, images: Tensor) -> float:
    """Share of `images` uint8 [classes, images, side, side, channels] that are classified correctly."""
    network.eval()
    labels = torch.arange(len(images), device=images.device).repeat_interleave(images.shape[1])
    hits = 0
    for some, wanted in zip(images.flatten(0, 1).split(256), labels.split(256), strict=True):
        hits += int((network(encoder.planes(some)).argmax(dim=1) == wanted).sum())
    return hits / len(labels)
