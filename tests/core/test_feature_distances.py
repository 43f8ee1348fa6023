"""Distances of features, covers, paths and 8-bit steps: recorded values, scipy, plain loops, and invariances."""

from __future__ import annotations

import itertools
from collections import abc

import numpy as np
import pytest
import scipy.linalg
import torch
from torch import Tensor

from latentkit.evaluation import manifolds
from latentkit.evaluation.distances import frechet, kernel_distance, squared_mmd
from latentkit.evaluation.manifolds import Cover, cover
from latentkit.evaluation.paths import along_sphere, averaged_down, central_mean, crop_box, cropped
from latentkit.evaluation.quantising import as_pictures, quantised, truncated

Golden = abc.Callable[[str], dict[str, Tensor]]
Pair = tuple[Tensor, Tensor]


@pytest.fixture
def misc(golden: Golden) -> dict[str, Tensor]:
    return golden("alae_misc")


@pytest.fixture(params=[0, 1, 2])
def pair(request: pytest.FixtureRequest) -> Pair:
    """Two sets of other sizes, means and covariances; the last ones of more numbers than rows."""
    rng = torch.Generator().manual_seed(request.param)
    size = (3, 6, 40)[request.param]

    def rows(count: int) -> Tensor:
        mix = torch.randn(size, size, generator=rng, dtype=torch.float64)
        return torch.randn(count, size, generator=rng, dtype=torch.float64) @ mix + torch.rand(1, generator=rng)

    return rows(25), rows(19)


def rotated(pair: Pair) -> Pair:
    size = pair[0].shape[1]
    rng = torch.Generator().manual_seed(7)
    basis = torch.linalg.qr(torch.randn(size, size, generator=rng, dtype=torch.float64))[0]
    return pair[0] @ basis, pair[1] @ basis


def shuffled(pair: Pair) -> Pair:
    rng = torch.Generator().manual_seed(8)
    first, second = (rows[torch.randperm(len(rows), generator=rng)] for rows in pair)
    return first, second


def test_frechet_distance_is_the_recorded_one(misc: dict[str, Tensor]) -> None:
    value = frechet(misc["fid.feat_fake"], misc["fid.feat_real"])
    assert value == pytest.approx(float(misc["fid.value"]), rel=1e-6)


def test_frechet_distance_is_that_of_scipy(pair: Pair) -> None:
    a, b = (rows.numpy() for rows in pair)
    first, second = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    if a.shape[1] < len(a):
        root = np.trace(scipy.linalg.sqrtm(first @ second).real)
    else:  # a singular product, which sqrtm is not good at; its trace is the sum of the eigenvalues' roots
        root = np.sqrt(scipy.linalg.eigvals(first @ second).real.clip(0)).sum()
    wanted = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(first + second) - 2 * root
    assert frechet(*pair) == pytest.approx(wanted, rel=1e-6)


def test_squared_mmd_is_that_of_plain_loops(pair: Pair) -> None:
    a, b = (rows[:5] for rows in pair)

    def kernel(x: Tensor, y: Tensor) -> float:
        return float((x @ y) / len(x) + 1) ** 3

    within = [np.mean([kernel(x, y) for x, y in itertools.permutations(rows, 2)]) for rows in (a, b)]
    across = np.mean([kernel(x, y) for x in a for y in b])
    assert squared_mmd(a, b) == pytest.approx(sum(within) - 2 * across, rel=1e-9)


