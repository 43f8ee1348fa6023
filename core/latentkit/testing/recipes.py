"""What every recipe promises."""

from __future__ import annotations

import functools
import itertools
import math
import shutil
import tempfile
from collections import abc
from pathlib import Path
from typing import Any

import attrs
import torch
from torch import Tensor

import latentkit as lk
from latentkit._building import wired
from latentkit.engine.evaluating import evaluate
from latentkit.engine.training import Training
from latentkit.errors import LatentkitError
from latentkit.evaluation.subjects import lacks_role
from latentkit.model import Model
from latentkit.proof.synthetic import Synthetic
from latentkit.recipe.source import Source
from latentkit.runs.files import read_tensors
from latentkit.runs.observing import can_sample
from latentkit.spaces import Space
from latentkit.testing.checks import Nonconforming, NotExercised, require, said
from latentkit.testing.narrowing import HALF, narrow
from latentkit.testing.values import disagreement, floats
from latentkit.testing.workplace import Workplace, seeded
from latentkit.wiring.batching import even_batch
from latentkit.wiring.graph import ancestors

TENSORS = ("training.safetensors", "model.safetensors")
KINDS = ("samples", "reconstructions")


class Bench:
    """A recipe under test.

    Attributes:
        workplace: of its plugin.
        name: the recipe's.
    """

    def __init__(self, workplace: Workplace, name: str) -> None:
        self.workplace, self.name = workplace, name

    @functools.cached_property
    def sound(self) -> lk.Report:
        """What a check of the recipe says as it is."""
        return lk.check(self.name, registry=self.workplace.registry)

    def source(self) -> Source:
        """The recipe, made small.

        Raises:
            NotExercised: it is not sound, or cannot be made small.
        """
        if not self.sound.ok:
            raise NotExercised("it has problems: see [check]")
        return self._small

    @functools.cached_property
    def _small(self) -> Source:
        return narrow(self.workplace, self.name)

    @functools.cached_property
    def ran(self) -> Ran:
        """One run to its end, and the same continued from its middle."""
        return _ran(self.source(), self.workplace)

    def run(self) -> Ran:
        """The same, for those who look at what it wrote.

        Raises:
            NotExercised: training fails.
        """
        if self.ran.fault:
            raise NotExercised(f"{self.ran.fault}: see [trains]")
        return self.ran


@attrs.frozen
class Ran:
    """What two runs left: one in one go, one continued from its middle."""

    fault: str = ""
    missing: tuple[str, ...] = ()
    """Files that a run should have written."""
    unequal: tuple[str, ...] = ()
    """What differs between the two."""


def checks(workplace: Workplace, name: str) -> dict[str, abc.Callable[[], None]]:
    """The properties of one recipe, ready to be looked at."""
    bench = Bench(workplace, name)
    found = {
        "check": passes_its_check, "explains": explains, "roles run": roles_run,
        "phases train their own parts": phases_train_their_own_parts, "trains": trains,
        "continues exactly": continues_exactly, "writes card and pictures": writes_what_a_run_has,
    }  # fmt: skip
    return {name: functools.partial(look, bench) for name, look in found.items()}


def passes_its_check(bench: Bench) -> None:
    """``latentkit check`` has nothing against it, as it is; nor, made small, after a whole step with real numbers."""
    problems = "\n".join(map(str, bench.sound.problems))
    require(bench.sound.ok, problems)
    bench.source()


def explains(bench: Bench) -> None:
    """``latentkit explain`` names each part and phase; and it draws a flowchart."""
    bench.source()
    registry = bench.workplace.registry
    wiring = wired(bench.name, None, registry)
    for mermaid in (False, True):
        try:
            text = lk.explain(bench.name, mermaid=mermaid, registry=registry)
        except Exception as error:
            raise Nonconforming(f"explain raises {said(error)}") from error
        names = [] if mermaid else [*wiring.parts, *(phase.name for phase in wiring.phases)]
        lost = [name for name in names if name not in text]
        require(not lost, f"explain does not name {', '.join(lost)}")


def roles_run(bench: Bench) -> None:
    """Each role of ``[inference]`` gives finite values of its space, for several batches, and so do the methods."""
    model = lk.compose(bench.source(), registry=bench.workplace.registry)
    wiring = model.wiring
    for wanted in (1, 2, 5):
        batch = even_batch(wiring.graph.nodes, wanted)
        synthetic = Synthetic(wiring, batch, torch.device("cpu"), torch.float32)
        for role, node in wiring.inference.items():
            try:
                with seeded():
                    (value,) = evaluate([node], model.parts, wiring.spaces, synthetic.value)
            except Exception as error:
                raise Nonconforming(f"role '{role}', {batch} samples: raises {said(error)}") from error
            space = wiring.spaces[node]
            fault = disagreement(value, attrs.evolve(space, range=None), _samples(node, batch))
            require(not fault, f"role '{role}' is {space}, but its result is {fault}")
            finite = all(bool(tensor.isfinite().all()) for tensor in floats(value))
            require(finite, f"role '{role}', {batch} samples: is not finite")
    _methods(model)


def _samples(node: Any, batch: int) -> int | None:
    """How many samples a role gives; not told where its expression cuts or joins batches."""
    plain = all(found.op not in ("chunk", "concat", "take") for found in ancestors([node]))
    return batch if plain and any(found.is_source("data", "draw", "kept") for found in ancestors([node])) else None


