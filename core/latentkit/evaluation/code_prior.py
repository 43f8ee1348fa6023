"""Ex-post priors: a density fitted to the codes of training images, for models whose own prior does not fit them.

Ghosh, Sajjadi, Vergari, Black, Schoelkopf 2020, https://arxiv.org/abs/1903.12436, section 4: a mixture of 10 Gaussians
with full covariances, fitted by expectation maximisation. There to samples of the posterior too, here to what the role
``encode`` gives, which is the mean where the encoder has a posterior.
"""

from __future__ import annotations

import json
import math
import warnings
from collections import abc
from pathlib import Path

import attrs
import numpy as np
import torch
from torch import Tensor

from latentkit._optional import of_sklearn
from latentkit.engine.streams import Streams
from latentkit.errors import LatentkitError, RunError
from latentkit.runs.files import CHECKSUM, checksum_of, read_tensors, write_tensors

KINDS = ("gmm",)
MOST_NUMBERS = 10_000_000
"""In all covariances together."""
_MAX_ITER, _FLOOR = 200, 1e-6
_WHO = "fitting a prior needs"


@attrs.frozen(kw_only=True, eq=False)
class CodePrior:
    """A mixture of K Gaussians over codes of D numbers.

    Attributes:
        means: float64 [K, D].
        covariances: float64 [K, D, D].
        weights: float64 [K], of sum 1.
        shape: sizes of one code; their product is D.
        notes: what it was fitted to, and how (JSON values).
    """

    means: Tensor
    covariances: Tensor
    weights: Tensor
    shape: tuple[int, ...]
    notes: dict[str, object] = attrs.field(factory=dict)

    def sample(self, n: int, seed: int = 0) -> Tensor:
        """``n`` codes for ``model.decode``, float32 [n, *shape]; a function of the seed."""
        streams = Streams(seed, torch.device("cpu"))
        chosen = torch.multinomial(self.weights, n, True, generator=streams.at("prior", "component"))
        noise = torch.randn(n, self.means.shape[1], generator=streams.at("prior", "noise"))
        roots = torch.linalg.cholesky(self.covariances)
        codes = self.means[chosen].clone()
        for component, root in enumerate(roots):  # not one root per sample, which would be n D D numbers
            mine = chosen == component
            codes[mine] += noise[mine].double() @ root.T
        return codes.float().reshape(n, *self.shape)

    def log_prob(self, codes: Tensor) -> Tensor:
        """Log-density of codes [n, *shape] in nats, float64 [n]."""
        rows, roots = codes.detach().cpu().double().reshape(len(codes), -1), torch.linalg.cholesky(self.covariances)
        each = []
        for mean, root, weight in zip(self.means, roots, self.weights, strict=True):
            white = torch.linalg.solve_triangular(root, (rows - mean).T, upper=False)  # d n
            constant = root.diagonal().log().sum() + 0.5 * len(mean) * math.log(2 * math.pi)
            each.append(weight.log() - constant - 0.5 * white.square().sum(0))
        return torch.stack(each).logsumexp(0)

    def save(self, path: Path) -> None:
        """Write safetensors; shape and notes are JSON in the header.

        Raises:
            RunError: the file cannot be written.
        """
        tensors = {"means": self.means, "covariances": self.covariances, "weights": self.weights}
        notes = {"prior": json.dumps({**self.notes, "shape": self.shape})}
        write_tensors(path, tensors, {**notes, CHECKSUM: checksum_of(tensors, notes)})

    @classmethod
    def load(cls, path: Path) -> CodePrior:
        """Read what :meth:`save` wrote.

        Raises:
            RunError: missing, damaged, or something else.
        """
        tensors, header = read_tensors(path)
        plain = {key: value for key, value in header.items() if key != CHECKSUM}
        if "prior" not in plain or header.get(CHECKSUM) != checksum_of(tensors, plain):
            raise RunError(f"{path}: damaged, or no prior (its checksum does not fit its content)")
        notes = json.loads(plain["prior"])
        return cls(**tensors, shape=tuple(notes.pop("shape")), notes=notes)


def fit_gmm(codes: np.ndarray, components: int, seed: int) -> tuple[Tensor, Tensor, Tensor, dict[str, object]]:
    """Means, covariances and weights of a mixture, float64, and how it went: [n, d] to [k, d], [k, d, d], [k].

    Raises:
        LatentkitError: scikit-learn is not installed; fewer codes than components; codes too large for covariances.
    """
    n, size = codes.shape
    if components < 1:
        raise LatentkitError(f"components: expected 1 or more, found {components}")
    if n < max(components, 2):
        raise LatentkitError(f"{components} components want at least {max(components, 2)} images, there are {n}")
    if components * size**2 > MOST_NUMBERS:
        raise LatentkitError(
            f"{components} covariances of codes of {size:,} numbers have {components * size**2:,} numbers, "
            f"more than the {MOST_NUMBERS:,} that are fitted; take fewer components"
        )
    late = of_sklearn("sklearn.exceptions", _WHO).ConvergenceWarning
    rows = codes.astype(np.float64)
    # In the unit of the codes' own spread, so that the floor of the covariances means the same for every model.
    unit = float(rows.std()) or 1.0
    mixture = of_sklearn("sklearn.mixture", _WHO).GaussianMixture(
        components, covariance_type="full", reg_covar=_FLOOR, max_iter=_MAX_ITER, random_state=seed % 2**32
    )
    # One thread: more gain nothing on matrices of this size, and would make the last digits depend on their number.
    one = of_sklearn("threadpoolctl", _WHO).threadpool_limits(1)
    with warnings.catch_warnings(record=True) as caught, one:
        warnings.simplefilter("always")
        try:
            mixture.fit(rows / unit)
        except ValueError as error:  # covariances that are not positive
            raise LatentkitError(f"no mixture fits these codes: {error}") from None
    converged = not any(issubclass(warning.category, late) for warning in caught)
    notes: dict[str, object] = {
        "log_likelihood": float(mixture.lower_bound_) - size * math.log(unit), "iterations": int(mixture.n_iter_),
        "converged": converged,
    }  # fmt: skip
    means, covariances = torch.from_numpy(mixture.means_ * unit), torch.from_numpy(mixture.covariances_ * unit**2)
    weights = torch.from_numpy(mixture.weights_ / mixture.weights_.sum())
    return means, covariances, weights, notes


def fits(notes: abc.Mapping[str, object], wanted: abc.Mapping[str, object]) -> bool:
    """Whether a saved prior is the one that is wanted."""
    return all(notes.get(key) == value for key, value in wanted.items())
