"""Adversarial generator-encoder networks, Ulyanov et al. 2018, https://arxiv.org/abs/1704.02304."""
