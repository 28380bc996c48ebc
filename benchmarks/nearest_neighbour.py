"""How hard a prepared data set is: one-nearest-neighbour on pixels, N-way 1-shot within an alphabet.

The figure by which the glyphs are calibrated to Omniglot. From the repository's root, for
studies that are prepared under protocol `alphabet`:

    python -m benchmarks.nearest_neighbour quick omniglot
"""

import argparse
import sys

import torch

from megan.config import paths
from megan.data import packed
from megan.data.episodes import Sampler
from megan.errors import DataError

CHUNK = 100  # tasks at a time


def accuracy(split: packed.Split, tasks: int, ways: int, queries: int, seed: int = 0) -> torch.Tensor:
    """Accuracy of each task, float64 `[tasks]`: a query takes the class of the nearest support image.

    Euclidean distance of pixels; tasks as in meta-test (an alphabet, then its classes).
    """
    sampler, results = Sampler(split, ways, 1, "alphabet"), []
    for numbers in torch.arange(tasks).split(CHUNK):
        batch = sampler.sample(torch.tensor([seed]), "nearest_neighbour", 0, numbers, queries)
        nearest = torch.cdist(batch.query.flatten(2), batch.support.flatten(2)).argmin(-1)
        results.append((batch.support_labels[nearest] == batch.query_labels).double().mean(-1))
    return torch.cat(results)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("studies", nargs="+", metavar="STUDY")
    parser.add_argument("--tasks", type=int, default=4000)
    parser.add_argument("--ways", type=int, default=5)
    parser.add_argument("--queries", type=int, default=15, help="queries a class")
    options = parser.parse_args()
    print("study,split,tasks,accuracy,half_width_95")
    for study in options.studies:
        for name in ("train", "validation", "test"):
            try:
                scores = accuracy(packed.load(paths.split(study, name)), options.tasks, options.ways, options.queries)
            except (DataError, ValueError) as error:
                print(f"nearest_neighbour: {error}", file=sys.stderr)
                return 1
            half = 1.96 * float(scores.std()) / options.tasks**0.5
            print(f"{study},{name},{options.tasks},{float(scores.mean()):.4f},{half:.4f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
