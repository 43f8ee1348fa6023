"""Fixtures that all tests share."""

from __future__ import annotations

import functools
import os
from collections import abc
from pathlib import Path

if "PYTEST_XDIST_WORKER" in os.environ:  # one process per core, so one thread each; also of what tests start
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import attrs
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from latentkit._building import wired
from latentkit.testing.narrowing import short_stages

if "PYTEST_XDIST_WORKER" in os.environ:
    torch.set_num_threads(1)
WIDTHS: dict[str, object] = {"channels_base": 4, "max_channels": 64, "levels": 2, "hidden": 16, "layers": 2}
"""Options of parts that say how wide a network is, and what they become in tests."""
Narrow = abc.Callable[..., dict[str, object]]
Golden = abc.Callable[[str], dict[str, Tensor]]
Given = abc.Callable[[str], dict[str, Tensor]]
Reproduced = abc.Callable[..., None]


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """A group that is not kept together would fail rarely, and say nothing: pytest-xdist 3.8 with pytest 9.2."""
    if getattr(config.option, "loadgroup", False):
        apart = [item.nodeid for item in items if item.get_closest_marker("xdist_group") and "@" not in item.nodeid]
        if apart:
            raise pytest.UsageError(f"pytest-xdist does not group {apart[0]}: install what constraints.txt names")


@pytest.fixture
def golden() -> Golden:
    """Reads NAME.safetensors from tests/golden, or from the folder named by LATENTKIT_GOLDEN."""
    folder = Path(os.environ.get("LATENTKIT_GOLDEN", Path(__file__).parent / "golden"))
    return lambda name: load_file(folder / f"{name}.safetensors")


@pytest.fixture
def given(golden: Golden) -> Given:
    """The inputs of a case of the stored losses."""
    return lambda case: _of_case(golden("losses"), f"{case}/in/")


@pytest.fixture
def reproduced(golden: Golden) -> Reproduced:
    """Compares values with all the results of a case; one that is missing, or too many, fails."""

    def compare(case: str, got: abc.Mapping[str, Tensor], elsewhere: abc.Collection[str] = ()) -> None:
        wanted = _of_case(golden("losses"), f"{case}/out/")
        assert wanted, f"no case {case}"
        assert got.keys() == wanted.keys() - set(elsewhere)
        for key, value in got.items():
            named = functools.partial("{}: {}".format, key)
            torch.testing.assert_close(value, wanted[key], rtol=1e-9, atol=1e-10, msg=named)

    return compare


def _of_case(tensors: abc.Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}


@pytest.fixture(scope="session")
def narrow() -> Narrow:
    """Overrides that make a shipped recipe small enough to train in a moment; no flow and no phase changes."""

    def overrides(recipe: str, **more: object) -> dict[str, object]:
        found: dict[str, object] = {
            "train.batch": 4, "train.log_every": 1, "train.checkpoint_every": 3, "train.keep_checkpoints": 2,
        }  # fmt: skip
        wiring = wired(recipe)
        alone = len(wiring.data) == 1
        found |= {f"data{'' if alone else f'.{name}'}.resolution": 8 for name in wiring.data}
        for name, part in wiring.parts.items():
            options = {field.name for field in attrs.fields(type(part)) if field.default is not None}
            found |= {f"parts.{name}.{option}": width for option, width in WIDTHS.items() if option in options}
        for name, draw in wiring.recipe.draw.items():
            found |= {f"draw.{name}.dim": 32} if draw.options.get("dim", 0) > 256 else {}  # published latents
        return found | short_stages(wiring.source.whole, 8) | more

    return overrides
