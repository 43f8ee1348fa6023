"""Adversarial Latent Autoencoders, Pidhorskyi, Adjeroh and Doretto 2020, https://arxiv.org/abs/2004.04467."""
