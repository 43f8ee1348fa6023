"""An execution as a function from tensors to tensors, as which it can be traced."""

from __future__ import annotations

import contextlib
import warnings
from collections import abc
from typing import Any

import attrs
from torch import Tensor, fx, nn
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils import _pytree as pytree

from latentkit.engine.outcome import Gradients, Outcome
from latentkit.engine.program import Program, Values
from latentkit.engine.updating import InGraph
from latentkit.errors import LatentkitWarning
from latentkit.optimizers import same_layout

Context = abc.Callable[[], contextlib.AbstractContextManager[object]]


class Untraceable(Exception):
    """An execution that is no fixed graph of tensors, and why."""


def runs_as_it_is(program: Program, what: str, error: Exception) -> None:
    """Tell which phases are not ``what``, and why."""
    names = [f"'{phase.name}'" for phase in program.plan.running]
    fact = str(error).strip().partition("\n")[0][:200]
    reason = fact if isinstance(error, Untraceable) else f"{type(error).__name__}: {fact}"
    alone = f"phase {names[0]} is not {what}, and runs as it is"
    several = f"phases {' and '.join(names)} are not {what}, and run as they are"
    warnings.warn(f"{alone if len(names) == 1 else several}: {reason}", LatentkitWarning, stacklevel=3)


class Traced:
    """An execution as a function from tensors to tensors; everything else is a constant of it.

    Args:
        program: what is executed.
        places: of all parameters and buffers.
        values: every source.
        context: what it runs in (autocast).
        update: what follows it, if that is to be in the function.
    """

    def __init__(
        self, program: Program, places: list[Place], values: Values, context: Context, update: InGraph | None = None
    ) -> None:
        self.program, self.places, self.context, self.update = program, places, context, update
        self.given, self.form = pytree.tree_flatten(dict(values))
        self.constants = [None if isinstance(value, Tensor) else (value,) for value in self.given]
        self.given = [value for value in self.given if isinstance(value, Tensor)]
        self.made: list[tuple[Any] | None] = []

    def __call__(self, *tensors: Tensor) -> list[Tensor]:
        """From :meth:`inputs` and the values every tensor of the outcome."""
        weights = [
            tensor.detach().requires_grad_() if place.trainable else tensor
            for place, tensor in zip(self.places, tensors, strict=False)
        ]
        given = tensors[len(tensors) - len(self.given) :]
        values = pytree.tree_unflatten(_filled(self.constants, given), self.form)
        now = {id(place.tensor): weight for place, weight in zip(self.places, weights, strict=True)}
        parameters = {
            phase: [now[id(parameter)] for parameter in found] for phase, found in self.program.parameters.items()
        }
        with _in_place_of(self.places, weights):
            with self.context():
                slots = self.program.forward(values)
            outcome = self.program.outcome(slots, parameters)
            if self.update is None:
                outcome = attrs.evolve(outcome, gradients=_laid_out(outcome.gradients, parameters))
        if self.update is not None:
            outcome = self._updated(outcome, tensors)
        results, self.result = pytree.tree_flatten(attrs.asdict(outcome, recurse=False))
        self.made = [None if isinstance(value, Tensor) else (value,) for value in results]
        return [value for value in results if isinstance(value, Tensor)]

    def _updated(self, outcome: Outcome, tensors: abc.Sequence[Tensor]) -> Outcome:
        assert self.update is not None
        changed = [*(place.tensor for place in self.places), *self.update.states]
        now = {id(mine): tensor for mine, tensor in zip(changed, tensors, strict=False)}
        self.update(outcome, tensors[len(changed)], lambda mine: now[id(mine)])
        return attrs.evolve(outcome, gradients={}, rates={}, updated=True)

    def inputs(self) -> list[Tensor]:
        """What it is given now, but for the values."""
        weights = [place.tensor for place in self.places]
        return weights if self.update is None else [*weights, *self.update.states, self.update.counts()]

    def graph(self, inputs: list[Tensor]) -> fx.GraphModule:
        """What it does, traced on tensors without numbers."""
        return make_fx(self, tracing_mode="fake", _allow_non_fake_inputs=True)(*inputs)

    def outcome(self, found: abc.Sequence[Any]) -> Outcome:
        """The execution's results from the tensors that it yields."""
        return Outcome(**pytree.tree_unflatten(_filled(self.made, found), self.result))


