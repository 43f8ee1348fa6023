"""Everything that ships does what its interface promises, as ``latentkit.testing`` looks at it from there."""

from __future__ import annotations

import tomllib
from collections import abc

import pytest

from latentkit.registry.catalogue import shipped_catalogue
from latentkit.testing import checks_of

PLUGINS = tuple(tomllib.loads(shipped_catalogue().read_text(encoding="utf-8")))


@pytest.mark.parametrize("run", [pytest.param(check.run, id=check.name) for check in checks_of(*PLUGINS)])
def test_what_ships_conforms(run: abc.Callable[[], None]) -> None:
    run()
