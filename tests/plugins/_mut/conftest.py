"""What the tests of the MLP form of ALAE share: the weights that its reference values were computed with."""

from __future__ import annotations

import math
from collections import abc
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor

from latentkit_plugins.alae.official import SUBNETS

Values = dict[str, Tensor]


def layer_widths(cfg: Tensor) -> dict[str, list[int]]:
    """Widths before and after the layers of each part, in the order in which the recipe draws them."""
    latent, hidden, mapping_layers, score_layers, _, side, _ = cfg.tolist()
    return {
        "E": [side * side, hidden, hidden, latent],
        "G": [latent, hidden, hidden, side * side],
        "D": [latent] * (score_layers + 1),
        "F": [latent] * (mapping_layers + 1),
    }


def official_layer(letter: str, index: int) -> str:
    names = {"E": f"fc_{index + 1}", "G": f"fc_{index + 1}", "D": f"map_blocks.{index}"}
    return f"{SUBNETS[letter]}.{names.get(letter, f'map_blocks.{index}.fc')}"


def recipe_weights(cfg: Tensor) -> Values:
    """Weights of the true-size file, drawn as its recipe says."""
    draw = np.random.RandomState(int(cfg[-1]))

    def normal(shape: tuple[int, ...], factor: float) -> Tensor:
        return torch.from_numpy((draw.standard_normal(shape) * factor).astype(np.float32))

    drawn: Values = {}
    for letter, widths in layer_widths(cfg).items():
        for index, (inputs, outputs) in enumerate(pairwise(widths)):
            name = official_layer(letter, index)
            drawn[f"ref.{name}.weight"] = normal((outputs, inputs), math.sqrt(2) / math.sqrt(inputs))
            drawn[f"ref.{name}.bias"] = normal((outputs,), 0.1)
    return drawn


@pytest.fixture
def reference_weights() -> abc.Callable[[Values], Values]:
    """The weights ``ref.*`` of a golden file, or those that it says how to draw."""

    def weights_of(tensors: Values) -> Values:
        stored = {key: value for key, value in tensors.items() if key.startswith("ref.")}
        return stored or recipe_weights(tensors["cfg"])

    return weights_of
