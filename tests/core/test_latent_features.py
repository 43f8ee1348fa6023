"""The error in the maps of a network: its gradient, masks, its part in a search, and what is refused."""

from __future__ import annotations

from collections import abc
from pathlib import Path

import attrs
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import latentkit as lk
from latentkit.errors import LatentkitError
from latentkit.evaluation import classifier
from latentkit.evaluation.network_choice import ClassifierNetwork, classifier_network, network_of
from latentkit.evaluation.networks import FeatureNetwork
from latentkit.evaluation.perceptual import distances
from latentkit.evaluation.subjects import samples_of
from latentkit.evaluation.vgg import Vgg, VggNetwork
from latentkit.latent.features import FeatureError, feature_error
from latentkit.latent.filtered import FilteredError, against, squared_error
from latentkit.latent.inversion import Inversion, invert

SIDE = 12
DIGITS: dict[str, object] = {
    "data.use": "digits", "data.resolution": 8, "data.split": [0, 300], "draw.z.dim": 4, "parts.E.hidden": 8,
    "parts.G.hidden": 8,
}  # fmt: skip


def numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def images(n: int, seed: int = 0, channels: int = 1, side: int = SIDE) -> Tensor:
    rng = torch.Generator().manual_seed(seed)
    return torch.rand(n, channels, side, side, dtype=torch.float64, generator=rng)


@attrs.frozen(kw_only=True)
class Tiny:
    """Two smooth convolutions of stride 2, which keeps what it was given."""

    channels: int = 1
    heads: tuple[Tensor, Tensor] | None = None
    name: str = "tiny"
    sha256: str = "0" * 64
    abilities: tuple[str, ...] = ("maps",)
    gain: float = 1.0
    seen: list[Tensor] = attrs.field(factory=list)

    def features(self, images: Tensor) -> Tensor:
        raise NotImplementedError

    def maps(self, images: Tensor) -> list[Tensor]:
        self.seen.append(images.detach())
        first = F.softplus(F.conv2d(images, numbers(3, self.channels, 3, 3, seed=1), stride=2, padding=1))
        return [first, F.softplus(F.conv2d(first, numbers(4, 3, 3, 3, seed=2), stride=2, padding=1))]


@pytest.fixture(autouse=True)
def _quick_classifier(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(classifier, "STEPS", 20)


def some_mask(n: int) -> Tensor:
    mask = (numbers(n, 1, SIDE, SIDE, seed=3) > -0.5).double()
    mask[..., :4] = 0.5
    return mask


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("heads", [None, (numbers(3, seed=8).abs(), numbers(4, seed=9).abs())])
def test_the_gradient_is_that_of_finite_differences(masked: bool, heads: tuple[Tensor, Tensor] | None) -> None:
    target, mask = images(2, 1, 2), some_mask(2) if masked else None
    error = FeatureError(network=Tiny(channels=2, heads=heads), range=(-1.0, 1.0))
    x = images(2, 2, 2).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: error(x, target, mask), x)


def vgg() -> FeatureNetwork:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return VggNetwork(module=Vgg().double().requires_grad_(False), sha256="")


def trained() -> FeatureNetwork:
    samples = samples_of(lk.compose("alae-mlp", DIGITS))
    assert samples is not None
    network = classifier_network(samples)
    assert isinstance(network, ClassifierNetwork)
    network.classifier.network.double()
    return network


@pytest.mark.parametrize("make", [vgg, trained])
def test_networks_that_ship_have_a_gradient_to_images_and_to_nothing_else(
    make: abc.Callable[[], FeatureNetwork],
) -> None:
    network, side = make(), 16 if make is vgg else 8
    error = FeatureError(network=network, range=(0.0, 1.0))
    x, target, along = (images(2, seed, side=side) for seed in (1, 2, 3))
    assert not any(found.requires_grad for found in network.maps(x))
    x.requires_grad_()
    (gradient,) = torch.autograd.grad(error(x, target).sum(), x)
    step = 1e-6
    with torch.no_grad():
        ahead, behind = (error(x + sign * step * along, target).sum() for sign in (1, -1))
    assert float((gradient * along).sum()) == pytest.approx(float(ahead - behind) / (2 * step), rel=1e-4)
    assert abs(float((gradient * along).sum())) > 1e-6
    assert not distances(network, x, target).requires_grad


def test_it_is_the_distance_of_the_metric_whatever_the_range_is() -> None:
    network, a, b = Tiny(), images(3, 1), images(3, 2)
    wanted = distances(network, a, b)
    torch.testing.assert_close(FeatureError(network=network)(a, b), wanted, rtol=1e-12, atol=0)
    spread = FeatureError(network=network, range=(-1.0, 3.0))
    torch.testing.assert_close(spread(4 * a - 1, 4 * b - 1), wanted, rtol=1e-12, atol=0)
    found = FeatureError(network=network)(a.float().double(), b)
    assert (found.shape, found.dtype) == ((3,), torch.float64)


def test_images_are_averaged_down_as_the_metric_does() -> None:
    network = Tiny()
    large = images(1, side=512)
    assert float(FeatureError(network=network)(large, large)) == 0
    assert [tuple(seen.shape) for seen in network.seen] == [(1, 1, 256, 256)] * 2


