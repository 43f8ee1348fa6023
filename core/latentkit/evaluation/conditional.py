"""Whether samples are of the class that they were asked to be."""

from __future__ import annotations

from typing import ClassVar

import attrs
import torch

from latentkit.engine.samples import Samples
from latentkit.evaluation.classifier import classifier_of
from latentkit.evaluation.quantising import as_pictures
from latentkit.evaluation.subjects import data_needed, finite, labels, lacks_held_out, lacks_labels
from latentkit.interfaces import Figure, Metric
from latentkit.model import Model
from latentkit.wiring.graph import ancestors


@attrs.frozen(kw_only=True)
class SampleClass(Metric):
    """Share of samples that a classifier of the real images takes for the class that was asked for, all equally often.

    The classifier is :mod:`latentkit.evaluation.classifier`; the protocol has its accuracy on held-out images.
    """

    slow: ClassVar[bool] = True

    def applies(self, model: Model, samples: Samples | None) -> str:
        """Needs a role ``sample`` that reads a label of as many classes as the data has, and held-out images."""
        if "sample" not in model.wiring.inference:
            return "the recipe has no role 'sample'"
        reason = lacks_held_out(samples)
        if reason or samples is None:
            return reason
        asked = _label_sources(model)
        if not asked:
            return "the role 'sample' reads no label"
        others = data_needed([model.wiring.inference["sample"]]) - set(asked)
        if others:
            return f"the role 'sample' needs {', '.join(sorted(others))}"
        reason = lacks_labels(samples)
        if reason:
            return reason
        known = int(samples.table.array("label").max()) + 1
        short = [name for name, size in asked.items() if size < known]
        return f"'{short[0]}' has {asked[short[0]]} classes, and the data {known}" if short else ""

    def measure(self, model: Model, samples: Samples | None, *, n: int, seed: int) -> list[Figure]:
        """As many samples as held-out images, ``n`` at most, clipped and rounded to 8 bits.

        Raises:
            NotFiniteError: a sample is not finite.
        """
        assert samples is not None
        classifier = classifier_of(samples)
        chosen = samples.held_out[:n]
        wanted = torch.from_numpy(classifier.classes)[torch.arange(len(chosen)) % len(classifier.classes)]
        given = {name: torch.nn.functional.one_hot(wanted, size).to(model.dtype)
                 for name, size in _label_sources(model).items()}  # fmt: skip
        made = finite(model.sample(len(chosen), seed, **given), "the role 'sample'").float().cpu()
        found = classifier.classes[classifier(as_pictures(made, samples.spec.range))[1].argmax(1).numpy()]
        real = torch.from_numpy(samples.table.fields["image"][chosen]).float() / 255
        right = classifier.classes[classifier(real)[1].argmax(1).numpy()] == labels(samples, chosen)
        protocol: dict[str, object] = {
            "unit": "%", "n": len(chosen), "seed": seed, "split": samples.spec.split,
            "trained_on": classifier.trained_on, "held_out_images": 100 * float(right.mean()),
        }  # fmt: skip
        return [Figure(name="sample-class", value=100 * float((found == wanted.numpy()).mean()), protocol=protocol)]


def _label_sources(model: Model) -> dict[str, int]:
    """Labels that the role ``sample`` reads, drawn or from data, with their numbers of classes."""
    found = {}
    for node in ancestors([model.wiring.inference["sample"]]):
        space = model.wiring.spaces[node]
        if node.is_source("draw", "data") and space.kind == "label" and isinstance(space.dims[0], int):
            found[str(node.source[1])] = space.dims[0]
    return found
