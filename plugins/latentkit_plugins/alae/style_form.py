"""Sizes and weights of the style form in a released checkpoint."""

from __future__ import annotations

import re
from collections import abc

from torch import Tensor

from latentkit._building import wired
from latentkit.errors import RunError
from latentkit_plugins.alae.official import ENTRIES, style_name

State = dict[str, Tensor]
BLOCKS = {"E": "encode_block", "G": "decode_block"}
PUBLISHED = {
    (512, 9, 16, 512): "ffhq", (512, 7, 64, 512): "celebahq256", (512, 7, 32, 512): "bedroom",
    (256, 6, 64, 256): "celeba128", (32, 4, 64, 256): "mnist",
}  # fmt: skip
"""Latent, levels, channels of the highest and the lowest resolution: the released configurations."""


def blocks(letter: str, state: State) -> int:
    """How many levels E or G has; 0 for other forms."""
    found = {match[1] for key in state if (match := re.match(rf"{BLOCKS[letter]}\.(\d+)\.", key))}
    return len(found)


def style_sizes(parts: abc.Mapping[str, State]) -> tuple[dict[str, object], tuple[int, int, int, int]]:
    """The recipe's sizes as the shapes have them; and latent, levels, and channels at both ends.

    Raises:
        RunError: tensors are missing or do not go together; names the first.
    """
    levels = blocks("G", parts["G"])
    if blocks("E", parts["E"]) != levels:
        raise RunError(f"G has {levels} levels and E {blocks('E', parts['E'])}; both must have as many")
    dim, count = _mapping(parts["F"])
    rgb = _tensor("G", parts["G"], f"to_rgb.{levels - 1}.to_rgb.weight")
    channels, start = rgb.shape[0], rgb.shape[1]
    most = _tensor("E", parts["E"], f"encode_block.{levels - 1}.conv_2.weight").shape[0]
    sizes = {"levels": levels, "channels_base": start, "max_channels": most}
    overrides: dict[str, object] = {
        "draw.z.dim": dim, "data.channels": channels, "parts.F.layers": count, "train.steps": 1,
        "stage": [{"set": {"data.resolution": 4 << (levels - 1)}}],
    }  # fmt: skip
    overrides |= {f"parts.{letter}.{key}": value for letter in "GE" for key, value in sizes.items()}
    kind = (dim, levels, start, most)
    _check(parts, overrides, kind)
    return overrides, kind


def style_state(letter: str, state: State, levels: int) -> State:
    """Weights under the names of our modules; what has no counterpart (fixed blur kernels) is left out."""
    named = {style_name(letter, key, levels): value.float() for key, value in state.items()}
    return {key: value for key, value in named.items() if key is not None}


def _check(parts: abc.Mapping[str, State], overrides: dict[str, object], kind: tuple[int, int, int, int]) -> None:
    """Compare every weight of E and G with what networks of these sizes have."""
    wiring, (dim, levels, start, most) = wired("stylealae", overrides), kind
    for letter in "GE":
        wanted = wiring.parts[letter].build().state_dict()
        where = f"{letter} ('{ENTRIES[letter][0]}')"
        given = {key: (style_name(letter, key, levels), value) for key, value in parts[letter].items()}
        for key, (name, value) in given.items():
            if name in wanted and wanted[name].shape != value.shape:
                side = 4 << (levels - 1)
                sizes = f"{side} x {side}, {start} to {most} channels, latents of {dim}"
                known = f"those of stylealae-{PUBLISHED[kind]}" if kind in PUBLISHED else "of no published recipe"
                raise RunError(
                    f"{where}: '{key}' is {list(value.shape)}; the other tensors are of a network for {sizes} "
                    f"({known}), where it is {list(wanted[name].shape)}"
                )
        missing = sorted(wanted.keys() - {name for name, _ in given.values()})
        if missing:
            raise RunError(f"{where}: nothing there is what is called '{missing[0]}' here")


def _mapping(state: State) -> tuple[int, int]:
    count = 0
    while f"map_blocks.{count}.fc.weight" in state:
        count += 1
    if not count:
        raise RunError(f"F ('{ENTRIES['F'][0]}'): there is no 'map_blocks.0.fc.weight'")
    return int(state["map_blocks.0.fc.weight"].shape[-1]), count


def _tensor(letter: str, state: State, name: str) -> Tensor:
    found = state.get(name)
    if found is None or found.ndim != 4:
        fact = "is missing" if found is None else f"is {list(found.shape)}, no convolution's weight"
        raise RunError(f"{letter} ('{ENTRIES[letter][0]}'): '{name}' {fact}")
    return found
