"""What every part promises: mappings, generators, encoders, discriminators, functions, losses, regularizers."""

from __future__ import annotations

import functools
from collections import abc
from typing import Any

import attrs
import torch
from torch import Tensor, nn

from latentkit.errors import LatentkitError
from latentkit.interfaces import Component, Part
from latentkit.settings import Settings
from latentkit.spaces import Space
from latentkit.testing.cases import Bench, Case, call
from latentkit.testing.checks import Nonconforming, NotExercised, require, said
from latentkit.testing.options import Subject, refuses_values_out_of_range, refuses_wrong_options
from latentkit.testing.saving import saves_and_loads, starts_from_its_seed
from latentkit.testing.values import Draw, disagreement, floats, mapped, tensors
from latentkit.testing.workplace import global_draws, seeded

BATCHES = (1, 2, 5)
OBJECTIVES = ("loss", "regularizer")
NETWORKS = ("mapping", "generator", "encoder", "discriminator")
Property = abc.Callable[[Bench], None]


def properties(kind: type[Part]) -> dict[str, Property]:
    """What is looked at for parts of a class, by name."""
    stateless = hasattr(kind, "function")  # decorated, so that it cannot have weights
    found: dict[str, Property] = {"builds": builds, "agrees with its ports": agrees_with_its_ports}
    if getattr(kind, "independent", False):
        found["keeps samples apart"] = keeps_samples_apart
    found |= {
        "draws as declared": draws_as_declared, "finite values": finite_values, "finite gradients": finite_gradients,
    }  # fmt: skip
    if kind.kind in OBJECTIVES:
        found["exact gradients"] = exact_gradients
    found |= {"float64": in_float64, "bfloat16": in_bfloat16, "meta device": on_the_meta_device}
    if not stateless:
        found |= {"same seed, same weights": starts_from_its_seed, "saves and loads": saves_and_loads}
    found["refuses wrong options"] = lambda bench: refuses_wrong_options(bench.subject)
    found["refuses values out of range"] = values_out_of_range
    return found


def checks(subject: Subject) -> dict[str, abc.Callable[[], None]]:
    """The properties of one part, ready to be looked at."""
    assert issubclass(subject.kind, Part)
    bench = Bench(subject)
    return {name: functools.partial(look, bench) for name, look in properties(subject.kind).items()}


def builds(bench: Bench) -> None:
    """It can be built at some sizes, and refuses others with a LatentkitError; and with its own options too."""
    found = bench.found
    require(not found.faults, f"at {'; '.join(found.faults)}; expected a module, or a LatentkitError that says why not")
    case = bench.cases()[0]
    own = attrs.evolve(case.part, **{name: getattr(bench.subject.made(), name) for name in _narrowed(bench, case)})
    try:
        case.changed(own).build()
    except LatentkitError:
        return
    except Exception as error:
        raise Nonconforming(f"with its own options build() raises {said(error)}") from error


def _narrowed(bench: Bench, case: Case) -> list[str]:
    """The options that were made smaller."""
    made = bench.subject.made()
    names = [field.name for field in attrs.fields(type(made))]
    return [name for name in names if getattr(made, name) is not None and getattr(made, name) != getattr(case.part, name)]


def agrees_with_its_ports(bench: Bench) -> None:
    """Results are of the declared spaces, for several sizes and batches, in training and in evaluation."""
    for case in bench.cases():
        for entry, signature in case.signatures.items():
            for mode, how in _ways(case):
                batch = how.batch if case.batched(entry) else None
                where = f"{_named(entry)}, a batch of {how.batch}, {mode}"
                try:
                    value = _result(case, entry, how, mode)
                except LatentkitError as error:
                    require(how.batch == 1 and not case.part.independent, f"{where}: refuses ordinary values: {error}")
                    continue
                except Exception as error:
                    raise Nonconforming(f"{where}: raises {said(error)}") from error
                space = signature.output
                assert isinstance(space, Space)
                fault = disagreement(value, space, batch)
                require(not fault, f"{where}: declares {space}, but its result is {fault}")


