"""Stage `encoder`: pre-trains the ResNet-18 whose class prototypes condition generators (section 3.1).

**Reading** of "pre-trained ResNet-18": a classifier of meta-training classes only. It sees no
validation or meta-test class. Some images of each class are held out to measure its accuracy.
With `weights: imagenet` nothing is trained here: the weights are torchvision's, as in the authors' code.
"""

import json

import torch
from safetensors.torch import save_file

from megan.config import machine, paths
from megan.config.schema import PrototypeEncoder
from megan.data import imagenet as weights_file
from megan.data import packed
from megan.models import encoder, imagenet, learnt, pretraining
from megan.runs import checkpoint, progress, provenance, result, storage
from megan.runs.job import Job


def run(job: Job) -> None:
    """Pre-train, and write `weights.safetensors` and `metrics.json`. Stage `judge` calls this too."""
    options, device = getattr(job.settings, job.stage), machine.device()
    if isinstance(options, PrototypeEncoder) and options.weights == "imagenet":
        return _use_imagenet(job)
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
        metrics = {
            "validation_accuracy": accuracy,
            "validation_drawings": classes * options.validation_drawers,
            "classes": classes,
        }
        progress.say(f"{job.stage}: {accuracy:.1%} accuracy on held-out images of {classes} classes")
        if not learnt.has_learnt(metrics):
            progress.say(f"{job.stage} {learnt.described(metrics)}; results that need it are left out or refused")
        storage.write_json(job.provenance, provenance.describe(rounding, wall_seconds=seconds))
        with storage.replacing_folder(job.folder) as folder:
            save_file(
                {name: value.cpu().contiguous() for name, value in network.state_dict().items()},
                folder / "weights.safetensors",
            )
            storage.write_json(folder / "metrics.json", metrics)
            result.write(folder, job.identity, {"study": job.study})


def _use_imagenet(job: Job) -> None:
    """Write the weights that were trained on ImageNet, and whether 1 is ink in the images of the data set."""
    weights = imagenet.read(weights_file.path(paths.raw(job.study)))
    ink = json.loads((paths.prepared(job.study) / "splits.json").read_text(encoding="utf-8"))["ink"]
    with storage.replacing_folder(job.folder) as folder:
        save_file({name: value.contiguous() for name, value in weights.items()}, folder / "weights.safetensors")
        metrics = {"validation_accuracy": None, "validation_drawings": 0, "classes": imagenet.CLASSES, "dark": ink}
        storage.write_json(folder / "metrics.json", metrics)
        result.write(folder, job.identity, {"study": job.study})
    storage.write_json(job.provenance, provenance.describe({"device": "cpu", "kernel": "torch", "threads": 0}))
