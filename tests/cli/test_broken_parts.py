"""Recipes whose fault lies inside a part of somebody's package: what the expressions cannot show, `check` finds."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import abc
from pathlib import Path

import pytest

PARTS = '''
import attrs, torch
import latentkit as lk
from torch import nn

SHARED = {}
LAYERS = []


class Cut(nn.Linear):
    def forward(self, h):
        with torch.no_grad():
            return super().forward(h)


class Meddle(nn.Linear):
    def forward(self, h):
        with torch.no_grad():
            for layer in LAYERS[:1]:
                layer.weight.data.mul_(1.01)
        return super().forward(h)


class Mix(nn.Module):
    def forward(self, h):
        return h - h.mean(0)


def shared(dim):
    return SHARED.setdefault(str(torch.empty(0).device), nn.Linear(dim, dim))


def meddle(dim):
    made = Meddle(dim, dim)
    if made.weight.device.type != "meta":
        LAYERS.append(made)
    return made


MAKE = {
    "shared": shared, "meddle": meddle, "cut": lambda dim: Cut(dim, dim), "mix": lambda dim: Mix(),
    "size": lambda dim: nn.Linear(dim, dim - 1), "drop": lambda dim: nn.Dropout(), "raise": lambda dim: 1 / 0,
}


@attrs.frozen(kw_only=True)
class Part(lk.Mapping):
    """A mapping with a fault."""

    ports = "h: latent[dim] -> g: latent[dim]"
    independent = True
    dim: int | None = None
    fault: str = attrs.field(validator=attrs.validators.in_(MAKE))

    def build(self):
        return MAKE[self.fault](self.dim)


@lk.hookimpl
def latentkit_components():
    return {"part": Part}
'''
RECIPE = """extends = "alae-mlp"
parts.G.hidden = 16
parts.E.hidden = 16
data.resolution = 8
draw.z.dim = 6
"""
FAULTS = {
    "doubly owned parameter": (
        'parts.A = { use = "faulty.part", fault = "shared" }\nparts.B = { use = "faulty.part", fault = "shared" }\n'
        'flow.w = "B(A(F(z)))"\nphase.generate.train = ["F", "G", "A"]\nphase.reciprocate.train = ["E", "G", "F", "B"]',
        ("line 7, [parts] B: B.weight and A.weight are one tensor, so training one part changes the other",
         "build() must make new modules; to share weights, use one part twice in the flow"),
    ),
    "leak into another part": (
        'parts.A = { use = "faulty.part", fault = "meddle" }\n'
        'parts.B = { use = "faulty.part", fault = "meddle", frozen = true }\nflow.real = "D(B(A(E(x))))"\n'
        'phase.discriminate.train = ["E", "D", "A"]',
        ("line 6, [parts] A: weights of 'A' changed in a phase that does not train it",),
    ),
    "perceptual term without gradient": (
        'parts.C = { use = "faulty.part", fault = "cut", frozen = true }\n'
        'phase.generate.loss.perceptual = { use = "l2", of = "C(E(x_fake))", to = "C(E(x))" }',
        ("line 7, [phase.generate] loss.perceptual: no gradient of this term arrives at a part that the phase trains",
         "C cuts the way: no_grad(), detach() or .data inside the part"),
    ),
    "samples that are not independent": (
        'parts.M = { use = "faulty.part", fault = "mix" }\nflow.w = "M(F(z))"',
        ("line 6, [parts] M: 'M': declares independent = True, but a sample's result depends on the others",
         "let Part declare independent = False"),
    ),
    "dropout that is not declared": (
        'parts.M = { use = "faulty.part", fault = "drop" }\nflow.w = "M(F(z))"',
        ("line 6, [parts] M: 'M': draws random numbers of its own, but does not declare it",
         "let Part declare stochastic = True"),
    ),
    "result of other sizes": (
        'parts.S = { use = "faulty.part", fault = "size" }\nphase.generate.train = ["F", "G", "S"]\n'
        'phase.generate.loss.size = "mean(square(S(w)))"',
        ('line 8, [phase.generate] loss.size = "mean(square(S(w)))": declares latent[6], but its result has',),
    ),
    "build that raises": (
        'parts.M = { use = "faulty.part", fault = "raise" }\nflow.w = "M(F(z))"',
        ("line 6, [parts] M: faulty.part cannot be built with these sizes: ZeroDivisionError: division by zero",),
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder like site-packages, with one package in it."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "latentkit_faulty.py").write_text(PARTS)
    info = folder / "latentkit_faulty-0.1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: latentkit-faulty\nVersion: 0.1\n")
    (info / "entry_points.txt").write_text("[latentkit]\nfaulty = latentkit_faulty\n")
    return folder


def written(folder: Path, fault: str) -> Path:
    path = folder / "mine.toml"
    path.write_text(RECIPE + FAULTS[fault][0] + "\n")
    return path


@pytest.mark.parametrize("fault", sorted(FAULTS))
def test_a_fault_inside_a_part_is_told_with_the_line_that_uses_it(
    fault: str, package: Path, tmp_path: Path, latentkit: abc.Callable[..., object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(package))
    for name in [name for name in sys.modules if name == "latentkit_faulty"]:
        monkeypatch.delitem(sys.modules, name)
    done = latentkit("check", written(tmp_path, fault))
    assert done.code == 2, done.err  # type: ignore[attr-defined]
    for text in FAULTS[fault][1]:
        assert text in done.err, done.err  # type: ignore[attr-defined]
    assert "Traceback" not in done.err  # type: ignore[attr-defined]


@pytest.mark.slow
@pytest.mark.parametrize("fault", sorted(FAULTS))
def test_it_is_told_within_three_seconds_from_the_start(fault: str, package: Path, tmp_path: Path) -> None:
    path = written(tmp_path, fault)
    paths = os.pathsep.join([str(package), *filter(None, [os.environ.get("PYTHONPATH")])])
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "latentkit", "check", path.name], cwd=tmp_path, env={**os.environ, "PYTHONPATH": paths},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    taken = time.perf_counter() - start
    assert done.returncode == 2
    assert f"mine.toml, {FAULTS[fault][1][0]}" in done.stderr
    assert taken < 3, f"{fault}: {taken:.1f} s"
