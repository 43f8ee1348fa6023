"""The words in which metrics on features say how their figures were taken."""

from __future__ import annotations

import hashlib

import attrs
import numpy as np

from latentkit.engine.samples import Samples
from latentkit.evaluation.networks import FeatureNetwork

_CHUNK = 1024


def is_network(_: object, field: attrs.Attribute[str | FeatureNetwork | None], value: object) -> None:
    """Of the option ``features`` of several metrics: a validator."""
    if value is not None and not isinstance(value, str | FeatureNetwork):
        raise ValueError(f"'{field.name}' must be the path of a file, or a FeatureNetwork; found {value!r}")


def of_network(network: FeatureNetwork) -> dict[str, object]:
    """Its name, and which weights it has."""
    return {"network": network.name, "network_sha256": network.sha256}


def resolution_of(height: int, width: int) -> int | list[int]:
    """As a recipe states it: the side of a square, else height and width."""
    return height if height == width else [height, width]


def of_images(samples: Samples, chosen: np.ndarray) -> dict[str, object]:
    """How many images of the data, of which split and size, and which: a checksum of all their pixels."""
    pixels = samples.table.fields["image"]
    digest = hashlib.sha256(f"{(len(chosen), *pixels.shape[1:])}".encode())
    for start in range(0, len(chosen), _CHUNK):
        digest.update(np.ascontiguousarray(pixels[chosen[start : start + _CHUNK]]).data)
    return {
        "n": len(chosen), "split": samples.spec.split, "resolution": resolution_of(*pixels.shape[2:]),
        "images_sha256": digest.hexdigest(),
    }  # fmt: skip
