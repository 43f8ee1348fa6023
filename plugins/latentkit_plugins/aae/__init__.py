"""Adversarial autoencoders, Makhzani et al. 2015, https://arxiv.org/abs/1511.05644."""
