"""What all components have in common."""

from __future__ import annotations

from abc import ABC
from typing import ClassVar


class Component(ABC):
    """Anything that has a name in the registry.

    What a recipe can name with ``use`` is a frozen attrs value whose fields are its options.
    """

    __slots__ = ()
    kind: ClassVar[str]
