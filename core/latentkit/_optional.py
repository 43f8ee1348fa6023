"""Packages that only some functions need."""

from __future__ import annotations

import importlib
from typing import Any

from latentkit.errors import LatentkitError


def of_sklearn(module: str, who: str) -> Any:
    """A module of scikit-learn, or of what it brings along.

    Args:
        module: ``sklearn.svm``, ``threadpoolctl``, ...
        who: how the message begins where it is missing: ``"classifiers need"``.

    Raises:
        LatentkitError: it is not installed.
    """
    return _imported(module, who, "scikit-learn")


def of_matplotlib(module: str, who: str) -> Any:
    """A module of matplotlib.

    Args:
        module: ``matplotlib.figure``, ...
        who: how the message begins where it is missing: ``"heat maps need"``.

    Raises:
        LatentkitError: it is not installed.
    """
    return _imported(module, who, "matplotlib")


def _imported(module: str, who: str, package: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError:
        raise LatentkitError(f"{who} {package}: pip install 'latentkit[eval]'") from None
