"""The command ``latentkit``. Each command is a thin call of the Python API."""

from latentkit_cli.app import main

__all__ = ["main"]
