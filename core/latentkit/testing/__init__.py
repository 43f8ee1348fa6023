"""Conformance: what every component and recipe of a plugin has to do, looked at from its interface alone.

As a pytest plugin, for a plugin that is installed, without a test file::

    pytest -p latentkit.testing --latentkit-plugin NAME

and in a project's own tests::

    from latentkit.testing import checks_of

    @pytest.mark.parametrize("check", [pytest.param(check.run, id=check.name) for check in checks_of("NAME")])
    def test_conformance(check):
        check()

Sizes, inputs and options are derived from ports and types. Where that is not possible the check is reported as
skipped, with the reason; an author can then say how in the hook ``latentkit_examples`` (see :class:`Example`).
"""

from __future__ import annotations

from latentkit.testing.checks import Check, Nonconforming, NotExercised
from latentkit.testing.examples import Example
from latentkit.testing.kit import checks_of

pytest_plugins = ("latentkit.testing.collecting",)
"""What pytest is told when it is given this module with ``-p``."""

__all__ = ["Check", "Example", "Nonconforming", "NotExercised", "checks_of"]
