"""A direction u and a function g, so that moving a code along u changes its image by a known amount.

Plumerault, Le Borgne, Hudelot 2020, https://arxiv.org/abs/2001.10238, section 2: ``t = g(<v, z>)``, fitted to
differences, as where an image stands to begin with is not known. The objective is that of the released code. There v
begins at random and the knots of g lie from -5 to 5, of which codes may reach a few; here v begins at its optimum for g
the identity, the knots are spread over the codes, a step of v is in units of its length, steps become smaller, and at
the end g is multiplied by what fits best, as the penalties make it too flat, the more so the smaller the changes are.
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
        knots: of the lattice, spread over the codes and a tenth of their spread beyond at either end.
        shrinkage: factor of ``|v|^2``.
        smoothness: factor of the mean squared difference of neighbouring slopes.
        rate: of Adam at first; it falls to 0 in a line.
        epochs: passes over the pairs.
        batch: pairs per update; what is left over at the end of a pass is left out. All where there are fewer.
        seed: of the order of the pairs.
    """

    knots: int = attrs.field(default=101, validator=at_least(2))
    shrinkage: float = attrs.field(default=0.1, validator=at_least(0))
    smoothness: float = attrs.field(default=1.0, validator=at_least(0))
    rate: float = attrs.field(default=1e-2, validator=above(0))
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
    numbers, batch = torch.Generator().manual_seed(key_seed(how.seed, "direction")), min(how.batch, len(steps))
    v = _linear(steps, how.shrinkage)
    length = float(torch.linalg.vector_norm(v))
    low, high = _spread(torch.cat([steps.start, steps.end]) @ v)
    slopes = v.new_ones(how.knots).requires_grad_()
    model = DirectionModel(v=v.requires_grad_(), lattice=Lattice(slopes=slopes, low=low, high=high))
    adam, count, last = Adam(eps=1e-7), 0, how.epochs * (len(steps) // batch)
    slots = [{name: [torch.zeros_like(weight)] for name in adam.slots} for weight in (v, slopes)]
    for _ in range(how.epochs):
        order = torch.randperm(len(steps), generator=numbers).to(v.device)
        for chosen in order[: len(order) // batch * batch].view(-1, batch):
            with torch.enable_grad():
                loss = model.penalised(steps.only(chosen), how.shrinkage, how.smoothness)
            of_v, of_slopes = torch.autograd.grad(loss, [v, slopes])
            rate, count = how.rate * (1 - count / last), count + 1
            with torch.no_grad():
                adam.update([v], [of_v], slots[0], count, rate * length)
                adam.update([slopes], [of_slopes], slots[1], count, rate)
                slopes.clamp_(min=0)
    return _finished(model, steps)


def _linear(steps: Steps, shrinkage: float) -> Tensor:
    """The optimum of v where g is the identity: ridge regression of changes on differences of codes, [dim]."""
    moved, change = (steps.end - steps.start).double(), steps.change.double()
    spread = moved.T @ moved / len(moved)
    # With a smaller penalty, along what pairs hardly move noise would count the most.
    ridge = max(shrinkage, _LEAST * float(spread.diagonal().sum()))
    v = torch.linalg.solve(spread + ridge * torch.eye(len(spread)).to(spread), moved.T @ change / len(moved))
    v = v.to(steps.start)
    return _usable(v)


def _spread(places: Tensor) -> tuple[float, float]:
    low, high = float(places.min()), float(places.max())
    beyond = _BEYOND * (high - low)
    return low - beyond, high + beyond


def _finished(model: DirectionModel, steps: Steps) -> DirectionModel:
    """Without gradients, and with g as steep as fits the changes best, which both penalties make flatter."""
    v, slopes = _usable(model.v.detach()), model.lattice.slopes.detach()
    found = DirectionModel(v=v, lattice=attrs.evolve(model.lattice, slopes=slopes))
    changes = found.change(steps.start, steps.end)
    factor = (changes @ steps.change) / changes.square().sum()
    if not (slopes.isfinite().all() and factor.isfinite() and factor > 0):
        raise NotFiniteError(_NONE)
    return DirectionModel(v=v, lattice=attrs.evolve(found.lattice, slopes=factor * slopes))


def _usable(v: Tensor) -> Tensor:
    if not (v.isfinite().all() and v.any()):
        raise NotFiniteError(_NONE)
    return v


_NONE = "direction: the fit found none (it is 0, or not finite); expected finite codes, and amounts other than 0"
_LEAST = 0.05
"""Of the penalty, over the mean squared length of the differences."""
_BEYOND = 0.1
"""Of the knots, over the spread of the codes."""
