"""GAIA, Sainburg et al. 2018, https://arxiv.org/abs/1807.06650."""
