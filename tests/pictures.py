"""Pictures drawn by code, which belong to nobody: folders of them such as a person may hold.

`python tests/pictures.py` writes the example of docs/own_images.md into the working directory: `my_images/` with 12
classes of 20 pictures, `known/` with 3 further classes of 5, and `new/` with 10 more pictures of each of these.
"""

import io
import shutil
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

SUFFIXES = {".png": "PNG", ".jpg": "JPEG", ".bmp": "BMP", ".tif": "TIFF", ".webp": "WEBP", ".gif": "GIF"}


def draw(*seed: int, size: tuple[int, int] = (40, 30), mode: str = "RGB") -> Image.Image:
    """A polygon, star or frame somewhere, in some colours; its kind and its corners follow from `seed[0]`."""
    rng = np.random.default_rng(seed)
    colours = [tuple(int(level) for level in rng.integers(low, high, 3)) for low, high in ((0, 120), (140, 256))]
    image = Image.new("RGB", size, colours[0])
    width, height = size
    angles = rng.uniform(0, 1) + np.arange(seed[0] % 7 + 3) / (seed[0] % 7 + 3)
    centre, radius = rng.uniform(0.4, 0.6, 2), rng.uniform(0.2, 0.4)

    def corners(turns: np.ndarray, share: np.ndarray) -> list[tuple[float, float]]:
        """Corners in pixels, at these turns, the `share` of the radius away from the centre."""
        x, y = radius * share * np.cos(2 * np.pi * turns), radius * share * np.sin(2 * np.pi * turns)
        return list(zip(width * (centre[0] + x), height * (centre[1] + y), strict=True))

    drawing, whole, kind = ImageDraw.Draw(image), np.ones(len(angles)), seed[0] // 7 % 3
    if kind == 1:
        turns = np.stack([angles, angles + 0.5 / len(angles)], axis=1).ravel()
        drawing.polygon(corners(turns, np.resize([1, 0.4], len(turns))), fill=colours[1])
    else:
        drawing.polygon(corners(angles, whole), fill=colours[1])
    if kind == 2:
        drawing.polygon(corners(angles, 0.6 * whole), fill=colours[0])
    return image.convert(mode)


def encoded(image: Image.Image, form: str, **options: int) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format=form, **options)
    return buffer.getvalue()


def write_class(folder: Path, number: int, count: int) -> None:
    """A class folder of `count` pictures, of every kind and of several sizes and modes."""
    folder.mkdir(parents=True)
    kinds = sorted(SUFFIXES)
    for index in range(count):
        suffix = kinds[index % len(kinds)]
        image = draw(
            number, index, size=(30 + index % 3 * 17, 24 + index % 5 * 9), mode="L" if index % 4 == 3 else "RGB"
        )
        (folder / f"picture {index}{suffix}").write_bytes(encoded(image, SUFFIXES[suffix]))


def write_folder(folder: Path, classes: int, images: int) -> Path:
    """A folder of class folders."""
    for number in range(classes):
        write_class(folder / f"kind {number:02d}", number, images)
    return folder


def write_example(folder: Path) -> None:
    """The folders of docs/own_images.md. Raises `FileExistsError` if one of them is there."""
    write_folder(folder / "my_images", classes=12, images=20)
    (folder / "new").mkdir()
    for number in (13, 14, 18):
        write_class(folder / "known" / f"kind {number}", number, 15)
        for path in sorted((folder / "known" / f"kind {number}").iterdir())[5:]:
            shutil.move(path, folder / "new" / f"{path.parent.name}, {path.name}")


if __name__ == "__main__":
    write_example(Path.cwd())
