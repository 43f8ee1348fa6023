"""Parts without parameters, written as one function: losses, regularizers, score heads, vector operators.

A ``Tensor`` parameter is a port, a ``Scalar`` parameter accepts a number, schedule or expression, and every other
parameter is a fixed option::

    @loss("of: T, to: T -> score")
    def huber(of: Tensor, to: Tensor, delta: float = 1.0) -> Tensor:
        \"\"\"Huber loss, averaged over features (Huber 1964).\"\"\"
        return reduce(F.huber_loss(of, to, reduction="none", delta=delta), "b ... -> b", "mean")

A loss that returns ``score`` is one number per sample, one that returns ``scalar`` is one number for the batch.
"""

from __future__ import annotations

import inspect
from collections import abc
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar

import attrs

from latentkit.interfaces import Discriminator, Encoder, Function, Generator, Loss, Mapping, Part, Regularizer
from latentkit.interfaces.parts import Likelihood, Reduction, Role, Unit
from latentkit.ports import parse_ports

if TYPE_CHECKING:
    from torch import Tensor, nn

    Scalar = float | Tensor
else:
    Scalar = "Scalar"

P = ParamSpec("P")
R = TypeVar("R")
_INTERFACES: dict[str, type[Part]] = {
    cls.kind: cls for cls in (Mapping, Generator, Encoder, Discriminator, Function, Loss, Regularizer)
}
_OPTION_TYPES = {"int": int, "float": float, "bool": bool, "str": str}


class Stateless(Generic[P, R]):
    """A function that is also a part. Call it as the function it is; the registry uses ``part_type``."""

    def __init__(self, function: abc.Callable[P, R], kind: str, ports: str, independent: bool) -> None:
        self.function = function
        self.part_type = _part_type(function, kind, ports, independent)
        self.__doc__ = function.__doc__
        self.__name__ = function.__name__
        self.__module__ = function.__module__

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the function."""
        return self.function(*args, **kwargs)


def stateless(
    kind: str, ports: str, *, independent: bool = True
) -> abc.Callable[[abc.Callable[P, R]], Stateless[P, R]]:
    """Make a function a part of ``kind`` (``mapping``, ``discriminator``, ``function``, ...).

    Args:
        kind: the interface it implements.
        ports: see :func:`latentkit.spaces.parse_ports`; input names are those of the function's ``Tensor`` parameters.
        independent: each sample's result depends on that sample alone.

    Raises:
        TypeError: the ports do not name the function's parameters, or an option's type is not supported.
    """
    return lambda function: Stateless(function, kind, ports, independent)


def loss(
    ports: str, *, independent: bool | None = None, likelihood: Likelihood | None = None, role: Role | None = None,
    unit: Unit | abc.Callable[[Any], Unit] = "", reduction: Reduction | abc.Callable[[Any], Reduction] = "",
    pushes: abc.Mapping[str, str] | None = None,
) -> abc.Callable[[abc.Callable[P, R]], Stateless[P, R]]:  # fmt: skip
    """Make a function a loss: ``-> score`` is one number per sample, ``-> scalar`` couples the batch.

    What is declared from ``likelihood`` on is for those who read a recipe, and changes nothing that is computed;
    :mod:`latentkit.interfaces.parts` has the words.

    Args:
        ports: see :func:`stateless`.
        independent: each sample's result depends on that sample alone; by default unless it returns ``scalar``.
        likelihood: what it says of the probability of its port ``to``, where it is a likelihood; the metric ``nll``
            reads it.
        role: what it compares, values or distributions. A likelihood is a ``distance``.
        unit: of what it returns, or a function of the part, where it depends on options.
        reduction: sum or mean over the features of a sample, or a function of the part.
        pushes: of an adversarial loss, where minimising it moves the scores at its ports: ``up``, ``down``, or the
            name of the option that has their target.

    Raises:
        TypeError: as :func:`stateless`; or a likelihood without a port ``to``, or pushes that name no port.
    """

    def make(function: abc.Callable[P, R]) -> Stateless[P, R]:
        alone = "scalar" not in ports if independent is None else independent
        made = Stateless(function, "loss", ports, alone)
        names = {port.name for port in parse_ports(ports, {}).inputs}
        if likelihood and "to" not in names:
            raise TypeError(f"{function.__qualname__}: a likelihood has a port 'to', whose probability it tells")
        unknown = sorted(set(pushes or ()) - names)
        if unknown:
            raise TypeError(f"{function.__qualname__}: 'pushes' names '{unknown[0]}', which is no port of {ports!r}")
        cls: Any = made.part_type
        targets = {field.name for field in attrs.fields(cls)}
        unknown = sorted(set((pushes or {}).values()) - {"up", "down"} - targets)
        if unknown:
            raise TypeError(f"{function.__qualname__}: 'pushes' says '{unknown[0]}'; expected up, down or an option")
        cls.likelihood, cls.role, cls.pushes = likelihood, role or ("distance" if likelihood else None), pushes or {}
        cls.unit = property(unit) if callable(unit) else unit
        cls.reduction = property(reduction) if callable(reduction) else reduction
        return made

    return make


def regularizer(ports: str) -> abc.Callable[[abc.Callable[P, R]], Stateless[P, R]]:
    """Make a function a regularizer. A port named ``gradient`` receives d ``of`` / d ``wrt`` of the recipe."""
    return stateless("regularizer", ports, independent="scalar" not in ports)


def _part_type(function: abc.Callable[..., Any], kind: str, ports: str, independent: bool) -> type[Part]:
    text, fields = ports, {}
    for name, parameter in inspect.signature(function).parameters.items():
        annotation = getattr(parameter.annotation, "__name__", str(parameter.annotation))
        has_default = parameter.default is not inspect.Parameter.empty
        if annotation == "Scalar":
            before, _, after = text.partition("->")
            text = f"{before}, {name}{'?' if has_default else ''}: scalar -> {after}"
        elif f"{name}:" in ports.replace(" ", "").replace("?", ""):
            continue
        elif annotation in _OPTION_TYPES:
            default = parameter.default if has_default else attrs.NOTHING
            fields[name] = attrs.field(default=default, type=_OPTION_TYPES[annotation])
        else:
            known = ", ".join(["Tensor", "Scalar", *_OPTION_TYPES])
            raise TypeError(
                f"{function.__qualname__}: parameter {name!r} is {annotation}; it is no port of {ports!r}, "
                f"so it must be one of {known}"
            )
    base = _INTERFACES[kind]
    cls: Any = attrs.make_class(
        f"_{function.__name__}", fields, bases=(base,), frozen=True, kw_only=True, slots=False,
        class_body={"build": _build, "__doc__": function.__doc__, "__module__": function.__module__},
    )  # fmt: skip
    cls.ports, cls.independent, cls.function = text, independent, staticmethod(function)
    part_type: type[Part] = cls
    return part_type


def _build(self: Any) -> nn.Module:
    from latentkit._apply import Apply

    options = {field.name: getattr(self, field.name) for field in attrs.fields(type(self))}
    names = [port.name for port in self.signatures()[""].inputs]
    return Apply(type(self).function, names, options)
