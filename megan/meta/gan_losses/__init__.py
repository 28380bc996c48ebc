"""The GAN losses of section 3.4, a module each. `megan.meta.gan_loss` says what a module states in its `LOSS`."""
