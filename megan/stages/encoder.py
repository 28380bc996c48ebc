"""Stage `encoder`: pre-trains the ResNet-18 whose class prototypes condition generators (section 3.1).

**Reading** of "pre-trained ResNet-18": a classifier of meta-training classes only. It sees no
validation or meta-test class. Some images of each class are held out to measure its accuracy.
"""

import torch
from safetensors.torch import save_file

from megan.config import machine, paths
from megan.data import packed
from megan.models import encoder, pretraining
from megan.runs import checkpoint, progress, provenance, result, storage
from megan.runs.job import Job


def run(job: Job) -> None:
    """Pre-train, and write `weights.safetensors` and `metrics.json`. Stage `judge` calls this too."""
    options, device = getattr(job.settings, job.stage), machine.device()
    torch.set_num_threads(machine.threads())
    rounding = {"device": device, "kernel": "torch", "threads": machine.threads()}
    with checkpoint.resumable(job, rounding) as resume:
        if resume is None:
            return
        split = packed.load(paths.split(job.study, "train"), device=device)
        classes, drawings, side, _, channels = split.images.shape
        torch.manual_seed(options.seed)  # torchvision draws its initial weights from the global generator
        network = encoder.resnet(classes, options.stem_stride, side, channels).to(device)
        seconds = pretraining.fit(
            network, split.images[:, : drawings - options.validation_drawers], options, resume, job.stage
        )
        accuracy = pretraining.accuracy(network, split.images[:, drawings - options.validation_drawers :])
        progress.say(f"{job.stage}: {accuracy:.1%} accuracy on held-out images of {classes} classes")
        storage.write_json(job.provenance, provenance.describe(rounding, wall_seconds=seconds))
        with storage.replacing_folder(job.folder) as folder:
            save_file(
                {name: value.cpu().contiguous() for name, value in network.state_dict().items()},
                folder / "weights.safetensors",
            )
            metrics = {
                "validation_accuracy": accuracy,
                "validation_drawings": classes * options.validation_drawers,
                "classes": classes,
            }
            storage.write_json(folder / "metrics.json", metrics)
            result.write(folder, job.identity, {"study": job.study})
