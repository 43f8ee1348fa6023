"""A reconstruction error in the maps of a network, which forgives what the network does not see.

Zhang, Isola, Efros, Shechtman, Wang 2018, https://arxiv.org/abs/1801.03924, eq. 1: the distance of the metric
``perceptual``, of images as they are made, neither clipped nor in steps of 8 bits. Masks are not in the paper.
"""

from __future__ import annotations

from collections import abc

import attrs
import torch
from torch import Tensor

from latentkit.errors import DataError, LatentkitError
from latentkit.evaluation.network_choice import classifier_network, lacks_network, network_of
from latentkit.evaluation.networks import FeatureNetwork
from latentkit.evaluation.paths import averaged_down
from latentkit.evaluation.perceptual import apart
from latentkit.evaluation.subjects import samples_of
from latentkit.model import Model
from latentkit.runs.observing import value_range

_GREY = 0.5


@attrs.frozen(kw_only=True, eq=False)
class FeatureError:
    """Distance in the maps of a network, channels scaled to length 1 at each place; the target is a constant.

    With a mask, what is outside of it is grey in both images, so that nothing undefined reaches the network, and the
    mean over the places of a map counts a place as far as the mask covers its area. A map sees around its place, hence
    the edge of the mask too, which both images share. A mask of ones changes nothing, one of zeros alone gives NaN.

    Attributes:
        network: one with maps.
        range: of the images: what is 0 and what is 1 to the network. Values outside stay outside. Sides of 512 and more
            are averaged down to 256 and more, as the metric has it.
    """

    network: FeatureNetwork = attrs.field()
    range: tuple[float, float] = attrs.field(default=(0.0, 1.0))

    @network.validator
    def _has_maps(self, _: object, value: FeatureNetwork) -> None:
        reason = lacks_network(None, value, "maps")
        if reason:
            raise LatentkitError(reason)

    @range.validator
    def _grows(self, _: object, value: tuple[float, float]) -> None:
        if not value[0] < value[1]:
            raise LatentkitError(f"range: expected two growing numbers, found {list(value)}")

    def __call__(self, x: Tensor, target: Tensor, mask: Tensor | None = None) -> Tensor:
        """One error per image: b c h w each, to b. Any of the mask's sizes may be one."""
        return self.against(target, mask)(x)

    def against(self, target: Tensor, mask: Tensor | None = None) -> abc.Callable[[Tensor], Tensor]:
        """The same as a function of images; the maps of the targets are made once."""
        with torch.no_grad():
            wanted = self.network.maps(self._shown(target, mask))
        where = None if mask is None else mask.expand(target.shape).mean(1, keepdim=True)

        def error(x: Tensor) -> Tensor:
            return apart(self.network.maps(self._shown(x, mask)), wanted, self.network.heads, where).to(x)

        return error

    def _shown(self, images: Tensor, mask: Tensor | None) -> Tensor:
        low, high = self.range
        images = (images - low) / (high - low)
        return averaged_down(images if mask is None else _GREY + (images - _GREY) * mask)


def feature_error(model: Model, features: str | FeatureNetwork | None = None) -> FeatureError:
    """The error in the maps with which the metric ``perceptual`` compares this model's images.

    Args:
        model: of images.
        features: a file with the weights of VGG16 and the heads of LPIPS, or a network; by default the small
            classifier of the model's data, which is trained where it is not in the cache.

    Raises:
        LatentkitError: no network is given, and the data are not there or have no labels; one without maps; a file that
            is missing, damaged, or no network's; a model without images.
    """
    span, samples = value_range(model), None
    if features is None:
        try:
            samples = samples_of(model)
        except DataError as error:
            raise LatentkitError(
                f"features: the classifier is trained on the run's own data: {error}\n"
                "  a network from a file does without: --features FILE"
            ) from None
    reason = lacks_network(samples, features, "maps", model.device)
    if reason:
        raise LatentkitError(f"features: {reason}")
    network = network_of(None, features, model.device) if samples is None else classifier_network(samples, model.device)
    return FeatureError(network=network, range=span)
