"""Directions that are found without labels, and the files that directions are kept in."""

from __future__ import annotations

import math
from collections import abc
from pathlib import Path

import pytest
import torch
from torch import Tensor

import latentkit as lk
from latentkit.engine.training import Training
from latentkit.errors import LatentkitError, RunError
from latentkit.interfaces import Direction
from latentkit.latent.decompositions import closed_form_axes, principal_axes, pulled_back
from latentkit.latent.direction_files import read_directions, write_directions
from latentkit.latent.lattice import Lattice
from latentkit.runs.files import CHECKSUM, checksum_of, read_tensors, write_tensors


def numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def rotation(dim: int) -> Tensor:
    return torch.linalg.qr(numbers(dim, dim, seed=9))[0]


def same_line(a: Tensor, b: Tensor) -> None:
    torch.testing.assert_close(a * (a @ b).sign(), b)


def test_principal_components_are_the_axes_of_spread() -> None:
    axes, spread = rotation(4), torch.tensor([5.0, 2.0, 1.0, 0.1], dtype=torch.float64)
    grid = torch.cat([torch.eye(4), -torch.eye(4)]).double() * 2  # standard deviation 1 along each axis
    found = principal_axes((grid * spread) @ axes.T + 7, 3)
    torch.testing.assert_close(found.strengths, spread[:3])
    for i in range(3):
        same_line(found.directions[i], axes[:, i])
    assert (found.directions.max(1).values >= -found.directions.min(1).values).all()


def test_the_closed_form_has_the_eigenvectors_of_the_weights() -> None:
    weights = numbers(6, 4)
    found = closed_form_axes(weights, 4, unit_rows=False)
    values, vectors = torch.linalg.eigh(weights.T @ weights)
    torch.testing.assert_close(found.strengths, values.flip(0))
    for i in range(4):
        same_line(found.directions[i], vectors.flip(1)[:, i])


