"""What initializers and constraints promise."""

from __future__ import annotations

import functools
from collections import abc

import torch
from torch import nn

from latentkit.errors import LatentkitError
from latentkit.shaping import Constraint, Initializer
from latentkit.testing.checks import Nonconforming, require, said
from latentkit.testing.refusals import option_checks
from latentkit.testing.subjects import Subject
from latentkit.testing.workplace import seeded


def initializer_checks(subject: Subject) -> dict[str, abc.Callable[[], None]]:
    """The properties of one initializer."""
    return {
        "sets finite weights": functools.partial(sets_finite_weights, subject),
        "same seed, same weights": functools.partial(sets_the_same_weights, subject),
        **option_checks(subject, _initialized),
    }


def constraint_checks(subject: Subject) -> dict[str, abc.Callable[[], None]]:
    """The properties of one constraint."""
    return {"projects": functools.partial(projects, subject), **option_checks(subject, _constrained)}


def _module() -> nn.Module:
    with seeded():
        layers = [nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ConvTranspose2d(4, 3, 3), nn.Flatten(), nn.Linear(12, 5)]
        return nn.ModuleList([*layers, nn.Embedding(3, 4), nn.ReLU()])


def _initialized(initializer: Initializer) -> nn.Module:
    module = _module()
    owned = list(module.parameters())
    _initialize(initializer, module)
    _initialize(initializer, nn.ReLU())
    _kept(module, owned)
    return module


def _initialize(initializer: Initializer, module: nn.Module, seed: int = 0) -> None:
    """Set the weights from one seed of torch; the other generators stand where ``seed`` puts them."""
    with seeded(seed):
        torch.manual_seed(0)
        try:
            initializer.initialize(module)
        except LatentkitError:
            raise
        except Exception as error:
            raise Nonconforming(f"initialize() raises {said(error)}") from error


def _kept(module: nn.Module, owned: list[nn.Parameter]) -> None:
    now = list(module.parameters())
    same = len(now) == len(owned) and all(a is b for a, b in zip(now, owned, strict=True))
    require(same, "replaces parameters; change them in place")
    require(all(bool(p.isfinite().all()) for p in now), "leaves weights that are not finite")
    require(all(p.is_leaf for p in now), "leaves weights with a graph; change them under no_grad()")


def sets_finite_weights(subject: Subject) -> None:
    """Weights of all common layers are changed in place and stay finite; layers without weights are no fault."""
    found, before = _initialized(subject.made()), _module()
    changed = any(not torch.equal(a, b) for a, b in zip(found.parameters(), before.parameters(), strict=True))
    require(changed, "initialize() changes no weight")


def sets_the_same_weights(subject: Subject) -> None:
    """The weights follow from torch's default generator, and from no other."""
    one, two = _module(), _module()
    _initialize(subject.made(), one, 0)
    _initialize(subject.made(), two, 1)
    same = all(map(torch.equal, one.parameters(), two.parameters()))
    require(same, "one seed of torch's default generator gives two results; draw from no other generator")


def _constrained(constraint: Constraint) -> nn.Module:
    module = _module()
    owned = list(module.parameters())
    try:
        constraint.apply(module)
    except LatentkitError:
        raise
    except Exception as error:
        raise Nonconforming(f"apply() raises {said(error)}") from error
    _kept(module, owned)
    return module


def projects(subject: Subject) -> None:
    """Weights are changed in place, stay finite, and a second time changes nothing any more."""
    constraint = subject.made()
    module = _constrained(constraint)
    once = [p.detach().clone() for p in module.parameters()]
    constraint.apply(module)
    pairs = zip(once, module.parameters(), strict=True)
    same = all(torch.allclose(a, b, rtol=1e-4, atol=1e-6) for a, b in pairs)
    require(same, "applied twice it gives other weights than once, so that it is no projection")
