"""The axes of the matrix, and what cannot be read off ports: where a loss is asked for, and with what."""

from __future__ import annotations

import attrs

LATENT = 8
"""Coordinates of a latent, and the size of whatever else must be stated."""
RANGES = {"[-1, 1]": (-1.0, 1.0), "[0, 1]": (0.0, 1.0)}
"""Of the data, and of generators that have one."""


@attrs.frozen
class Choice:
    """One value of an axis."""

    name: str
    use: str = ""
    """The component, where it is one of a table of its own."""
    form: str = ""
    """In which way it takes part; which ways there are is the matter of its axis."""
    weighted: bool = True
    """Of a part, whether it has weights to train. A decorated function has none."""
    options: dict[str, object] = attrs.field(factory=dict, eq=False)
    alike: object = attrs.field(default="", eq=False)
    """Equal for choices that no static check can tell apart."""

    def table(self) -> dict[str, object]:
        """What a recipe says of it."""
        return {"use": self.use, **self.options}


@attrs.frozen
class Cell:
    """One system: a generator, an encoder and a discriminator, and what they are trained by."""

    encoder: Choice
    generator: Choice
    range: Choice
    prior: Choice
    discriminator: Choice
    adversarial: Choice
    reciprocity: Choice
    regularizer: Choice

    def __str__(self) -> str:
        return " x ".join(getattr(self, axis).name for axis in AXES)


AXES = tuple(field.name for field in attrs.fields(Cell))
BASE = AXES.index("adversarial")
"""So many axes decide on the flow; those after them decide on the losses."""
Axes = dict[str, tuple[Choice, ...]]

STATED: dict[str, dict[str, object]] = {"core.mixture": {"means": [[-1.0] * LATENT, [1.0] * LATENT]}}
"""Options without which a prior cannot be made, where they are more than a size."""
PARTNERS = {"core.saturating-generator": "core.logistic-discriminator"}
"""The discriminator's side of a generator's, where it is not the one of the same name."""

REAL: dict[str, object] = {"of": "real", "wrt": "x"}
_BETWEEN: dict[str, object] = {"of": "mixed", "wrt": "x_mix"}
PENALTIES: dict[str, dict[str, dict[str, object]]] = {
    "core.r1": {"on real (R1)": REAL, "on fakes (R2)": {"of": "fake", "wrt": "x_fake"}},
    "core.gradient-penalty": {
        "two-sided": _BETWEEN,
        "one-sided": {**_BETWEEN, "one_sided": True},
        "zero-centred": {**_BETWEEN, "center": 0.0},
    },
    "core.input-gradient": {"of D's loss": {"of": "softplus(-real)", "wrt": "x"}},
}
"""Where a penalty on a gradient is taken, with its options; one that is not named here is taken on real samples."""

_ANY = frozenset({"", "tensor"})


@attrs.frozen
class Side:
    """Where reciprocity is asked for."""

    of: frozenset[str]
    """Kinds of a loss's port ``of``; "" is any space."""
    others: frozenset[str]
    """Kinds of its other ports."""
    values: dict[str, str]
    """What a port is given, by its name."""


SIDES = {
    "pixels": Side(_ANY | {"image"}, _ANY | {"image"}, {"of": "x_rec", "to": "x"}),
    "latents": Side(
        _ANY | {"latent", "features"}, _ANY | {"latent", "features", "label"},
        {"of": "h_fake", "to": "z", "projections": "directions"},
    ),
    "posteriors": Side(
        frozenset({"posterior"}), frozenset({"posterior", "latent"}),
        {"of": "q", "to": "q_fake", "at": "h", "components": "q_fake"},
    ),
}  # fmt: skip