def test_squared_mmd_is_unbiased() -> None:
    # Over all splits of one set into halves, each pair of rows is as often, by weight, within a half as across.
    rows = torch.randn(8, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    halves = [list(chosen) for chosen in itertools.combinations(range(8), 4)]
    found = [squared_mmd(rows[half], rows[[i for i in range(8) if i not in half]]) for half in halves]
    assert np.mean(found) == pytest.approx(0, abs=1e-12)
    assert min(found) < 0 < max(found)


def test_kernel_distance_is_the_mean_over_subsets_with_its_standard_error(pair: Pair) -> None:
    a, b = pair

    def taken(subsets: int, size: int, seed: int = 0) -> tuple[float, float | None]:
        return kernel_distance(a, b, subsets=subsets, size=size, generator=torch.Generator().manual_seed(seed))

    rng, found = torch.Generator().manual_seed(0), []
    for _ in range(7):
        first, second = (rows[torch.randperm(len(rows), generator=rng)[:6]] for rows in pair)
        found.append(squared_mmd(first, second))
    value, error = taken(7, 6)
    assert value == pytest.approx(np.mean(found))
    assert error == pytest.approx(np.std(found, ddof=1) / np.sqrt(7))
    assert taken(7, 6) == (value, error) != taken(7, 6, seed=1)
    assert taken(1, 6)[1] is None
    whole = kernel_distance(a[:19], b, subsets=2, size=19, generator=rng)
    assert whole[0] == pytest.approx(squared_mmd(a[:19], b))
    assert whole[1] == pytest.approx(0, abs=1e-9 * abs(whole[0]))


def plain_cover(real: np.ndarray, made: np.ndarray, k: int, wide: int) -> Cover:
    def radius(rows: np.ndarray, index: int, k: int) -> float:
        others = np.delete(rows, index, 0)
        return float(np.sort(np.sqrt(((others - rows[index]) ** 2).sum(1)))[k - 1])

    def distance(x: np.ndarray, y: np.ndarray) -> float:
        return float(np.sqrt(((x - y) ** 2).sum()))

    def within(points: np.ndarray, rows: np.ndarray) -> float:
        balls = [radius(rows, index, k) for index in range(len(rows))]
        hit = [any(distance(p, r) <= ball for r, ball in zip(rows, balls, strict=True)) for p in points]
        return float(np.mean(hit))

    balls = [radius(real, index, wide) for index in range(len(real))]
    inside = np.array([[distance(y, x) < ball for y in made] for x, ball in zip(real, balls, strict=True)])
    return Cover(
        precision=within(made, real), recall=within(real, made), density=float(inside.sum() / (wide * len(made))),
        coverage=float(inside.any(1).mean()),
    )  # fmt: skip


@pytest.mark.parametrize(("k", "wide"), [(3, 5), (1, 2), (4, 1)])
def test_covers_are_those_of_plain_loops(pair: Pair, k: int, wide: int, monkeypatch: pytest.MonkeyPatch) -> None:
    real, made = pair[0], 0.5 * pair[0].mean(0) + 0.5 * pair[1]
    wanted = plain_cover(real.numpy(), made.numpy(), k, wide)
    for most in (2**22, 40, 1):  # all at once, two rows, one row at a time
        monkeypatch.setattr(manifolds, "_MOST_NUMBERS", most)
        assert cover(real, made, k, wide) == wanted


def test_covers_on_a_line_are_those_that_one_counts() -> None:
    def column(*values: float) -> Tensor:
        return torch.tensor(values, dtype=torch.float64)[:, None]

    real, made = column(0, 1, 2, 10), column(0.5, 1.5, 5, 30)
    # k = 1: real radii 1, 1, 1, 8; made radii 1, 1, 3.5, 25. Balls: [-1, 1], [0, 2], [1, 3], [2, 18] and so on.
    found = cover(real, made, 1, 1)
    assert (found.precision, found.recall) == (3 / 4, 4 / 4)
    assert found.density == pytest.approx((1 + 2 + 1 + 1) / 4)
    assert found.coverage == 1
    assert cover(real, made + 100, 1, 1) == Cover(precision=0, recall=0, density=0, coverage=0)


def test_a_set_covers_itself_even_where_rows_are_the_same(pair: Pair) -> None:
    assert cover(pair[0], pair[0]) == Cover(precision=1, recall=1, density=1, coverage=1)
    one = torch.ones(8, 3, dtype=torch.float64)
    same = cover(one, one)
    assert (same.precision, same.recall) == (1, 1)
    assert (same.density, same.coverage) == (0, 0)  # open balls of radius 0, as published


def test_what_must_not_matter_does_not_and_shares_are_shares(pair: Pair) -> None:
    distances = (frechet(*pair), squared_mmd(*pair))
    known = cover(*pair)
    for other in (shuffled(pair), rotated(pair)):
        assert (frechet(*other), squared_mmd(*other)) == pytest.approx(distances, rel=1e-6)
        assert cover(*other) == known
    assert (frechet(*reversed(pair)), squared_mmd(*reversed(pair))) == pytest.approx(distances, rel=1e-6)
    backwards = cover(*reversed(pair))
    assert (backwards.precision, backwards.recall) == (known.recall, known.precision)
    assert all(0 <= share <= 1 for share in (known.precision, known.recall, known.coverage))
    assert frechet(pair[0], pair[0]) == pytest.approx(0, abs=1e-5)
    assert frechet(*pair) > 0


def test_steps_of_published_code_are_the_recorded_ones(misc: dict[str, Tensor]) -> None:
    assert torch.equal(truncated(misc["quant.in"], (-1, 1)), misc["quant.out"])


def test_the_two_kinds_of_8_bits_differ_by_the_factor_127_and_by_cutting() -> None:
    x = torch.tensor([-1.5, -1.0, -0.995, 0.0, 0.999, 1.0, 1.1])
    assert truncated(x, (-1, 1)).tolist() == [0, 0, 0, 127, 253, 254, 255]
    assert (as_pictures(x, (-1, 1)) * 255).round().tolist() == [0, 0, 1, 128, 255, 255, 255]
    torch.testing.assert_close(quantised(x, (-1, 1), "truncate-127") * 255, truncated(x, (-1, 1)).float())
    assert torch.equal(quantised(x, (-1, 1), "round"), as_pictures(x, (-1, 1)))
    assert torch.equal(truncated((x + 1) / 2, (0, 1)).int()[3:6], truncated(x, (-1, 1)).int()[3:6])


def test_paths_on_the_sphere_are_the_recorded_ones(misc: dict[str, Tensor]) -> None:
    found = along_sphere(misc["slerp.a"], misc["slerp.b"], misc["slerp.t"][:, 0])
    torch.testing.assert_close(found, misc["slerp.out"], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(found.norm(dim=1), torch.ones(len(found)))


def test_distances_beyond_the_percentiles_are_left_out_as_recorded(misc: dict[str, Tensor]) -> None:
    distances = misc["ppl.distances"]
    value, kept = central_mean(distances)
    assert kept == int(misc["ppl.kept"])
    assert value == pytest.approx(float(misc["ppl.value"]), rel=1e-9)
    inside = distances[(distances >= misc["ppl.lo"]) & (distances <= misc["ppl.hi"])]
    assert value == pytest.approx(float(inside.mean()), rel=1e-9)
    assert central_mean(torch.tensor([3.0])) == (3.0, 1)


def test_parts_of_images_are_the_recorded_ones(misc: dict[str, Tensor]) -> None:
    for size, *boxes in misc["ppl.crop"].tolist():
        assert crop_box(size, "face") == tuple(boxes[:4])
        assert crop_box(size, "celeba-128") == tuple(boxes[4:])
        assert crop_box(size, "none") == (0, size, 0, size)
    image = torch.arange(64 * 64.0).reshape(1, 1, 64, 64)
    assert torch.equal(cropped(image, "face"), image[..., 24:56, 16:48])
    assert cropped(image, "none") is image


def test_large_images_are_averaged_down_by_whole_factors() -> None:
    image = torch.rand(1, 1, 12, 12)
    torch.testing.assert_close(averaged_down(image, 4), image.reshape(1, 1, 4, 3, 4, 3).mean((3, 5)))
    assert averaged_down(image, 7) is image
    assert averaged_down(image) is image
