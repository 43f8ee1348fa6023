"""O-GAN: auto-encoding generative adversarial networks, Su 2019, https://arxiv.org/abs/1903.01931."""
