"""Which model it is, by its weights."""

from __future__ import annotations

from torch import Tensor

from latentkit.model import Model
from latentkit.runs.files import checksum_of


def fingerprint(model: Model) -> str:
    """BLAKE2b of a model's weights, buffers and states: what belongs to a model is known by it."""
    tensors = {f"{name}.{key}": value for name, part in model.parts.items() for key, value in part.state_dict().items()}
    tensors |= {f"state.{name}": value for name, value in model.states.items()}
    return checksum_of({key: value for key, value in tensors.items() if isinstance(value, Tensor)}, {})