def test_a_mask_of_ones_changes_nothing_and_outside_of_a_mask_nothing_is_seen() -> None:
    network, a, b = Tiny(), images(2, 1), images(2, 2)
    error = FeatureError(network=network)
    torch.testing.assert_close(error(a, b, torch.ones(1, 1, 1, 1).double()), error(a, b), rtol=1e-12, atol=0)
    mask = torch.ones(2, 1, SIDE, SIDE).double()
    mask[..., :5] = 0
    wanted = error(a, b, mask)
    undefined = torch.where(mask == 0, 100.0, b)
    elsewhere = torch.where(mask == 0, -100.0, a).requires_grad_()
    found = error(elsewhere, undefined, mask)
    torch.testing.assert_close(found, wanted, rtol=1e-12, atol=0)
    (gradient,) = torch.autograd.grad(found.sum(), elsewhere)
    assert not gradient[..., :5].any()
    assert (gradient[..., 6:] != 0).all()


def test_places_count_as_far_as_the_mask_covers_them() -> None:
    """Both halves of a picture differ alike, so that an error does not depend on how much of one is masked."""
    a, b = (torch.full((1, 1, SIDE, SIDE), grey, dtype=torch.float64) for grey in (0.2, 0.9))

    class Points(Tiny):
        def maps(self, images: Tensor) -> list[Tensor]:
            return [torch.cat([images.cos(), images.sin()], 1)]

    error = FeatureError(network=Points())
    mask = torch.ones_like(a)
    mask[..., :4] = 0
    assert float(error(a, b, mask)) == pytest.approx(float(error(a, b)), rel=1e-12)
    mask[..., 4:8] = 0.5
    angle, half = 0.7, 0.35
    wanted = sum(share * (2 * np.sin(size / 2)) ** 2 for share, size in ((4, angle), (2, half))) / 6
    assert float(error(a, b, mask)) == pytest.approx(float(wanted), rel=1e-9)


def test_an_image_has_its_error_whatever_else_is_in_the_batch() -> None:
    a, b, mask = images(3, 1), images(3, 2), some_mask(3)
    error = FeatureError(network=Tiny())
    alone = torch.cat([error(a[i : i + 1], b[i : i + 1], mask[i : i + 1]) for i in range(3)])
    torch.testing.assert_close(error(a, b, mask), alone, rtol=1e-12, atol=0)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("error", [squared_error, FilteredError(sigma=1.0), FeatureError(network=Tiny())])
def test_an_error_against_targets_is_that_error(error: abc.Callable[..., Tensor], masked: bool) -> None:
    a, b, mask = images(2, 1), images(2, 2), some_mask(2) if masked else None
    assert torch.equal(against(error, b, mask)(a), error(a, b, mask))


def test_a_search_lowers_it_and_makes_the_maps_of_the_targets_once() -> None:
    matrix = numbers(5, SIDE * SIDE, seed=4) / 3

    def decode(z: Tensor) -> Tensor:
        return torch.sigmoid(z @ matrix).reshape(-1, 1, SIDE, SIDE)

    network = Tiny()
    wanted = decode(numbers(3, 5, seed=5) / 2)
    how = Inversion(steps=60, rate=0.05, error=FeatureError(network=network))
    told: list[Tensor] = []
    found = invert(decode, wanted, torch.zeros(3, 5).double(), how, progress=lambda _, errors: told.append(errors))
    assert (found.errors < 0.02 * told[0]).all()
    assert len(network.seen) == 1 + 60 + 1
    assert torch.equal(network.seen[0], wanted)


def test_a_model_is_searched_with_the_classifier_of_its_data() -> None:
    model = lk.compose("alae-mlp", DIGITS | {"data.range": [-1.0, 1.0]})
    error = feature_error(model)
    assert (error.network.name, error.range) == ("classifier", (-1.0, 1.0))
    samples = samples_of(model)
    assert samples is not None
    assert error.network.sha256 == network_of(samples, None).sha256
    x = samples.field("x", samples.held_out[:4], torch.float32)
    start = model.encode(x)
    found = invert(model, x, start, Inversion(steps=40, rate=0.05, error=error, bounded=False))
    assert found.errors.dtype == torch.float32
    assert float(found.errors.mean()) < 0.9 * float(error(model.decode(start), x).mean())


def test_without_a_network_the_reason_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    np.savez("images.npz", images=np.random.RandomState(0).randint(0, 256, (320, 8, 8)).astype(np.uint8))
    base = {key: value for key, value in DIGITS.items() if key != "data.use"}
    model = lk.compose("alae-mlp", base | {"data.use": "npz", "data.path": "images.npz"})
    hint = "a network from a file does without: --features FILE"
    with pytest.raises(LatentkitError, match=rf"^features: the data \(npz\) has no labels; {hint}$"):
        feature_error(model)
    assert feature_error(model, Tiny()).network.name == "tiny"
    Path("images.npz").unlink()
    gone = r"^features: the classifier is trained on the run's own data: npz: .*'images.npz': there is no such file"
    with pytest.raises(LatentkitError, match=rf"{gone}.*\n  {hint}$"):
        feature_error(model)
    with pytest.raises(LatentkitError, match=r"gone.safetensors: no such file"):
        feature_error(model, "gone.safetensors")


def test_a_network_without_maps_and_a_range_without_extent_are_refused() -> None:
    with pytest.raises(LatentkitError, match="the network 'tiny' has no maps to compare; take VGG16 with the heads"):
        FeatureError(network=Tiny(abilities=("features",)))
    with pytest.raises(LatentkitError, match=r"features: the network 'tiny' has no maps to compare"):
        feature_error(lk.compose("alae-mlp", DIGITS), Tiny(abilities=("features",)))
    with pytest.raises(LatentkitError, match=r"range: expected two growing numbers, found \[1.0, 1.0\]"):
        FeatureError(network=Tiny(), range=(1.0, 1.0))
