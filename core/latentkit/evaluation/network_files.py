"""Weights of published networks from a user's file, by the names that they are published under."""

from __future__ import annotations

from collections import abc
from pathlib import Path

import torch
from torch import Tensor, nn

from latentkit.errors import DataError
from latentkit.evaluation import inception, vgg
from latentkit.evaluation.networks import FeatureNetwork
from latentkit.runs.foreign import read_checkpoint
from latentkit.runs.plain import flat

_SHOWN = 3
_COUNTS = "num_batches_tracked"
"""Of batch normalisation, which does not use it once it is trained."""
KNOWN = (
    "the Inception-v3 of FID (names as in pt_inception-2015-12-05: Conv2d_1a_3x3.conv.weight, ...), or VGG16 with the "
    "heads of LPIPS (features.0.weight, ..., lin0.model.1.weight, ...)"
)


def read_network(path: Path, device: torch.device | str = "cpu") -> FeatureNetwork:
    """The network that the names in a file tell: safetensors, or a file of ``torch.save`` of which nothing is executed.

    Raises:
        DataError: names or shapes that are no known network's.
        RunError: missing, damaged, or a pickle that asks for more than weights.
    """
    checkpoint = read_checkpoint(path)
    tensors = flat(checkpoint.content)
    if any(name.startswith(inception.MARK) for name in tensors):
        with torch.device("meta"):  # neither memory nor random numbers for weights that are replaced at once
            module: nn.Module = inception.Inception()
        _fill(module, tensors, path, inception.TITLE, inception.UNUSED)
        return inception.InceptionNetwork(module=module.to(device), sha256=checkpoint.sha256)
    if any(name.startswith(vgg.MARKS) for name in tensors):
        with torch.device("meta"):
            module = vgg.Vgg()
        _fill(module, tensors, path, vgg.TITLE, vgg.UNUSED)
        return vgg.VggNetwork(module=module.to(device), sha256=checkpoint.sha256)
    found = f"has {_some(sorted(tensors))}" if tensors else "has no tensors by name"
    raise DataError(f"{path}: {found}; expected {KNOWN}")


def _fill(
    module: nn.Module, tensors: abc.Mapping[str, Tensor], path: Path, title: str,
    unused: abc.Mapping[str, tuple[int, ...] | None],
) -> None:  # fmt: skip
    """Load weights, and let ``module`` be as it is used; ``unused`` are further names, with a shape where it tells."""
    wanted = {name: value for name, value in module.state_dict().items() if not name.endswith(_COUNTS)}
    given = {name: value for name, value in tensors.items() if not name.endswith(_COUNTS)}
    shapes = {name: tuple(value.shape) for name, value in wanted.items()}
    shapes |= {name: shape for name, shape in unused.items() if name in given and shape is not None}
    missing = [name for name in wanted if name not in given]
    strange = [name for name in sorted(given) if name not in wanted and name not in unused]
    other = [
        f"{name} is {list(given[name].shape)} and not {list(shape)}"
        for name, shape in shapes.items()
        if name in given and tuple(given[name].shape) != shape
    ]
    no_numbers = [name for name in wanted if name in given and not given[name].is_floating_point()]
    faults = [
        f"{what}: {_some(names)}"
        for what, names in (
            ("missing", missing), ("not of it", strange), ("of another shape", other), ("not real", no_numbers)
        )
        if names
    ]  # fmt: skip
    if faults:
        raise DataError(f"{path}: is not {title}\n  " + "\n  ".join(faults))
    counts = {name: torch.zeros((), dtype=torch.int64) for name in module.state_dict() if name.endswith(_COUNTS)}
    module.load_state_dict({name: given[name].float() for name in wanted} | counts, assign=True)
    module.eval().requires_grad_(False)


def _some(names: abc.Sequence[str]) -> str:
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
