"""The plain GAN on few images (section 5.1.1, Fig. 7): images, networks, training, and quality of samples."""
