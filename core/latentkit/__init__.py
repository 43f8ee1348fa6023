"""Latent-space generative models from recipes: GANs that encode, autoencoders that generate."""
