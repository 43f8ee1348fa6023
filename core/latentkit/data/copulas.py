"""Uniform numbers that go together by a known correlation: a Gaussian copula.

Normal numbers of correlation ``2 sin(pi r / 6)``, each put through the normal distribution function, are uniform and of
correlation r (Pearson 1907, "On further methods of determining correlation").
"""

from __future__ import annotations

import math
from collections import abc

import numpy as np
import torch

from latentkit.errors import DataError

Floats = np.ndarray[tuple[int, ...], np.dtype[np.float32]]
Doubles = np.ndarray[tuple[int, ...], np.dtype[np.float64]]
Pairs = abc.Sequence[tuple[int, int, float]]

_HALF_STEP = 2.0**-25  # numbers of 24 bits stand for the cells between them; of a cell's middle the quantile is finite
_BELOW_ONE = float(np.nextafter(np.float32(1), np.float32(0)))


def mixing(pairs: Pairs, names: abc.Sequence[str], where: str) -> tuple[list[int], Doubles]:
    """The columns that are in pairs, m of them, and the lower triangular [m, m] that correlates normal numbers so.

    Args:
        pairs: two columns each, and their correlation; of columns that are in pairs, but not with each other, it is 0.
        names: of the columns.
        where: begins the messages.

    Raises:
        DataError: a column with itself, a pair twice, a correlation that is not between -1 and 1, or several that
            cannot be at once.
    """
    columns = sorted({column for pair in pairs for column in pair[:2]})
    matrix = np.eye(len(columns))
    seen: set[frozenset[int]] = set()
    for one, other, correlation in pairs:
        said = f"{where}: '{names[one]}' and '{names[other]}'"
        if one == other:
            raise DataError(f"{said}: expected two, found one")
        if frozenset((one, other)) in seen:
            raise DataError(f"{said}: the pair is given twice")
        if not -1 < correlation < 1:
            raise DataError(f"{said}: expected a correlation between -1 and 1, both excluded, found {correlation:g}")
        seen.add(frozenset((one, other)))
        at = columns.index(one), columns.index(other)
        matrix[at] = matrix[at[::-1]] = 2 * math.sin(math.pi * correlation / 6)
    try:
        return columns, np.asarray(np.linalg.cholesky(matrix), np.float64)
    except np.linalg.LinAlgError:
        known = ", ".join(names[column] for column in columns)
        raise DataError(
            f"{where}: there are no {known} with all these correlations at once; pairs that are not named count as 0, "
            "so name them too, or take smaller ones"
        ) from None


def correlated(uniform: Floats, pairs: Pairs) -> Floats:
    """Uniform numbers in [0, 1), [n, k], some of whose columns go together; the others stay as they are.

    A row depends on the same row alone.

    Args:
        uniform: independent, in steps of 2^-24 as numpy draws float32.
        pairs: see :func:`mixing`.

    Raises:
        DataError: as :func:`mixing`.
    """
    columns, factor = mixing(pairs, [f"column {index}" for index in range(uniform.shape[1])], "correlation")
    middle = uniform[:, columns].astype(np.float64) + _HALF_STEP
    normal: Doubles = torch.special.ndtri(torch.from_numpy(middle)).numpy()
    # Sum by sum: the last digits of a matrix product depend on the number of rows.
    mixed = np.zeros_like(normal)
    for column in range(len(columns)):
        mixed += normal[:, column, None] * factor[:, column]
    result = uniform.copy()
    result[:, columns] = np.minimum(torch.special.ndtr(torch.from_numpy(mixed)).numpy(), _BELOW_ONE)
    return result
