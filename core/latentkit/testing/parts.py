"""What every part promises: mappings, generators, encoders, discriminators, functions, losses, regularizers."""

from __future__ import annotations

import functools
from collections import abc

import attrs

from latentkit.errors import LatentkitError
from latentkit.interfaces import Component, Part
from latentkit.spaces import Space
from latentkit.testing.behaviour import (
    draws_as_declared,
    exact_gradients,
    finite_gradients,
    finite_values,
    keeps_samples_apart,
)
from latentkit.testing.bench import OBJECTIVES, Bench, all_finite, named, result, signed, with_finite_values
from latentkit.testing.cases import Case
from latentkit.testing.checks import Nonconforming, require, said
from latentkit.testing.choosing import every_choice_works
from latentkit.testing.precision import in_bfloat16, in_float64, on_the_meta_device
from latentkit.testing.refusals import refuses_values_out_of_range, refuses_wrong_options
from latentkit.testing.saving import saves_and_loads, starts_from_its_seed
from latentkit.testing.subjects import Subject
from latentkit.testing.values import Draw, disagreement, floats

BATCHES = (1, 2, 5)
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
    found["every choice works"] = every_choice_works
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
    for device in ("meta", "cpu"):  # where no memory is taken, if it can be built there
        try:
            case.changed(own).build(device=device)
        except LatentkitError:
            return
        except Exception as error:
            if device == "cpu":
                raise Nonconforming(f"with its own options build() raises {said(error)}") from error
            continue
        return


def _narrowed(bench: Bench, case: Case) -> list[str]:
    """The options that were made smaller."""
    made = bench.subject.made()
    stated = [field.name for field in attrs.fields(type(made)) if getattr(made, field.name) is not None]
    return [name for name in stated if getattr(made, name) != getattr(case.part, name)]


def agrees_with_its_ports(bench: Bench) -> None:
    """Results are of the declared spaces, for several sizes and batches, in training and in evaluation."""
    for case in bench.cases():
        for entry, signature in case.signatures.items():
            for mode, how in _ways(case):
                batch = how.batch if case.batched(entry) else None
                where = f"{named(entry)}, a batch of {how.batch}, {mode}"
                try:
                    value = result(case, entry, how, mode)
                except LatentkitError as error:
                    require(how.batch == 1 and not case.part.independent, f"{where}: refuses ordinary values: {error}")
                    continue
                except Exception as error:
                    advice = "where ordinary values do not do, give others in latentkit_examples"
                    raise Nonconforming(f"{where}: raises {said(error)}; {advice}") from error
                space = signature.output
                assert isinstance(space, Space)
                fault = disagreement(value, space, batch)
                require(not fault, f"{where}: declares {space}, but its result is {fault}")


def _ways(case: Case) -> abc.Iterator[tuple[str, Draw]]:
    """Modes and batches; a part that couples the batch need not train on one sample."""
    plain = Draw(signed=signed(case))
    for mode in ("train", "eval"):
        for batch in BATCHES:
            if mode == "eval" or batch > 1 or case.part.independent:
                yield mode, attrs.evolve(plain, batch=batch)
    yield "train", attrs.evolve(plain, tensor=True)
    yield "train", attrs.evolve(plain, optional=False)


def values_out_of_range(bench: Bench) -> None:
    """Zero, negative and empty options are refused in words, or give finite values."""
    case = bench.cases()[-1]  # the largest, where most layers are
    sizes = {field.name for field in attrs.fields(type(case.part)) if field.default is None}

    def exercise(component: Component, option: str) -> None:
        assert isinstance(component, Part)
        changed = case.changed(attrs.evolve(case.part, **{option: getattr(component, option)}))
        for entry in changed.signatures:
            value = result(changed, entry, Draw(signed=signed(case)))
            require(all_finite(floats(value)), f"{named(entry)} is not finite")

    for one, entry in bench.runs():
        with_finite_values(one, entry, Draw(signed=signed(one)))
    refuses_values_out_of_range(bench.subject, exercise, leave=sizes & case.known.keys())
