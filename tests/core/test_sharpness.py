"""The metric ``sharpness``: against plain loops, and what blur, noise, contrast and misplacement do to it."""

from __future__ import annotations

import math
from collections import abc

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from latentkit.api import compose
from latentkit.errors import NotFiniteError
from latentkit.evaluation.evaluate import Result, evaluate
from latentkit.evaluation.quantising import as_pictures
from latentkit.evaluation.sharpness import Sharpness, laplacian, steepness
from latentkit.evaluation.subjects import samples_of
from latentkit.model import Model

SIDE = 16
DATA: dict[str, object] = {
    "data.use": "sprites", "data.resolution": SIDE, "data.count": 120, "data.split": 0.5,
    "draw.z.dim": SIDE * SIDE, "parts.E.hidden": 4, "parts.G.hidden": 4,
}  # fmt: skip


class Drawn(nn.Module):
    """Images of codes that are the pixels, and then something done to them."""

    def __init__(self, change: abc.Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.change = change

    def forward(self, code: Tensor) -> Tensor:
        side = math.isqrt(code.shape[1])
        return self.change(code.reshape(-1, 1, side, side))


def autoencoder(change: abc.Callable[[Tensor], Tensor], **overrides: object) -> Model:
    model = compose("alae-mlp", DATA | overrides)
    model.parts |= {"E": nn.Flatten(), "G": Drawn(change)}
    return model


def found(change: abc.Callable[[Tensor], Tensor], **overrides: object) -> dict[str, Result]:
    results = evaluate(autoencoder(change, **overrides), ["sharpness"])
    assert [result.name for result in results] == ["sharpness-edges", "sharpness-detail"]
    return {result.name.removeprefix("sharpness-"): result for result in results}


def figures(change: abc.Callable[[Tensor], Tensor], **overrides: object) -> tuple[float, float]:
    results = found(change, **overrides)
    edges, detail = results["edges"].value, results["detail"].value
    assert edges is not None
    assert detail is not None
    return edges, detail


def blurred(x: Tensor) -> Tensor:
    kernel = torch.outer(*[torch.tensor([0.25, 0.5, 0.25])] * 2)
    return F.conv2d(F.pad(x, (1, 1, 1, 1), mode="reflect"), kernel[None, None])


def noisy(x: Tensor, deviation: float = 0.1) -> Tensor:
    return x + deviation * torch.randn(x.shape, generator=torch.Generator().manual_seed(0))


def test_images_themselves_are_as_sharp_as_the_images() -> None:
    results = found(lambda x: x)
    assert (results["edges"].value, results["detail"].value) == (1.0, 1.0)
    assert results["detail"].protocol["energy"] == 1.0
    wanted = {"n": 60, "split": 0.5, "resolution": SIDE, "images": "held out", "quantisation": "round"}
    for result in results.values():
        assert wanted.items() <= result.protocol.items()
    assert results["edges"].protocol["percentile"] == 95


def test_edges_and_detail_are_those_of_plain_loops() -> None:
    pictures = torch.rand(3, 2, 7, 9, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x = pictures.numpy()
    for image, steep, flat in zip(x, steepness(pictures), laplacian(pictures), strict=True):
        lengths = []
        for i in range(1, 6):
            for j in range(1, 8):
                square = 0.0
                for plane, lap in zip(image, flat, strict=True):
                    right = plane[i - 1, j + 1] + 2 * plane[i, j + 1] + plane[i + 1, j + 1]
                    left = plane[i - 1, j - 1] + 2 * plane[i, j - 1] + plane[i + 1, j - 1]
                    down = plane[i + 1, j - 1] + 2 * plane[i + 1, j] + plane[i + 1, j + 1]
                    up = plane[i - 1, j - 1] + 2 * plane[i - 1, j] + plane[i - 1, j + 1]
                    square += ((right - left) / 8) ** 2 + ((down - up) / 8) ** 2
                    around = plane[i - 1, j] + plane[i + 1, j] + plane[i, j - 1] + plane[i, j + 1]
                    assert float(lap[i - 1, j - 1]) == pytest.approx(around - 4 * plane[i, j])
                lengths.append(math.sqrt(square / 2))
        assert float(steep) == pytest.approx(sorted(lengths)[math.ceil(0.95 * 35) - 1])


def test_a_ramp_has_its_slope_and_no_detail() -> None:
    ramp = (0.03 * torch.arange(9.0).double()).expand(1, 1, 9, 9)
    assert float(steepness(ramp)) == pytest.approx(0.03)
    assert float(laplacian(ramp).abs().max()) < 1e-15


def test_half_the_contrast_is_half_of_both() -> None:
    assert figures(lambda x: x / 2) == pytest.approx((0.5, 0.5), abs=0.01)


def test_blur_lowers_both_and_more_blur_more() -> None:
    once, twice = figures(blurred), figures(lambda x: blurred(blurred(x)))
    assert twice[0] < once[0] - 0.05 < 0.9
    assert twice[1] < once[1] - 0.05 < 0.6


def test_noise_raises_neither_but_the_energy_of_the_detail() -> None:
    results = found(noisy)
    assert results["edges"].value == pytest.approx(0.96, abs=0.06)  # clipping takes a little of bright edges
    assert results["detail"].value == pytest.approx(0.96, abs=0.06)
    assert float(str(results["detail"].protocol["energy"])) > 1.25
    dull = figures(blurred)
    assert figures(lambda x: noisy(blurred(x))) == pytest.approx(dull, abs=0.06)


def test_sharp_edges_elsewhere_are_edges_and_no_detail() -> None:
    edges, detail = figures(lambda x: x.roll((3, 3), (2, 3)))
    assert edges == pytest.approx(1, abs=0.05)
    assert abs(detail) < 0.3


def test_the_value_range_of_the_recipe_does_not_matter() -> None:
    wide: dict[str, object] = {"data.range": [-1.0, 1.0]}
    assert figures(blurred, **wide) == pytest.approx(figures(blurred), abs=2e-3)


def test_reconstructions_are_measured_as_pictures() -> None:
    assert figures(lambda x: 40 * x - 10) == figures(lambda x: as_pictures(40 * x - 10, (0, 1)))


def test_at_most_n_images_are_taken_in_any_portions(monkeypatch: pytest.MonkeyPatch) -> None:
    model = autoencoder(blurred)
    whole = evaluate(model, ["sharpness"], n=17)
    monkeypatch.setattr("latentkit.evaluation.subjects.BATCH", 5)
    portions = evaluate(model, ["sharpness"], n=17)
    assert [result.value for result in portions] == pytest.approx([result.value for result in whole], rel=1e-6)
    assert portions[0].protocol["n"] == 17


def test_originals_without_an_edge_have_no_figure() -> None:
    model = autoencoder(lambda x: x)
    samples = samples_of(model)
    assert samples is not None
    samples.table.fields["image"][samples.held_out] = 9
    values = [figure.value for figure in Sharpness().measure(model, samples, n=9, seed=0)]
    assert all(math.isnan(value) for value in values)


@pytest.mark.parametrize(
    ("recipe", "overrides", "reason"),
    [
        ("gan", {}, "no role 'reconstruct'"),
        ("alae-mlp", {**DATA, "data.split": 1.0}, "no images are held out"),
        ("alae-mlp", {**DATA, "data.resolution": 2}, "images of 2 x 2 are too small for edges: sides of 3 or more"),
    ],
)
def test_a_model_without_reconstructions_to_measure_says_why(
    recipe: str, overrides: dict[str, object], reason: str
) -> None:
    results = evaluate(compose(recipe, overrides), ["sharpness"])
    assert results[0].value is None
    assert reason in results[0].reason


def test_a_reconstruction_that_is_not_finite_is_told() -> None:
    with pytest.raises(NotFiniteError, match="the role 'reconstruct' yields values that are not finite"):
        found(lambda x: x / 0)
