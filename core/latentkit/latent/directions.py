"""A direction u and a function g, so that moving a code along u changes its image by a known amount.

Plumerault, Le Borgne, Hudelot 2020, https://arxiv.org/abs/2001.10238, section 2: ``t = g(<v, z>)``, fitted to
differences, as where an image stands to begin with is not known. Penalties and constants are those of the released
code. Here v begins at 0: of a random start, what is across all differences would leave by the penalty alone, slowly.
"""

from __future__ import annotations

import attrs
import torch
from torch import Tensor

from latentkit.engine.streams import key_seed
from latentkit.errors import LatentkitError, NotFiniteError
from latentkit.latent.lattice import Lattice
from latentkit.latent.options import above, at_least
from latentkit.latent.records import Steps
from latentkit.optimizers import Adam


@attrs.frozen(kw_only=True)
class DirectionFit:
    """How a direction is fitted.

    Attributes:
        knots: of the lattice, from ``low`` to ``high``.
        low: the first knot.
        high: the last knot.
        shrinkage: factor of ``|v|^2``.
        smoothness: factor of the mean squared difference of neighbouring slopes.
        rate: of Adam.
        epochs: passes over the pairs.
        batch: pairs per update; what is left over at the end of a pass is left out. All where there are fewer.
        seed: of the order of the pairs.
    """

    knots: int = attrs.field(default=101, validator=at_least(2))
    low: float = -5.0
    high: float = 5.0
    shrinkage: float = attrs.field(default=0.1, validator=at_least(0))
    smoothness: float = attrs.field(default=1.0, validator=at_least(0))
    rate: float = attrs.field(default=1e-3, validator=above(0))
    epochs: int = attrs.field(default=100, validator=at_least(1))
    batch: int = attrs.field(default=32, validator=at_least(1))
    seed: int = 0


@attrs.frozen(kw_only=True, eq=False)
class DirectionModel:
    """``t = g(<v, z>)``.

    Attributes:
        v: [dim].
        lattice: ``g``.
    """

    v: Tensor
    lattice: Lattice

    @property
    def direction(self) -> Tensor:
        """``u = v / |v|``, [dim]; t grows along it."""
        length: Tensor = torch.linalg.vector_norm(self.v)
        return self.v / length

    def position(self, z: Tensor) -> Tensor:
        """``g(<v, z>)``: ``... dim`` to ``...``. Only differences of it were fitted."""
        return self.lattice(z @ self.v)

    def change(self, start: Tensor, end: Tensor) -> Tensor:
        """By how much the image of ``end`` is that of ``start``, changed: [n, dim] each, to [n]."""
        positions = self.position(torch.stack([start, end]))
        return positions[1] - positions[0]

    def error(self, steps: Steps) -> Tensor:
        """Mean squared error of the changes, a scalar."""
        return (self.change(steps.start, steps.end) - steps.change).square().mean()

    def penalised(self, steps: Steps, shrinkage: float, smoothness: float) -> Tensor:
        """The error with both penalties, a scalar: what is made small."""
        return self.error(steps) + shrinkage * self.v.square().sum() + smoothness * self.lattice.roughness()


def fit_direction(steps: Steps, how: DirectionFit | None = None) -> DirectionModel:
    """v and the slopes of g together; slopes below 0 become 0 after each update.

    The same steps and seed give the same result. One direction for several classes is fitted to the pairs of all
    (:func:`latentkit.latent.records.joined`), of each of which the worst have been left out.

    Raises:
        LatentkitError: no pairs.
        NotFiniteError: the fit has diverged, or no direction is left in it.
    """
    how = how or DirectionFit()
    if not len(steps):
        raise LatentkitError("direction: expected pairs of codes to fit to, found none")
    dim, batch = steps.start.shape[1], min(how.batch, len(steps))
    numbers = torch.Generator().manual_seed(key_seed(how.seed, "direction"))
    v = steps.start.new_zeros(dim).requires_grad_()
    slopes = steps.start.new_ones(how.knots).requires_grad_()
    model = DirectionModel(v=v, lattice=Lattice(slopes=slopes, low=how.low, high=how.high))
    weights, adam, count = [v, slopes], Adam(eps=1e-7), 0
    slots = {name: [torch.zeros_like(weight) for weight in weights] for name in adam.slots}
    for _ in range(how.epochs):
        order = torch.randperm(len(steps), generator=numbers).to(v.device)
        for chosen in order[: len(order) // batch * batch].view(-1, batch):
            with torch.enable_grad():
                loss = model.penalised(steps.only(chosen), how.shrinkage, how.smoothness)
            gradients = list(torch.autograd.grad(loss, weights))
            count += 1
            with torch.no_grad():
                adam.update(weights, gradients, slots, count, how.rate)
                slopes.clamp_(min=0)
    return _finished(model)


def _finished(model: DirectionModel) -> DirectionModel:
    v = model.v.detach()
    if not (v.isfinite().all() and model.lattice.slopes.isfinite().all() and v.any()):
        raise NotFiniteError(
            "direction: the fit found none (it is 0, or not finite); expected finite codes, and amounts other than 0"
        )
    return DirectionModel(v=v, lattice=attrs.evolve(model.lattice, slopes=model.lattice.slopes.detach()))
