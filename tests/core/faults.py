"""Components with one fault each, by the property of ``latentkit.testing`` that has to find it."""

from __future__ import annotations

import random
import re
import threading
from collections import abc
from pathlib import Path
from typing import Any, ClassVar

import attrs
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from latentkit.components.posteriors import Posterior
from latentkit.errors import DataError, RunError
from latentkit.functions import loss, stateless
from latentkit.hooks import hookimpl
from latentkit.interfaces import (
    Conversion,
    Converter,
    DataSource,
    Discriminator,
    Encoder,
    Figure,
    Function,
    Generator,
    Mapping,
    Metric,
    Observer,
    Prior,
    Rows,
    Table,
)
from latentkit.optimizers import Optimizer, Slots
from latentkit.recipe.quantities import Constant, Quantity, number
from latentkit.shaping import Constraint, Initializer
from latentkit.spaces import Space
from latentkit.testing import Example

FAULTS: dict[str, tuple[object, str]] = {}
"""Bare names to components and properties."""
Fields = dict[str, np.ndarray | Rows]
Rate = float | Tensor
ONE = Constant(1.0)
LATENT = "z: latent[dim] -> w: latent[dim]"


def fault(finder: str) -> abc.Callable[[Any], Any]:
    """Registers a component under the property that must find its fault, and no other may."""

    def note(component: Any) -> Any:
        FAULTS[re.sub(r"(?<=[a-z])(?=[A-Z])|_", "-", component.__name__).lower()] = component, finder
        return component

    return note