def _methods(model: Model) -> None:
    """Sampling, encoding, decoding and interpolating as users do."""
    try:
        if can_sample(model):
            images = model.sample(3, seed=0)
            require(torch.equal(images, model.sample(3, seed=0)), "sample() gives other images for the same seed")
        if not lacks_role(model, "encode"):
            space = model.image_space
            x = torch.rand(3, *[dim for dim in space.dims if isinstance(dim, int)])
            code = model.encode(x)
            if "decode" in model.roles:
                require(model.decode(code).shape == x.shape, "decode() of a code has another shape than the images")
                between = model.interpolate(x[:1], x[1:2], steps=3)
                require(between.shape == (1, 3, *x.shape[1:]), "interpolate() has another shape than [1, 3, c, h, w]")
    except LatentkitError as error:
        raise Nonconforming(f"a role that should need images or nothing: {error}") from error


def phases_train_their_own_parts(bench: Bench) -> None:
    """In each execution only weights of the parts that it trains change."""
    source, registry = bench.source(), bench.workplace.registry
    wiring = wired(source, None, registry)
    training = Training(wiring, registry)
    synthetic = Synthetic(wiring, training.batch, torch.device("cpu"), torch.float32)
    data = {name: synthetic.of_space(space) for name, space in wiring.data_spaces.items()}
    seen: list[tuple[set[str], dict[str, list[Tensor]]]] = []

    def watch(program: Any, _: Any, __: Any) -> None:
        trained = {part for phase in program.plan.running for part in phase.spec.train}
        seen.append((trained, _weights(training)))

    training.watch = watch
    with seeded():
        for _ in range(2 * HALF):
            try:
                training.step({phase.name: data for phase in wiring.phases})
            except Exception as error:
                raise NotExercised(f"a step raises {said(error)}: see [trains]") from error
    seen.append((set(), _weights(training)))
    for (trained, before), (_, after) in itertools.pairwise(seen):
        changed = {
            part for part, weights in before.items() if not all(map(torch.equal, weights, after[part]))
        }  # fmt: skip
        leaked = sorted(changed - trained)
        fact = f"weights of {', '.join(leaked)} change while {', '.join(sorted(trained)) or 'nothing'} is trained"
        require(not leaked, fact)


def _weights(training: Training) -> dict[str, list[Tensor]]:
    return {name: [p.detach().clone() for p in part.parameters()] for name, part in training.modules.items()}


def trains(bench: Bench) -> None:
    """A short run ends, with finite losses."""
    require(not bench.ran.fault, bench.ran.fault)


def continues_exactly(bench: Bench) -> None:
    """A run that is continued from its middle ends as the one in one go, bit for bit."""
    unequal = bench.run().unequal
    require(not unequal, f"a continued run differs in {', '.join(unequal)}")


def writes_what_a_run_has(bench: Bench) -> None:
    """Card, recipe, figures, weights, and pictures of what the roles can show."""
    missing = bench.run().missing
    require(not missing, f"a run has not written {', '.join(missing)}")


def _ran(source: Source, workplace: Workplace) -> Ran:
    registry = workplace.registry
    with tempfile.TemporaryDirectory(dir=workplace.folder) as name, seeded():
        whole, parts = Path(name) / "whole", Path(name) / "parts"
        try:
            run = lk.train(source, whole, registry=registry)
            _cut(whole, parts)
            lk.train(out=parts, resume=True, registry=registry)
        except Exception as error:
            return Ran(fault=f"training it raises {said(error)}")
        bad = [key for line in run.metrics for key, value in line.items() if value is None or not math.isfinite(value)]
        if bad:
            return Ran(fault=f"'{bad[0]}' is not finite")
        return Ran(missing=tuple(_missing(whole, run.model)), unequal=tuple(_unequal(whole, parts)))


def _cut(whole: Path, parts: Path) -> None:
    """The folder of a run as it was in its middle: what only its end wrote is gone."""
    shutil.copytree(whole, parts)
    middle = parts / "checkpoints" / f"{HALF:08d}"
    require(middle.is_dir(), f"no checkpoint of step {HALF}")
    for file in middle.iterdir():
        shutil.copy(file, parts / file.name)
    shutil.rmtree(parts / "checkpoints")
    (parts / "model.safetensors").unlink()
    for kind in KINDS:
        shutil.rmtree(parts / kind, ignore_errors=True)


def _unequal(whole: Path, parts: Path) -> abc.Iterator[str]:
    for file in TENSORS:
        mine, theirs = (read_tensors(folder / file)[0] for folder in (whole, parts))
        differing = [key for key in mine if key not in theirs or not torch.equal(mine[key], theirs[key])]
        yield from [f"'{key}' of {file}" for key in differing[:1]]
        yield from [f"what {file} has"] if mine.keys() != theirs.keys() else []
    if (whole / "metrics.jsonl").read_text() != (parts / "metrics.jsonl").read_text():
        yield "metrics.jsonl"
    for kind in KINDS:
        drawn = [[file.read_bytes() for file in sorted((folder / kind).glob("*.png"))] for folder in (whole, parts)]
        if drawn[0] != drawn[1]:
            yield f"the {kind}"


def _missing(folder: Path, model: Model) -> abc.Iterator[str]:
    wanted = ["card.md", "recipe.toml", "metrics.jsonl", *TENSORS]
    step = f"{2 * HALF:08d}.png"
    wanted += [f"samples/{step}"] if can_sample(model) else []
    images = any(space.kind == "image" for space in model.wiring.data_spaces.values())
    wanted += [f"reconstructions/{step}"] if images and "reconstruct" in model.roles else []
    yield from (name for name in wanted if not (folder / name).is_file() or not (folder / name).stat().st_size)
