"""Working in latent spaces: inversion, directions that control a factor, attribute vectors. No model is trained here.

Everything takes plain tensors, and a model as anything that makes images of codes.
"""
