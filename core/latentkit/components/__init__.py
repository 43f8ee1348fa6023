"""Components that every system can use: losses, adversarial objectives, regularizers, and common layers."""

from __future__ import annotations

from collections import abc
from pathlib import Path
from typing import TYPE_CHECKING

from latentkit.hooks import hookimpl

if TYPE_CHECKING:
    from latentkit.testing.examples import Example


@hookimpl
def latentkit_examples(folder: Path) -> abc.Mapping[str, Example]:
    """Files for the data sources that read some."""
    from latentkit.testing.shipped import core_examples

    return core_examples(folder)
