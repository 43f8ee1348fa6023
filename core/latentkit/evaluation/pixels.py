"""How close reconstructions of unseen images are, pixel by pixel."""

from __future__ import annotations

import math

import attrs

from latentkit.engine.samples import Samples
from latentkit.evaluation.subjects import finite, images, lacks_held_out, lacks_role
from latentkit.interfaces import Figure, Metric
from latentkit.model import Model


@attrs.frozen(kw_only=True)
class PixelReconstruction(Metric):
    """Mean squared error per pixel of reconstructions of held-out images, in the data's range and in [0, 1]; PSNR."""

    def applies(self, model: Model, samples: Samples | None) -> str:
        """Needs a way back and forth, and held-out images."""
        return lacks_role(model, "reconstruct") or lacks_held_out(samples)

    def measure(self, model: Model, samples: Samples | None, *, n: int, seed: int) -> list[Figure]:
        """``mean (x - reconstruct(x))^2``, unclipped: in the data's value range, and as if black were 0 and white 1.

        PSNR in dB follows from the latter; there is none at error 0.

        Raises:
            NotFiniteError: a reconstruction is not finite.
        """
        assert samples is not None
        chosen, total = samples.held_out[:n], 0.0
        for x in images(model, samples, chosen):
            rebuilt = finite(model.reconstruct(x), "the role 'reconstruct'").cpu()
            total += float((rebuilt.double() - x.double()).square().flatten(1).mean(1).sum())
        error = total / len(chosen)
        low, high = samples.spec.range
        protocol: dict[str, object] = {
            "n": len(chosen), "images": "held out", "split": samples.spec.split, "range": [low, high],
        }  # fmt: skip
        scaled = error / (high - low) ** 2
        figures = [
            Figure(name="pixel-reconstruction", value=error, protocol=protocol),
            Figure(name="pixel-mse", value=scaled, protocol={**protocol, "range": [0.0, 1.0]}),
        ]
        if scaled > 0:
            ratio = -10 * math.log10(scaled)
            figures.append(Figure(name="pixel-psnr", value=ratio, protocol={**protocol, "unit": "dB"}))
        return figures
