"""What features tell of classes: 1-nearest-neighbour and linear probes, and the class that reconstructions keep.

Protocol of Adversarial Latent Autoencoders, Pidhorskyi, Adjeroh and Doretto 2020, https://arxiv.org/abs/2004.04467,
as in its released code: exact Euclidean neighbours, linear SVM with C = 0.02 and at most 5000 iterations, no scaling.
"""

from __future__ import annotations

import warnings

import attrs
import numpy as np
import torch

from latentkit._optional import of_sklearn
from latentkit.engine.samples import Samples
from latentkit.evaluation.subjects import features, finite, images, labels, lacks_held_out, lacks_labels, lacks_role
from latentkit.interfaces import Figure, Metric
from latentkit.model import Model

C, MAX_ITER = 0.02, 5000
_WHO = "classifiers need"


@attrs.frozen(kw_only=True)
class Probes(Metric):
    """Accuracy of 1-NN and of a linear SVM on the codes and, where the recipe has the role, on ``features``."""

    def applies(self, model: Model, samples: Samples | None) -> str:
        """Needs an encoder, labels and held-out images."""
        return lacks_role(model, "encode") or _lacks_classes(samples)

    def measure(self, model: Model, samples: Samples | None, *, n: int, seed: int) -> list[Figure]:
        """Percent of all held-out images; fitted to all training images. ``n`` and ``seed`` change nothing.

        Raises:
            LatentkitError: scikit-learn is not installed.
            NotFiniteError: a feature is not finite.
        """
        assert samples is not None
        roles = {"short": "encode"}
        if not lacks_role(model, "features"):
            roles["long"] = "features"
        known, asked = labels(samples, samples.training), labels(samples, samples.held_out)
        figures = []
        for length, role in roles.items():
            train, test = (features(model, role, samples, part) for part in (samples.training, samples.held_out))
            protocol = {**_protocol(samples), "role": role, "features": train.shape[1]}
            neighbours = _percent(nearest(train, known, test) == asked)
            figures.append(Figure(name=f"1-nn-{length}", value=neighbours, protocol=protocol))
            found, notes = linear(train, known, test)
            figures.append(Figure(name=f"svm-{length}", value=_percent(found == asked), protocol=protocol | notes))
        return figures


@attrs.frozen(kw_only=True)
class ReconstructionClass(Metric):
    """Share of held-out images whose reconstruction is nearest, in pixels, to a training image of their class."""

    def applies(self, model: Model, samples: Samples | None) -> str:
        """Needs reconstructions, labels and held-out images."""
        return lacks_role(model, "reconstruct") or _lacks_classes(samples)

    def measure(self, model: Model, samples: Samples | None, *, n: int, seed: int) -> list[Figure]:
        """Percent of the first ``n`` held-out images; ``originals`` in the protocol is what they themselves reach.

        Raises:
            LatentkitError: scikit-learn is not installed.
            NotFiniteError: a reconstruction is not finite.
        """
        assert samples is not None
        chosen = samples.held_out[:n]
        known, asked = labels(samples, samples.training), labels(samples, chosen)
        train, originals, rebuilt = _pixels(model, samples, chosen)
        found = nearest(train, known, np.concatenate([rebuilt, originals]))
        ceiling = _percent(found[len(chosen) :] == asked)
        protocol = {**_protocol(samples), "held_out": len(chosen), "classifier": "1-NN on pixels", "originals": ceiling}
        value = _percent(found[: len(chosen)] == asked)
        return [Figure(name="reconstruction-class", value=value, protocol=protocol)]


def nearest(train: np.ndarray, known: np.ndarray, test: np.ndarray) -> np.ndarray:
    """Class of the nearest training row (Euclidean, exact): [n, dim], [n] and [m, dim] to [m].

    Raises:
        LatentkitError: scikit-learn is not installed.
    """
    classifier = of_sklearn("sklearn.neighbors", _WHO).KNeighborsClassifier(1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that many classes may mean a regression
        classifier.fit(train, known)
    return np.asarray(classifier.predict(test))


def linear(train: np.ndarray, known: np.ndarray, test: np.ndarray) -> tuple[np.ndarray, dict[str, object]]:
    """Classes by a linear SVM, and what to note of its training: [n, dim], [n] and [m, dim] to [m].

    Raises:
        LatentkitError: scikit-learn is not installed.
    """
    late = of_sklearn("sklearn.exceptions", _WHO).ConvergenceWarning
    # dual was the default at the time; later versions choose by the shape.
    classifier = of_sklearn("sklearn.svm", _WHO).LinearSVC(C=C, max_iter=MAX_ITER, dual=True, random_state=0)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        classifier.fit(train, known)
    converged = not any(issubclass(warning.category, late) for warning in caught)
    notes: dict[str, object] = {"C": C, "max_iter": MAX_ITER, "random_state": 0, "converged": converged}
    return np.asarray(classifier.predict(test)), notes


def _pixels(model: Model, samples: Samples, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    train = torch.cat([x.flatten(1).float() for x in images(model, samples, samples.training)])
    originals, rebuilt = [], []
    for x in images(model, samples, chosen):
        originals.append(x.flatten(1).float())
        rebuilt.append(finite(model.reconstruct(x), "the role 'reconstruct'").flatten(1).float().cpu())
    return train.numpy(), torch.cat(originals).numpy(), torch.cat(rebuilt).numpy()


def _lacks_classes(samples: Samples | None) -> str:
    reason = lacks_held_out(samples)
    return reason if reason or samples is None else lacks_labels(samples)


def _percent(right: np.ndarray) -> float:
    return 100 * float(right.mean())


def _protocol(samples: Samples) -> dict[str, object]:
    return {
        "unit": "%", "training": len(samples.training), "held_out": len(samples.held_out), "split": samples.spec.split,
    }  # fmt: skip
