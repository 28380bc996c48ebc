"""Records of finished studies in `results/record/<study>/`, which git tracks.

`results/<study>/` is managed by DVC, and DVC refuses an output that git tracks.
"""

from megan.record.check import FROZEN, compare, frozen, in_clone, locked_stages
from megan.record.manifest import MOST_MIB, RecordError, told, verify
from megan.record.manifest import NAME as MANIFEST
from megan.record.weights import best_checkpoint
from megan.record.writing import make

__all__ = [
    "FROZEN",
    "MANIFEST",
    "MOST_MIB",
    "RecordError",
    "best_checkpoint",
    "compare",
    "frozen",
    "in_clone",
    "locked_stages",
    "make",
    "told",
    "verify",
]
