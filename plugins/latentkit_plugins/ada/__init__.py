"""Adaptive discriminator augmentation, Karras et al. 2020, https://arxiv.org/abs/2006.06676."""
