"""What a recipe says, as frozen values. Expressions are still text here; names are not yet resolved."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import attrs

from latentkit.recipe.quantities import Constant, Quantity, Timed

if TYPE_CHECKING:
    from latentkit.interfaces import DataSource

Options = dict[str, object]
ONE = Constant(1)
DEFAULT_RATE = Constant(1e-3)
Per = Literal["step", "phase"]


@attrs.frozen(kw_only=True)
class UseSpec:
    """A component by name with its options."""

    use: str
    options: Options = attrs.field(factory=dict)


@attrs.frozen(kw_only=True)
class DataSpec(UseSpec):
    """One data source; ``gives`` maps value names to fields of the source."""

    resolution: int | tuple[int, int] | None = None
    """The side of square images, or height and width."""
    channels: int | None = None
    range: tuple[float, float] = (-1.0, 1.0)
    split: object = 1.0
    flip: bool = False
    gives: dict[str, str] = attrs.field(factory=lambda: {"x": "image"})
    per: Per = "step"

    def image_size(self, source: DataSource) -> tuple[int, int, int]:
        """Channels, height and width of the images; the source's own where the recipe states none."""
        asked = self.resolution or source.native_size
        height, width = (asked, asked) if isinstance(asked, int) else asked
        return self.channels or source.native_channels, height, width


@attrs.frozen(kw_only=True)
class DrawSpec(UseSpec):
    """A random value."""

    per: Per = "phase"
    shape: tuple[int, ...] | None = None
    like: str | None = None
    row: bool = False


@attrs.frozen(kw_only=True)
class PartSpec(UseSpec):
    """A part of the system."""

    frozen: bool = False
    spectral_norm: bool = False
    init: UseSpec | None = None
    constraint: UseSpec | None = None


@attrs.frozen(kw_only=True)
class StateSpec:
    """A value carried from step to step."""

    start: float | tuple[int, ...] = 0.0
    next: str
    after: tuple[str, ...] | None = None
    every: int = 1


@attrs.frozen(kw_only=True)
class TermSpec:
    """One term of a phase's loss. Without ``use``, ``of`` itself is the loss."""

    use: str | None = None
    options: Options = attrs.field(factory=dict)
    """Ports (as expressions) and fixed options of the loss."""
    wrt: str | None = None
    weight: Quantity = ONE
    every: int = 1


@attrs.frozen(kw_only=True)
class OptimizerSpec(UseSpec):
    """An optimizer: options by default and, under a part's name, for that part."""

    use: str = "adam"
    lr: Quantity = DEFAULT_RATE
    parts: dict[str, Quantity] = attrs.field(factory=dict)
    """Learning rates of single parts."""


@attrs.frozen(kw_only=True)
class PhaseSpec:
    """What one player minimises, and the parts that it trains."""

    train: tuple[str, ...]
    loss: dict[str, TermSpec]
    repeat: Timed = ONE
    every: int = 1
    keep: tuple[str, ...] = ()
    optimizer: OptimizerSpec | None = None


@attrs.frozen(kw_only=True)
class AverageSpec:
    """Running averages of weights, updated after every step: ``a <- decay a + (1 - decay) p``."""

    parts: tuple[str, ...]
    decay: float | None = None
    half_life: float | None = None
    """In images."""
    buffers: Literal["average", "copy", "keep"] = "copy"
    start: Literal["copy", "fresh"] = "copy"

    def decay_at(self, batch: int) -> float:
        """The decay per step of ``batch`` images."""
        if self.half_life is not None:
            return float(0.5 ** (batch / self.half_life))
        return 0.999 if self.decay is None else self.decay


@attrs.frozen(kw_only=True)
class TrainSpec:
    """How long, how much at a time, and how often something is written."""

    steps: int = 1000
    batch: int = 64
    seed: int = 0
    checkpoint_every: int = 500
    keep_checkpoints: int = 2
    sample_every: int = 0
    """0: pictures only at the end."""
    log_every: int = 50


@attrs.frozen(kw_only=True)
class Recipe:
    """The whole recipe."""

    name: str
    title: str = ""
    paper: str = ""
    together: bool = False
    order: tuple[str, ...] = ()
    data: dict[str, DataSpec] = attrs.field(factory=dict)
    draw: dict[str, DrawSpec] = attrs.field(factory=dict)
    scalars: dict[str, Timed] = attrs.field(factory=dict)
    parts: dict[str, PartSpec] = attrs.field(factory=dict)
    flow: dict[str, str] = attrs.field(factory=dict)
    state: dict[str, StateSpec] = attrs.field(factory=dict)
    phase: dict[str, PhaseSpec] = attrs.field(factory=dict)
    optimizer: OptimizerSpec = OptimizerSpec()
    average: dict[str, AverageSpec] = attrs.field(factory=dict)
    train: TrainSpec = TrainSpec()
    inference: dict[str, str] = attrs.field(factory=dict)
    monitor: dict[str, str] = attrs.field(factory=dict)

    @property
    def phases(self) -> dict[str, PhaseSpec]:
        """The phases in the order in which a step runs them."""
        return {name: self.phase[name] for name in self.order} if self.order else self.phase
