"""Metrics on features: what models get whose figures are known, what protocols say, and what is refused."""

from __future__ import annotations

import json
from collections import abc
from pathlib import Path

import attrs
import numpy as np
import pytest
import torch
from torch import Tensor, nn

import latentkit as lk
from latentkit.engine.samples import Samples
from latentkit.engine.streams import Streams
from latentkit.errors import LatentkitError, NotFiniteError, RunError
from latentkit.evaluation import classifier, network_choice
from latentkit.evaluation.comparing import Row, comparable
from latentkit.evaluation.dependence import draws_behind
from latentkit.evaluation.distances import kernel_distance
from latentkit.evaluation.evaluate import Result
from latentkit.evaluation.network_choice import network_of
from latentkit.evaluation.paths import along_sphere
from latentkit.evaluation.perceptual import distances
from latentkit.evaluation.subjects import samples_of
from latentkit.model import Model
from latentkit_cli import main

COUNT, DIM, SIDE = 600, 4, 8
NARROW: dict[str, object] = {
    "data.use": "digits", "data.resolution": SIDE, "data.split": [0, COUNT], "draw.z.dim": DIM, "parts.E.hidden": 8,
    "parts.G.hidden": 8,
}  # fmt: skip
METRICS = ["frechet", "kernel-distance", "manifold", "path-length", "perceptual"]


@pytest.fixture(scope="module", autouse=True)
def _one_classifier(tmp_path_factory: pytest.TempPathFactory) -> abc.Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        patch.setattr(classifier, "STEPS", 100)
        yield


@pytest.fixture
def model() -> Model:
    return lk.compose("alae-mlp", NARROW)


@pytest.fixture
def samples(model: Model) -> Samples:
    found = samples_of(model)
    assert found is not None
    return found


class Memory(nn.Module):
    """Makes images that it remembers, one after the other."""

    def __init__(self, images: Tensor) -> None:
        super().__init__()
        self.images, self.place = images, 0

    def forward(self, w: Tensor) -> Tensor:
        index = torch.arange(self.place, self.place + len(w)) % len(self.images)
        self.place += len(w)
        return self.images[index]


class Linear(nn.Module):
    def __init__(self, matrix: Tensor, shape: tuple[int, ...] = ()) -> None:
        super().__init__()
        self.matrix, self.shape = nn.Parameter(matrix), shape

    def forward(self, value: Tensor) -> Tensor:
        result = value.flatten(1) @ self.matrix
        return result.reshape(-1, *self.shape) if self.shape else result


@attrs.frozen(kw_only=True)
class Pixels:
    """A network without weights: pixels, and points of a circle, whose distance is that of the pixels where small."""

    name: str = "pixels"
    sha256: str = "0" * 64
    abilities: tuple[str, ...] = ("features", "maps")
    heads: None = None
    gain: float = 1.0

    def features(self, images: Tensor) -> Tensor:
        return images.flatten(1).double()

    def maps(self, images: Tensor) -> list[Tensor]:
        return [torch.cat([images.double().cos(), images.double().sin()], 1)]


@pytest.fixture
def pixels(monkeypatch: pytest.MonkeyPatch) -> str:
    """The option ``features`` that stands for :class:`Pixels`."""
    monkeypatch.setattr(network_choice, "read_network", lambda path, device: Pixels())
    monkeypatch.setattr(network_choice, "_files", {})
    return "pixels.safetensors"


def taken(model: Model, metric: str, n: int = 60, **options: object) -> dict[str, Result]:
    return {result.name: result for result in lk.evaluate(model, [metric], n=n, options=options)}


def figures(model: Model, metric: str, n: int = 60, **options: object) -> dict[str, float]:
    return {
        name: result.value for name, result in taken(model, metric, n, **options).items() if result.value is not None
    }


def test_without_a_file_the_distance_is_that_of_the_classifier(model: Model) -> None:
    wanted = taken(model, "classifier-frechet")["classifier-frechet"]
    found = taken(model, "frechet")["frechet"]
    assert found.value == wanted.value
    assert (found.protocol["network"], len(str(found.protocol["network_sha256"]))) == ("classifier", 64)


def test_held_out_images_themselves_are_at_no_distance_and_cover_each_other(model: Model, samples: Samples) -> None:
    real = samples.field("x", samples.held_out[:60], torch.float32)

    def remembered(metric: str) -> dict[str, float]:
        model.parts["G"] = Memory(real)
        return figures(model, metric)

    assert remembered("frechet") == pytest.approx({"frechet": 0}, abs=1e-7)
    assert remembered("manifold") == {"precision": 1, "recall": 1, "density": 1, "coverage": 1}
    assert remembered("kernel-distance")["kernel-distance"] < 0  # unbiased for other images of the same kind


