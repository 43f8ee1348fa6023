"""Sizes at which a part can be built, found from its ports: a few that it takes, and how it refused others."""

from __future__ import annotations

from collections import abc
from typing import Any

import attrs
import torch
from torch import nn

from latentkit.errors import LatentkitError, Mismatch
from latentkit.interfaces import Part
from latentkit.ports import Port, Signature
from latentkit.spaces import SCORE, Space, Var
from latentkit.testing.checks import said
from latentkit.testing.examples import Example
from latentkit.testing.subjects import Subject, smaller
from latentkit.testing.values import Draw, Known, closed, mapped, value_of
from latentkit.testing.workplace import seeded

SIZES = ((8, 8, 1, 3), (16, 16, 3, 8), (16, 24, 1, 17), (28, 28, 1, 17), (32, 32, 3, 3), (64, 64, 1, 8))
"""Height, width and channels of images, and numbers of a latent."""
LAYERS = (2, 3, 4, 6, 8, 10, 12)
SPACES = (Space("latent", (3,)), Space("image", (1, 8, 8)), SCORE)
"""What an open space (``of: T``) is taken to be."""
MOST = 16
"""Large whole numbers of a part become this where it allows that, so that checks stay quick."""
MOST_CASES = 3
MOST_WEIGHTS = 20_000_000
_ROLES = {
    "image": ("channels", "height", "width"), "map": ("channels", "height", "width"), "styles": ("layers", "dim"),
    "label": ("classes",), "posterior": ("dim",), "latent": ("dim",), "features": ("dim",),
}  # fmt: skip


@attrs.frozen(eq=False)
class Case:
    """A part with all sizes, and what its ports are then."""

    part: Part
    known: Known
    signatures: dict[str, Signature]
    """By entry, closed."""
    example: Example

    def build(self, seed: int = 0, device: str = "cpu") -> nn.Module:
        """The module, its weights from a seed."""
        with seeded(seed), torch.device(device):
            return self.part.build()

    def inputs(self, entry: str, how: Draw) -> list[Any]:
        """A value per port; without the optional ones, ``None`` for a loss, and left out for others."""
        generator = torch.Generator().manual_seed(how.seed)
        ports = self.signatures[entry].inputs
        values: dict[str, Any] = {}
        alike: dict[Space, str] = {}  # with `flat`, the first port of each space, whose value the others get too
        for port in ports:
            given, space = self.example.inputs.get(port.name), port.space
            assert isinstance(space, Space)
            if port.optional and not how.optional:
                values[port.name] = None
            elif given is not None:
                values[port.name] = given(how.batch)
            elif how.flat and space in alike:
                values[port.name] = mapped(values[alike[space]], torch.clone)
            else:
                values[port.name] = value_of(space, how, generator)
                alike[space] = port.name
        found = list(values.values())
        while found and found[-1] is None and self.part.kind not in ("loss", "regularizer"):
            found.pop()
        return found

    def batched(self, entry: str) -> bool:
        """Whether the inputs say how many samples there are."""
        return any(isinstance(port.space, Space) and port.space.batched for port in self.signatures[entry].inputs)

    def changed(self, part: Part) -> Case:
        """The same sizes with other options."""
        return _case(part, self.known, self.example)


@attrs.frozen
class Found:
    """What the search for sizes came to."""

    cases: tuple[Case, ...]
    refusals: tuple[str, ...]
    faults: tuple[str, ...]
    """What building raised other than a LatentkitError."""


def search(subject: Subject) -> Found:
    """Build the part at several sizes, with smaller numbers of channels and the like where it takes them.

    Raises:
        NotExercised: options that must be given are not known.
    """
    part = subject.made()
    cases: list[Case] = []
    refusals: list[str] = []
    faults: list[str] = []
    for index, (height, width, channels, dim) in enumerate(SIZES):
        sizes = {
            "height": height,
            "width": width,
            "channels": channels,
            "dim": dim,
            "classes": 3 if index % 2 == 0 else 10,
        }
        space = SPACES[index % len(SPACES)]
        found = _at(subject, part, sizes, space, refusals, faults)
        cases += [found] if found is not None and not any(_alike(found, other) for other in cases) else []
    return Found(tuple(cases[:MOST_CASES]), tuple(dict.fromkeys(refusals)), tuple(dict.fromkeys(faults)))