class Line(nn.Module):
    """A linear layer."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.layer = nn.Linear(dim, dim)

    def forward(self, z: Tensor) -> Tensor:
        return self.layer(z)


def mapping(**declared: object) -> abc.Callable[[type[nn.Module]], Any]:
    """Makes a mapping of a module that takes its size; ``declared`` are further attributes of the part."""

    def make(module: type[nn.Module]) -> Any:
        body = {
            "ports": LATENT, "independent": True, **declared, "build": lambda self: module(self.dim),
            "__module__": module.__module__, "__doc__": module.__doc__,
        }  # fmt: skip
        size = attrs.field(default=None, type=int | None)
        options = {"frozen": True, "kw_only": True, "class_body": body}
        return attrs.make_class(module.__name__, {"dim": size}, bases=(Mapping,), **options)  # type: ignore[arg-type]

    return make


@fault("builds")
@mapping()
class Unbuildable(nn.Module):
    def __init__(self, dim: int) -> None:
        raise TypeError("no such layer")


@fault("builds")
@attrs.frozen(kw_only=True)
class PowersOfTwo(Encoder):
    """Takes some sizes, and stumbles over others instead of refusing them."""

    ports: ClassVar[str] = "x: image[channels, height, width] -> w: latent[dim]"
    independent: ClassVar[bool] = True
    channels: int | None = None
    height: int | None = None
    width: int | None = None
    dim: int | None = None

    def build(self) -> nn.Module:
        assert self.height is not None
        levels = {8: 1, 16: 2, 32: 3, 64: 4}[self.height]
        return nn.Sequential(
            nn.Flatten(), nn.Linear(self.channels * self.height * self.width, self.dim * levels // levels)
        )


@fault("agrees with its ports")
@attrs.frozen(kw_only=True)
class OnlySquares(Encoder):
    """Takes images to be square, and stumbles over others instead of refusing them."""

    ports: ClassVar[str] = "x: image[channels, height, width] -> w: latent[dim]"
    independent: ClassVar[bool] = True
    channels: int | None = None
    height: int | None = None
    width: int | None = None
    dim: int | None = None

    def build(self) -> nn.Module:
        assert self.height is not None
        return nn.Sequential(nn.Flatten(), nn.Linear(self.channels * self.height**2, self.dim))


@fault("builds")
@mapping(ports="z: latent[dim], w: latent[dim]")
class NoArrow(Line):
    """Ports that cannot be read."""


@fault("agrees with its ports")
@mapping()
class Wide(Line):
    def forward(self, z: Tensor) -> Tensor:
        return F.pad(self.layer(z), (0, 1))


@fault("agrees with its ports")
@mapping(ports="z: latent[dim] -> q: posterior[dim]")
class Nameless(Line):
    """A posterior without its fields."""

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        return Posterior(self.layer(z), z)[:]


class Bounded(nn.Module):
    def __init__(self, dim: int, *image: int) -> None:
        super().__init__()
        self.layer, self.image = nn.Linear(dim, int(np.prod(image))), image

    def forward(self, w: Tensor) -> Tensor:
        return 3 * self.layer(w).tanh().reshape(-1, *self.image)


@fault("agrees with its ports")
@attrs.frozen(kw_only=True)
class Loud(Generator):
    """Images beyond the range that it declares."""

    ports: ClassVar[str] = "w: latent[dim] -> x: image[channels, height, width] in range"
    independent: ClassVar[bool] = True
    dim: int | None = None
    channels: int | None = None
    height: int | None = None
    width: int | None = None

    def sizes(self) -> dict[str, object]:
        return Generator.sizes(self) | {"range": (-1.0, 1.0)}

    def build(self) -> nn.Module:
        return Bounded(self.dim, self.channels, self.height, self.width)


@fault("agrees with its ports")
@mapping(entries={"inverse": "w: latent[dim] -> z: latent[dim]"})
class HalfInverse(Line):
    """An entry that is not what it declares."""

    def inverse(self, w: Tensor) -> Tensor:
        return self.layer(w)[:, :1]


class Centred(Line):
    def forward(self, z: Tensor) -> Tensor:
        w = self.layer(z)
        return w - w.mean(0)


@fault("keeps samples apart")
@mapping()
class Coupled(Centred):
    pass


@fault("keeps samples apart")
@attrs.frozen(kw_only=True)
class CoupledByChoice(Mapping):
    """Declares by an option what then does not hold."""

    ports: ClassVar[str] = LATENT
    dim: int | None = None
    mean: bool = True

    @property
    def independent(self) -> bool:  # type: ignore[override]
        return not self.mean

    def build(self) -> nn.Module:
        return Centred(self.dim)


@fault("draws as declared")
@mapping()
class Undeclared(Line):
    def forward(self, z: Tensor) -> Tensor:
        return self.layer(z) + 0.1 * torch.randn_like(z)


@fault("draws as declared")
@mapping(stochastic=True)
class Elsewhere(Line):
    """Declares its numbers, and draws them where nobody saves the state."""

    def forward(self, z: Tensor) -> Tensor:
        return self.layer(z) + 0.1 * random.random()


@fault("finite values")
@stateless("discriminator", "z: latent[n] -> score")
def logarithm(z: Tensor) -> Tensor:
    return z.sum(1).log()


@fault("finite values")
@mapping()
class Logarithms(Line):
    def forward(self, z: Tensor) -> Tensor:
        return self.layer(z).log()


@fault("finite values")
@loss("of: T, to: T -> score")
def ratio(of: Tensor, to: Tensor) -> Tensor:
    """Divides by 0 where both are the same."""
    error = (of - to).square().reshape(len(of), -1)
    return (error / error.sum(1, keepdim=True)).sum(1)


@fault("finite gradients")
@loss("of: T, to: T -> score")
def length(of: Tensor, to: Tensor) -> Tensor:
    """The gradient of a root at 0, where both are the same."""
    return (of - to).square().reshape(len(of), -1).sum(1).sqrt()


@fault("finite gradients")
@mapping()
class Severed(Line):
    def forward(self, z: Tensor) -> Tensor:
        return self.layer(z.detach()).detach()


@fault("exact gradients")
@loss("of: T, to: T -> score")
def stopped(of: Tensor, to: Tensor) -> Tensor:
    """Half of its gradient is missing."""
    return (of - to.detach()).square().reshape(len(of), -1).mean(1)


@fault("float64")
@mapping()
class SinglePrecision(Line):
    def forward(self, z: Tensor) -> Tensor:
        one = torch.eye(z.shape[1], device=z.device)  # float32, whatever z is
        return self.layer(z) @ one


@fault("bfloat16")
@mapping()
class NoAutocast(Line):
    """An operation that autocast hands two types."""

    def forward(self, z: Tensor) -> Tensor:
        every = torch.arange(len(z), device=z.device)
        return torch.zeros_like(self.layer.bias).expand(len(z), -1).clone().index_add(0, every, self.layer(z))


@fault("meta device")
@mapping()
class LooksAtValues(Line):
    def forward(self, z: Tensor) -> Tensor:
        return self.layer(z) if bool(z.isfinite().all()) else z


@fault("same seed, same weights")
@mapping()
class FromNumpy(Line):
    def __init__(self, dim: int) -> None:
        super().__init__(dim)
        with torch.no_grad():
            self.layer.weight.mul_(float(np.random.rand()))


@fault("same seed, same weights")
@mapping()
class SeedsGlobally(Line):
    def __init__(self, dim: int) -> None:
        torch.manual_seed(3)
        super().__init__(dim)


@fault("saves and loads")
@mapping()
class Forgetful(Line):
    def __init__(self, dim: int) -> None:
        super().__init__(dim)
        self.register_buffer("scale", torch.rand(dim), persistent=False)

    def forward(self, z: Tensor) -> Tensor:
        return self.layer(z) * self.scale


@fault("saves and loads")
@mapping()
class TiedWeights(nn.Module):
    """One tensor under two names, which safetensors does not write."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.one, self.other = nn.Linear(dim, dim), nn.Linear(dim, dim)
        self.other.weight = self.one.weight

    def forward(self, z: Tensor) -> Tensor:
        return self.other(self.one(z))


