"""A recipe made small enough to be trained in a moment; no flow and no phase changes."""

from __future__ import annotations

import time
from collections import abc

import attrs

import latentkit as lk
from latentkit._building import source_of, wired
from latentkit.errors import LatentkitError
from latentkit.recipe.merging import COMMON_DATA_OPTIONS
from latentkit.recipe.source import Source
from latentkit.recipe.staged_values import flat_paths
from latentkit.recipe.staging import stages
from latentkit.testing.checks import Nonconforming, NotExercised
from latentkit.testing.roles import roles_are_evaluated
from latentkit.testing.stand_ins import PLUGIN
from latentkit.testing.workplace import Workplace
from latentkit.wiring.wiring import Wiring

NARROW = 8
"""What large whole numbers of parts become."""
SIDES = (8, 16, 32, 0)
"""Sides of images that are tried; 0 is the recipe's own."""
BATCH = 4
HALF = 3
"""Steps of half a run."""
PATIENCE = 10.0
"""Seconds that a thorough check may take; a recipe that is slower when it is small is not trained here."""
Overrides = dict[str, object]


def narrow(workplace: Workplace, name: str) -> Source:
    """The recipe with stand-ins for its data, and as small as its parts allow.

    Raises:
        NotExercised: nothing small was found, or it takes too long.
        Nonconforming: the overrides of its example are refused.
    """
    registry = workplace.registry
    given = workplace.example(name).options
    wiring = wired(name, given, registry)
    mine = {key: value for key, value in given.items() if not _of_its_source(key)}
    problem = ""
    for side in SIDES:
        least: Source | None = None
        for widths in _widths(wiring):
            try:
                smaller = {**_common(), **short_stages(wiring.source.whole, side), **_data(wiring, side), **widths}
                source = source_of(name, {**smaller, **mine}, registry)
                _look(source, workplace)
                least = least or source
                roles_are_evaluated(lk.compose(source, registry=registry))
            except LatentkitError as error:
                problem = problem or str(error)
            except Nonconforming:  # perhaps because of the widths
                continue
            else:
                return source
        if least is not None:
            return least
    if mine:
        raise Nonconforming(f"with the overrides of its example: {problem}")
    raise NotExercised(f"it cannot be made small ({problem}); give overrides in latentkit_examples")


def _of_its_source(key: str) -> bool:
    """Whether an override is an option of a data source alone, in whose place there is a stand-in."""
    names = key.split(".")
    return names[0] == "data" and names[-1] not in COMMON_DATA_OPTIONS


def _look(source: Source, workplace: Workplace) -> None:
    """Check a recipe thoroughly.

    Raises:
        RecipeError: it has problems.
        NotExercised: it is slow.
    """
    start = time.perf_counter()
    lk.check(source, thorough=True, registry=workplace.registry).raise_for_problems()
    seconds = time.perf_counter() - start
    if seconds > PATIENCE:
        fact = f"a check of it made small takes {seconds:.0f} s"
        raise NotExercised(f"{fact}; give overrides in latentkit_examples")


def _common() -> Overrides:
    train: Overrides = {"batch": BATCH, "steps": 2 * HALF, "sample_every": 0, "log_every": 1}
    train |= {"checkpoint_every": HALF, "keep_checkpoints": 2}
    return {f"train.{key}": value for key, value in train.items()}


def short_stages(source: Source, side: int) -> Overrides:
    """Stages of one step each, of those whose images are not larger."""
    given = source.tables.get("stage")
    if not isinstance(given, list):
        return {}
    short: list[dict[str, object]] = []
    for stage, table in zip(stages(source), given, strict=True):
        data = stage.source.tables.get("data")
        if short and side and isinstance(data, dict) and _longest(data.get("resolution")) > side:
            break
        sets = {path: value for path, value in flat_paths(table.get("set", {})).items() if path != "train.batch"}
        short.append({"steps": 1, "set": sets, "reset": table.get("reset", [])})
    return {"stage": short}


def _longest(resolution: object) -> int:
    """The longer side of images; 0 where none is stated."""
    sides = resolution if isinstance(resolution, list) else [resolution]
    return max((side for side in sides if isinstance(side, int)), default=0)


def _data(wiring: Wiring, side: int) -> Overrides:
    """Stand-ins with the fields, classes and channels of the recipe's sources."""
    found: Overrides = {}
    spaces = {node.value: space for node, space in wiring.spaces.items() if node.is_source("data")}
    for name, spec in wiring.recipe.data.items():
        start, source = "data" if name == "data" else f"data.{name}", wiring.data[name]
        channels, *sides = spec.image_size(source)
        others = [value for value, field in spec.gives.items() if field not in ("image", "label")]
        widths = [space.dims[0] for value in others if (space := spaces.get(("data", value))) is not None]
        found |= {
            f"{start}.use": f"{PLUGIN}.samples",
            f"{start}.fields": list(source.offers()),
            f"{start}.labels": source.classes() or 3,
            f"{start}.resolution": side or sides,
            f"{start}.channels": channels,
        }
        found |= {f"{start}.width": width for width in widths if isinstance(width, int)}
        found |= {} if isinstance(spec.split, int | float) else {f"{start}.split": 0.75}
    return found


def _widths(wiring: Wiring) -> abc.Iterator[Overrides]:
    """Large whole numbers of parts at :data:`NARROW`: all; without those that a draw states; without sizes; none.

    A draw may count what a part has, so that the two have to agree; but mostly they are alike by chance.
    """
    whole: Overrides = {}
    every: Overrides = {}
    plain: Overrides = {}
    elsewhere = set(_numbers({"draw": wiring.source.tables.get("draw"), "state": wiring.source.tables.get("state")}))
    for name, part in wiring.parts.items():
        for field in attrs.fields(type(part)):
            value = getattr(part, field.name)
            stated = field.name in wiring.recipe.parts[name].options
            if type(value) is not int or value <= NARROW or (field.default is None and not stated):
                continue
            whole[f"parts.{name}.{field.name}"] = NARROW
            if value in elsewhere:
                continue
            every[f"parts.{name}.{field.name}"] = NARROW
            if field.default is not None:
                plain[f"parts.{name}.{field.name}"] = NARROW
    yield whole
    if every != whole:
        yield every
    if plain != every:
        yield plain
    if plain:
        yield {}


def _numbers(value: object) -> abc.Iterator[int]:
    if type(value) is int:
        yield value
    elif isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _numbers(item)
