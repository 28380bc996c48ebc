"""The plain GAN on few images (section 5.1.1, Fig. 7): the stage, its networks, and the judge of its samples."""
