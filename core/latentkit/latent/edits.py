"""Edits of codes along directions, by an amount or to a place, and the images of edited codes."""

from __future__ import annotations

from collections import abc

import attrs
import torch
from torch import Tensor

from latentkit.errors import LatentkitError
from latentkit.interfaces.directions import Direction
from latentkit.latent.editing import coordinate, moved, without
from latentkit.mixing import images_of_styles, styles
from latentkit.model import Model


@attrs.frozen(kw_only=True, eq=False)
class Edit:
    """A direction, and how far along it.

    Attributes:
        direction: where it leads.
        amount: in the direction's unit: of its scale, where it has one, otherwise lengths of its vector.
        absolute: the code's place along the direction becomes ``amount``, in place of growing by it; where there is
            no scale, a place is the coordinate along the unit vector.
    """

    direction: Direction
    amount: float = attrs.field()
    absolute: bool = False

    @amount.validator
    def _finite(self, _: object, value: float) -> None:
        if not -torch.inf < value < torch.inf:
            raise LatentkitError(f"edit: expected a finite amount, found {value:g}")

    def apply(self, z: Tensor) -> Tensor:
        """Moved codes, or styles: ``... dim`` to ``... dim``.

        What a direction's scale does not reach ends at the end of it.
        """
        direction, u = self.direction, self.direction.u
        if direction.scale is None and not self.absolute:
            return moved(z, direction.vector, self.amount)
        place = z.new_full(z.shape[:-1], self.amount)
        if direction.scale is not None:
            position = place if self.absolute else direction.scale(coordinate(z, u)) + self.amount
            place = direction.scale.inverse(position)
        rows = z.reshape(-1, z.shape[-1])
        return (without(rows, u) + place.reshape(-1, 1) * u).reshape(z.shape)


def even_places(direction: Direction, steps: int, ends: tuple[float, float] | None = None) -> Tensor:
    """Places from one end to the other, for absolute edits, [steps].

    Args:
        direction: where they are.
        steps: 2 or more.
        ends: in the direction's unit; those of the range that was seen unless they are given.

    Raises:
        LatentkitError: the range that was seen is not known.
    """
    if ends is None:
        if direction.range is None:
            raise LatentkitError("direction: the range that was seen is not known, so that its ends have to be given")
        seen = direction.vector.new_tensor(direction.range)
        low, high = (seen if direction.scale is None else direction.scale(seen)).tolist()
    else:
        low, high = ends
    return torch.linspace(low, high, steps, dtype=direction.vector.dtype, device=direction.vector.device)


def edited(
    model: Model,
    codes: Tensor,
    edits: abc.Sequence[Edit],
    *,
    given: abc.Mapping[str, Tensor | float] | None = None,
    seed: int = 0,
) -> Tensor:
    """Images of codes that were moved by all edits, [n, dim] to [n, channels, height, width].

    Edits of the code come first, then those of the styles that ``decode`` makes of it.

    Args:
        model: with a role ``decode``.
        codes: [n, dim].
        edits: in their order.
        given: what ``decode`` needs besides codes: a row per code, or one for all.
        seed: of other draws.

    Raises:
        LatentkitError: no ``decode``, a direction of other codes, or one of styles where there are none.
    """
    for edit in edits:
        if edit.direction.space == "code":
            codes = _fitting(edit, codes, f"codes of '{model.name}'")
    of_styles = [edit for edit in edits if edit.direction.space == "styles"]
    if not of_styles:
        values = {name: _row_each(value, len(codes)) for name, value in (given or {}).items()}
        images = model.role("decode", len(codes), seed=seed, **{**values, _name(model): codes})
        return images
    value = styles(model, codes)
    for edit in of_styles:
        value = _with_layers(edit, value, model)
    return images_of_styles(model, value, seed)


def _row_each(value: Tensor | float, n: int) -> Tensor | float:
    """One row as n of them; what is a row each already, or no row, as it is."""
    one = isinstance(value, Tensor) and value.ndim > 0 and len(value) == 1
    return value.expand(n, *value.shape[1:]) if isinstance(value, Tensor) and one else value


def _name(model: Model) -> str:
    return str(model.wiring.recipe.inference.get("code", ""))


def _fitting(edit: Edit, values: Tensor, what: str) -> Tensor:
    if values.shape[-1] != len(edit.direction.vector):
        raise LatentkitError(
            f"direction: expected {values.shape[-1]} numbers, as {what} have, found {len(edit.direction.vector)}"
        )
    return edit.apply(values)


def _with_layers(edit: Edit, value: Tensor, model: Model) -> Tensor:
    """Styles [n, layers, dim] with some layers moved."""
    layers = list(edit.direction.layers or range(value.shape[1]))
    if max(layers) >= value.shape[1]:
        raise LatentkitError(
            f"direction: expected layers up to {value.shape[1] - 1}, as '{model.name}' has, found {max(layers)}"
        )
    changed = value.clone()
    changed[:, layers] = _fitting(edit, value[:, layers], f"styles of '{model.name}'")
    return changed
