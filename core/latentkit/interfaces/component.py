"""What all components have in common."""

from __future__ import annotations

from abc import ABC
from typing import ClassVar

import attrs


@attrs.frozen(kw_only=True)
class Component(ABC):
    """Anything that a recipe can name with ``use``: a frozen value whose fields are its options."""

    kind: ClassVar[str]
