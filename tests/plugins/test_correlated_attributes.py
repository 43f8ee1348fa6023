"""A beta-VAE of sprites whose size goes with their place: what attribute vectors make of it. ``pytest -m slow -s``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import latentkit as lk
from latentkit.data.sprites import Sprites
from latentkit.evaluation.attribute_reader import agreements, reader_of
from latentkit.latent.entangling import Entanglement, measure_entanglement
from latentkit.latent.labelled import labelled_by_field

STEPS, SCALES, CORRELATION = 3000, (0.25, 0.6), 0.8
SETTINGS: dict[str, object] = {
    "data.scale": list(SCALES), "data.correlate": [["x", "scale", CORRELATION]], "optimizer.lr.over": STEPS,
    "parts.E.use": "mlp.posterior", "parts.G.use": "mlp.generator", "parts.G.activation": "sigmoid",
}  # fmt: skip
"""Of docs/latent.md."""
NAMES = ("scale", "x", "y")


def dragged(found: Entanglement) -> float:
    """Mean size of what scale and x move each other by."""
    return float((found.share[0, 1].abs() + found.share[1, 0].abs()) / 2)


@pytest.mark.slow
def test_a_difference_of_means_drags_the_correlated_factor_along_and_least_squares_does_not(tmp_path: Path) -> None:
    run = lk.train("beta-vae", tmp_path / "run", steps=STEPS, overrides=SETTINGS)
    print(f"trained for {run.seconds:.0f} s")
    numbers = labelled_by_field(run.model, "factors").only(NAMES)
    halves = numbers.above()
    assert np.corrcoef(numbers.attributes.T)[0, 1] == pytest.approx(CORRELATION, abs=0.02)
    found = {}
    for name, finder, labelled in (
        ("mean-difference", "mean-difference", halves),
        ("least-squares, 0 and 1", "least-squares", halves),
        ("least-squares", "least-squares", numbers),
    ):
        directions = lk.find_directions(run.model, finder, examples=labelled.examples(run.model, 20_000))
        found[name] = measure_entanglement(run.model, directions, numbers, folder=tmp_path / "readers")
        print(f"{name}\n{found[name].share.numpy().round(2)}\n{dragged(found[name]):.2f} between scale and x")
    # The yardstick does not guess one from the other: it reads them as well where they are independent.
    assert numbers.samples is not None
    reader = reader_of(numbers.samples, numbers.attributes, tmp_path / "readers")
    table = Sprites(count=2000, seed=1, scale=SCALES).open(32, 32, 1)
    told = agreements(
        reader, [torch.from_numpy(table.fields["image"]).float() / 255], table.fields["factors"][:, [1, 3, 4]]
    )
    print(", ".join(f"R2 of {name} {read.value:.3f}" for name, read in zip(NAMES, told, strict=True)))
    assert all(read.value > 0.9 for read in [*told, *found["least-squares"].read])
    means = found["mean-difference"]
    assert float(means.share[0, 1]) > 0.5
    assert float(means.share[1, 0]) > 0.5
    assert dragged(found["least-squares"]) < 0.25 * dragged(means)
    # Halves say less than numbers: of two sprites in the right half, the one farther to the right is larger still.
    assert dragged(found["least-squares, 0 and 1"]) < 0.7 * dragged(means)
    # y goes with nothing, so that no finder mixes it up.
    for each in found.values():
        assert float(each.share[2, :2].abs().max()) < 0.35
        assert float(each.share[:2, 2].abs().max()) < 0.35
