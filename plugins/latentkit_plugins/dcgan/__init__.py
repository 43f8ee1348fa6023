"""Convolutional networks of the DCGAN family."""
