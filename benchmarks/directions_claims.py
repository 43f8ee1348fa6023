"""Two searches side by side: step by step or at once, and behind a filter or of plain squares under texture."""

from __future__ import annotations

import torch
from torch import Tensor

from latentkit.latent.decoding import Decode
from latentkit.latent.filtered import ErrorOfImages, FilteredError, filtered, line_kernel, squared_error
from latentkit.latent.inversion import Inversion, invert
from latentkit.latent.moments import Moments, moments
from latentkit.latent.transformations import HorizontalShift
from latentkit.spaces import Space

FAR = (0.0625, 0.125, 0.1875, 0.25, 0.3125)
"""Shifts to the right of what is at the left; the last one is what both searches end at."""
NEAR = (0.0625, 0.125)
LEFT = -0.13
"""Of the middle, in widths: where the shapes are that are searched; centres of sprites lie from -0.2 to 0.2."""
STEPS, RATE, SIGMA, MOST = 50, 0.03, 3 / 128, 40
NOISE = 0.5
"""Standard deviation of the texture before its low frequencies are taken out; images span 1."""


def one_search_or_many(decode: Decode, codes: Tensor, space: Space) -> dict[str, float]:
    """Errors at the largest shift, step by step and at once, with as many updates in all."""
    task = _Task(decode, codes, space)
    error = FilteredError(sigma=SIGMA * task.side)
    many = task.search(error, FAR, STEPS)
    once = task.search(error, FAR[-1:], STEPS * len(FAR))
    return {**task.judged(many, FAR[-1], "many"), **task.judged(once, FAR[-1], "once"), "codes": len(task.start)}


def texture(decode: Decode, codes: Tensor, space: Space, seed: int) -> dict[str, float]:
    """Errors where targets carry noise of high frequencies, behind the filter and of plain squares."""
    task = _Task(decode, codes, space)
    shape = task.images.shape
    noise = NOISE * torch.randn(shape, generator=torch.Generator().manual_seed(seed)) * task.span
    noise = noise - filtered(noise, line_kernel(1.0, normalized=True))
    found: dict[str, float] = {"amplitude": float(noise.std() / task.span)}
    for name, error in (("filtered", FilteredError(sigma=SIGMA * task.side)), ("plain", squared_error)):
        clean = task.search(error, NEAR, STEPS)
        under = task.search(error, NEAR, STEPS, noise)
        found |= task.judged(under, NEAR[-1], name) | task.judged(clean, NEAR[-1], f"{name}-clean")
        found[f"{name}-code"] = float((under - clean).norm(dim=1).mean())
    return found


class _Task:
    """Codes whose shapes are at the left, so that shifted to the right they are still where shapes can be."""

    def __init__(self, decode: Decode, codes: Tensor, space: Space) -> None:
        assert isinstance(space.range, tuple)
        self.decode, (self.low, high) = decode, space.range
        self.span, self.side = high - self.low, int(space.dims[-1])  # type: ignore[arg-type]  # sizes are known
        self.shift = HorizontalShift(range=space.range)
        with torch.no_grad():
            images = decode(codes)
        seen = self.moments(images)
        chosen = (seen.visible & (seen.x < LEFT)).nonzero().flatten()[:MOST]
        self.start, self.images, self.places = codes[chosen], images[chosen], seen.x[chosen]
        self.sizes = seen.mean[chosen]

    def moments(self, images: Tensor) -> Moments:
        """Of what is bright."""
        return moments(((images - self.low) / self.span).clamp(0, 1).mean(1))

    def search(
        self, error: ErrorOfImages, amounts: tuple[float, ...], steps: int, noise: Tensor | None = None
    ) -> Tensor:
        """Codes at the last amount, each search from where the one before has ended."""
        codes = self.start
        for amount in amounts:
            targets, masks = self.shift.apply(self.images, amount)
            targets = targets if noise is None else targets + noise
            how = Inversion(steps=steps, rate=RATE, error=error)
            codes = invert(self.decode, targets, codes, how, masks=masks).codes
        return codes

    def judged(self, codes: Tensor, amount: float, name: str) -> dict[str, float]:
        """Mean squared error, and by how many pixels the place is missed and by how much the size."""
        with torch.no_grad():
            images = self.decode(codes)
        targets, masks = self.shift.apply(self.images, amount)
        seen = self.moments(images)
        wide = self.side / (self.side - 1)
        missed = (seen.x - self.places - amount * wide).abs() * (self.side - 1)
        # Where nothing is left to be seen, it is missed by all of the way.
        missed = torch.where(seen.visible, missed, amount * self.side)
        return {
            f"{name}-squared": float(squared_error(images, targets, masks).mean() / self.span**2),
            f"{name}-pixels": float(missed.mean()), f"{name}-size": float((seen.mean / self.sizes - 1).abs().mean()),
        }  # fmt: skip
