"""The plugins that ship with latentkit."""