@fault("every choice works")
@stateless("mapping", "z: latent[n] -> w: latent[n]")
def halved(z: Tensor, short: bool = False) -> Tensor:
    return z[:, 1:] if short else 0.5 * z


@fault("refuses wrong options")
@attrs.frozen(kw_only=True)
class Anything(Mapping):
    """Takes whatever it is given."""

    ports: ClassVar[str] = LATENT
    independent: ClassVar[bool] = True
    dim: int | None = None
    slope: Any = 0.2

    def build(self) -> nn.Module:
        return Line(self.dim)


class Deep(nn.Module):
    def __init__(self, dim: int, layers: int) -> None:
        super().__init__()
        self.first, *rest = [nn.Linear(dim, dim) for _ in range(layers)]
        self.rest = nn.Sequential(*rest)

    def forward(self, z: Tensor) -> Tensor:
        return self.rest(self.first(z))


@fault("refuses values out of range")
@attrs.frozen(kw_only=True)
class AnyDepth(Mapping):
    ports: ClassVar[str] = LATENT
    independent: ClassVar[bool] = True
    dim: int | None = None
    layers: int = 2

    def build(self) -> nn.Module:
        return Deep(self.dim, self.layers)


@fault("refuses values out of range")
@stateless("discriminator", "z: latent[n] -> score")
def scaled(z: Tensor, by: float = 2.0) -> Tensor:
    return z.mean(1) / torch.tensor(by)


