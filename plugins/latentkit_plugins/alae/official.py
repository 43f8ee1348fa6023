"""Names of the released ALAE weights, https://github.com/podgorskiy/ALAE, and what they are called here.

The released weights are effective: the equalising constants are inside, so they load as they are.
"""

from __future__ import annotations

import re
from collections import abc
from typing import TypeVar

Value = TypeVar("Value")

SUBNETS: dict[str, str] = {"E": "encoder", "G": "decoder", "D": "mapping_tl", "F": "mapping_fl"}
"""The paper's letter of a part, and the released name of its sub-net (``fl``: from latent, ``tl``: to)."""

ENTRIES: dict[str, tuple[str, ...]] = {
    "E": ("discriminator", "encoder"),
    "G": ("generator", "decoder"),
    "D": ("mapping_tl", "mapping_d"),
    "F": ("mapping_fl", "mapping_f"),
}
"""Where a part is in a released checkpoint: first the entry's own name, then that of the sub-net. Averaged copies have
``_s`` behind it."""

_MLP_NAME = re.compile(
    r"(?:fc_(?P<fc>\d{1,3})|map_blocks\.(?P<block>\d{1,3})(?:\.fc)?)\.(?P<leaf>(?:weight|bias)(?:#\w+)?)"
)


def mlp_name(official: str) -> str | None:
    """Our name of a parameter of the MLP form; ``None`` for what has no counterpart (unused batch norms).

    ``fc_1.weight`` is ``layers.0.weight``; ``map_blocks.0.fc.bias`` and ``map_blocks.0.bias`` are
    ``layers.0.bias``. A suffix ``#...`` is kept.
    """
    match = _MLP_NAME.fullmatch(official)
    if match is None:
        return None
    index = int(match["fc"]) - 1 if match["fc"] else int(match["block"])
    return f"layers.{index}.{match['leaf']}"


_STYLE_NAMES: dict[str, tuple[tuple[str, str], ...]] = {
    "G": (
        (r"const", r"const"),
        (r"decode_block\.(\d{1,2})\.(conv_[12]\.weight)", r"blocks.\1.\2"),
        (r"decode_block\.(\d{1,2})\.noise_weight_([12])", r"blocks.\1.layer_\2.strength"),
        (r"decode_block\.(\d{1,2})\.bias_([12])", r"blocks.\1.layer_\2.bias"),
        (r"decode_block\.(\d{1,2})\.style_([12])\.(weight|bias)", r"blocks.\1.layer_\2.style.\3"),
        (r"to_rgb\.(\d{1,2})\.to_rgb\.(weight|bias)", r"to_rgb.\1.\2"),
    ),
    "E": (
        (r"encode_block\.(\d{1,2})\.(conv_[12]\.weight|bias_[12]|style_[12]\.(?:weight|bias))", r"blocks.\1.\2"),
        (r"from_rgb\.(\d{1,2})\.from_rgb\.(weight|bias)", r"from_rgb.\1.\2"),
    ),
}
"""Released names of the style form, and ours. The released encoder counts its levels from the highest resolution."""


def style_name(letter: str, official: str, levels: int) -> str | None:
    """Our name of a parameter of the style form; ``None`` for what has no counterpart (fixed blur kernels)."""
    if letter in "FD":
        return mlp_name(official)
    for pattern, replacement in _STYLE_NAMES[letter]:
        match = re.fullmatch(pattern + r"(?P<suffix>#\w+)?", official)
        if match is None:
            continue
        name = match.expand(replacement) + (match["suffix"] or "")
        if letter == "E":
            table, level, rest = name.split(".", 2)
            name = f"{table}.{levels - 1 - int(level)}.{rest}"
        return name
    return None


def reference_state(part_letter: str, tensors: abc.Mapping[str, Value], prefix: str = "ref.") -> dict[str, Value]:
    """The entries ``{prefix}{sub-net}.{name}`` of one part of the MLP form, under the names of its module.

    Args:
        part_letter: one of F, G, E, D.
        tensors: by official name, of all parts.
        prefix: stands before the name of the sub-net.

    Returns:
        A state dict of ``mlp-mapping``, ``mlp-generator``, ``mlp-encoder`` or ``mlp-discriminator``; empty if
        ``tensors`` has nothing of the part.

    Raises:
        KeyError: ``part_letter`` is none of the four.
    """
    mine = below(f"{prefix}{SUBNETS[part_letter]}.", tensors)
    named = ((mlp_name(key), value) for key, value in mine.items())
    return {name: value for name, value in named if name is not None}


def below(start: str, tensors: abc.Mapping[str, Value]) -> dict[str, Value]:
    """What stands under a prefix, without it."""
    return {key.removeprefix(start): value for key, value in tensors.items() if key.startswith(start)}
