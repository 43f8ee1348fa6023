"""Checkpoints of the released ALAE code, https://github.com/podgorskiy/ALAE, as runs.

A checkpoint is a dict with the table ``models``: ``discriminator`` is E, ``generator`` G, ``mapping_tl`` D,
``mapping_fl`` F, each a state dict, ``NAME_s`` its averaged copy, and ``dlatent_avg`` the running mean of w. What else
there is (optimizers, scheduler, tracker, in ``auxiliary``) is left out.
"""

from __future__ import annotations

from collections import abc
from math import isqrt

import attrs
from torch import Tensor

from latentkit.errors import RunError
from latentkit.interfaces import Conversion, Converter
from latentkit.runs.plain import flat
from latentkit_plugins.alae.official import ENTRIES, below, mlp_name
from latentkit_plugins.alae.style_form import PUBLISHED, blocks, style_sizes, style_state

State = dict[str, Tensor]


@attrs.frozen(kw_only=True)
class AlaeCheckpoint(Converter):
    """Released ALAE checkpoints, of the MLP form (permutation-invariant MNIST) and of the style form."""

    def convert(self, content: abc.Mapping[str, object], metadata: abc.Mapping[str, str]) -> Conversion:
        """Sizes are read from the weights; pixels of the MLP form are one side squared, in 1 or 3 channels.

        Raises:
            RunError: entries are missing, or of sizes that do not go together.
        """
        tensors = flat(content)
        raw, slow = _entries(tensors, ""), _entries(tensors, "_s")
        missing = [letter for letter in ENTRIES if letter not in {**raw, **slow}]
        if missing:
            raise RunError(_what_is_missing(missing, content))
        style = blocks("G", raw.get("G") or slow["G"])
        parts, averaged, notes = {}, {}, []
        for letter, (entry, *_) in ENTRIES.items():
            one, other = raw.get(letter, slow.get(letter)), slow.get(letter, raw.get(letter))
            assert one is not None
            assert other is not None
            parts[letter], averaged[letter] = (one, other) if style else (_renamed(entry, one), _renamed(entry, other))
            if (letter in raw) != (letter in slow):
                has, lacks = ("raw", "averaged") if letter in raw else ("averaged", "raw")
                notes.append(f"no {lacks} weights of {letter} ('{entry}'): the {has} ones stand for both")
        recipe = "stylealae" if style else "alae-mlp"
        if style:
            overrides, kind = style_sizes(parts)
            dim = kind[0]
            parts = {letter: style_state(letter, state, style) for letter, state in parts.items()}
            averaged = {letter: style_state(letter, state, style) for letter, state in averaged.items()}
            known = PUBLISHED.get(kind)
            notes += [f"of the sizes of stylealae-{known}, whose schedule trains it on"] if known else []
        else:
            notes += _left_out({**raw, **slow})
            overrides, dim = _sizes(parts)
        states, fact = _running_mean(tensors, dim)
        return Conversion(
            recipe=recipe, overrides=overrides, weights=parts, averages={"slow": averaged}, states=states,
            notes=(*notes, *fact, *_epoch(content)),
        )  # fmt: skip


def _entries(tensors: abc.Mapping[str, Tensor], suffix: str) -> dict[str, State]:
    """State dicts by letter, as far as they are there, under the first name that fits."""
    found = {}
    for letter, names in ENTRIES.items():
        for start in (f"{table}{name}{suffix}." for name in names for table in ("models.", "")):
            state = below(start, tensors)
            if state:
                found[letter] = state
                break
    return found


def _renamed(entry: str, state: State) -> State:
    named = {mlp_name(key): value.float() for key, value in state.items()}
    kept = {key: value for key, value in named.items() if key is not None}
    if not kept:
        raise RunError(f"'{entry}' has no layer of the MLP form; it has: {_listed(state)}")
    return kept


def _left_out(found: abc.Mapping[str, State]) -> list[str]:
    names = [f"{ENTRIES[letter][0]}.{key}" for letter, state in found.items() for key in state if mlp_name(key) is None]
    return [f"left out, as this form does not use them: {_listed(names)}"] if names else []


