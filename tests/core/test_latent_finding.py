"""Finders by name, what they refuse, codes to search, labels, and the file that directions are kept in."""

from __future__ import annotations

from collections import abc
from pathlib import Path

import attrs
import pytest
import torch
from torch import Tensor

import latentkit as lk
from latentkit.errors import LatentkitError, RecipeError, RegistryError
from latentkit.interfaces import Direction, Examples
from latentkit.latent.codes import codes_to_search, drawn_code, drawn_codes, is_normal, lacks_decode, spread_along
from latentkit.latent.direction_files import read_directions
from latentkit.latent.edits import Edit, edited
from latentkit.latent.finders.trajectories import Trajectories
from latentkit.latent.finding import find_directions, finder_of, keep_directions
from latentkit.latent.inversion import Inversion
from latentkit.latent.labels import label_rows
from latentkit.latent.moments import moments
from latentkit.latent.records import Steps, kept
from latentkit.latent.trajectories import trajectories
from latentkit.latent.transformations import TRANSFORMATIONS, HorizontalShift, VerticalShift, Zoom

Blobs = abc.Callable[..., lk.Model]
PIXELS = {"amounts": [0.0625, 0.125], "count": 12, "steps": 30, "epochs": 60}
BIGGAN = {
    "data.resolution": 8, "data.count": 24, "draw.z.dim": 6, "train.batch": 4,
    **{f"parts.{part}.{option}": value for part in "GD" for option, value in (("channels_base", 2), ("attention", 8))},
}  # fmt: skip
NARROW = {"parts.E.channels_base": 2, "parts.G.channels_base": 2, "data.count": 24}


@pytest.mark.parametrize(
    ("transformation", "axis", "slope"), [("horizontal-shift", 0, 0.15), ("vertical-shift", 1, 0.15), ("zoom", 2, 0.3)]
)
def test_trajectories_find_the_number_that_does_it_and_how_much(
    blobs: Blobs, transformation: str, axis: int, slope: float
) -> None:
    told: list[str] = []
    found = find_directions(
        blobs(), "trajectories", {**PIXELS, "transformation": transformation}, progress=told.append
    )  # fmt: skip
    assert list(found) == [transformation]
    direction = found[transformation]
    # What is zoomed moves too, unless it is in the middle; that is not the same for all, and nearly cancels.
    assert float(direction.u[axis]) > (0.9 if transformation == "zoom" else 0.98)
    assert direction.scale is not None
    rise = direction.scale(torch.tensor([-0.5, 0.5]))
    assert float(rise[1] - rise[0]) == pytest.approx(slope, rel=0.15)
    assert direction.unit == TRANSFORMATIONS[transformation].unit
    assert direction.details["transformation"] == transformation
    assert float(direction.details["explained"]) > 0.95
    assert direction.details["pairs"] == 48
    assert direction.details["kept"] == 32
    assert told[0].startswith(f"{transformation} +0.0625: mean error ")
    assert len(told) == 4


def test_an_edit_along_what_was_found_moves_the_image_by_what_was_asked(blobs: Blobs) -> None:
    model = blobs()
    direction = find_directions(model, "trajectories", PIXELS)["horizontal-shift"]
    code = torch.zeros(1, 5)
    before, after = (edited(model, code, [Edit(direction=direction, amount=amount)]) for amount in (0.0, 0.125))
    torch.testing.assert_close(before, edited(model, code, []))
    first, second = (moments(images[:, 0]) for images in (before, after))
    assert float(second.x - first.x) == pytest.approx(0.125 * 16 / 15, abs=0.015)
    assert float(second.y - first.y) == pytest.approx(0, abs=0.015)


