"""Attribute vectors, boundaries, and how far attributes are mixed up."""

from __future__ import annotations

import importlib
import math

import pytest
import torch
from torch import Tensor

from latentkit.errors import LatentkitError
from latentkit.latent.attributes import cosines, entanglement, least_squares, mean_differences
from latentkit.latent.boundaries import KINDS, Kind, boundary


def numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def correlated() -> tuple[Tensor, Tensor]:
    """Codes whose first coordinate has the first attribute, and the second the second, which mostly go together."""
    attributes = torch.tensor([[1, 1]] * 40 + [[0, 0]] * 40 + [[1, 0]] * 10 + [[0, 1]] * 10).double()
    return torch.cat([attributes, numbers(100, 1)], 1), attributes


def test_least_squares_separates_what_differences_of_means_mix() -> None:
    z, attributes = correlated()
    mixed, found = mean_differences(z, attributes), least_squares(z, attributes)
    torch.testing.assert_close(found.vectors[:, :2], torch.eye(2, dtype=torch.float64))
    torch.testing.assert_close(mixed[:, :2], torch.tensor([[1, 0.6], [0.6, 1]], dtype=torch.float64))
    torch.testing.assert_close(least_squares(z, attributes[:, 1:]).vectors, mixed[1:])


def test_the_result_is_in_the_precision_of_the_codes_and_labels_may_be_whole_numbers() -> None:
    z, attributes = correlated()
    assert least_squares(z.float(), attributes.long()).vectors.dtype == torch.float32
    assert mean_differences(z.float(), attributes.bool()).dtype == torch.float32


def test_attributes_that_tell_nothing_of_their_own_are_refused() -> None:
    z, attributes = correlated()
    twice = torch.cat([attributes, 1 - attributes[:, :1]], 1)
    with pytest.raises(LatentkitError, match="expected 3 that differ between codes and do not follow from each other"):
        least_squares(z, twice)
    constant = torch.cat([attributes, torch.ones(100, 1)], 1)
    with pytest.raises(LatentkitError, match=r"found only one of both for \[2\]"):
        mean_differences(z, constant)
    with pytest.raises(LatentkitError, match="expected 0 or 1"):
        mean_differences(z, attributes / 2)
    with pytest.raises(LatentkitError, match=r"expected codes \[n, dim\] and attributes \[n, k\], found"):
        least_squares(z[:3], attributes)


def test_entanglement_by_geometry_and_by_scores() -> None:
    vectors = torch.tensor([[2.0, 0.0], [1.0, 1.0]])
    torch.testing.assert_close(cosines(vectors), torch.tensor([[1, math.sqrt(0.5)], [math.sqrt(0.5), 1]]))
    torch.testing.assert_close(cosines(vectors, torch.tensor([[0.0, 3.0]])), torch.tensor([[0], [math.sqrt(0.5)]]))
    scores = numbers(5, 2)
    edited = torch.stack([scores + torch.tensor([2.0, 1.0]), scores + torch.tensor([0.0, -3.0])])
    torch.testing.assert_close(entanglement(scores, edited), torch.tensor([[1, 0.5], [0, 1]], dtype=torch.float64))
    with pytest.raises(LatentkitError, match=r"edited ones \[k, n, k\], found \[5, 2\] and \[2, 2\]"):
        entanglement(scores, edited[0, :2])


@pytest.mark.parametrize("kind", KINDS)
def test_a_boundary_is_across_the_coordinate_that_decides(kind: Kind) -> None:
    z = numbers(200, 3)
    found = boundary(z, z[:, 1] > 0.5, kind, regularization=100.0)
    assert float(found.normal[1]) > 0.99
    assert float(found.normal.norm()) == pytest.approx(1)
    assert found.offset == pytest.approx(-0.5, abs=0.1)
    assert found.accuracy > 0.97
    assert found.converged
    sides = (found.distance(z) > 0) == (z[:, 1] > 0.5)
    assert float(sides.double().mean()) == found.accuracy
    assert torch.equal(boundary(z, z[:, 1] > 0.5, kind, regularization=100.0).normal, found.normal)


def test_what_has_no_boundary_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    z, labels = numbers(4, 2), torch.tensor([0, 1, 0, 1])
    for wrong, said in (
        ((z, labels * 2), "expected labels of both kinds, 0 and 1, found 0, 2"),
        ((z, labels * 0), "found 0"),
        ((z, labels[:3]), r"expected codes \[n, dim\] and labels \[n\]"),
        ((z * math.nan, labels), "expected finite codes"),
        ((z, labels, "tree"), "expected 'svm' or 'logistic', found 'tree'"),
        ((z * 0, labels), "do not tell the attribute"),
    ):
        with pytest.raises(LatentkitError, match=said):
            boundary(*wrong)
    with pytest.raises(LatentkitError, match="expected a regularization above 0, found 0"):
        boundary(z, labels, regularization=0.0)

    def missing(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(LatentkitError, match=r"boundaries need scikit-learn: pip install 'latentkit\[eval\]'"):
        boundary(z, labels)
