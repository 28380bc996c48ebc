"""A reproduction package for "MeGAN: Meta-Learned Data Augmentation GAN for Few-Shot Image Classification"."""
