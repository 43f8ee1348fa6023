"""Packages that only some functions need."""

from __future__ import annotations

import importlib
from typing import Any

from latentkit.errors import LatentkitError


def of_sklearn(module: str, who: str) -> Any:
    """A module of scikit-learn, or of what it brings along; see :func:`optional`."""
    return optional(module, who, "scikit-learn")


def of_matplotlib(module: str, who: str) -> Any:
    """A module of matplotlib; see :func:`optional`."""
    return optional(module, who, "matplotlib")


def optional(module: str, who: str, package: str, extra: str = "eval") -> Any:
    """A module of a package of an extra.

    Args:
        module: ``sklearn.svm``, ``threadpoolctl``, ``matplotlib.figure``, ...
        who: how the message begins where it is missing: ``"classifiers need"``.
        package: the distribution's name.
        extra: that has it.

    Raises:
        LatentkitError: it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError:
        raise LatentkitError(f"{who} {package}: pip install 'latentkit[{extra}]'") from None
