"""The network that images are compared with: the self-trained classifier, or one from a file of the user's."""

from __future__ import annotations

import hashlib
import math
from collections import OrderedDict, abc
from pathlib import Path

import attrs
import torch
from torch import Tensor, nn

from latentkit.engine.samples import Samples
from latentkit.evaluation.classifier import Classifier, classifier_of
from latentkit.evaluation.network_files import read_network
from latentkit.evaluation.networks import Ability, FeatureNetwork
from latentkit.evaluation.small_network import FEATURES, shrunk
from latentkit.evaluation.subjects import lacks_labels

_KEPT = 2
_features: OrderedDict[tuple[str, str, str], Tensor] = OrderedDict()
_files: dict[tuple[object, ...], FeatureNetwork] = {}


@attrs.frozen(kw_only=True, eq=False)
class ClassifierNetwork:
    """The small classifier of the run's own images (:mod:`latentkit.evaluation.classifier`)."""

    classifier: Classifier
    sha256: str
    name: str = "classifier"
    abilities: tuple[Ability, ...] = ("features", "maps")
    heads: None = None
    gain: float = math.sqrt(FEATURES)

    def features(self, images: Tensor) -> Tensor:
        """The 64 of its last hidden layer, float64 [n, 64]; on training images their total variance is 1."""
        return self.classifier(images.to(self._weight))[0].cpu()

    def maps(self, images: Tensor) -> list[Tensor]:
        """After each of its convolutions."""
        trunk = self.classifier.network["trunk"]
        assert isinstance(trunk, nn.Sequential)
        found, value = [], shrunk(images.to(self._weight))
        for layer in trunk:
            if isinstance(layer, nn.Flatten):
                break
            value = layer(value)
            found += [value] if isinstance(layer, nn.ReLU) else []
        return found

    @property
    def _weight(self) -> Tensor:
        """One that has the device and the precision of all."""
        return next(self.classifier.network.parameters())


def lacks_network(
    samples: Samples | None, given: str | FeatureNetwork | None, ability: Ability, device: torch.device | str = "cpu"
) -> str:
    """Why there is no network with such an answer; empty where there is.

    Raises:
        LatentkitError: the file is none that is known.
    """
    if given is None:
        reason = "" if samples is None else lacks_labels(samples)
        return f"{reason}; a network from a file does without: --features FILE" if reason else ""
    network = _from_file(given, device) if isinstance(given, str) else given
    if ability in network.abilities:
        return ""
    wanted = {"features": "the Inception-v3 of FID", "maps": "VGG16 with the heads of LPIPS"}[ability]
    what = f"{given} is {network.name}, which" if isinstance(given, str) else f"the network '{network.name}'"
    return f"{what} has no {ability} to compare; take {wanted}"


def network_of(
    samples: Samples | None, given: str | FeatureNetwork | None, device: torch.device | str = "cpu"
) -> FeatureNetwork:
    """The network of a file, or where none is given the classifier of these data (trained on the spot, on the CPU).

    Args:
        samples: with labels where no network is given.
        given: a network, or a file with the weights of Inception-v3 as FID has it, or of VGG16 with the heads of LPIPS;
            safetensors, .pth or .pt.
        device: where a network from a file computes.

    Raises:
        LatentkitError: the file is missing, damaged, or none that is known.
    """
    if given is not None:
        return _from_file(given, device) if isinstance(given, str) else given
    assert samples is not None
    return classifier_network(samples)


def classifier_network(samples: Samples, device: torch.device | str = "cpu") -> ClassifierNetwork:
    """The classifier of these data, which have labels.

    Args:
        samples: its training images; it is trained on the spot, on the CPU, where it is not kept.
        device: where it computes. Figures are taken on the CPU, so that they compare.
    """
    classifier = classifier_of(samples)
    checksum = sha256_of(classifier.network.state_dict())
    classifier.network.to(device)
    return ClassifierNetwork(classifier=classifier, sha256=checksum)


def features_of(network: FeatureNetwork, images: Tensor) -> Tensor:
    """Features of pictures, [n, c, h, w] in [0, 1]; those of the last two sets are kept, for the next metric."""
    pictures = hashlib.sha256(f"{tuple(images.shape)}".encode())
    pictures.update(images.contiguous().numpy().data)
    key = (network.name, network.sha256, pictures.hexdigest())
    if key not in _features:
        _features[key] = network.features(images)
        while len(_features) > _KEPT:
            _features.popitem(last=False)
    _features.move_to_end(key)
    return _features[key]


def sha256_of(tensors: abc.Mapping[str, Tensor]) -> str:
    """Of names, types, shapes and values, whatever their order."""
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        plain = tensor.detach().cpu().contiguous()
        digest.update(f"{name} {plain.dtype} {tuple(plain.shape)}".encode())
        digest.update(plain.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _from_file(file: str, device: torch.device | str) -> FeatureNetwork:
    path = Path(file)
    try:
        facts = path.stat()
        key: tuple[object, ...] = (path.resolve(), facts.st_mtime_ns, facts.st_size, str(device))
    except OSError:
        key = ()
    if key not in _files:
        _files.clear()  # one at a time: they are large
        _files[key] = read_network(path, device)
    return _files[key]
