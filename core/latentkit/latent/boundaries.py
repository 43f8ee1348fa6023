"""The hyperplane between codes with an attribute and codes without; its normal edits the attribute.

Shen, Gu, Tang, Zhou 2020, https://arxiv.org/abs/1907.10786: a linear support vector machine.
"""

from __future__ import annotations

import warnings
from typing import Literal

import attrs
import numpy as np
import torch
from torch import Tensor

from latentkit._optional import of_sklearn
from latentkit.errors import LatentkitError

Kind = Literal["svm", "logistic"]
KINDS: tuple[Kind, ...] = ("svm", "logistic")
C, MAX_ITER = 1.0, 10_000
_WHO = "boundaries need"


@attrs.frozen(kw_only=True, eq=False)
class Boundary:
    """``<z, normal> + offset``, above 0 where the attribute is predicted.

    Attributes:
        normal: of length 1, [dim].
        offset: a number; with it the value is the signed distance.
        accuracy: share of the codes it was fitted to that are on their side, in [0, 1].
        converged: whether the fit came to its end.
    """

    normal: Tensor
    offset: float
    accuracy: float
    converged: bool

    def distance(self, z: Tensor) -> Tensor:
        """Signed distance of codes from the boundary: [n, dim] to [n]."""
        return z @ self.normal + self.offset


def boundary(z: Tensor, attribute: Tensor, kind: Kind = "svm", *, regularization: float = C) -> Boundary:
    """A linear boundary between codes with and without an attribute, the same for the same codes.

    Args:
        z: [n, dim].
        attribute: [n], 0 or 1.
        kind: linear support vector machine, or logistic regression.
        regularization: C of scikit-learn, above 0; a smaller one keeps weights smaller.

    Raises:
        LatentkitError: scikit-learn is not installed; codes that are not finite, other labels, or labels of one kind.
    """
    if kind not in KINDS:
        raise LatentkitError(f"boundary: expected {' or '.join(map(repr, KINDS))}, found {kind!r}")
    codes, labels = z.detach().cpu().double().numpy(), attribute.detach().cpu().numpy()
    _check(codes, labels, regularization)
    if kind == "svm":
        classifier = of_sklearn("sklearn.svm", _WHO).LinearSVC(
            C=regularization, max_iter=MAX_ITER, dual="auto", random_state=0
        )
    else:
        classifier = of_sklearn("sklearn.linear_model", _WHO).LogisticRegression(C=regularization, max_iter=MAX_ITER)
    late = of_sklearn("sklearn.exceptions", _WHO).ConvergenceWarning
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        classifier.fit(codes, labels.astype(int))
    weights = classifier.coef_[0]
    length = float(np.linalg.norm(weights))
    if not 0 < length < np.inf:
        raise LatentkitError("boundary: the codes do not tell the attribute at all; no direction was found")
    return Boundary(
        normal=torch.from_numpy(weights / length).to(z), offset=float(classifier.intercept_[0]) / length,
        accuracy=float(classifier.score(codes, labels.astype(int))),
        converged=not any(issubclass(warning.category, late) for warning in caught),
    )  # fmt: skip


def _check(codes: np.ndarray, labels: np.ndarray, regularization: float) -> None:
    if codes.ndim != 2 or labels.shape != codes.shape[:1]:
        raise LatentkitError(
            f"boundary: expected codes [n, dim] and labels [n], found {codes.shape} and {labels.shape}"
        )
    found = set(np.unique(labels).tolist())
    if found != {0, 1}:
        shown = ", ".join(f"{value:g}" for value in sorted(found)[:5])
        raise LatentkitError(f"boundary: expected labels of both kinds, 0 and 1, found {shown or 'none'}")
    if not np.isfinite(codes).all():
        raise LatentkitError("boundary: expected finite codes, found NaN or infinity")
    if not regularization > 0:
        raise LatentkitError(f"boundary: expected a regularization above 0, found {regularization:g}")
