"""Stage `train`: meta-trains one variant with all its seeds.

At the end it writes `weights.safetensors` (for each seed those of the best validation accuracy, or the
last), `curve.csv` and `record.json`; also `snapshots.safetensors`, the weights at the meta-steps that
`train.snapshots` names and the run reaches. Until then the state and the unfinished curve are in the
resume folder.
"""

import json
import math
import time
from pathlib import Path
from typing import Any

import pandas
import torch
from safetensors.torch import save_file

from megan.data.episodes import TaskSet
from megan.meta import first_output, setup, snapshots
from megan.meta.evaluate import Evaluation
from megan.meta.iteration import OuterLoop, State, iteration
from megan.meta.parallel import Workers
from megan.ops import precision
from megan.runs import checkpoint, progress, provenance, result, storage
from megan.runs.interrupt import Interrupt
from megan.runs.job import Job

FAKE_PROBABILITIES = ["p_fake_of_reals", "p_fake_of_fakes"]  # columns with values for validation only
CURVE = ["seed", "meta_step", "split", "accuracy", "loss", "fake_wins", *FAKE_PROBABILITIES]


def run(job: Job) -> None:
    """Meta-train the variant `job.item`, from its last checkpoint if there is one."""
    workers = setup.workers(job.params)
    with checkpoint.resumable(job, workers.rounding()) as resume:
        if resume is None:
            return
        training = Training(job, workers, resume)
        training.run()
        training.publish()


