"""Where a value comes from: an image of the data or a made one, a code of an image or a draw from the prior."""

from __future__ import annotations

from collections import abc
from typing import Literal

import attrs

from latentkit.spaces import Space
from latentkit.wiring.graph import Node, ancestors

Matched = Literal["data", "latent"]
Image = Literal["data", "learned", "generated", "reconstructed", "translated"]
_ORDER: tuple[Image, ...] = ("learned", "data", "generated", "reconstructed", "translated")
_MADE: tuple[Image, ...] = ("generated", "reconstructed", "translated")
_ASIDE = frozenset({"score", "scalar", "index", "label", "weights"})
"""Conditions and noise, which do not say what a value is of."""


@attrs.frozen
class Origin:
    """What a value is: an ``image`` of this kind, a ``code`` of such an image, or from the ``prior``.

    ``data`` is from a data source, ``generated`` decoded from the prior, ``reconstructed`` from codes of data,
    ``translated`` made of data by a trained part without a code between, ``learned`` a part's own weights.
    """

    what: Literal["image", "code", "prior"]
    of: Image | None = None


PRIOR = Origin("prior")
DATA = Origin("image", "data")
CODE = Origin("code", "data")


class Origins:
    """Origins of nodes.

    Args:
        spaces: of the nodes.
        trained: the parts that some phase trains.
    """

    def __init__(self, spaces: abc.Mapping[Node, Space], trained: abc.Collection[str]) -> None:
        self.spaces, self.trained = spaces, trained
        self.found: dict[Node, Origin | None] = {}

    def of(self, node: Node) -> Origin | None:
        """The origin; ``None`` for numbers, scores, labels, noise, and what comes from none of these places."""
        for each in sorted(ancestors([node]) - self.found.keys()):
            self.found[each] = self._origin(each)
        return self.found[node]

    def is_image(self, node: Node) -> bool:
        """Whether the value is an image, or a batch of joined ones."""
        space = self.spaces.get(node)
        return space is not None and space.kind == "image"

    def _origin(self, node: Node) -> Origin | None:
        space = self.spaces.get(node)
        if space is None or space.kind in _ASIDE:
            return None
        if node.op == "source":
            return self._outside(node, space)
        args = [origin for origin in (self.found[arg] for arg in node.args) if origin is not None]
        images = [origin.of for origin in args if origin.what == "image" and origin.of]
        codes = [origin.of for origin in args if origin.what == "code" and origin.of]
        if not args:
            own = node.op == "call"
            return (Origin("image", "learned") if space.kind == "image" else PRIOR) if own else None
        if space.kind == "image":
            return Origin("image", self._made(node, images, codes))
        shown = _latest(images or codes)
        # Codes of a part's own weights are where a learned prior has its modes.
        return PRIOR if shown in (None, "learned") else Origin("code", shown)

    def _outside(self, node: Node, space: Space) -> Origin | None:
        kind = node.source[0]
        if kind == "data":
            return DATA if space.kind == "image" else None
        return PRIOR if kind == "draw" and space.kind != "map" else None

    def _made(self, node: Node, images: abc.Sequence[Image], codes: abc.Sequence[Image]) -> Image:
        if not images:
            return "reconstructed" if {"data", "reconstructed", "translated"} & set(codes) else "generated"
        kind = _latest(images) or "data"
        own = node.op == "call" and node.callee[0] in self.trained
        return "translated" if own and kind == "data" else kind


def _latest(kinds: abc.Sequence[Image]) -> Image | None:
    return max(kinds, key=_ORDER.index, default=None)


def matched(a: abc.Collection[Origin], b: abc.Collection[Origin]) -> set[Matched]:
    """The distributions that agree where what has origins ``a`` cannot be told from what has origins ``b``."""
    found = set[Matched]()
    images = DATA in a and any(Origin("image", kind) in b for kind in _MADE)
    if images or (CODE in a and any(Origin("code", kind) in b for kind in _MADE)):
        found.add("data")
    if CODE in a and PRIOR in b:
        found.add("latent")
    return found
