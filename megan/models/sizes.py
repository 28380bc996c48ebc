"""The sizes of images and networks, from the parameters of a study."""

from dataclasses import dataclass

from megan.config.params import Study

LAYERS = 4  # convolutions of a classifier; each halves the map


@dataclass(frozen=True)
class Sizes:
    """The sizes that determine the shapes of all weights."""

    side: int  # pixels of an image
    channels: int
    filters: int  # of a classifier's convolutions
    max_pool: bool  # each layer halves the map by max-pooling, else by stride 2
    flat: bool  # the head sees the last map whole, else its spatial mean
    authors: bool = False  # the layers of the authors' code, else Finn et al.'s
    relu_first: bool = False  # ReLU before batch normalisation, else after it

    @property
    def last_kernel(self) -> int:
        """Side of the authors' last kernel: it covers the map that three convolutions without padding leave."""
        side = self.side
        for _ in range(LAYERS - 1):
            side = (side - 1) // 2
        return side

    @property
    def last_side(self) -> int:
        """Height and width of the classifier's last map. Pooling drops an odd row or column, stride keeps it."""
        if self.authors:
            return 1
        side = self.side
        for _ in range(LAYERS):
            side = side // 2 if self.max_pool else (side + 1) // 2
        return side

    @property
    def features(self) -> int:
        """Length of the head's input for one image."""
        return self.filters * (self.last_side**2 if self.flat else 1)


def of(study: Study) -> Sizes:
    """The sizes of a study's networks."""
    data, network = study.data, study.network
    pooled, flat = network.downsampling == "max_pool", network.head == "flat"
    authors, relu_first = network.layers == "authors", network.norm == "after_relu"
    return Sizes(data.side, data.channels, network.filters, pooled, flat, authors, relu_first)
