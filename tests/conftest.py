"""Fixtures that all tests share."""

from __future__ import annotations

import os
from collections import abc
from pathlib import Path

import pytest
from safetensors.torch import load_file
from torch import Tensor

Golden = abc.Callable[[str], dict[str, Tensor]]


@pytest.fixture
def golden() -> Golden:
    """Reads NAME.safetensors from tests/golden, or from the folder named by LATENTKIT_GOLDEN."""
    folder = Path(os.environ.get("LATENTKIT_GOLDEN", Path(__file__).parent / "golden"))
    return lambda name: load_file(folder / f"{name}.safetensors")
