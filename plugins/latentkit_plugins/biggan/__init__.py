"""BigGAN, Brock et al. 2019, https://arxiv.org/abs/1809.11096."""

from __future__ import annotations

from collections import abc
from pathlib import Path
from typing import TYPE_CHECKING

from latentkit.hooks import hookimpl

if TYPE_CHECKING:
    from latentkit.testing import Example


@hookimpl
def latentkit_examples(folder: Path) -> abc.Mapping[str, Example]:
    """A latent that can be cut for most images; as many classes as the data that stand in for the published."""
    from latentkit.testing import Example

    small = {"channels_base": 4, "attention": 8}
    return {
        "generator": Example(options={"dim": 60, **small}),
        "discriminator": Example(options=small),
        "biggan-128": Example(options={"draw.y.classes": 3}),
    }
