"""GANs with a discriminator of pairs: BiGAN, ALI, VEEGAN. Donahue et al. 2017, https://arxiv.org/abs/1605.09782."""
