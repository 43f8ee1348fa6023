"""GANs that differ in their losses, after Goodfellow et al. 2014, https://arxiv.org/abs/1406.2661."""
