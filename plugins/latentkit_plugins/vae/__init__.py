"""VAE and beta-VAE, Kingma and Welling 2014, https://arxiv.org/abs/1312.6114; Higgins et al. 2017."""
