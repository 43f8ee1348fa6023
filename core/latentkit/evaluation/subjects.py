"""What metrics share: what a role needs, a source's images and labels, and roles over many images."""

from __future__ import annotations

from collections import abc

import numpy as np
import torch
from torch import Tensor

from latentkit.engine.samples import Samples, open_samples
from latentkit.errors import NotFiniteError
from latentkit.model import Model
from latentkit.wiring.graph import Node, ancestors

BATCH = 1024
"""Images that are in memory at once, besides what is computed from them."""
NO_DATA = "the recipe has no image data"
"""The reason of metrics that want images where there are none."""


def image_value(model: Model) -> str:
    """The name of the image that the roles read: the first that a data source gives; empty without one."""
    return next((name for name, space in model.wiring.data_spaces.items() if space.kind == "image"), "")


def samples_of(model: Model) -> Samples | None:
    """The source of the recipe's images, opened and split; ``None`` where the recipe has no images.

    Raises:
        DataError: missing or unreadable data.
    """
    wiring, value = model.wiring, image_value(model)
    for name, spec in wiring.recipe.data.items():
        if value in spec.gives:
            return open_samples(name, spec, wiring.data[name])
    return None


def data_needed(nodes: abc.Iterable[Node]) -> set[str]:
    """Names of the data values that these nodes are computed from."""
    sources = [node.value for node in ancestors(nodes) if node.op == "source"]
    return {str(value[1]) for value in sources if isinstance(value, tuple) and value[0] == "data"}


def lacks_role(model: Model, *roles: str) -> str:
    """Why one of these roles cannot be evaluated on images alone; empty where all can."""
    for role in roles:
        if role not in model.roles:
            return f"the recipe has no role '{role}'"
        parts = (role,) if role in model.wiring.inference else ("encode", "decode")
        others = data_needed(model.wiring.inference[part] for part in parts) - {image_value(model)}
        if others:
            return f"the role '{role}' needs {', '.join(sorted(others))} besides images"
    return ""


def lacks_held_out(samples: Samples | None) -> str:
    """Why there are no held-out images; empty where there are some."""
    if samples is None:
        return NO_DATA
    if not len(samples.held_out):
        return f"no images are held out (split = {samples.spec.split}): set data.split"
    return ""


def lacks_labels(samples: Samples) -> str:
    """Why there is no class per image, of two or more; empty where there is."""
    if "label" not in samples.table.fields:
        return f"the data ({samples.spec.use}) has no labels"
    label = samples.table.array("label")
    if label.ndim != 1 or label.dtype.kind not in "iu":
        return f"the labels of {samples.spec.use} are not one class per image"
    if len(np.unique(label[samples.training])) < 2:
        return "the training images are all of one class"
    return ""


def labels(samples: Samples, indices: np.ndarray) -> np.ndarray:
    """Classes of these samples, int64 [n]."""
    return np.asarray(samples.table.array("label")[indices], np.int64)


def images(model: Model, samples: Samples, indices: np.ndarray) -> abc.Iterator[Tensor]:
    """These images in the recipe's value range and the model's dtype, [m, c, h, w], a few at a time."""
    value = image_value(model)
    for start in range(0, len(indices), BATCH):
        yield samples.field(value, indices[start : start + BATCH], model.dtype)


def features(model: Model, role: str, samples: Samples, indices: np.ndarray) -> np.ndarray:
    """A role of these images, flattened to float32 [n, dim].

    Raises:
        NotFiniteError: a feature is not finite.
    """
    value = image_value(model)
    found = []
    for x in images(model, samples, indices):
        given = {value: x}
        found.append(model.role(role, len(x), seed=0, **given).flatten(1).float().cpu())
    return finite(torch.cat(found), f"the role '{role}'").numpy()


def finite(values: Tensor, what: str) -> Tensor:
    """The values themselves.

    Raises:
        NotFiniteError: one of them is infinite or not a number.
    """
    if not bool(torch.isfinite(values).all()):
        raise NotFiniteError(f"{what} yields values that are not finite")
    return values