def test_noise_is_far_and_covers_nothing_and_one_image_again_and_again_is_precise(
    model: Model, samples: Samples
) -> None:
    held_out = samples.field("x", samples.held_out, torch.float32)
    noise = torch.rand(300, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    found: dict[str, dict[str, float]] = {}
    for name, images in {"fresh": held_out[300:], "noise": noise, "single": held_out[:1]}.items():
        found[name] = {}
        for metric in ("frechet", "kernel-distance", "manifold"):
            model.parts["G"] = Memory(images)
            found[name] |= figures(model, metric, 300)
    assert found["fresh"]["frechet"] < 0.5 * found["noise"]["frechet"]
    assert found["fresh"]["kernel-distance"] < 0.5 * found["noise"]["kernel-distance"]
    assert found["noise"]["precision"] < 0.5 < found["fresh"]["precision"]
    assert found["noise"]["coverage"] < 0.3 < found["fresh"]["coverage"]
    assert found["single"]["precision"] == 1
    assert found["single"]["recall"] < 0.1
    assert found["single"]["coverage"] < 0.2


def test_the_kernel_sees_features_of_the_classifier_with_a_variance_near_1(model: Model, samples: Samples) -> None:
    real, made = (samples.field("x", part[:40], torch.float32) for part in (samples.held_out, samples.training))
    model.parts["G"] = Memory(made)
    network, rng = network_of(samples, None), Streams(0, torch.device("cpu")).at("kernel-distance", "subsets")
    rows = [8 * network.features(images) for images in (real, made)]
    assert 0.1 < float(rows[0].var(0).mean()) < 10
    wanted = kernel_distance(rows[0], rows[1], subsets=4, size=20, generator=rng)
    found = taken(model, "kernel-distance", 40, subsets=4)["kernel-distance"]
    assert (found.value, found.protocol["standard_error"]) == pytest.approx(wanted, rel=1e-6)


def test_protocols_tell_network_images_and_steps(model: Model, samples: Samples) -> None:
    about = {"network": "classifier", "n": 60, "seed": 0, "split": [0, COUNT], "resolution": SIDE}
    checksums = set()
    for metric in ("frechet", "kernel-distance", "manifold"):
        for result in taken(model, metric).values():
            assert about.items() <= result.protocol.items()
            assert (result.protocol["quantisation"], result.protocol["images"]) == ("round", "samples")
            checksums.add(result.protocol["images_sha256"])
            json.dumps(result.protocol)
    assert len(checksums) == 1
    assert taken(model, "frechet", n=50)["frechet"].protocol["images_sha256"] not in checksums
    kernel = taken(model, "kernel-distance", subsets=3)["kernel-distance"].protocol
    assert (kernel["subsets"], kernel["subset_size"]) == (3, 30)
    assert isinstance(kernel["standard_error"], float)
    assert [result.protocol["k"] for result in taken(model, "manifold").values()] == [3, 3, 5, 5]
    rebuilt = taken(model, "perceptual")["perceptual"].protocol
    assert (rebuilt["images"], rebuilt["n"], rebuilt["largest"]) == ("held out", 60, 256)


def test_a_prior_and_other_steps_change_samples_and_are_told(model: Model, pixels: str) -> None:
    plain = taken(model, "frechet", features=pixels)["frechet"]
    fitted = taken(model, "frechet", features=pixels, prior="gmm", components=2)["frechet"]
    cut = taken(model, "frechet", features=pixels, quantisation="truncate-127")["frechet"]
    assert (fitted.protocol["images"], fitted.protocol["components"]) == ("decoded from gmm", 2)
    assert (plain.protocol["network"], cut.protocol["quantisation"]) == ("pixels", "truncate-127")
    assert len({plain.value, fitted.value, cut.value}) == 3


def test_features_of_the_same_images_are_computed_once(
    model: Model, pixels: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted: list[int] = []

    def features(self: Pixels, images: Tensor) -> Tensor:
        counted.append(len(images))
        return images.flatten(1).double()

    monkeypatch.setattr(Pixels, "features", features)
    for metric in ("frechet", "manifold", "kernel-distance"):
        figures(model, metric, n=41, features=pixels)
    assert counted == [41, 41]


def test_a_network_can_be_given_as_it_is(model: Model) -> None:
    found = taken(model, "frechet", features=Pixels(name="mine"))["frechet"]
    assert found.protocol["network"] == "mine"
    assert (found.value or 0) > 0
    blind = Pixels(abilities=("features",))
    (none,) = taken(model, "perceptual", features=blind).values()
    assert none.reason == "the network 'pixels' has no maps to compare; take VGG16 with the heads of LPIPS"


def test_the_perceptual_distance_is_that_of_the_pictures(model: Model, samples: Samples) -> None:
    x = samples.field("x", samples.held_out[:60], torch.float32)
    rebuilt = model.reconstruct(x).clamp(0, 1).mul(255).round() / 255
    network = network_of(samples, None)
    found = figures(model, "perceptual")["perceptual"]
    assert found == pytest.approx(float(distances(network, x, rebuilt).mean()), rel=1e-6)
    eye = torch.eye(SIDE * SIDE)
    model.parts |= {"E": Linear(eye), "G": Linear(eye, (1, SIDE, SIDE))}
    assert figures(model, "perceptual") == {"perceptual": 0}


def test_perceptual_distances_follow_their_formula(samples: Samples) -> None:
    network = network_of(samples, None)
    a, b = torch.rand(3, 1, SIDE, SIDE), torch.rand(3, 1, SIDE, SIDE)
    total = torch.zeros(3, dtype=torch.float64)
    for x, y in zip(network.maps(a), network.maps(b), strict=True):
        unit = [value.double() / (value.double().square().sum(1, keepdim=True).sqrt() + 1e-10) for value in (x, y)]
        total += (unit[0] - unit[1]).square().sum(1).mean((1, 2))
    assert [tuple(value.shape) for value in network.maps(a)] == [(3, 16, 4, 4), (3, 32, 4, 4), (3, 64, 4, 4)]
    torch.testing.assert_close(distances(network, a, b), total, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("where", ["full", "end"])
def test_path_length_of_a_linear_generator_is_the_squared_speed(model: Model, pixels: str, where: str) -> None:
    rng, n = torch.Generator().manual_seed(0), 40
    mapping = torch.randn(DIM, DIM, generator=rng)
    drawing = 0.1 * torch.randn(DIM, SIDE * SIDE, generator=rng)
    model.parts |= {"F": Linear(mapping), "G": Linear(drawing, (1, SIDE, SIDE))}
    found = taken(model, "path-length", n=n, features=pixels, where=where)
    (node,) = draws_behind([model.wiring.inference["sample"]])
    (z,) = model.values([node], 2 * n)
    a, b = z[:n].double(), z[n:].double()
    t = torch.rand(n, generator=Streams(0, torch.device("cpu")).at("path-length", "t")).double()
    t = t if where == "full" else torch.zeros(n).double()

    def trimmed(codes: Tensor) -> float:
        lengths = (codes @ mapping.double() @ drawing.double()).square().mean(1)
        return float(lengths.mean())  # of forty, the percentiles are the extremes, which stay

    straight = b - a
    step = 1e-6
    circle = (along_sphere(a, b, t + step) - along_sphere(a, b, t)) / step * a.norm(dim=1, keepdim=True)
    # Steps of 1e-4 in float32 images.
    assert found["path-length-w"].value == pytest.approx(trimmed(straight), rel=1e-2)
    assert found["path-length-z"].value == pytest.approx(trimmed(circle), rel=1e-2)
    protocol = found["path-length-z"].protocol
    wanted = {"where": where, "epsilon": 1e-4, "crop": "none", "quantisation": "none", "n": n, "kept": n}
    assert wanted.items() <= protocol.items()
    assert (found["path-length-w"].protocol["path"], protocol["path"]) == ("straight", "great circle")


def test_path_length_looks_at_the_part_of_the_image_and_ignores_the_value_range(model: Model, pixels: str) -> None:
    drawing = torch.zeros(DIM, SIDE, SIDE)
    drawing[:, :3] = torch.rand(DIM, 3, SIDE)  # rows above the face
    model.parts["G"] = Linear(drawing.flatten(1), (1, SIDE, SIDE))
    assert figures(model, "path-length", features=pixels, crop="face") == {"path-length-w": 0, "path-length-z": 0}
    plain = figures(model, "path-length", features=pixels)
    assert min(plain.values()) > 0
    wide = lk.compose("alae-mlp", NARROW | {"data.range": [-1.0, 1.0]})
    wide.parts |= {"F": model.parts["F"], "G": Linear(2 * drawing.flatten(1), (1, SIDE, SIDE))}
    assert figures(wide, "path-length", features=pixels) == pytest.approx(plain, rel=1e-2)


@pytest.mark.parametrize(
    ("recipe", "tables", "names", "reason"),
    [
        ("ogan", {}, ["path-length-z"], "none_in_w: the code is the draw itself"),
        ("vae", {}, ["path-length-z"], "none_in_w: the code is the draw itself"),
        ("ogan-mapping", {}, ["path-length-w", "path-length-z"], ""),
        ("ae", {}, ["path-length"], "there is no role 'sample'"),
        ("vae", {"inference.sample": "G(q.mu)", "parts.E.dim": 4}, ["path-length"], "the role 'sample' needs x"),
        (
            "vae", {"inference.sample": "G(prior + eps)"}, ["path-length-w"],
            "none_in_z: a sample is made of 2 latent draws (eps, prior), and not of one",
        ),
        (
            {"extends": "vae", "remove": ["inference.decode"]}, {"inference.sample": "G(prior + eps)"},
            ["path-length"], "in w, there is no role 'decode' of a code; in z, a sample is made of 2 latent draws",
        ),
    ],
)  # fmt: skip
def test_recipes_have_the_paths_that_they_have(
    recipe: str | dict[str, object], tables: dict[str, object], names: list[str], reason: str, pixels: str
) -> None:
    found = taken(
        lk.compose(recipe, {"data.resolution": 16, "data.count": 40} | tables), "path-length", 4, features=pixels
    )
    assert list(found) == names
    told = "; ".join(result.reason for result in found.values())
    told += "; ".join(
        f"{key}: {value}" for result in found.values() for key, value in result.protocol.items() if "none" in key
    )
    assert reason in told


@pytest.mark.parametrize("metric", METRICS)
def test_without_labels_a_network_from_a_file_is_asked_for(
    metric: str, pixels: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    images = np.random.RandomState(0).randint(0, 256, (COUNT + 20, SIDE, SIDE)).astype(np.uint8)
    np.savez("images.npz", images=images)
    base = {key: value for key, value in NARROW.items() if key != "data.use"}
    model = lk.compose("alae-mlp", base | {"data.use": "npz", "data.path": "images.npz"})
    (result,) = taken(model, metric, 8).values()
    assert result.value is None
    assert result.reason == "the data (npz) has no labels; a network from a file does without: --features FILE"
    assert figures(model, metric, 8, features=pixels)


def test_too_few_images_and_no_way_back_are_told() -> None:
    few = lk.compose("alae-mlp", NARROW | {"data.split": [0, 1794]})
    assert taken(few, "manifold")["manifold"].reason == "3 images are held out, a distance needs 6 or more"
    assert (
        taken(few, "kernel-distance")["kernel-distance"].reason == "3 images are held out, a distance needs 4 or more"
    )
    assert taken(lk.compose("gan", {"data.count": 40}), "perceptual")["perceptual"].reason == (
        "the recipe has no role 'reconstruct'"
    )
    assert "a fitted prior can stand in for it: --prior gmm" in taken(lk.compose("ae"), "frechet")["frechet"].reason


def test_samples_that_are_no_numbers_and_options_that_are_wrong_are_told(model: Model) -> None:
    def refuses(message: str, metric: str, options: dict[str, object]) -> None:
        with pytest.raises(LatentkitError, match=message):
            lk.evaluate(model, [metric], options=options)

    refuses("frechet: 'quantisation' must be in", "frechet", {"quantisation": "floor"})
    refuses("kernel-distance: 'subset_size' must be >= 2: 1$", "kernel-distance", {"subset_size": 1})
    refuses("path-length: 'where' must be in", "path-length", {"where": "middle"})
    refuses("has the option 'features': probes$", "probes", {"features": "x"})
    refuses("gone.safetensors: no such file", "manifold", {"features": "gone.safetensors"})
    refuses("'features' must be the path of a file, or a FeatureNetwork; found 3$", "manifold", {"features": 3})
    model.parts["G"] = Memory(torch.full((1, 1, SIDE, SIDE), torch.nan))
    for metric in METRICS:
        with pytest.raises(NotFiniteError, match="yields values that are not finite"):
            lk.evaluate(model, [metric], n=8)


BASE: dict[str, object] = {
    "network": "inception-v3", "network_sha256": "a" * 64, "n": 50, "split": [0, 600], "quantisation": "round",
    "resolution": 32, "images_sha256": "c" * 64, "seed": 0, "images": "samples",
}  # fmt: skip


def result(name: str = "frechet", **changes: object) -> Result:
    return Result(name=name, value=1.0, weights="average", step=3, protocol={**BASE, **changes})


@pytest.mark.parametrize(
    ("changes", "fact"),
    [
        ({"network": "classifier"}, "network is inception-v3 (a) and classifier (b)"),
        ({"network_sha256": "b" * 64}, "network_sha256 is aaaaaaaaaaaa (a) and bbbbbbbbbbbb (b)"),
        ({"n": 60}, "n is 50 (a) and 60 (b)"),
        ({"quantisation": "truncate-127"}, "quantisation is round (a) and truncate-127 (b)"),
        ({"split": 0.9}, "split is [0, 600] (a) and 0.9 (b)"),
        ({"resolution": None}, "resolution is 32 (a) and not told (b)"),
        ({"images_sha256": "d" * 64, "n": 60}, "n is 50 (a) and 60 (b); images_sha256 is cccccccccccc (a) and dddd"),
    ],
)
def test_figures_that_were_not_taken_alike_are_refused(changes: dict[str, object], fact: str) -> None:
    pair = [result(), result(**changes)]
    assert fact in comparable(pair, ["a", "b"])
    with pytest.raises(LatentkitError, match=r"^frechet: figures that were not taken alike: .*\n  take"):
        lk.refuse_mixed(pair)


def test_figures_may_differ_in_seed_and_findings_and_other_names_in_everything() -> None:
    alike = [result(), result(seed=1, images="decoded from gmm", standard_error=0.1, split=(0, 600))]
    lk.refuse_mixed([*alike, result("precision", network="classifier", n=3)])
    assert comparable([]) == ""


@pytest.fixture
def runs(tmp_path: Path) -> abc.Callable[..., Path]:
    """Makes a run folder with these results in its metrics."""

    def make(name: str, *results: Result) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        (folder / "recipe.toml").write_text("")
        lines = [json.dumps({"step": 1, "loss": 0.5})] + [json.dumps(result.record()) for result in results]
        (folder / "metrics.jsonl").write_text("\n".join(lines) + "\n")
        return folder

    return make


def test_figures_of_runs_stand_side_by_side_where_they_were_taken_alike(runs: abc.Callable[..., Path]) -> None:
    first = runs("a", attrs.evolve(result(), value=9.0), result(), attrs.evolve(result(), weights="raw", value=2.0))
    second = runs("b", attrs.evolve(result(), weights="raw", value=3.0), result("precision"))
    rows = lk.compare_figures([first, second], "frechet")
    wanted = [(str(first), 1.0, "average"), (str(second), 3.0, "raw")]
    assert [(row.run, row.value, row.weights) for row in rows] == wanted
    assert rows[0] == Row(run=str(first), name="frechet", value=1.0, weights="average", step=3, protocol=BASE)
    assert [row.value for row in lk.compare_figures([first, second], "frechet", weights="raw")] == [2.0, 3.0]
    third = runs("c", result(n=60), result("precision"))
    with pytest.raises(LatentkitError, match=f"n is 50 .{first}. and 60 .{third}."):
        lk.compare_figures([first, third], "frechet")
    fourth = runs("d", result(), result(n=60))
    rows = lk.compare_figures([first, fourth], "frechet", protocol={"n": 50, "split": (0, 600)})
    assert [row.protocol["n"] for row in rows] == [50, 50]
    assert [row.name for row in lk.compare_figures([second, third], "manifold")] == ["precision", "precision"]


def test_runs_without_the_figure_are_told(runs: abc.Callable[..., Path], tmp_path: Path) -> None:
    run = runs("a", result())

    def refuses(message: str, *arguments: object, **options: object) -> None:
        with pytest.raises(RunError, match=message):
            lk.compare_figures(*arguments, **options)  # type: ignore[arg-type]

    refuses(f"^{run}: has no figure of 'nll'; latentkit eval {run} --metric NAME adds it", [run], "nll")
    refuses("has no figure of 'frechet' of raw weights;", [run], "frechet", weights="raw")
    refuses("has no figure of 'frechet' with such a protocol;", [run], "frechet", protocol={"n": 7})
    refuses("is no run folder", [tmp_path], "frechet")


def test_the_command_takes_a_file_and_shortens_checksums(
    pixels: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    overrides = NARROW | {"data.split": [0, 1777], "train.batch": 8}
    lk.train("alae-mlp", "run", overrides=overrides, steps=1, say=lambda text: None)
    arguments = ["eval", "run", "--metric", "frechet", "--weights", "raw", "-n", "12"]
    assert main([*arguments, "--features", pixels]) == 0
    out = capsys.readouterr().out
    assert "frechet" in out
    assert "network pixels, network_sha256 000000000000, n 12" in " ".join(out.split())
    (row,) = lk.compare_figures(["run"], "frechet")
    assert row.protocol["network_sha256"] == "0" * 64
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    assert main([*arguments, "--features", "gone.pth"]) == 2
    assert "gone.pth: no such file" in capsys.readouterr().err