def test_every_error_and_rejection_is_a_choice(blobs: Blobs) -> None:
    released = {"error": "released", "reject": 10, "relative": False, "smoothness": 1.0, "rate": 0.05}
    for options in ({"error": "pixel"}, released, {"sigma": 2.0, "bounded": False}):
        found = find_directions(blobs(), "trajectories", {**PIXELS, **options})["horizontal-shift"]
        assert float(found.u[0]) > 0.9
        assert found.details["loss"] == options.get("error", "filtered")
    assert found.details["kept"] == 32


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"transformation": "zom"}, r"expected one of horizontal-shift, .*, found 'zom'\n  did you mean 'zoom'"),
        ({"amounts": [0.05, 0.1]}, "horizontal-shift by 0.05: changes nothing in an image of 16 x 16; expected "
         "amounts of at least 0.0625"),
        ({"transformation": "vertical-shift", "amounts": [0.01]}, "vertical-shift by 0.01: changes nothing"),
        ({"transformation": "zoom", "amounts": [0.05]}, "zoom by 0.05: changes nothing in an image of 16 x 16; "
         "expected amounts of at least 0.0589"),
        ({"amounts": [1.0]}, "expected less than the whole side"),
        ({"transformation": "zoom", "amounts": [1.0]}, r"zoom by -1: expected a scale 1 \+ t"),
        ({"sigma": 0.1}, "sigma: expected at least 1/3 of a pixel"),
        ({"classes": [1]}, "expected a 'decode' that reads one label, found none in 'recipe'"),
    ],
)  # fmt: skip
def test_what_images_cannot_show_is_refused(blobs: Blobs, options: dict[str, object], said: str) -> None:
    with pytest.raises(LatentkitError, match=said):
        find_directions(blobs(), "trajectories", {"count": 2, "steps": 1, **options})


@pytest.mark.parametrize("kind", [HorizontalShift(), VerticalShift(), Zoom()])
@pytest.mark.parametrize("size", [(8, 8), (7, 49), (49, 12), (100, 3)])
def test_the_least_amount_changes_images_and_what_is_said_of_it_is_enough(
    kind: HorizontalShift | VerticalShift | Zoom, size: tuple[int, int]
) -> None:
    least = kind.least(*size)
    x = torch.rand(1, 1, *size)
    if least < 1:
        for t in (least, -least, round(least + 5e-5, 4)):
            assert not torch.equal(kind.apply(x, t)[0], x)
            assert kind.realised(t, *size) != 0
        below = 0.99 * least
        assert torch.equal(kind.apply(x, -below)[0], x)


def test_what_is_recorded_is_the_amount_that_images_show() -> None:
    assert HorizontalShift().realised(0.1, 128, 32) == 3 / 32
    assert VerticalShift().realised(-0.1, 128, 32) == -12 / 128
    assert Zoom().realised(0.1, 32, 32) == pytest.approx(32 / 29 - 1)
    assert TRANSFORMATIONS["rotation"]().realised(0.1, 8, 8) == 0.1
    assert TRANSFORMATIONS["brightness"]().least(8, 8) == 0


def test_images_without_a_range_cannot_be_filled(blobs: Blobs) -> None:
    model = blobs()
    (name,) = model.wiring.data_spaces
    model.wiring.data_spaces[name] = attrs.evolve(model.wiring.data_spaces[name], range=None)
    with pytest.raises(LatentkitError, match="brightness: 'recipe' states no range of its images"):
        find_directions(model, "trajectories", {"transformation": "brightness"})


def test_options_and_names_that_are_none_are_refused(blobs: Blobs) -> None:
    with pytest.raises(RegistryError, match=r"did you mean 'core\.trajectories'"):
        find_directions(blobs(), "trajectory")
    with pytest.raises(RegistryError, match=r"'core\.l2' is a loss; expected a direction"):
        finder_of("l2")
    for wrong, said in (
        ({"amount": [0.1]}, "trajectories: amount"), ({"amounts": [0.2, 0.1]}, "must be growing amounts above 0"),
        ({"count": 0}, "count"), ({"error": "l1"}, "error"), ({"reject": 1}, "reject"), ({"steps": "many"}, "steps"),
    ):  # fmt: skip
        with pytest.raises(RecipeError, match=said):
            find_directions(blobs(), "trajectories", wrong)


