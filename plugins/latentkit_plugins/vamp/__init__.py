"""VAE with a VampPrior, Tomczak and Welling 2018, https://arxiv.org/abs/1705.07120."""