def _ways(case: Case) -> abc.Iterator[tuple[str, Draw]]:
    """Modes and batches; a part that couples the batch need not train on one sample."""
    signed = _signed(case)
    for mode in ("train", "eval"):
        for batch in BATCHES:
            if mode == "eval" or batch > 1 or case.part.independent:
                yield mode, Draw(batch=batch, signed=signed)
    yield "train", Draw(signed=signed, tensor=True)
    yield "train", Draw(signed=signed, optional=False)


def _signed(case: Case) -> bool:
    return case.part.kind in OBJECTIVES


def _named(entry: str) -> str:
    return f"'{entry}'" if entry else "forward"


def _result(case: Case, entry: str, how: Draw, mode: str = "train") -> Any:
    """What a fresh module makes of values, without a graph."""
    with seeded(), torch.no_grad():
        return call(case.build().train(mode == "train"), entry, case.inputs(entry, how))


def keeps_samples_apart(bench: Bench) -> None:
    """With ``independent = True`` half a batch gives half the result, and another order the other order."""
    looked = False
    for case, entry in bench.runs():
        if not case.part.independent or case.part.stochastic:
            continue
        module, inputs = case.build(), case.inputs(entry, Draw(signed=_signed(case)))
        if not case.batched(entry):
            continue
        if _draws(module, entry, inputs):
            raise NotExercised("it draws numbers of its own: see [draws as declared]")
        order = torch.tensor([3, 0, 4, 2, 1])
        ports = case.signatures[entry].inputs
        batched = [isinstance(port.space, Space) and port.space.batched for port in ports]
        for what, chosen in (("the others in its batch", order[:2]), ("its place in the batch", order)):
            some = [
                mapped(value, lambda tensor, chosen=chosen: tensor[chosen]) if is_batched else value
                for value, is_batched in zip(inputs, batched, strict=False)
            ]
            with seeded(), torch.no_grad():
                whole, part = call(case.build(), entry, inputs), call(case.build(), entry, some)
            for all_of_them, mine in zip(tensors(whole), tensors(part), strict=True):
                same = mine.shape == all_of_them[chosen].shape and _near(mine, all_of_them[chosen], 1e-3)
                fact = f"{_named(entry)}: declares independent = True, but a sample's result depends on {what}"
                require(same, fact)
        looked = True
    if not looked:
        raise NotExercised("with these options it declares independent = False, or that it draws numbers of its own")


def _near(a: Tensor, b: Tensor, share: float) -> bool:
    a, b = a.detach().double(), b.detach().double()
    scale = 1.0 + float(b.abs().max()) if b.numel() else 1.0
    return torch.allclose(a, b, rtol=share, atol=0.1 * share * scale, equal_nan=True)


def _draws(module: nn.Module, entry: str, inputs: abc.Sequence[Any]) -> bool:
    with seeded(), torch.no_grad():
        before = global_draws()
        call(module, entry, inputs)
        return global_draws() != before


def draws_as_declared(bench: Bench) -> None:
    """Without ``stochastic = True`` no global generator moves; with it, torch's alone, and a seed fixes the result."""
    for case, entry in bench.runs():
        inputs = case.inputs(entry, Draw(signed=_signed(case)))
        if case.part.stochastic:
            first, second = (_result(case, entry, Draw(signed=_signed(case))) for _ in range(2))
            pairs = zip(tensors(first), tensors(second), strict=True)
            fact = f"{_named(entry)}: one seed of torch's generator gives two results; draw from no other generator"
            require(all(torch.equal(a, b) for a, b in pairs), fact)
            continue
        for mode in (True, False):
            fact = f"{_named(entry)}: draws random numbers of its own, but does not declare stochastic = True"
            require(not _draws(case.build().train(mode), entry, inputs), fact)


def finite_values(bench: Bench) -> None:
    """Ordinary values give finite results; so do black images, and two equal values."""
    for case, entry in bench.runs():
        _finite(case, entry)