def test_a_finder_that_does_not_suit_says_why() -> None:
    gan = lk.compose("gan", {"parts.G.channels_base": 2, "parts.D.channels_base": 2})
    if "decode" not in gan.roles:
        for name in ("trajectories", "principal-components", "closed-form"):
            with pytest.raises(LatentkitError, match=f"'{name}' finds no directions in 'gan': it has no role 'decode'"):
                find_directions(gan, name)
    vae = lk.compose("vae", NARROW)
    for name in ("mean-difference", "least-squares", "linear-boundary"):
        with pytest.raises(LatentkitError, match=f"'{name}' wants images whose attributes are known, found none"):
            find_directions(vae, name)
    assert lacks_decode(vae) == ""


def test_a_finder_may_be_an_object(blobs: Blobs) -> None:
    found = find_directions(blobs(), Trajectories(count=4, steps=2, epochs=1, amounts=(0.125,)))
    assert list(found) == ["horizontal-shift"]


def test_supervised_finders_find_the_attributes_of_examples(blobs: Blobs) -> None:
    codes = torch.randn(200, 5, generator=torch.Generator().manual_seed(0))
    having = torch.stack([codes[:, 0] > 0, codes[:, 3] + codes[:, 0] > 0], 1).float()
    examples = Examples(codes=codes, attributes=having, names=("right", "both"))
    means = find_directions(blobs(), "mean-difference", examples=examples)
    assert list(means) == ["right", "both"]
    torch.testing.assert_close(
        means["right"].vector, codes[having[:, 0] == 1].mean(0) - codes[having[:, 0] == 0].mean(0)
    )
    least = find_directions(blobs(), "least-squares", examples=examples)
    assert abs(float(least["both"].u[0])) < abs(float(means["both"].u[0]))
    pytest.importorskip("sklearn")
    plane = find_directions(blobs(), "linear-boundary", {"classifier": "logistic"}, examples=examples)["right"]
    assert float(plane.u[0]) > 0.95
    assert float(plane.vector.norm()) == pytest.approx(float((codes @ plane.u).std(correction=0)), rel=1e-4)
    assert plane.unit == "standard deviations"


def test_examples_have_a_column_per_name() -> None:
    for attributes, names in ((torch.ones(3, 2), ("a",)), (torch.ones(2, 1), ("a",)), (torch.ones(3, 0), ())):
        with pytest.raises(LatentkitError, match=r"expected codes .* and a column of .* per name"):
            Examples(codes=torch.ones(3, 4), attributes=attributes, names=names)


def test_one_direction_is_found_for_several_classes_together() -> None:
    model = lk.compose("biggan", BIGGAN)
    told: list[str] = []
    options = {"amounts": [0.125], "count": 3, "steps": 2, "epochs": 2, "classes": [0, 2]}
    found = find_directions(model, "trajectories", options, progress=told.append)["horizontal-shift"]
    assert len(told) == 4
    assert found.details["pairs"] == 12
    with pytest.raises(LatentkitError, match=r"classes: expected some of 0 to 2, found \[3\]"):
        find_directions(model, "trajectories", {**options, "classes": [3]})
    one = find_directions(model, "trajectories", {**options, "classes": []}, given={"y": torch.eye(3)[:1]})
    assert one["horizontal-shift"].details["pairs"] == 6


def test_a_row_of_a_label_holds_for_all_codes_of_an_edit() -> None:
    model = lk.compose("biggan", BIGGAN)
    direction = Direction(vector=torch.randn(6), found="here")
    rows = label_rows(model, [2, 0])
    assert [row["y"].tolist() for row in rows if isinstance(row["y"], Tensor)] == [[[0, 0, 1]], [[1, 0, 0]]]
    codes, edits = torch.randn(3, 6), [Edit(direction=direction, amount=0.5)]
    together = edited(model, codes, edits, given=rows[0])
    alone = [edited(model, code[None], edits, given=rows[0]) for code in codes]
    torch.testing.assert_close(together, torch.cat(alone))
    assert not torch.allclose(together, edited(model, codes, edits, given=rows[1]))
    assert not torch.allclose(together, edited(model, codes, [], given=rows[0]))


