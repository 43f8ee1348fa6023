"""A short run of a recipe, and the same continued from its middle."""

from __future__ import annotations

import math
import shutil
import tempfile
from collections import abc
from pathlib import Path

import attrs
import torch

import latentkit as lk
from latentkit.model import Model
from latentkit.recipe.source import Source
from latentkit.runs.files import read_tensors
from latentkit.runs.observing import can_sample
from latentkit.testing.checks import Nonconforming, said
from latentkit.testing.narrowing import HALF
from latentkit.testing.workplace import Workplace, seeded

TENSORS = ("training.safetensors", "model.safetensors")
KINDS = ("samples", "reconstructions")


@attrs.frozen
class Trial:
    """What was found of two runs: one in one go, one continued from its middle."""

    fault: str = ""
    """What training raised; then there is nothing else."""
    missing: tuple[str, ...] = ()
    """Files that a run should have written."""
    unequal: tuple[str, ...] = ()
    """What differs between the two."""


def tried(source: Source, workplace: Workplace) -> Trial:
    """Train a recipe that has been made small."""
    registry = workplace.registry
    with tempfile.TemporaryDirectory(dir=workplace.folder) as name, seeded():
        whole, parts = Path(name) / "whole", Path(name) / "parts"
        try:
            run = lk.train(source, whole, registry=registry)
            _cut(whole, parts)
            lk.train(out=parts, resume=True, registry=registry)
        except Nonconforming as error:
            return Trial(fault=str(error))
        except Exception as error:
            return Trial(fault=f"training it raises {said(error)}")
        bad = [key for line in run.metrics for key, value in line.items() if value is None or not math.isfinite(value)]
        if bad:
            return Trial(fault=f"'{bad[0]}' is not finite")
        return Trial(missing=tuple(_missing(whole, run.model)), unequal=tuple(_unequal(whole, parts)))


def _cut(whole: Path, parts: Path) -> None:
    """The folder of a run as it was in its middle: what only its end wrote is gone."""
    shutil.copytree(whole, parts)
    middle = parts / "checkpoints" / f"{HALF:08d}"
    if not middle.is_dir():
        raise Nonconforming(f"there is no checkpoint of step {HALF}")
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
        yield from [f"the names in {file}"] if mine.keys() != theirs.keys() else []
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
