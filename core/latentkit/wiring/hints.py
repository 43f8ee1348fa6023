"""What would mend an edge whose two ends disagree."""

from __future__ import annotations

import attrs

from latentkit.errors import Mismatch
from latentkit.interfaces import Part
from latentkit.spaces import Space, Var

_BETWEEN = {
    ("image", "latent"): "a part between them that makes a latent of an image is an encoder",
    ("latent", "image"): "a part between them that makes an image of a latent is a generator",
    ("image", "score"): "a part that makes a score of an image is a discriminator",
    ("latent", "score"): "a part that makes a score of a latent is a discriminator",
    ("posterior", "latent"): "its mean is the field mu; reparameterize(q, eps) is a sample of it",
}


class Misfit(Mismatch):
    """A part was given what its port does not take."""

    def __init__(self, owner: str, port: str, stated: Space | Var, wanted: Space | Var, given: Space | Var) -> None:
        self.stated, self.wanted, self.given = stated, wanted, given
        super().__init__(f"{owner} wants {port}: {wanted}, was given {given}")


def hint_for(misfit: Misfit, owner: str, part: Part | None) -> str:
    """What to do about it. ``part`` is the one that was given the value, where it is one of ``[parts]``."""
    wanted, given, stated = misfit.wanted, misfit.given, misfit.stated
    if not (isinstance(wanted, Space) and isinstance(given, Space) and isinstance(stated, Space)):
        return ""
    if wanted.kind != given.kind:
        return _BETWEEN.get((given.kind, wanted.kind), "")
    if wanted.batched != given.batched:
        return "one of them has a batch and the other has none: batch_mean() takes it away"
    for own, mine, theirs in zip(stated.dims, wanted.dims, given.dims, strict=False):
        if isinstance(own, int) and isinstance(theirs, int) and mine != theirs and part is not None:
            options = [field.name for field in attrs.fields(type(part)) if field.default is None]
            names = [name for name in options if getattr(part, name) == own]
            if names:
                return f"[parts] {owner} states {names[0]} = {own}; without it, the size follows from the flow"
    if wanted.range is not None and given.range is not None and wanted.range != given.range:
        return "let both have one value range: by [data] range, or by an option of the part that makes the image"
    return ""
