"""Pictures drawn by code, which belong to nobody: folders of them such as a person may hold."""

import io
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

SUFFIXES = {".png": "PNG", ".jpg": "JPEG", ".bmp": "BMP", ".tif": "TIFF", ".webp": "WEBP", ".gif": "GIF"}


def draw(*seed: int, size: tuple[int, int] = (40, 30), mode: str = "RGB") -> Image.Image:
    """A polygon of `seed[0]` corners somewhere, in some colours; the first number tells its class."""
    rng = np.random.default_rng(seed)
    colours = [tuple(int(level) for level in rng.integers(low, high, 3)) for low, high in ((0, 120), (140, 256))]
    image = Image.new("RGB", size, colours[0])
    width, height = size
    angles = rng.uniform(0, 1) + np.arange(seed[0] % 7 + 3) / (seed[0] % 7 + 3)
    centre, radius = rng.uniform(0.4, 0.6, 2), rng.uniform(0.2, 0.4)
    corners = [
        (
            width * (centre[0] + radius * np.cos(2 * np.pi * one)),
            height * (centre[1] + radius * np.sin(2 * np.pi * one)),
        )
        for one in angles
    ]
    ImageDraw.Draw(image).polygon(corners, fill=colours[1])
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
