"""Multilayer perceptrons: the plainest form of every part."""
