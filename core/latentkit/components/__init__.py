"""Components that every system can use: losses, adversarial objectives, regularizers, and shared layers."""
