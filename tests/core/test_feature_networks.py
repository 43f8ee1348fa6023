"""Networks from files: Inception-v3 of FID and VGG16 of LPIPS against values of others' code, and files that are wrong.

The recorded values are those of torchvision's layers with the changes of pytorch-fid 0.3.0 (Inception), and of
torchvision's VGG16 with the formula of LPIPS written out, in float64, from the weights that ``drawn`` makes.
"""

from __future__ import annotations

import hashlib
import math
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from latentkit.errors import DataError, LatentkitError, RunError
from latentkit.evaluation.inception import SIDE, Inception, InceptionNetwork
from latentkit.evaluation.network_choice import lacks_network, sha256_of
from latentkit.evaluation.network_files import read_network
from latentkit.evaluation.networks import resized, with_three_channels
from latentkit.evaluation.perceptual import distances
from latentkit.evaluation.vgg import Vgg

Weights = dict[str, Tensor]
FEATURES = [
    [0.08591030383216781, 1.3282455589310609, 0.5024442334733303, 0.0, 0.8706129903555179, 0.0],
    [0.16178900165769855, 1.4382744433740873, 0.49595810459704637, 0.0, 0.847060043184447, 0.0],
]
MEAN, DEVIATION = 0.6497936663269024, 1.1984402475667015
PERCEPTUAL = [0.8387400076660716, 0.8426465641428078]
MAPS = [
    ((2, 64, 20, 24), 0.5822434719502699), ((2, 128, 10, 12), 0.6977217942673609),
    ((2, 256, 5, 6), 0.7797694287167886), ((2, 512, 2, 3), 0.47586702667914355),
    ((2, 512, 1, 1), 0.04327442844812036),
]  # fmt: skip


def drawn(name: str, shape: tuple[int, ...]) -> Tensor:
    """The weights of a name: the same wherever they are made."""
    numbers = np.random.RandomState(zlib.crc32(name.encode())).random_sample(shape)
    if name.endswith(("running_var", "bn.weight")):
        numbers = 0.5 + numbers
    elif len(shape) == 1:
        numbers = 0.2 * (numbers - 0.5)
    elif not name.startswith("lin"):
        numbers = (numbers - 0.5) * math.sqrt(24 / math.prod(shape[1:]))
    return torch.from_numpy(numbers.astype(np.float32))


def images(seed: int, *shape: int) -> Tensor:
    return torch.from_numpy(np.random.RandomState(seed).random_sample(shape).astype(np.float32))


def weights_of(kind: type[torch.nn.Module]) -> Weights:
    with torch.device("meta"):
        shapes = {name: tuple(value.shape) for name, value in kind().state_dict().items()}
    return {name: drawn(name, shape) for name, shape in shapes.items() if shape}


@pytest.fixture(scope="module")
def vgg() -> Weights:
    return weights_of(Vgg)


