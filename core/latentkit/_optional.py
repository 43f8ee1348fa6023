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
    try:
        return importlib.import_module(module)
    except ImportError:
        raise LatentkitError(f"{who} scikit-learn: pip install 'latentkit[eval]'") from None
