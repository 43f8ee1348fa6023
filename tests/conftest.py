"""Fixtures that all tests share."""

from __future__ import annotations

import os
from collections import abc
from pathlib import Path

import pytest
from safetensors.torch import load_file
from torch import Tensor

from latentkit._building import wired

WIDTHS: dict[str, object] = {"channels_base": 4, "hidden": 16}
"""Options of parts that say how wide a network is, and what they become in tests."""
Narrow = abc.Callable[..., dict[str, object]]
Golden = abc.Callable[[str], dict[str, Tensor]]


@pytest.fixture
def golden() -> Golden:
    """Reads NAME.safetensors from tests/golden, or from the folder named by LATENTKIT_GOLDEN."""
    folder = Path(os.environ.get("LATENTKIT_GOLDEN", Path(__file__).parent / "golden"))
    return lambda name: load_file(folder / f"{name}.safetensors")


@pytest.fixture(scope="session")
def narrow() -> Narrow:
    """Overrides that make a shipped recipe small enough to train in a moment; no flow and no phase changes."""

    def overrides(recipe: str, **more: object) -> dict[str, object]:
        found: dict[str, object] = {
            "train.batch": 4, "train.log_every": 1, "train.checkpoint_every": 3, "train.keep_checkpoints": 2,
            "data.resolution": 8,
        }  # fmt: skip
        for name, part in wired(recipe).parts.items():
            found |= {f"parts.{name}.{option}": width for option, width in WIDTHS.items() if hasattr(part, option)}
        return found | more

    return overrides
