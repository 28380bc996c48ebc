"""The size of a 3x3 convolution's output."""


def outputs(size: int, stride: int, padding: int) -> int:
    """Output rows (or columns) of an image with `size` rows, padded by `padding` zeros on either side."""
    return (size + 2 * padding - 3) // stride + 1
