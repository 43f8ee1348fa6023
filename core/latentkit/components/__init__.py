"""Components that every system can use: losses, adversarial objectives, regularizers, and common layers."""
