"""Images whose attributes are known: of a run's own data, or from elsewhere; and their codes."""

from __future__ import annotations

from collections import abc

import attrs
import numpy as np
import torch
from torch import Tensor

from latentkit.engine.samples import Samples
from latentkit.errors import LatentkitError, nearest
from latentkit.evaluation.subjects import NO_DATA, features, finite, image_value, lacks_role, samples_of
from latentkit.interfaces import Table
from latentkit.interfaces.directions import Examples
from latentkit.latent.attribute_tables import Floats
from latentkit.model import Model

HELD_OUT_EVERY = 5
"""Of images from elsewhere: one in so many is held out."""


@attrs.frozen(kw_only=True, eq=False)
class Labelled:
    """Images, or codes of images, whose attributes are known.

    Attributes:
        attributes: float32 [n, k]; 0 and 1 where an attribute is there or not.
        names: of the k attributes.
        samples: the images, n of them, with the model's value range, and which of them are held out.
        codes: [n, dim], where they do not come from the model's encoder.
        chosen: indices of what directions are fitted to, [m].
    """

    attributes: Floats
    names: tuple[str, ...] = attrs.field()
    samples: Samples | None = None
    codes: Tensor | None = attrs.field(default=None)
    chosen: np.ndarray

    @names.validator
    def _fit(self, _: object, value: tuple[str, ...]) -> None:
        if self.attributes.ndim != 2 or self.attributes.shape[1] != len(value) or len(set(value)) != len(value):
            found = f"{list(self.attributes.shape)} and {list(value)}"
            raise LatentkitError(f"labels: expected attributes [n, k] and k names that differ, found {found}")

    def only(self, names: abc.Sequence[str]) -> Labelled:
        """Some of the attributes, in this order.

        Raises:
            LatentkitError: one is not known.
        """
        unknown = [name for name in names if name not in self.names]
        if unknown or not names:
            hint = nearest(unknown[0], self.names) if unknown else ""
            fact = f"expected some of {', '.join(self.names)}, found {', '.join(unknown) or 'none'}"
            raise LatentkitError(f"attributes: {fact}" + (f"\n  {hint}" if hint else ""))
        columns = [self.names.index(name) for name in dict.fromkeys(names)]
        return attrs.evolve(self, attributes=self.attributes[:, columns], names=tuple(dict.fromkeys(names)))

    def constant(self) -> tuple[str, ...]:
        """The attributes that are the same for all that is chosen."""
        known = self.attributes[self.chosen]
        return tuple(name for name, column in zip(self.names, known.T, strict=True) if (column == column[0]).all())

    def above(self, threshold: float | None = None) -> Labelled:
        """Every attribute as 1 above a number, or above the median of what is chosen, and as 0 elsewhere."""
        bounds = np.median(self.attributes[self.chosen], 0) if threshold is None else threshold
        return attrs.evolve(self, attributes=(self.attributes > bounds).astype(np.float32))

    def examples(self, model: Model, n: int) -> Examples:
        """Codes and attributes of what is chosen, the first ``n`` at most.

        Raises:
            LatentkitError: as :meth:`codes_of`.
        """
        some = self.chosen[:n]
        codes = self.codes_of(model, some)
        known = torch.from_numpy(self.attributes[some]).to(codes)
        return Examples(codes=codes, attributes=known, names=self.names)

    def codes_of(self, model: Model, indices: np.ndarray) -> Tensor:
        """Codes of some of the images, [m, dim], on the model's device and in its precision.

        Raises:
            LatentkitError: there are none, and the model has no encoder; they are of another size than the model's.
            NotFiniteError: one of them is not finite.
        """
        if self.codes is None:
            reason = lacks_role(model, "encode")
            if reason or self.samples is None:
                raise LatentkitError(f"'{model.name}' gives no codes of images: {reason or 'there are no images'}")
            return torch.from_numpy(features(model, "encode", self.samples, indices)).to(model.device, model.dtype)
        code = model.wiring.code
        dims = () if code is None else model.wiring.spaces[code].dims
        if tuple(self.codes.shape[1:]) != dims:
            wanted = ", ".join(map(str, dims))
            raise LatentkitError(
                f"codes: expected [n, {wanted}], as '{model.name}' has them, found {list(self.codes.shape)}; are they "
                "of another model?"
            )
        return finite(self.codes[indices], "the file of codes").to(model.device, model.dtype)


def labelled_by_field(model: Model, field: str) -> Labelled:
    """The images of a model's own data, by a field of these: ``label``, ``factors``.

    Of ``label`` each class is an attribute of 0 and 1. Directions are fitted to training images.

    Raises:
        DataError: the data are missing or unreadable.
        LatentkitError: the recipe has no images, their source no such field, or it is no row of numbers per image.
    """
    samples = samples_of(model)
    if samples is None:
        raise LatentkitError(f"labels: '{model.name}': {NO_DATA}")
    source = model.wiring.data[samples.name]
    fields = [name for name in source.offers() if name != "image"]
    if field not in fields:
        known = f"'{samples.spec.use}' has {', '.join(fields)}" if fields else f"'{samples.spec.use}' has no labels"
        raise LatentkitError(
            f"labels: expected a CSV file, or a field of the run's own data ({known}), found '{field}'"
        )
    array = samples.array(field)
    array = array[:, None] if array.ndim == 1 else array
    if array.ndim != 2 or array.dtype.kind not in "iuf":
        raise LatentkitError(
            f"labels: '{field}': expected a row of numbers per image, found {array.dtype} of shape {list(array.shape)}"
        )
    names = source.columns(field)
    if len(names) != array.shape[1]:
        names = tuple(f"{'class' if field == 'label' else field}-{index}" for index in range(array.shape[1]))
    return Labelled(attributes=array.astype(np.float32), names=names, samples=samples, chosen=samples.training)


def samples_of_pixels(model: Model, pixels: np.ndarray) -> Samples:
    """Images from elsewhere as if they were the model's data; every fifth is held out.

    Args:
        model: with images.
        pixels: uint8 [n, channels, height, width], as the model reads them.

    Raises:
        LatentkitError: the recipe has no images.
    """
    value = image_value(model)
    found = [(name, spec) for name, spec in model.wiring.recipe.data.items() if value in spec.gives]
    if not found:
        raise LatentkitError(f"labels: '{model.name}': {NO_DATA}")
    ((name, spec), *_) = found
    held_out = np.arange(len(pixels)) % HELD_OUT_EVERY == HELD_OUT_EVERY - 1
    return Samples(
        name=name, spec=attrs.evolve(spec, gives={value: "image"}), table=Table({"image": pixels}),
        training=np.flatnonzero(~held_out), held_out=np.flatnonzero(held_out),
    )  # fmt: skip
