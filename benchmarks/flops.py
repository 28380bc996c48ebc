"""The convolutions' arithmetic, counted: each of the three primitives costs the same,

    2 * 9 * channels * outputs * out_height * out_width * images * tasks

(a multiplication and an addition for each tap of each output pixel, taps in the padding
counted too). Batch norm, ReLU, heads and Adam are left out: under 2 % of it.
"""

SIZES = ((14, 1), (7, 64), (4, 64), (2, 64))  # of each layer's output, and its input channels
FILTERS = 64


def primitive(out_side: int, channels: int, outputs: int, images: int) -> int:
    return 2 * 9 * channels * outputs * out_side**2 * images


def maml(tasks: int, support: int, query: int, steps: int) -> int:
    """One second-order meta-gradient of the MAML network on 28x28 images.

    An inner step is a convolution, a data gradient and a weight gradient a layer. On the way
    back each of the three has two derivatives, again primitives: nine in all. The first
    layer's input is an image, which nobody differentiates by: no data gradient, and one
    derivative each of the other two, four in all. The query adds a convolution and its two
    gradients; in the first layer, one.
    """
    total = 0
    for layer, (side, channels) in enumerate(SIZES):
        on_support, on_query = (4, 2) if layer == 0 else (9, 3)
        total += steps * on_support * primitive(side, channels, FILTERS, support)
        total += on_query * primitive(side, channels, FILTERS, query)
    return tasks * total