def test_outputs_of_a_layer_count_alike_where_they_should() -> None:
    weights = torch.tensor([[100.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    assert closed_form_axes(weights, 1, unit_rows=False).directions.tolist() == [[1, 0]]
    assert closed_form_axes(weights, 1).directions.tolist() == [[0, 1]]


def test_directions_of_features_become_directions_of_codes() -> None:
    codes, map_ = numbers(50, 3), numbers(3, 8, seed=1)
    features = codes @ map_ + 4
    found = principal_axes(features, 3)
    back = pulled_back(found, features, codes)
    torch.testing.assert_close(back.directions.norm(dim=1), torch.ones(3, dtype=torch.float64))
    # Of a linear map the features of these directions are the directions of the features.
    for code, feature in zip(back.directions @ map_, found.directions, strict=True):
        torch.testing.assert_close(code / code.norm(), feature)
    with pytest.raises(LatentkitError, match=r"expected features \[n, 8\] and codes \[n, dim\], n above 3"):
        pulled_back(found, features, codes[:4])


@pytest.mark.parametrize(("axes", "name"), [(principal_axes, "principal axes"), (closed_form_axes, "closed form")])
def test_a_matrix_without_such_directions_is_refused(axes: abc.Callable[[Tensor, int], object], name: str) -> None:
    for wrong in (0, 4):
        with pytest.raises(LatentkitError, match=rf"{name}: expected 1 to 3 directions .* found {wrong}"):
            axes(numbers(9, 3), wrong)
    for matrix in (numbers(3), numbers(0, 3), numbers(4, 3) * math.nan):
        with pytest.raises(LatentkitError, match=rf"{name}: expected a finite matrix \[rows, dim\]"):
            axes(matrix, 1)


Start = abc.Callable[..., Training]


@pytest.fixture
def models(start: Start) -> tuple[lk.Model, lk.Model]:
    first = start("alae-mlp")
    other = start("alae-mlp", {"train.seed": 5})
    return tuple(lk.Model(it.wiring, it.system.modules_by_name(), it.states) for it in (first, other))  # type: ignore[return-value]


def test_a_file_gives_back_what_was_written(models: tuple[lk.Model, lk.Model], tmp_path: Path) -> None:
    path, rows = tmp_path / "directions.safetensors", numbers(2, 6).float()
    written = {
        "left-right": Direction(
            vector=rows[0], found="trajectories", range=(-2, 1.5), details={"sigma": 3.0, "class": 4},
            unit="image widths", scale=Lattice(slopes=rows[1].abs(), low=-2.0, high=3.0),
        ),
        "Lächeln, \"breit\"": Direction(vector=rows[1], space="styles", layers=(0, 2), found="boundary"),
    }  # fmt: skip
    write_directions(path, written, models[0])
    read = read_directions(path, models[0])
    assert list(read) == list(written)
    for name, direction in written.items():
        found, scale = read[name], direction.scale
        assert torch.equal(found.vector, direction.vector)
        assert (found.space, found.layers, found.found, found.range, found.details, found.unit) == (
            direction.space, direction.layers, direction.found, direction.range, direction.details, direction.unit,
        )  # fmt: skip
        assert (found.scale is None) == (scale is None)
        if scale is not None and found.scale is not None:
            assert torch.equal(found.scale.slopes, scale.slopes)
            assert (found.scale.low, found.scale.high) == (scale.low, scale.high)


def test_a_file_of_another_model_is_refused(models: tuple[lk.Model, lk.Model], tmp_path: Path) -> None:
    path = tmp_path / "directions.safetensors"
    write_directions(path, {"u": Direction(vector=torch.ones(3), found="closed-form")}, models[0])
    with pytest.raises(RunError, match="directions of another model: expected 'alae-mlp' with weights") as caught:
        read_directions(path, models[1])
    assert "find them anew" in str(caught.value)


def test_damaged_and_foreign_files_are_refused(models: tuple[lk.Model, lk.Model], tmp_path: Path) -> None:
    path, model = tmp_path / "directions.safetensors", models[0]
    with pytest.raises(RunError, match="no such file"):
        read_directions(path, model)
    write_tensors(path, {"u": torch.ones(3)}, {})
    with pytest.raises(RunError, match="expected a file of directions, found other tensors"):
        read_directions(path, model)
    write_directions(path, {"u": Direction(vector=torch.ones(3), found="closed-form")}, model)
    tensors, notes = read_tensors(path)
    write_tensors(path, {"vector.u": torch.zeros(3)}, notes)
    with pytest.raises(RunError, match="damaged"):
        read_directions(path, model)
    text = notes["directions"]
    for changed, said in (
        (text.replace("format = 1", "format = 2"), "expected directions in format 1, found 2"),
        (text.replace("space", "where"), "found a header that is none"),
        (text.replace("u =", "v ="), "found a header that is none"),
        (text.replace("found =", "knots = [1.0], found ="), "found a header that is none"),
        ("direction = 3", "found a header that is none"),
        ("[", "found a header that is none"),
    ):
        assert changed != text
        plain = {"directions": changed}
        write_tensors(path, tensors, {**plain, CHECKSUM: checksum_of(tensors, plain)})
        with pytest.raises(RunError, match=said):
            read_directions(path, model)


def test_a_direction_that_is_none_is_refused(models: tuple[lk.Model, lk.Model], tmp_path: Path) -> None:
    with pytest.raises(LatentkitError, match=r"expected finite numbers \[dim\]"):
        Direction(vector=torch.tensor([math.nan]), found="x")
    with pytest.raises(LatentkitError, match=r"expected layers counted from 0, found \[-1\]"):
        Direction(vector=torch.ones(2), found="x", layers=(-1,))
    with pytest.raises(LatentkitError, match="expected a range from low to high"):
        Direction(vector=torch.ones(2), found="x", range=(1.0, 0.0))
    with pytest.raises(LatentkitError, match="expected at least one direction to write, found none"):
        write_directions(tmp_path / "directions.safetensors", {}, models[0])