def _sizes(parts: abc.Mapping[str, State]) -> tuple[dict[str, object], int]:
    """The recipe's sizes as the shapes have them, and that of the latent."""
    widths = {letter: _widths(letter, state) for letter, state in parts.items()}
    dim = widths["F"][0]
    for letter in ("F", "D"):
        if set(widths[letter]) != {dim}:
            raise RunError(f"{_entry(letter)}: expected layers from {dim} to {dim} numbers, found {widths[letter]}")
    pixels = widths["E"][0]
    for letter, (first, *hidden, last) in widths.items():
        ends = {"E": (pixels, dim), "G": (dim, pixels)}.get(letter)
        if ends and ((first, last) != ends or len(set(hidden)) != 1):
            expected = f"layers from {ends[0]} to {ends[1]} numbers with one width between them"
            raise RunError(f"{_entry(letter)}: expected {expected}, found {widths[letter]}")
    channels, side = _image(pixels)
    sizes: dict[str, object] = {"draw.z.dim": dim, "data.resolution": side, "data.channels": channels}
    sizes |= {f"parts.{letter}.layers": len(found) - 1 for letter, found in widths.items()}
    return sizes | {f"parts.{letter}.hidden": widths[letter][1] for letter in "GE"}, dim


def _widths(letter: str, state: State) -> list[int]:
    """Numbers before the first layer and after each, 784 1024 1024 50."""
    count = len({name.split(".")[1] for name in state})
    wanted = [f"layers.{index}.{leaf}" for index in range(count) for leaf in ("weight", "bias")]
    if sorted(wanted) != sorted(state):
        raise RunError(f"{_entry(letter)}: expected {count} layers with weight and bias each, found: {_listed(state)}")
    widths: list[int] = []
    for index in range(count):
        weight, bias = state[f"layers.{index}.weight"], state[f"layers.{index}.bias"]
        if weight.ndim != 2 or not weight.numel() or tuple(bias.shape) != weight.shape[:1]:
            shapes = f"weight {list(weight.shape)} and bias {list(bias.shape)}"
            raise RunError(f"{_entry(letter)}: layer {index} is not linear: {shapes}")
        if widths and widths[-1] != weight.shape[1]:
            raise RunError(f"{_entry(letter)}: layer {index} takes {weight.shape[1]} numbers, and gets {widths[-1]}")
        widths += ([] if widths else [weight.shape[1]]) + [weight.shape[0]]
    return widths


def _image(pixels: int) -> tuple[int, int]:
    for channels in (1, 3):
        side = isqrt(pixels // channels)
        if channels * side * side == pixels:
            return channels, side
    raise RunError(f"E reads {pixels} numbers per image, which are no square of 1 or 3 channels")


def _running_mean(tensors: abc.Mapping[str, Tensor], dim: int) -> tuple[State, list[str]]:
    """The buffer has a row per layer of the style form, all alike."""
    buffers = [tensors[name] for name in ("models.dlatent_avg.buff", "dlatent_avg.buff") if name in tensors]
    if not buffers:
        return {}, ["no 'dlatent_avg': the running mean of w starts at 0"]
    buffer = buffers[0]
    if buffer.shape[-1:] != (dim,) or buffer.ndim > 2 or not buffer.numel():
        raise RunError(f"'dlatent_avg.buff' is {list(buffer.shape)}; expected rows of {dim} numbers")
    return {"w_avg": buffer.reshape(-1, dim)[0].float()}, []


def _epoch(content: abc.Mapping[str, object]) -> list[str]:
    """What the scheduler tells; images and steps are not counted in these files."""
    table: object = content
    for key in ("auxiliary", "scheduler"):
        table = table.get(key) if isinstance(table, abc.Mapping) else None
    found = table.values() if isinstance(table, abc.Mapping) else ()
    epochs = [state.get("last_epoch") for state in found if isinstance(state, abc.Mapping)]
    known = [epoch for epoch in epochs if isinstance(epoch, int)]
    return [f"its scheduler stands at epoch {max(known)}; steps are counted from 0 here"] if known else []


def _what_is_missing(letters: abc.Sequence[str], content: abc.Mapping[str, object]) -> str:
    models = content.get("models")
    there = models if isinstance(models, abc.Mapping) else content
    where = "'models' has" if there is models else "the file has"
    wanted = ", ".join(f"'{ENTRIES[letter][0]}' ({letter})" for letter in letters)
    return f"no {wanted} as in a checkpoint of the released ALAE code; {where}: {_listed(there)}"


def _entry(letter: str) -> str:
    return f"{letter} ('{ENTRIES[letter][0]}')"


def _listed(names: abc.Collection[object]) -> str:
    shown = [str(name)[:60] for name in names][:8]
    return ", ".join(shown) + (f" and {len(names) - 8} more" if len(names) > 8 else "") if shown else "nothing"