def test_codes_are_drawn_as_the_recipe_samples_them(blobs: Blobs) -> None:
    model = blobs()
    codes = drawn_codes(model, 4, 7)
    torch.testing.assert_close(model.decode(codes), model.sample(4, seed=7))
    assert torch.equal(codes, codes_to_search(model, 4, 7))
    assert is_normal(model)
    assert not is_normal(blobs(**{"draw.z.std": 2.0}))
    assert not is_normal(blobs(**{"draw.z": {"use": "uniform", "dim": 5}}))
    # The code of a variational autoencoder is of data; what samples are made of stands for it.
    vae = lk.compose("vae", NARROW)
    assert is_normal(vae)
    torch.testing.assert_close(vae.decode(drawn_codes(vae, 3, 1)), vae.sample(3, seed=1))
    auto = lk.compose("ae", NARROW)
    assert drawn_code(auto.wiring) is None
    assert not is_normal(auto)
    with pytest.raises(LatentkitError, match="'ae' computes its code from x and draws none; give images"):
        drawn_codes(auto, 2, 0, instead="give images")
    assert len(codes_to_search(auto, 5, 0)) == 5


def test_spread_is_that_along_the_direction() -> None:
    codes = torch.tensor([[1.0, 9.0], [3.0, -9.0]])
    assert spread_along(codes, torch.tensor([1.0, 0.0])) == (1.0, (1.0, 3.0))


def test_kept_directions_are_added_and_replaced(blobs: Blobs, tmp_path: Path) -> None:
    model, file = blobs(), tmp_path / "directions.safetensors"
    first, second = (Direction(vector=torch.full((5,), value), found="here") for value in (1.0, 2.0))
    assert keep_directions(file, {"a": first, "b": first}, model) == []
    assert keep_directions(file, {"b": second, "c": second}, model) == ["b"]
    found = read_directions(file, model)
    assert {name: float(direction.vector[0]) for name, direction in found.items()} == {"a": 1, "b": 2, "c": 2}
    for name in ("", " ", "a=b"):
        with pytest.raises(LatentkitError, match="expected a name without '='"):
            keep_directions(file, {name: first}, model)
    assert read_directions(file, model).keys() == found.keys()


def test_the_worst_pairs_are_those_that_did_least_of_what_there_was_to_do() -> None:
    error = torch.tensor([0.1, 0.4, 0.2, 0.0, 0.3])
    asked = torch.tensor([1.0, 8.0, 0.25, 1e-9, 1.0])
    steps = Steps(start=torch.zeros(5, 1), end=torch.zeros(5, 1), change=torch.arange(5.0), error=error, asked=asked)
    assert steps.relative.tolist() == pytest.approx([0.1, 0.05, 0.8, torch.inf, 0.3])
    assert steps.without_worst(3, relative=True).change.tolist() == [0, 1, 4]
    assert steps.without_worst(3).change.tolist() == [0, 2, 3]
    assert kept(steps.relative, 5).tolist() == [True, True, True, False, True]
    unknown = Steps(start=torch.zeros(5, 1), end=torch.zeros(5, 1), change=torch.arange(5.0), error=error)
    assert torch.equal(unknown.relative, error)


def test_of_an_image_with_nothing_in_it_nothing_is_asked(blobs: Blobs) -> None:
    start = torch.zeros(3, 5)
    start[2, 0] = 20  # far outside
    how = Inversion(steps=1, bounded=False)
    steps = trajectories(blobs(), start, HorizontalShift(range=(0.0, 1.0)), amounts=(0.125,), how=how)
    # What is vacated is masked out, so that of black on black nothing is left to do.
    assert steps.relative.isinf().tolist() == [False, False, True] * 2