def _laid_out(
    gradients: abc.Mapping[str, Gradients], parameters: abc.Mapping[str, list[Tensor]]
) -> dict[str, Gradients]:
    """Gradients in memory as their parameters are, which updates ask for; within the graph this costs least."""
    return {
        phase: [None if gradient is None else same_layout([gradient], [parameter])[0]
                for gradient, parameter in zip(found, parameters[phase], strict=True)]
        for phase, found in gradients.items()
    }  # fmt: skip


@attrs.frozen(eq=False)
class Place:
    """Where a module has a parameter or a buffer; which tensor that is may change."""

    table: dict[str, Tensor | None]
    name: str

    @property
    def tensor(self) -> Tensor:
        """What is there now."""
        tensor = self.table[self.name]
        assert tensor is not None
        return tensor

    @property
    def trainable(self) -> bool:
        """Whether gradients may be asked for it."""
        return self.tensor.requires_grad


def places_of(module: nn.Module) -> abc.Iterator[Place]:
    """All parameters and buffers of a module, in the order of its inner modules."""
    for inner in module.modules():
        for table in (inner._parameters, inner._buffers):
            yield from (Place(table, name) for name, tensor in table.items() if tensor is not None)  # type: ignore[arg-type]


@contextlib.contextmanager
def _in_place_of(places: list[Place], tensors: list[Tensor]) -> abc.Iterator[None]:
    before = [place.tensor for place in places]
    try:
        for place, tensor in zip(places, tensors, strict=True):
            place.table[place.name] = tensor
        yield
    finally:
        for place, tensor in zip(places, before, strict=True):
            place.table[place.name] = tensor


@contextlib.contextmanager
def unchanged(modules: abc.Mapping[str, nn.Module]) -> abc.Iterator[None]:
    """Modules keep what they have beside parameters and buffers.

    Raises:
        Untraceable: one of them has set a tensor, which would be of the trace and never be set again.
    """
    before = [(name, inner, dict(vars(inner))) for name, module in modules.items() for inner in module.modules()]
    setting: list[str] = []
    try:
        yield
    finally:
        for name, inner, kept in before:
            now = vars(inner)
            setting += [
                f"'{name}' sets {key}" for key, value in now.items()
                if isinstance(value, Tensor) and value is not kept.get(key)
            ]  # fmt: skip
            now.clear()
            now.update(kept)
    if setting:
        raise Untraceable(f"part {setting[0]}, a tensor that is no buffer, while it computes")


def leaves_of(values: Values) -> list[Any]:
    """The values in their order, those of posteriors one by one."""
    return pytree.tree_leaves(dict(values))


def tensors_of(leaves: abc.Iterable[Any]) -> list[Tensor]:
    """The tensors among them, in their order."""
    return [value for value in leaves if isinstance(value, Tensor)]


def looks(leaves: abc.Iterable[Any]) -> tuple[object, ...]:
    """Sizes, layouts and kinds of tensors, and all other values: what a traced graph has taken for granted."""
    return tuple(
        (value.shape, value.stride(), value.dtype, value.device) if isinstance(value, Tensor) else value
        for value in leaves
    )


def _filled(constants: abc.Sequence[tuple[Any] | None], tensors: abc.Iterable[Any]) -> list[Any]:
    """The constants, with tensors in the gaps between them."""
    rest = iter(tensors)
    return [next(rest) if constant is None else constant[0] for constant in constants]
