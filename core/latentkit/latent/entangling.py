"""How far an edit of one attribute moves the others, as a reader of attributes sees it in the edited images.

A direction is tried on held-out images: their codes are moved up and down along it, decoded, and read. Both ways by as
much as codes of images spread along it, so that directions of any finder are treated alike. Compared are the images of
the two moved codes, and not the image itself, from which its reconstruction may differ anyway.
"""

from __future__ import annotations

from collections import abc
from pathlib import Path

import attrs
import torch
from torch import Tensor

from latentkit.errors import LatentkitError
from latentkit.evaluation.attribute_reader import Agreement, AttributeReader, agreements, reader_of
from latentkit.evaluation.quantising import as_pictures
from latentkit.evaluation.subjects import BATCH, finite
from latentkit.interfaces.directions import Direction
from latentkit.latent.attributes import cosines, entanglement
from latentkit.latent.codes import lacks_decode, spread_along
from latentkit.latent.edits import Edit, edited
from latentkit.latent.labelled import Labelled
from latentkit.mixing import styles
from latentkit.model import Model

IMAGES = 1000
_ROUNDING = 1e-6
Given = abc.Mapping[str, Tensor | float]


@attrs.frozen(kw_only=True, eq=False)
class Entanglement:
    """What edits of attributes do to all of them. Rows are edits, columns what is read.

    Attributes:
        names: of the k attributes, in rows and columns.
        change: mean change of the attribute by one move upward, in standard deviations of the attribute, [k, k].
        deviation: of that change from image to image, likewise, [k, k].
        share: the change over the change of the attribute that was meant, [k, k], ones on the diagonal: the identity
            where nothing is entangled. A row is not finite where the edit does not change its own attribute.
        cosines: of the angles between the directions, [k, k]; ``None`` where they are of different spaces.
        read: how well each attribute is read off held-out images.
        amount: of a move, in standard deviations of the codes along the direction.
        n: images that were edited.
        trained_on: images that the reader was trained on.
    """

    names: tuple[str, ...]
    change: Tensor
    deviation: Tensor
    share: Tensor
    cosines: Tensor | None
    read: tuple[Agreement, ...]
    amount: float
    n: int
    trained_on: int

    @property
    def off_diagonal(self) -> float:
        """Mean size of the shares that should be 0; 0 of a single attribute."""
        k = len(self.names)
        others = self.share[~torch.eye(k, dtype=torch.bool)].abs()
        return float(others.mean()) if k > 1 else 0.0


@attrs.frozen(kw_only=True, eq=False)
class _Look:
    """How edited images are made and read."""

    model: Model
    reader: AttributeReader
    span: tuple[float, float]
    given: Given | None
    seed: int


def measure_entanglement(
    model: Model,
    directions: abc.Mapping[str, Direction],
    labelled: Labelled,
    *,
    n: int = IMAGES,
    amount: float = 1.0,
    given: Given | None = None,
    seed: int = 0,
    folder: Path | None = None,
) -> Entanglement:
    """Edit held-out images along the direction of each attribute, and read all these attributes off the results.

    Args:
        model: with a role ``decode``.
        directions: by name; those that are named like an attribute are measured.
        labelled: images with known attributes. The reader learns from its training images, held-out ones are edited.
        n: images that are edited, at most.
        amount: of a move, up and down, in standard deviations of these images' codes along the direction.
        given: what ``decode`` needs besides codes.
        seed: of other draws of ``decode``.
        folder: where the reader is kept; the user's cache by default.

    Raises:
        LatentkitError: no ``decode``, no codes of images, no held-out images, no direction of an attribute's name, an
            attribute without variation, or an amount that is not above 0.
        NotFiniteError: a code or an image is not finite.
    """
    names = tuple(name for name in labelled.names if name in directions)
    labelled = _measurable(model, labelled, names, list(directions))
    if not 0 < amount < torch.inf:
        raise LatentkitError(f"amount: expected a number above 0, found {amount:g}")
    samples = labelled.samples
    assert samples is not None
    chosen = samples.held_out[:n]
    codes = labelled.codes_of(model, chosen)
    reader = reader_of(samples, labelled.attributes, folder)
    pixels = torch.from_numpy(samples.table.fields["image"][chosen])
    images = (piece.float() / 255 for piece in torch.split(pixels, BATCH))
    read = agreements(reader, images, labelled.attributes[chosen])
    moves = [_moves(model, directions[name], codes, amount) for name in names]
    look = _Look(model=model, reader=reader, span=samples.spec.range, given=given, seed=seed)
    ways = [torch.stack([_read(look, codes, edit) for edit in move]) for move in moves]
    change = torch.stack([(up - down) / 2 for up, down in ways]) / reader.spread  # k n k
    alike = len({(directions[name].space, len(directions[name].vector)) for name in names}) == 1
    return Entanglement(
        names=names, change=change.mean(1), deviation=change.std(1, correction=0),
        share=entanglement(torch.zeros_like(change[0]), change),
        cosines=cosines(torch.stack([directions[name].vector for name in names])).cpu() if alike else None, read=read,
        amount=amount, n=len(chosen), trained_on=reader.trained_on,
    )  # fmt: skip


def _measurable(model: Model, labelled: Labelled, names: tuple[str, ...], known: list[str]) -> Labelled:
    """What is known of the attributes that have a direction."""
    reason = lacks_decode(model)
    if reason:
        raise LatentkitError(f"'{model.name}': {reason}")
    if not names:
        raise LatentkitError(
            f"no direction has the name of an attribute: directions are {', '.join(known) or 'none'}, attributes "
            f"{', '.join(labelled.names)}; `latentkit attributes fit` makes some"
        )
    if labelled.samples is None or not len(labelled.samples.held_out):
        raise LatentkitError("entanglement: expected held-out images with labels, found none; set data.split")
    found = labelled.only(names)
    if found.constant():
        raise LatentkitError(f"attributes: {', '.join(found.constant())}: the same for all training images")
    return found


def _moves(model: Model, direction: Direction, codes: Tensor, amount: float) -> tuple[Edit, Edit]:
    """Up and down along a direction by standard deviations of what it applies to."""
    values = codes
    if direction.space == "styles":
        made = styles(model, codes)  # n layers dim
        values = made[:, list(direction.layers) or slice(None)].flatten(0, 1)
    u = direction.u
    if values.shape[-1] != len(u):
        raise LatentkitError(f"direction: expected {values.shape[-1]} numbers, as '{model.name}' has, found {len(u)}")
    spread, (low, high) = spread_along(values, u)
    if not high - low > _ROUNDING * max(abs(low), abs(high)):
        raise LatentkitError("direction: the codes of these images do not differ along it")
    along = attrs.evolve(direction, vector=amount * spread * u, scale=None, unit="", range=None)
    return Edit(direction=along, amount=1.0), Edit(direction=along, amount=-1.0)


def _read(look: _Look, codes: Tensor, edit: Edit) -> Tensor:
    """Attributes of edited images, float64 [n, k]."""
    found = []
    for piece in torch.split(codes, BATCH):
        images = edited(look.model, piece, [edit], given=look.given, seed=look.seed)
        found.append(look.reader(as_pictures(finite(images, "the role 'decode'").float().cpu(), look.span)))
    return torch.cat(found)