def _finite(case: Case, entry: str) -> None:
    for how in (Draw(), Draw(seed=1), Draw(flat=True)):
        value = _result(case, entry, attrs.evolve(how, signed=_signed(case)))
        kind = "black images or equal values" if how.flat else "ordinary values"
        require(_all_finite(floats(value)), f"{_named(entry)} of {kind} is not finite")


def _all_finite(values: abc.Iterable[Tensor]) -> bool:
    return all(bool(value.isfinite().all()) for value in values)


def finite_gradients(bench: Bench) -> None:
    """Gradients with respect to inputs and weights are finite, and some arrive."""
    arriving: dict[str, bool] = {"an input": False, "a weight": False}
    wanted: dict[str, bool] = {"an input": False, "a weight": False}
    for case, entry in bench.runs():
        for flat in (False, True):
            how = Draw(flat=flat, signed=_signed(case))
            if not _all_finite(floats(_result(case, entry, how))):
                raise NotExercised("its values are not finite: see [finite values]")
            for what, found in _gradients(case, entry, how).items():
                kind = "black images or equal values" if flat else "ordinary values"
                fact = f"{_named(entry)}: the gradient with respect to {what} is not finite at {kind}"
                require(_all_finite(gradient for gradient in found if gradient is not None), fact)
                wanted[what] |= bool(found)
                arriving[what] |= any(gradient is not None for gradient in found)
    needed = ["a weight", *(["an input"] if bench.subject.kind.kind in (*NETWORKS, *OBJECTIVES) else [])]
    lost = [what for what in needed if wanted[what] and not arriving[what]]
    require(not lost, f"no gradient arrives at {' or '.join(lost)}: no_grad(), detach() or .data on the way")


def _gradients(case: Case, entry: str, how: Draw) -> dict[str, list[Tensor | None]]:
    """Of a weighted sum of all results: with respect to inputs, and to weights."""
    module = case.build().train()
    weights = [parameter for parameter in module.parameters() if parameter.requires_grad]
    inputs = mapped(case.inputs(entry, how), _tracked)
    leaves = floats(inputs)
    with seeded():
        results = [value for value in floats(call(module, entry, inputs)) if value.requires_grad]
        if not results:
            return {"an input": [None] * len(leaves), "a weight": [None] * len(weights)}
        total = sum((value.flatten() @ torch.linspace(0.5, 1.5, value.numel()) for value in results), torch.zeros(()))
        found = torch.autograd.grad(total, [*leaves, *weights], allow_unused=True)
    return {"an input": list(found[: len(leaves)]), "a weight": list(found[len(leaves) :])}


def _tracked(tensor: Tensor) -> Tensor:
    return tensor.detach().requires_grad_() if tensor.is_floating_point() else tensor


def exact_gradients(bench: Bench) -> None:
    """In float64 the gradient is the derivative, as differences of values show it."""
    for case, entry in bench.runs()[:2]:
        module = case.build().double()
        inputs = mapped(mapped(case.inputs(entry, Draw(batch=3, signed=True)), _double), _tracked)
        leaves = floats(inputs)
        if not _all_finite(floats(_result(case, entry, Draw(batch=3, signed=True)))):
            raise NotExercised("its values are not finite: see [finite values]")

        def value(*given: Tensor, module: nn.Module = module, entry: str = entry, inputs: Any = inputs) -> Any:
            remaining = iter(given)
            return call(module, entry, mapped(inputs, lambda old: next(remaining) if old.is_floating_point() else old))

        try:
            with seeded():
                torch.autograd.gradcheck(value, leaves, fast_mode=True, check_undefined_grad=False)
        except RuntimeError as error:
            advice = "leave detach() and the like to the recipe"
            raise Nonconforming(f"{_named(entry)}: the gradient is not the derivative: {said(error)}; {advice}") from error


def _double(tensor: Tensor) -> Tensor:
    return tensor.double() if tensor.is_floating_point() else tensor


