"""Stage `gan`: trains plain GANs on K images for each K, and measures their samples (section 5.1.1, Fig. 7)."""

import json
import time

import pandas
import torch
from safetensors.torch import save_file
from torch import Tensor

from megan.config import machine
from megan.config.schema import Gan
from megan.data import dataset
from megan.gan import image_classifier, quality
from megan.gan.images import Images, mixed, real_images
from megan.gan.quality import QUALITY, to_bytes
from megan.gan.training import choose, picked, train
from megan.ops import kernels
from megan.runs import checkpoint, progress, provenance, result, storage
from megan.runs.interrupt import Interrupt
from megan.runs.job import Job

SHOWN = 4  # samples kept of each GAN of one class
SHOWN_MIXED = 20  # samples kept of each GAN of all classes


def run(job: Job) -> None:
    """Train and measure. After an interruption, continue after the last finished K.

    **Raises** `DataError` if the raw folder does not hold the data set.
    """
    options, device = job.settings.gan, machine.device()
    torch.set_num_threads(machine.threads())
    rounding = {"device": device, "kernel": kernels.name(device), "threads": machine.threads()}
    with checkpoint.resumable(job, rounding) as resume:
        if resume is None:
            return
        images = real_images(job.study, options)
        tensors, state = _work(images, options, device, resume)
        storage.write_json(job.provenance, provenance.describe(rounding, wall_seconds=state["seconds"]))
        with storage.replacing_folder(job.folder) as folder:
            table = pandas.DataFrame(state["quality"], columns=QUALITY)
            table.to_csv(folder / "quality.csv", index=False)
            quality.losses_table(tensors, options).to_csv(folder / "losses.csv", index=False)
            save_file(
                {name: value for name, value in tensors.items() if name.startswith(("K", "training"))},
                folder / "samples.safetensors",
            )
            lost = table.loc[table["updates"] < options.updates, ["images", "class", "seed", "updates"]]
            content = {
                "study": job.study,
                "dataset": options.dataset,
                "title": dataset.load(options.dataset).title,
                "classes": images.names if options.images_of == "class" else mixed(images).names,
                "images_of": options.images_of,
                "seeds": list(options.seeds),
            }
            content |= {"diverged": lost.to_dict("records"), "judge_accuracy": state["judge_accuracy"]}
            result.write(folder, job.identity, content)


def _work(images: Images, options: Gan, device: str, resume: checkpoint.Resume) -> tuple[dict[str, Tensor], dict]:
    """Train the classifier, then the GANs of one K after the other. Save after each."""
    tensors, state = _restore(resume)
    started, before = time.monotonic(), state["seconds"]
    by_class, shown = images, SHOWN
    if options.images_of == "all":
        images, shown = mixed(by_class), SHOWN_MIXED
    chosen = choose(options, images.train.shape[1], device)
    with (
        Interrupt("gan") as interrupt,
        progress.bar("gan", len(options.images) * options.updates, state["done"] * options.updates) as bar,
    ):
        network = quality.classifier(images.apart, options, device, tensors)
        state["judge_accuracy"] = image_classifier.accuracy(network, by_class.held)
        tensors["training"] = picked(images.train, chosen[:, :, :shown])

        def moved() -> None:
            bar.update()
            interrupt.stop_if_asked()

        for count in options.images[state["done"] :]:
            bar.set_postfix_str(f"K = {count}", refresh=False)
            few = picked(images.train, chosen[:, :, :count])
            trained = train(few.to(device), options, moved)
            state["quality"] += quality.quality(trained, few, images, network, options)
            tensors[f"K{count}"] = to_bytes(trained.samples[:, :, :shown])
            tensors[f"losses/{count}"] = trained.losses
            state = {**state, "done": state["done"] + 1, "seconds": before + time.monotonic() - started}
            resume.save(tensors, {"told": json.dumps(state)})
    return tensors, state


def _restore(resume: checkpoint.Resume) -> tuple[dict[str, Tensor], dict]:
    saved = resume.load()
    if saved:
        return saved[0], json.loads(saved[1]["told"])
    return {}, {"done": 0, "seconds": 0.0, "quality": [], "judge_accuracy": None}
