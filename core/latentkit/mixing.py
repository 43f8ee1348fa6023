"""Style mixing: images of one code's styles in some layers and another's in the others.

Karras et al. 2019, section 3.1, https://arxiv.org/abs/1812.04948. It works for every model whose ``decode`` makes
``styles[layers, dim]`` of the code; which parts do so is not asked.
"""

from __future__ import annotations

from collections import abc
from typing import TYPE_CHECKING

import torch
from einops import rearrange, repeat
from torch import Tensor

from latentkit.engine.evaluating import needed
from latentkit.errors import LatentkitError
from latentkit.wiring.graph import Node, ancestors

if TYPE_CHECKING:
    from latentkit.model import Model

COARSE_END, FINE_START = 4, 8
"""Layers of the published figures: 4 x 4 and 8 x 8 are coarse, 16 x 16 and 32 x 32 middle, the rest fine."""


def named_layers(layers: int) -> dict[str, range]:
    """Coarse, middle and fine layers of a model with so many, those without any left out.

    The first four, the next four and the rest, as published; with fewer than 16 layers the finest quarter is ``fine``
    from an earlier layer on, and of fewer than 8 half are ``coarse``.
    """
    coarse, fine = min(COARSE_END, layers // 2), min(FINE_START, layers - layers // 4)
    found = {"coarse": range(coarse), "middle": range(coarse, fine), "fine": range(fine, layers)}
    return {name: there for name, there in found.items() if there}


def chosen_layers(text: str, layers: int) -> range:
    """Layers by name (``coarse``, ``middle``, ``fine``), or from one to another, both counted from 0: ``4-7``, ``2``.

    Raises:
        LatentkitError: neither, or layers that the model does not have.
    """
    names = named_layers(layers)
    if text in names:
        return names[text]
    first, dash, last = (piece.strip() for piece in text.partition("-"))
    last = last if dash else first
    if first.isdecimal() and last.isdecimal() and int(first) <= int(last) < layers:
        return range(int(first), int(last) + 1)
    known = ", ".join(f"{name} ({there[0]}-{there[-1]})" for name, there in names.items())
    raise LatentkitError(
        f"layers '{text}': expected {known}, or A-B with A up to B; this model has layers 0 to {layers - 1}"
    )


def style_layers(model: Model) -> int:
    """How many layers of styles ``decode`` has.

    Raises:
        LatentkitError: as :func:`styles`.
    """
    return int(model.wiring.spaces[_style_node(model)].dims[0])  # type: ignore[arg-type]  # sizes are known by now


def styles(model: Model, codes: Tensor) -> Tensor:
    """The styles that ``decode`` makes of codes, [n, dim] to [n, layers, dim].

    Raises:
        LatentkitError: no ``decode``, or none that makes ``styles`` of its code and images of nothing else of it.
    """
    value: Tensor = model.values([_style_node(model)], len(codes), given=_given(model, codes))[0]
    return value


def images_of_styles(model: Model, styles: Tensor, seed: int = 0) -> Tensor:
    """Images of styles, [n, layers, dim] to [n, channels, height, width]; ``seed`` is of the noise, where there is any.

    Raises:
        LatentkitError: as :func:`styles`.
    """
    known = {_style_node(model): styles}
    value: Tensor = model.values([model.wiring.inference["decode"]], len(styles), seed=seed, known=known)[0]
    return value


def mix(model: Model, source: Tensor, destination: Tensor, layers: abc.Iterable[int]) -> Tensor:
    """Every destination with the styles of every source in the given layers.

    Args:
        model: one whose ``decode`` makes styles.
        source: codes, [s, dim].
        destination: codes, [d, dim].
        layers: counted from 0; the destination keeps its styles in all others.

    Returns:
        [d, s, channels, height, width].

    Raises:
        LatentkitError: as :func:`styles`.
    """
    given, kept = styles(model, source), styles(model, destination)
    taken = torch.zeros(kept.shape[1], dtype=torch.bool, device=kept.device)
    taken[list(layers)] = True
    across = repeat(given, "s layers dim -> d s layers dim", d=len(kept))
    down = repeat(kept, "d layers dim -> d s layers dim", s=len(given))
    mixed = torch.where(rearrange(taken, "layers -> layers 1"), across, down)
    images = images_of_styles(model, mixed.flatten(0, 1))
    return images.reshape(len(kept), len(given), *images.shape[1:])


def _style_node(model: Model) -> Node:
    """The last value of kind ``styles`` between the code and the image."""
    decode = model.wiring.inference.get("decode")
    if decode is None:
        raise LatentkitError(f"'{model.name}' has no role 'decode', so it has no styles to mix")
    behind = ancestors([decode])
    found = [node for node in behind if model.wiring.spaces[node].kind == "styles" and _reads_code(model, node)]
    if not found:
        raise LatentkitError(
            f"'{model.name}' makes no styles: mixing needs a 'decode' in which a part makes styles[layers, dim] of the "
            "code"
        )
    last = max(found)
    if any(node.is_source("kept") for node in needed([decode], [last])):
        raise LatentkitError(
            f"'{model.name}': its 'decode' reads the code beside its styles, so that they cannot be mixed"
        )
    return last


def _reads_code(model: Model, node: Node) -> bool:
    return any(item.is_source("kept") for item in ancestors([node]))


def _given(model: Model, codes: Tensor) -> dict[str, Tensor]:
    return {model.wiring.recipe.inference["code"]: codes}