@pytest.fixture(scope="module")
def vgg_file(vgg: Weights, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("vgg") / "vgg.safetensors"
    save_file(vgg | {"classifier.0.bias": torch.zeros(4096)}, path)
    return path


def test_inception_has_the_published_names_and_gives_the_recorded_features(tmp_path: Path) -> None:
    weights = weights_of(Inception)
    assert (len(weights), sum(value.numel() for value in weights.values())) == (470, 21_820_000)
    shapes = {
        "Conv2d_1a_3x3.conv.weight": (32, 3, 3, 3), "Conv2d_4a_3x3.bn.running_var": (192,),
        "Mixed_5b.branch5x5_2.conv.weight": (64, 48, 5, 5), "Mixed_5d.branch_pool.conv.weight": (64, 288, 1, 1),
        "Mixed_6a.branch3x3.conv.weight": (384, 288, 3, 3), "Mixed_6c.branch7x7dbl_5.conv.weight": (192, 160, 1, 7),
        "Mixed_7a.branch7x7x3_4.conv.weight": (192, 192, 3, 3),
        "Mixed_7c.branch3x3dbl_3b.conv.weight": (384, 384, 3, 1),
    }  # fmt: skip
    assert {name: tuple(weights[name].shape) for name in shapes} == shapes
    path = tmp_path / "inception.safetensors"
    save_file(weights | {"fc.weight": torch.zeros(1008, 2048), "fc.bias": torch.zeros(1008)}, path)
    torch.manual_seed(5)
    wanted = torch.rand(3)
    torch.manual_seed(5)
    network = read_network(path)
    assert torch.equal(torch.rand(3), wanted)
    assert isinstance(network, InceptionNetwork)
    assert (network.name, network.side, network.abilities, SIDE) == ("inception-v3", 299, ("features",), 299)
    assert network.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    small = InceptionNetwork(module=network.module, sha256=network.sha256, side=75)
    found = small.features(images(0, 2, 3, 75, 75))
    assert (found.shape, found.dtype) == ((2, 2048), torch.float64)
    assert (float(found.mean()), float(found.std())) == pytest.approx((MEAN, DEVIATION), rel=1e-5)
    torch.testing.assert_close(found[:, ::400], torch.tensor(FEATURES, dtype=torch.float64), rtol=1e-4, atol=1e-5)


def test_vgg_has_the_published_names_and_gives_the_recorded_distance(vgg: Weights, vgg_file: Path) -> None:
    convolutions = [0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28]
    names = {f"features.{place}.{kind}" for place in convolutions for kind in ("weight", "bias")}
    assert vgg.keys() == names | {f"lin{number}.model.1.weight" for number in range(5)}
    assert vgg["features.28.weight"].shape == (512, 512, 3, 3)
    assert vgg["lin2.model.1.weight"].shape == (1, 256, 1, 1)
    network = read_network(vgg_file)
    assert (network.name, network.abilities) == ("vgg16-lpips", ("maps",))
    assert network.sha256 == hashlib.sha256(vgg_file.read_bytes()).hexdigest()
    a, b = images(1, 2, 3, 20, 24), images(2, 2, 3, 20, 24)
    maps = network.maps(a)
    assert [tuple(value.shape) for value in maps] == [shape for shape, _ in MAPS]
    assert [float(value.mean()) for value in maps] == pytest.approx([mean for _, mean in MAPS], rel=1e-4)
    found = distances(network, a, b)
    assert found.dtype == torch.float64
    assert found.tolist() == pytest.approx(PERCEPTUAL, rel=1e-4)
    assert distances(network, b, a).tolist() == pytest.approx(PERCEPTUAL, rel=1e-4)
    assert distances(network, a, a).tolist() == [0, 0]


def test_grey_and_small_images_are_taken_too_and_files_of_torch_save(
    vgg: Weights, vgg_file: Path, tmp_path: Path
) -> None:
    network = read_network(vgg_file)
    grey, other = images(3, 2, 1, 8, 8), images(4, 2, 1, 8, 8)
    found = distances(network, grey, other)
    large = [resized(value.expand(-1, 3, -1, -1), 16, 16) for value in (grey, other)]
    assert found.tolist() == pytest.approx(distances(network, *large).tolist(), rel=1e-5)
    torch.save(vgg, tmp_path / "vgg.pth")
    same = read_network(tmp_path / "vgg.pth")
    assert torch.equal(distances(same, grey, other), found)
    assert same.sha256 != network.sha256


def test_images_are_resized_without_skipping_any() -> None:
    fine = torch.zeros(1, 1, 64, 64)
    fine[..., 1::8, 1::8] = 1  # points that a sparse bilinear grid would miss
    assert float(resized(fine, 8, 8).mean()) == pytest.approx(1 / 64, rel=0.1)
    flat = torch.full((1, 3, 20, 30), 0.25)
    torch.testing.assert_close(resized(flat, 75, 75), torch.full((1, 3, 75, 75), 0.25))
    assert resized(flat, 20, 30) is flat
    with pytest.raises(LatentkitError, match="takes 1 or 3 channels; these have 2"):
        with_three_channels(torch.zeros(1, 2, 4, 4))


def test_files_that_are_no_known_network_are_refused_with_the_first_names(tmp_path: Path, vgg: Weights) -> None:
    path = tmp_path / "weights.safetensors"

    def refused(weights: Weights) -> str:
        save_file(weights, path)
        with pytest.raises(DataError) as caught:
            read_network(path)
        return str(caught.value)

    message = refused({"Conv2d_1a_3x3.conv.weight": torch.zeros(32, 3, 3, 3), "fc.weight": torch.zeros(1000, 2048)})
    assert f"{path}: is not the Inception-v3 of FID" in message
    assert "missing: Conv2d_1a_3x3.bn.weight, Conv2d_1a_3x3.bn.bias, Conv2d_1a_3x3.bn.running_mean and 466 " in message
    assert "fc.weight is [1000, 2048] and not [1008, 2048]" in message
    assert "not of it: AuxLogits.fc.bias" in refused(
        {"Mixed_5b.x": torch.zeros(1), "AuxLogits.fc.bias": torch.zeros(1)}
    )
    heads = refused({name: value for name, value in vgg.items() if not name.startswith("lin")})
    assert "is not VGG16 with the heads of LPIPS\n  missing: lin0.model.1.weight, lin1.model.1.weight, lin2" in heads
    assert "not real: features.0.bias" in refused(vgg | {"features.0.bias": torch.zeros(64, dtype=torch.int64)})
    other = refused({name: torch.zeros(2) for name in ("a.weight", "b.weight", "c", "d")})
    assert f"{path}: has a.weight, b.weight, c and 1 more; expected the Inception-v3 of FID (names as in" in other
    with pytest.raises(RunError, match="no such file"):
        read_network(tmp_path / "gone.safetensors")
    (tmp_path / "notes.txt").write_text("weights")
    with pytest.raises(RunError, match="not a checkpoint"):
        read_network(tmp_path / "notes.txt")


def test_a_network_without_what_a_metric_wants_is_a_reason(vgg_file: Path) -> None:
    reason = lacks_network(None, str(vgg_file), "features")
    assert reason == f"{vgg_file} is vgg16-lpips, which has no features to compare; take the Inception-v3 of FID"
    assert lacks_network(None, str(vgg_file), "maps") == ""


def test_weights_are_known_by_names_types_shapes_and_values() -> None:
    base = {"a": torch.arange(4.0), "b": torch.ones(2)}
    others = [
        {"a": torch.arange(4.0), "c": torch.ones(2)}, {"a": torch.arange(4.0)[None], "b": torch.ones(2)},
        {"a": torch.arange(4.0) + 1, "b": torch.ones(2)}, {"a": torch.arange(4), "b": torch.ones(2)},
    ]  # fmt: skip
    assert sha256_of(dict(reversed(base.items()))) == sha256_of(base)
    assert len({sha256_of(tensors) for tensors in [base, *others]}) == 5
