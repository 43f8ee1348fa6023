"""A plugin of latentkit: a critic without corners, and a GAN loss of adjustable sharpness."""