class Training:
    """The outer loop of one variant: its state, its curve, its best checkpoints."""

    def __init__(self, job: Job, workers: Workers, resume: checkpoint.Resume) -> None:
        self.job, self.workers, self.resume = job, workers, resume
        self.settings, self.tier = job.settings, job.params.tier(job.item)
        self.system = setup.system(job.params, job.item)
        self.seeds = torch.tensor(self.tier.seeds, device=workers.device)
        self.sampler = setup.sampler(job.params, job.item, "train", workers)
        self.state = State.fresh(self.system, self.seeds, precision.use(self.settings.train.precision))
        first_output.set_bias(self.system, self.state.part("theta"), self.sampler, self.seeds)
        self.best = {key: value.cpu().clone() for key, value in self.state.part("theta").items()}
        self.best_accuracy = [-1.0] * len(self.seeds)
        self.best_step = [0] * len(self.seeds)
        self.snapshots: dict[str, torch.Tensor] = {}
        self.rows: list[list[Any]] = []
        self.seconds = 0.0  # wall time, including earlier processes
        self._restore()

    def run(self) -> None:
        train, last = self.settings.train, self.tier.meta_steps
        if self.settings.data.validates:
            validation = setup.sampler(self.job.params, self.job.item, "validation", self.workers)
            queries = self.settings.tasks.test_queries
            tasks = TaskSet(validation, self.seeds, "validation", train.validation_tasks, queries)
            times = 1 + math.ceil(last / train.validate_every)
            self.validation = Evaluation(self.system, tasks, self.workers, every_step=False, times=times)
        begun, self.started, self.first = self.seconds, time.monotonic(), int(self.state["step"])
        loop = OuterLoop(train, self.settings.tasks.train_queries, last)
        advance = iteration(self.system, self.sampler, self.seeds, loop, self.state, self.workers)
        with (
            Interrupt(self.job.address) as interrupt,
            progress.bar(f"train {self.job.item}", last, self.first) as self.bar,
        ):
            if not self.rows:
                self._validate(0)
                self._snapshot(0)
            for step in range(self.first + 1, last + 1):
                advance()
                self.bar.update()
                self._snapshot(step)
                if step % train.log_every == 0 or step == last:
                    self._log(step)
                if step % train.validate_every == 0 or step == last:
                    self._validate(step)
                self.seconds = begun + time.monotonic() - self.started
                if step % train.checkpoint_every == 0 or interrupt.asked:
                    self._save()
                interrupt.stop_if_asked()
        if train.keep == "last":
            for index, alive in enumerate(self.state["alive"].tolist()):
                if alive:
                    self._keep(index, last)

    def _log(self, step: int) -> None:
        """Add one row for each seed: means over the meta-steps since the last row. This waits for the device."""
        window = (step - 1) % self.settings.train.log_every + 1
        means = {key: (self.state[key] / window).tolist() for key in ("accuracy", "loss", "fake_wins")}
        for key in means:
            self.state[key].zero_()
        self._add_rows(step, "train", means)
        accuracy = sum(means["accuracy"]) / len(self.seeds)
        self.bar.set_postfix_str(f"accuracy {accuracy:.3f}, {self._tasks_per_second(step):.0f} tasks/s", refresh=False)

    def _validate(self, step: int) -> None:
        """Test on the validation tasks, and keep the weights of each seed that has its best accuracy so far.

        Does nothing in a study without validation characters.
        """
        if not self.settings.data.validates:
            return
        theta = self.state.part("theta")
        scores = self.validation(theta)
        means = {key: getattr(scores, key)[:, :, -1].mean(dim=1).tolist() for key in CURVE[3:]}
        self._add_rows(step, "validation", means)
        for index, alive in enumerate(self.state["alive"].tolist()):
            if alive and self.settings.train.keep == "best" and means["accuracy"][index] > self.best_accuracy[index]:
                self.best_accuracy[index] = means["accuracy"][index]
                self._keep(index, step)

    def _keep(self, index: int, step: int) -> None:
        """Keep the current weights of one seed. They are tested unless better ones follow."""
        self.best_step[index] = step
        for key, value in self.state.part("theta").items():
            self.best[key][index] = value[index].cpu()

    def _snapshot(self, step: int) -> None:
        if step in self.settings.train.snapshots:
            self.snapshots |= snapshots.named(self.state.part("theta"), step)

    def _add_rows(self, step: int, split: str, means: dict[str, list[float]]) -> None:
        alive = self.state["alive"].tolist()
        for index, seed in enumerate(self.tier.seeds):
            if alive[index]:
                wins = means["fake_wins"][index] if self.system.has_fake_output else None
                probabilities = [means[key][index] if key in means else None for key in FAKE_PROBABILITIES]
                self.rows.append(
                    [seed, step, split, means["accuracy"][index], means["loss"][index], wins, *probabilities]
                )

    def _tasks_per_second(self, step: int) -> float:
        tasks = (step - self.first) * self.settings.train.meta_batch * len(self.seeds)
        return tasks / (time.monotonic() - self.started)

    def _save(self) -> None:
        tensors = self.state.snapshot() | {f"best/{key}": value for key, value in self.best.items()}
        tensors |= {f"snapshot/{key}": value for key, value in self.snapshots.items()}
        reached = {key: getattr(self, key) for key in ("rows", "best_accuracy", "best_step", "seconds")}
        self.resume.save(tensors, {"progress": json.dumps(reached)})
        self._write_curve(self.resume.folder / "curve.csv")

    def _restore(self) -> None:
        saved = self.resume.load()
        if not saved:
            return
        tensors, text = saved

        def part(prefix: str) -> dict[str, torch.Tensor]:
            return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}

        self.best, self.snapshots = part("best/"), part("snapshot/")
        self.state.assign(tensors)
        for key, value in json.loads(text["progress"]).items():
            setattr(self, key, value)
        progress.say(
            f"{self.job.address}: continuing from meta-step {int(self.state['step'])} of {self.tier.meta_steps}"
        )

    def _write_curve(self, path: Path) -> None:
        with storage.replacing(path) as temporary:
            pandas.DataFrame(self.rows, columns=CURVE).to_csv(temporary, index=False)

    def publish(self) -> None:
        """Write the finished result to its folder in one step."""
        steps, losses = self.state["diverged_step"].tolist(), self.state["diverged_loss"].tolist()
        record = {
            "study": self.job.study,
            "variant": self.job.item,
            "meta_steps": self.tier.meta_steps,
            "seeds": list(self.tier.seeds),
            "snapshots": sorted({int(name.partition("/")[0]) for name in self.snapshots}),
            "best_meta_step": {str(seed): step for seed, step in zip(self.tier.seeds, self.best_step, strict=True)},
            "diverged": {
                str(seed): {"meta_step": step, "loss": loss if math.isfinite(loss) else None}
                for seed, step, loss in zip(self.tier.seeds, steps, losses, strict=True)
                if step >= 0
            },
        }
        measured = {
            "threads": self.workers.threads,
            "wall_seconds": self.seconds,
            "tasks_per_second": self._tasks_per_second(self.tier.meta_steps),
        }
        storage.write_json(self.job.provenance, provenance.describe(self.workers.rounding(), **measured))
        with storage.replacing_folder(self.job.folder) as folder:
            save_file(self.best, folder / "weights.safetensors")
            if self.snapshots:
                save_file(self.snapshots, folder / snapshots.FILE)
            self._write_curve(folder / "curve.csv")
            result.write(folder, self.job.identity, record)