def _alike(one: Case, other: Case) -> bool:
    return one.part == other.part and one.signatures == other.signatures


def _at(
    subject: Subject, part: Part, sizes: abc.Mapping[str, int], space: Space, refusals: list[str], faults: list[str]
) -> Case | None:
    """The first case at these sizes that can be built and called, over numbers of layers."""
    try:
        open_sizes = _roles(part)
    except LatentkitError as error:
        refusals.append(str(error))
        return None
    except Exception as error:
        faults.append(f"its open sizes: {said(error)}")
        return None
    layered = "layers" in open_sizes.values()
    for layers in LAYERS if layered else LAYERS[:1]:
        given = {**sizes, "layers": layers}
        known = {name: given[role] if role != "space" else space for name, role in open_sizes.items()}
        leave = {*open_sizes, *subject.example.options}
        told = ", ".join(f"{name} = {value}" for name, value in known.items()) or "its own sizes"
        small = smaller(part, MOST, leave)
        for option in [small] if small == part else [small, part]:
            last = option is part or small == part
            try:
                case = _case(option, known, subject.example)
                _trial(case)
                return case
            except LatentkitError as error:
                refusals += [f"{told}: {error}"] if last else []
            except Exception as error:
                faults += [f"{told}: {said(error)}"] if last else []
    return None


def _trial(case: Case) -> None:
    """Build, and look whether the sizes suit its forward too; that it raises something else is told elsewhere."""
    weights = 0
    try:
        weights = sum(parameter.numel() for parameter in case.build(device="meta").parameters())
    except Exception:  # which other checks tell of
        weights = 0
    if weights > MOST_WEIGHTS:
        raise Mismatch(f"{weights:,} weights are too many to look at; give small sizes in latentkit_examples")
    module = case.build()
    if not isinstance(module, nn.Module):
        raise TypeError(f"build() returns {type(module).__name__}, not an nn.Module")
    try:
        with seeded(), torch.no_grad():
            module.eval()(*case.inputs("", Draw(batch=2)))
    except LatentkitError:
        raise
    except Exception:
        return


def _case(part: Part, known: Known, example: Example) -> Case:
    """Fill in sizes until nothing is open; what a part computes from the others stays as it computes it."""
    fields = {field.name for field in attrs.fields(type(part))}
    left = {name: value for name, value in known.items() if name in fields and getattr(part, name) is None}
    part = attrs.evolve(part, **left)
    signatures = part.signatures()
    return Case(part, known, {entry: _filled(found, known) for entry, found in signatures.items()}, example)


def _filled(signature: Signature, known: Known) -> Signature:
    def filled(ports: abc.Iterable[Port]) -> tuple[Port, ...]:
        return tuple(attrs.evolve(port, space=closed(port.space, known)) for port in ports)

    return Signature(filled(signature.inputs), filled(signature.outputs))


def _roles(part: Part) -> dict[str, str]:
    """What each open name of the ports is: a side of images, a number of channels, a space, ..."""
    signatures = part.signatures()
    spaces = [port.space for signature in signatures.values() for port in (*signature.inputs, *signature.outputs)]
    found = {space.name: "space" for space in spaces if isinstance(space, Var)}
    for kind, roles in _ROLES.items():  # an image's sizes come first, as they bind more
        for space in spaces:
            if isinstance(space, Space) and space.kind == kind:
                named = zip(space.dims, roles, strict=True)
                found |= {dim.name: role for dim, role in named if isinstance(dim, Var) and dim.name not in found}
    rest = [dim.name for space in spaces if isinstance(space, Space) for dim in space.dims if isinstance(dim, Var)]
    return found | {name: "dim" for name in rest if name not in found}
