"""How real, how faithful and how varied generated images are, in the features of a network that made none of them."""
