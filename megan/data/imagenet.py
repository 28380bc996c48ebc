"""Where the weights of a ResNet-18 that was trained on ImageNet come from: torchvision's file.

torchvision names its files after the first digits of their SHA-256, which are checked here.
"""

import hashlib
from pathlib import Path

from megan.data.dataset import Source
from megan.errors import DataError

DIGEST = "f37072fd"  # the first digits of the file's SHA-256
ADDRESS = "https://download.pytorch.org/models/resnet18-f37072fd.pth"
LARGEST = 64 << 20  # bytes; the file has 44.7 MiB


def verify(path: Path) -> None:
    """Raise `DataError` for another file than torchvision's."""
    with open(path, "rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if not found.startswith(DIGEST):
        raise DataError(
            f"{path} is another file: its SHA-256 begins with {found[: len(DIGEST)]}, expected {DIGEST};"
            f" fetch {ADDRESS} again"
        )


SOURCE = Source("imagenet/resnet18-f37072fd.pth", ADDRESS, LARGEST, verify)


def path(raw: Path) -> Path:
    """The file in a study's raw folder, where stage `download` puts it."""
    return raw / Path(SOURCE.name).name