def in_float64(bench: Bench) -> None:
    """In float64 results are float64, and near those of float32."""
    for case, entry in bench.runs():
        how = Draw(signed=_signed(case))
        inputs = case.inputs(entry, how)
        drawing = case.part.stochastic or _draws(case.build(), entry, inputs)
        try:
            with seeded(), torch.no_grad():
                found = floats(call(case.build().double(), entry, mapped(inputs, _double)))
        except Exception as error:
            raise Nonconforming(f"{_named(entry)} in float64 raises {said(error)}") from error
        for value, other in zip(found, floats(_result(case, entry, how)), strict=True):
            require(value.dtype == torch.float64, f"{_named(entry)} of float64 is {value.dtype}")
            require(drawing or _near(value, other, 1e-2), f"{_named(entry)} in float64 is far from what it is in float32")


def in_bfloat16(bench: Bench) -> None:
    """Under autocast, as runs in bfloat16 have it: the same shapes, and finite where float32 is."""
    autocast = Settings(precision="bfloat16").autocast
    for case, entry in bench.runs():
        how = Draw(signed=_signed(case))
        plain = _result(case, entry, how)
        # Parts get what other parts make, in bfloat16; losses are handed float32.
        for dtype in (torch.float32,) if _signed(case) else (torch.float32, torch.bfloat16):
            inputs = mapped(mapped(case.inputs(entry, how), _as(dtype)), _tracked)
            try:
                with seeded(), autocast():
                    found = floats(call(case.build(), entry, inputs))
                reached = [value.float().sum() for value in found if value.requires_grad]
                if reached:
                    torch.stack(reached).sum().backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
            except Exception as error:
                fact = f"{_named(entry)} of {dtype} values under bfloat16 autocast raises {said(error)}"
                raise Nonconforming(fact) from error
            shapes = [value.shape for value in found]
            require(shapes == [value.shape for value in floats(plain)], f"{_named(entry)} in bfloat16 has other shapes")
            bad = _all_finite(floats(plain)) and not _all_finite(found)
            require(not bad, f"{_named(entry)} in bfloat16 is not finite")


def _as(dtype: torch.dtype) -> abc.Callable[[Tensor], Tensor]:
    return lambda tensor: tensor.to(dtype) if tensor.is_floating_point() else tensor


def on_the_meta_device(bench: Bench) -> None:
    """On shapes alone it builds and runs, with the same shapes and types: a check needs that."""
    for case, entry in bench.runs():
        how = Draw(signed=_signed(case))
        try:
            with seeded():
                module = case.build(device="meta")
                value = call(module, entry, mapped(case.inputs(entry, how), lambda tensor: tensor.to("meta")))
        except Exception as error:
            advice = "let nothing depend on the values of tensors (item(), float(), if), and make them on the input's device"
            raise Nonconforming(f"{_named(entry)} on the meta device raises {said(error)}; {advice}") from error
        found, real = ([(item.shape, item.dtype) for item in tensors(v)] for v in (value, _result(case, entry, how)))
        require(found == real, f"{_named(entry)} on the meta device is {found}, and {real} on the CPU")
        fact = f"{_named(entry)}: of values on the meta device makes values elsewhere; make tensors on the input's device"
        require(all(item.device.type == "meta" for item in tensors(value)), fact)


def values_out_of_range(bench: Bench) -> None:
    """Zero, negative and empty options are refused in words, or give finite values."""
    case = bench.cases()[-1]  # the largest, where most layers are
    sizes = {field.name for field in attrs.fields(bench.subject.kind) if field.default is None}

    def exercise(component: Component, option: str) -> None:
        assert isinstance(component, Part)
        changed = case.changed(attrs.evolve(case.part, **{option: getattr(component, option)}))
        for entry in changed.signatures:
            value = _result(changed, entry, Draw(signed=_signed(case)))
            require(_all_finite(floats(value)), f"{_named(entry)} is not finite")

    bench.runs()
    refuses_values_out_of_range(bench.subject, exercise, leave=sizes & case.known.keys())
