"""What of a source is trained on, and what is held out."""

from __future__ import annotations

import math
from collections import abc

import numpy as np

from latentkit.errors import DataError


def split(count: int, rule: object) -> tuple[np.ndarray, np.ndarray]:
    """Indices to train on and indices held out.

    ``rule`` is a fraction (the first so many), a range ``[from, to]`` to train on, or
    ``{ seed = 0, train = 8000 }``: the first 8,000 (or that fraction) of
    ``numpy.random.RandomState(seed).permutation(count)``.

    Raises:
        DataError: a rule that is none of these, or one that leaves nothing to train on.
    """
    order = np.arange(count)
    if isinstance(rule, int | float) and not isinstance(rule, bool) and 0 < rule <= 1:
        cut = round(count * rule)
        chosen, rest = order[:cut], order[cut:]
    elif isinstance(rule, list | tuple) and len(rule) == 2 and all(type(end) is int for end in rule):
        low, high = rule
        if not 0 <= low < high <= count:
            raise DataError(f"split = [{low}, {high}] does not fit {count} samples")
        chosen, rest = order[low:high], np.concatenate([order[:low], order[high:]])
    elif isinstance(rule, dict) and _is_permutation(rule):
        order = np.random.RandomState(rule["seed"]).permutation(count)
        wanted = rule["train"]
        share = float(wanted) if isinstance(wanted, float) and 0 < wanted <= 1 else 0.0
        cut = wanted if isinstance(wanted, int) else round(count * share)
        if not 0 < cut <= count:
            raise DataError(f"split: train = {wanted} does not fit {count} samples")
        chosen, rest = order[:cut], order[cut:]
    else:
        wanted = "a fraction above 0 and at most 1, a range [from, to], or { seed, train }"
        raise DataError(f"split: expected {wanted}; found {rule!r}")
    if not len(chosen):
        raise DataError(f"split = {rule!r} leaves nothing to train on of {count} samples")
    return chosen, rest


def _is_permutation(rule: abc.Mapping[str, object]) -> bool:
    seed, train = rule.get("seed"), rule.get("train")
    seeded = type(seed) is int and 0 <= seed < 2**32
    counted = type(train) is int or (type(train) is float and math.isfinite(train))
    return set(rule) == {"seed", "train"} and seeded and counted
