"""The GAN losses of section 3.4, one module for each. `megan.meta.gan_loss` describes the `LOSS` of a module."""
