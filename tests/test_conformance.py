"""Everything that ships does what its interface promises, as ``latentkit.testing`` looks at it from there."""

from __future__ import annotations

import tomllib
from collections import abc

import pytest
import torch

from latentkit.registry.catalogue import shipped_catalogue
from latentkit.testing import checks_of

PLUGINS = tuple(tomllib.loads(shipped_catalogue().read_text(encoding="utf-8")))


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> abc.Iterator[None]:
    """More cost time where everything is small."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def grouped(name: str) -> pytest.MarkDecorator:
    """Checks of one subject share what they find, so one process has them all."""
    return pytest.mark.xdist_group(name.partition("[")[0])


@pytest.mark.parametrize("run", [pytest.param(run, id=name, marks=grouped(name)) for name, run in checks_of(*PLUGINS)])
def test_what_ships_conforms(run: abc.Callable[[], None]) -> None:
    run()