@fault("draws as asked")
@attrs.frozen(kw_only=True)
class Flat(Prior):
    """Forgets the batch."""

    def draw(self, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
        return torch.randn(shape[1:], generator=generator)


@fault("same seed, same draws")
@attrs.frozen(kw_only=True)
class Global(Prior):
    """Leaves the generator that it is given."""

    def draw(self, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
        return torch.randn(shape)


@fault("density of its draws")
@attrs.frozen(kw_only=True)
class WithoutConstant(Prior):
    def draw(self, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
        return torch.randn(shape, generator=generator)

    def log_prob(self, value: Tensor) -> Tensor:
        return -0.5 * value.square().reshape(len(value), -1).sum(1)


@fault("density of its draws")
@attrs.frozen(kw_only=True)
class OtherDensity(Prior):
    """A density, but not that of its draws."""

    def draw(self, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
        return torch.randn(shape, generator=generator)

    def log_prob(self, value: Tensor) -> Tensor:
        return (-0.5 * value.abs() - np.log(4)).reshape(len(value), -1).sum(1)


@fault("density of its draws")
@attrs.frozen(kw_only=True)
class WrongShares(Prior):
    """Of three classes, drawn in equal shares."""

    def space(self) -> Space:
        return Space("index")

    def draw(self, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
        return torch.randint(3, shape, generator=generator)

    def log_prob(self, value: Tensor) -> Tensor:
        return torch.tensor([0.5, 0.25, 0.25])[value].log()


@fault("refuses wrong options")
@attrs.frozen(kw_only=True)
class AnyScale(Prior):
    scale: Any = 1.0

    def draw(self, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
        return torch.randn(shape, generator=generator)


@fault("refuses values out of range")
@attrs.frozen(kw_only=True)
class AnyRate(Prior):
    rate: Quantity = ONE

    def draw(self, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
        return torch.rand(shape, generator=generator).neg().log1p() / -torch.tensor(number(self.rate)).log1p()


def black(count: int, channels: int, height: int, width: int) -> np.ndarray:
    return np.zeros((count, channels, height, width), np.uint8)


def source(*offers: str, **declared: object) -> abc.Callable[[abc.Callable[[int, int, int], Fields]], Any]:
    """Makes a data source of a function from height, width and channels to fields."""

    def make(function: abc.Callable[[int, int, int], Fields]) -> Any:
        body = {
            "offers": lambda self: ("image", *offers), **declared, "__module__": function.__module__,
            "open": lambda self, height, width, channels: Table(function(height, width, channels)),
        }  # fmt: skip
        options = {"frozen": True, "kw_only": True, "class_body": body}
        return attrs.make_class(function.__name__, {}, bases=(DataSource,), **options)  # type: ignore[arg-type]

    return make


@fault("opens as offered")
@source("label")
def unlabelled(height: int, width: int, channels: int) -> Fields:
    return {"image": black(4, channels, height, width)}


@fault("opens as offered")
@source("label")
def unequal(height: int, width: int, channels: int) -> Fields:
    return {"image": black(4, channels, height, width), "label": np.arange(3)}


@fault("opens as offered")
@source("label", classes=lambda self: 2)
def too_many_classes(height: int, width: int, channels: int) -> Fields:
    return {"image": black(4, channels, height, width), "label": np.arange(4)}


@fault("opens as offered")
@source("factors", columns=lambda self, field: ("x", "y") if field == "factors" else ())
def too_few_names(height: int, width: int, channels: int) -> Fields:
    return {"image": black(4, channels, height, width), "factors": np.zeros((4, 3), np.float32)}


@fault("opens as offered")
@source("label", columns=lambda self, field: ("one", "one") if field == "label" else ())
def names_twice(height: int, width: int, channels: int) -> Fields:
    return {"image": black(4, channels, height, width), "label": np.arange(4) % 2}


@fault("opens as offered")
@source()
def own_size(height: int, width: int, channels: int) -> Fields:
    return {"image": black(4, channels, 10, 10)}


@fault("opens as offered")
@source()
def always_square(height: int, width: int, channels: int) -> Fields:
    return {"image": black(4, channels, height, height)}


@fault("opens as offered")
@source()
def real_numbers(height: int, width: int, channels: int) -> Fields:
    return {"image": black(4, channels, height, width) / 255}


@attrs.frozen(eq=False)
class Tiles(Rows):
    """Images of their own index; ``shuffled`` gives them in any order, ``held`` cannot be sent to another process."""

    shape: tuple[int, int, int, int]
    shuffled: bool = False
    held: object = None

    def rows(self, indices: np.ndarray) -> np.ndarray:
        order = np.sort(indices) if self.shuffled else indices
        return np.zeros((len(order), *self.shape[1:]), np.uint8) + order.astype(np.uint8)[:, None, None, None]


@fault("opens as offered")
@source()
def in_another_order(height: int, width: int, channels: int) -> Fields:
    return {"image": Tiles((4, channels, height, width), shuffled=True)}


@fault("opens as offered")
@source()
def with_a_lock(height: int, width: int, channels: int) -> Fields:
    return {"image": Tiles((4, channels, height, width), held=threading.Lock())}


@fault("opens as offered")
@attrs.frozen(kw_only=True)
class FallingShards(DataSource):
    def open(self, height: int, width: int, channels: int) -> Table:
        return Table({"image": Tiles((4, channels, height, width))}, np.array([0, 3, 2]))


@fault("same data twice")
@source()
def unseeded(height: int, width: int, channels: int) -> Fields:
    return {"image": np.random.randint(0, 256, (4, channels, height, width)).astype(np.uint8)}


@fault("tells of missing files")
@attrs.frozen(kw_only=True)
class Unguarded(DataSource):
    path: str

    def open(self, height: int, width: int, channels: int) -> Table:
        return Table({"image": np.load(self.path)})


@fault("refuses wrong options")
@attrs.frozen(kw_only=True)
class AnyCount(DataSource):
    count: Any = 4

    def open(self, height: int, width: int, channels: int) -> Table:
        return Table({"image": black(4, channels, height, width)})


@fault("refuses values out of range")
@attrs.frozen(kw_only=True)
class NegativeCount(DataSource):
    count: int = 4

    def open(self, height: int, width: int, channels: int) -> Table:
        return Table({"image": black(self.count, channels, height, width)})


def descend(parameters: list[Tensor], gradients: list[Tensor], rate: Rate) -> None:
    torch._foreach_add_(parameters, torch._foreach_mul(gradients, -rate))


def optimizer(function: abc.Callable[[list[Tensor], list[Tensor], Rate], None]) -> Any:
    """Makes an optimizer without state of a function."""
    body = {
        "update": lambda self, parameters, gradients, slots, step, rate: function(parameters, gradients, rate),
        "__module__": function.__module__,
    }  # fmt: skip
    options = {"frozen": True, "kw_only": True, "class_body": body}
    return attrs.make_class(function.__name__, {}, bases=(Optimizer,), **options)  # type: ignore[arg-type]


@fault("follows gradients")
@optimizer
def ascent(parameters: list[Tensor], gradients: list[Tensor], rate: Rate) -> None:
    descend(parameters, [-0.01 * gradient for gradient in gradients], rate)


@fault("rates as numbers and tensors")
@optimizer
def rate_of_one(parameters: list[Tensor], gradients: list[Tensor], rate: Rate) -> None:
    """Takes a tensor for no rate at all."""
    descend(parameters, gradients, rate if isinstance(rate, float) else 1.0)


@fault("float64")
@optimizer
def signs(parameters: list[Tensor], gradients: list[Tensor], rate: Rate) -> None:
    descend(parameters, [value if value.dtype == torch.float32 else value.sign() for value in gradients], rate)


@fault("keeps its state in its slots")
@attrs.frozen(kw_only=True, eq=False)
class Remembers(Optimizer):
    memory: dict[int, list[Tensor]] = attrs.field(factory=dict, init=False)

    def update(
        self, parameters: list[Tensor], gradients: list[Tensor], slots: Slots, step: int, rate: Rate
    ) -> None:  # fmt: skip
        known = self.memory.setdefault(parameters[0].data_ptr(), [torch.zeros_like(p) for p in parameters])
        torch._foreach_mul_(known, 0.5)
        torch._foreach_add_(known, gradients)
        descend(parameters, known, rate)


@fault("refuses values out of range")
@attrs.frozen(kw_only=True)
class AnyEps(Optimizer):
    eps: float = 1e-8

    def update(
        self, parameters: list[Tensor], gradients: list[Tensor], slots: Slots, step: int, rate: Rate
    ) -> None:  # fmt: skip
        descend(parameters, [gradient / (gradient.abs() + self.eps) for gradient in gradients], rate)


@fault("sets finite weights")
@attrs.frozen(kw_only=True)
class Endless(Initializer):
    def initialize(self, module: nn.Module) -> None:
        for parameter in module.parameters():
            nn.init.constant_(parameter, float("inf"))


@fault("same seed, same weights")
@attrs.frozen(kw_only=True)
class NumpyInitializer(Initializer):
    def initialize(self, module: nn.Module) -> None:
        for parameter in module.parameters():
            nn.init.constant_(parameter, float(np.random.rand()))


@fault("refuses values out of range")
@attrs.frozen(kw_only=True)
class AnySpread(Initializer):
    spread: float = 1.0

    def initialize(self, module: nn.Module) -> None:
        for parameter in module.parameters():
            nn.init.uniform_(parameter, 0.0, self.spread)


@fault("projects")
@attrs.frozen(kw_only=True)
class Shrinks(Constraint):
    """Further with every call."""

    def apply(self, module: nn.Module) -> None:
        with torch.no_grad():
            for parameter in module.parameters():
                parameter.mul_(0.5)


@fault("refuses values out of range")
@attrs.frozen(kw_only=True)
class AnyLimit(Constraint):
    limit: float = 1.0

    def apply(self, module: nn.Module) -> None:
        with torch.no_grad():
            for parameter in module.parameters():
                parameter.copy_(parameter / max(float(parameter.abs().max()) / self.limit, 1.0))


@fault("answers whether it applies")
@attrs.frozen(kw_only=True)
class Presumes(Metric):
    """Data, without asking whether there are any."""

    def applies(self, model: Any, samples: Any) -> str:
        return "" if len(samples.training) and "encode" in model.roles else "no encoder"

    def measure(self, model: Any, samples: Any, *, n: int, seed: int) -> list[Figure]:
        return [Figure(name="one", value=1.0)]


@fault("measures finite figures")
@attrs.frozen(kw_only=True)
class Fickle(Metric):
    def applies(self, model: Any, samples: Any) -> str:
        return ""

    def measure(self, model: Any, samples: Any, *, n: int, seed: int) -> list[Figure]:
        return [Figure(name="time", value=next(TICKS))]


TICKS = iter(range(1000))


@fault("watches a run")
class Clumsy(Observer):
    @hookimpl
    def latentkit_step_done(self, event: Any) -> None:
        raise KeyError(event.step)


@attrs.frozen(kw_only=True)
class Credulous(Converter):
    """Takes anything for its own."""

    def convert(self, content: abc.Mapping[str, object], metadata: abc.Mapping[str, str]) -> Conversion:
        return Conversion(recipe="sound", weights={})


@attrs.frozen(kw_only=True)
class Careful(Converter):
    def convert(self, content: abc.Mapping[str, object], metadata: abc.Mapping[str, str]) -> Conversion:
        raise RunError(f"expected the layout of a test, found {', '.join(content) or 'nothing'}")


@attrs.frozen(kw_only=True)
class NeedsHelp(DataSource):
    """Cannot be opened without a file; its example makes one."""

    path: str

    def open(self, height: int, width: int, channels: int) -> Table:
        if not Path(self.path).is_file():
            raise DataError(f"'{self.path}': there is no such file")
        return Table({"image": black(4, channels, height, width)})


@attrs.frozen(kw_only=True)
class OnlyOneSize(Discriminator):
    """Refuses in words all sizes but one, which its example has."""

    ports: ClassVar[str] = "x: image[channels, height, width] -> score"
    independent: ClassVar[bool] = True
    channels: int | None = None
    height: int | None = None
    width: int | None = None

    def build(self) -> nn.Module:
        if (self.channels, self.height, self.width) != (2, 5, 7):
            raise DataError(f"expected 2 x 5 x 7, found {self.channels} x {self.height} x {self.width}")
        return nn.Sequential(nn.Flatten(), nn.Linear(70, 1), nn.Flatten(0))


@stateless("function", "z: latent[n], average: A -> latent[n]", independent=False)
def towards(z: Tensor, average: Tensor) -> Tensor:
    """Wants one vector for all samples, which its ports do not tell."""
    return torch.lerp(z, average[: z.shape[1]].expand_as(z), 0.5)


@attrs.frozen(kw_only=True)
class Drifting(Function):
    """Its weights move by themselves after some calls, whoever is trained."""

    ports: ClassVar[str] = "x: T -> y: T"
    independent: ClassVar[bool] = True

    def build(self) -> nn.Module:
        return Drift()


class Drift(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))
        self.register_buffer("calls", torch.zeros((), dtype=torch.int64))

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        if not x.is_meta and int(self.calls) > 4:
            with torch.no_grad():
                self.scale.mul_(0.99)
        return self.scale * x


@attrs.frozen(kw_only=True)
class Jitter(Function):
    """Random numbers of which no checkpoint has the state, and which torch's generator does not show."""

    ports: ClassVar[str] = "x: T -> y: T"

    def build(self) -> nn.Module:
        return Shaken()


class Shaken(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * (1 + 0.01 * random.random())


class Silent:
    """What cannot be told in words."""

    def __str__(self) -> str:
        raise ValueError("no words")


@attrs.frozen(kw_only=True)
class Unspeakable(Function):
    ports: ClassVar[str] = "x: T -> y: T"
    secret: Any = attrs.field(factory=Silent)

    def build(self) -> nn.Module:
        return nn.Identity()


@stateless("function", "w: latent[dim] -> latent[dim]")
def undefined(w: Tensor) -> Tensor:
    """No number."""
    return (w - w) / (w - w)


class Late(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros((), dtype=torch.int64))

    def forward(self, x: Tensor) -> Tensor:
        self.calls += self.training
        if not x.is_meta and int(self.calls) > 4:
            raise RuntimeError("worn out")
        return x


@attrs.frozen(kw_only=True)
class WearsOut(Function):
    """Fails in the fifth call."""

    ports: ClassVar[str] = "x: T -> y: T"

    def build(self) -> nn.Module:
        return Late()


class Plugin:
    """What the registry is given: components with a fault, some that need examples, and recipes in a folder."""

    title = "Faults"

    def __init__(self, recipes: abc.Mapping[str, Path]) -> None:
        self.recipes = recipes

    @hookimpl
    def latentkit_components(self) -> abc.Mapping[str, object]:
        more = {
            "needs-help": NeedsHelp, "only-one-size": OnlyOneSize, "towards": towards, "drifting": Drifting,
            "jitter": Jitter, "unspeakable": Unspeakable, "undefined": undefined, "wears-out": WearsOut,
        }  # fmt: skip
        return {**{name: component for name, (component, _) in FAULTS.items()}, **more}

    @hookimpl
    def latentkit_converters(self) -> abc.Mapping[str, object]:
        return {"credulous": Credulous, "careful": Careful}

    @hookimpl
    def latentkit_recipes(self) -> abc.Mapping[str, Path]:
        return self.recipes

    @hookimpl
    def latentkit_examples(self, folder: Path) -> abc.Mapping[str, Example]:
        (folder / "file").write_text("anything")
        return {
            "needs-help": Example(options={"path": str(folder / "file")}),
            "only-one-size": Example(options={"channels": 2, "height": 5, "width": 7}),
            "towards": Example(inputs={"average": lambda batch: torch.ones(17)}),
            "of-files": Example(options={"data.path": str(folder / "file")}),
        }


class Unhelpful(Plugin):
    """The same without examples."""

    latentkit_examples = None  # type: ignore[assignment]
