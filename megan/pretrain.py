"""The stages `encoder` and `judge`: pre-train a ResNet-18 as a classifier of meta-training characters only.

**Reading** of "pre-trained ResNet-18" (section 3.1): no validation or meta-test class is
seen. Of each character some drawings are held back; the accuracy on them is a metric. The
encoder conditions generators; in the judge's features samples are judged, so that no
generator is measured with what it was given.
"""

import json
import time
from typing import Literal

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn

from megan import paths, progress, provenance, settings, storage
from megan.data import packed, streams
from megan.meta import checkpoint, work
from megan.meta.interrupt import Interrupt
from megan.models import encoder
from megan.params import Encoder, Params

SAVE_EVERY = 100  # steps


def run(params: Params, which: Literal["encoder", "judge"]) -> None:
    """Pre-train one of the two, from the last checkpoint if there is one, and write weights and metrics."""
    target, options = {"encoder": paths.encoder, "judge": paths.judge}[which](params.study), getattr(params.current, which)
    device = settings.device()
    torch.set_num_threads(settings.threads())
    identity = {
        "parameters": {"study": params.study, which: options.model_dump(mode="json")},
        "data": work.data_digests(params.study, "train"),
        "modules": work.modules(),
    }
    machine = {"device": device, "kernel": "torch", "threads": settings.threads()}
    with checkpoint.locked(f"{params.study}/{which}", storage.digest({**identity, **machine})) as resume:
        if work.stands(target, identity, which):
            progress.say(f"{which}: another process has just finished this; taking its result")
            resume.discard()  # of one that was killed between its result and this
            return
        split = packed.load(paths.split(params.study, "train"), device=device)
        classes, drawings = split.images.shape[:2]
        torch.manual_seed(options.seed)  # torchvision draws its initial weights from the global generator
        network = encoder.resnet(classes, options.stem_stride).to(device)
        seconds = _fit(network, split.images[:, : drawings - options.validation_drawers], options, resume, which)
        accuracy = _accuracy(network, split.images[:, drawings - options.validation_drawers :])
        progress.say(f"{which}: {accuracy:.1%} of held-back drawings of {classes} characters")
        storage.write_json(paths.provenance(params.study, which), provenance.describe(machine, wall_seconds=seconds))
        with storage.replacing_folder(target) as folder:
            save_file({name: value.cpu().contiguous() for name, value in network.state_dict().items()}, folder / "weights.safetensors")
            storage.write_json(folder / "metrics.json", {
                "validation_accuracy": accuracy,
                "validation_drawings": classes * options.validation_drawers,
                "classes": classes,
            })  # fmt: skip
            work.write_record(folder, identity, {"study": params.study})
        resume.discard()


def _batch(images: Tensor, seed: int, which: str, step: int, size: int) -> tuple[Tensor, Tensor]:
    """Images float [size, 1, 28, 28] and labels int64 [size], keyed by (seed, `encoder` or `judge`, step)."""
    classes, drawings = images.shape[:2]
    seeds, zero = torch.tensor([seed], device=images.device), torch.zeros(1, dtype=torch.int64, device=images.device)
    draws = streams.uniform(streams.key(seeds, which, step, zero)[0, 0], size)
    place = (draws * classes * drawings).long()
    label, drawing = place // drawings, place % drawings
    return images[label, drawing][:, None].float() / 255, label


def _fit(network: nn.Module, images: Tensor, options: Encoder, resume: checkpoint.Resume, which: str) -> float:
    """Adam with a cosine schedule. Returns the wall time in seconds, earlier processes included."""
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


def _save(network: nn.Module, optimiser: torch.optim.Optimizer, schedule: object, resume: checkpoint.Resume, step: int, seconds: float) -> None:
    tensors = {f"network/{name}": value for name, value in network.state_dict().items()}
    for index, moments in optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser/{index}/{name}": value for name, value in moments.items()}
    told = {"step": step, "seconds": seconds, "groups": optimiser.state_dict()["param_groups"], "schedule": schedule.state_dict()}
    resume.save({name: value.cpu().contiguous() for name, value in tensors.items()}, {"told": json.dumps(told, default=str)})


def _restore(network: nn.Module, optimiser: torch.optim.Optimizer, schedule: object, resume: checkpoint.Resume) -> tuple[int, float]:
    """Fill in the last checkpoint. Returns the step to begin with and the seconds already spent."""
    saved = resume.load()
    if not saved:
        return 0, 0.0
    tensors, text = saved
    told = json.loads(text["told"])
    network.load_state_dict({name.removeprefix("network/"): value for name, value in tensors.items() if name.startswith("network/")})
    moments: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        if name.startswith("optimiser/"):
            _, index, moment = name.split("/")
            moments.setdefault(int(index), {})[moment] = value
    optimiser.load_state_dict({"state": moments, "param_groups": told["groups"]})
    schedule.load_state_dict(told["schedule"])
    return told["step"], told["seconds"]


@torch.no_grad()
def _accuracy(network: nn.Module, images: Tensor) -> float:
    """Share of `images` [classes, drawings, 28, 28] given their own class."""
    network.eval()
    labels = torch.arange(len(images), device=images.device).repeat_interleave(images.shape[1])
    hits = 0
    for some, wanted in zip(images.flatten(0, 1).split(256), labels.split(256), strict=True):
        hits += int((network(some[:, None].float() / 255).argmax(dim=1) == wanted).sum())
    return hits / len(labels)

