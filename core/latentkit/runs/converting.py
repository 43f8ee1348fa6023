"""A run from somebody else's checkpoint."""

from __future__ import annotations

from collections import abc
from pathlib import Path

from torch import Tensor, nn

from latentkit._building import source_of
from latentkit.engine.training import Training
from latentkit.errors import RunError
from latentkit.interfaces import Conversion
from latentkit.proof import prove
from latentkit.recipe.source import Source
from latentkit.registry.manager import Registry, default_registry
from latentkit.runs.card import write_card
from latentkit.runs.checkpoint import save
from latentkit.runs.folder import Folder, default_folder
from latentkit.runs.foreign import read_checkpoint
from latentkit.runs.lifecycle import Say
from latentkit.runs.loading import load, save_model
from latentkit.runs.observing import write_pictures
from latentkit.runs.origin import Origin
from latentkit.runs.run import Run
from latentkit.wiring.assemble import assemble

State = abc.Mapping[str, Tensor]


def convert(
    name: str,
    checkpoint: str | Path,
    out: str | Path | None = None,
    *,
    overrides: abc.Mapping[str, object] | None = None,
    registry: Registry | None = None,
    say: Say | None = None,
) -> Run:
    """Make a run folder from a checkpoint that another program wrote.

    The folder is as after a training: ``lk.load`` reads it, and ``lk.train(None, out, resume=True)`` continues it on
    the recipe's data, with optimizers that start afresh. Of the checkpoint nothing is imported or executed.

    Args:
        name: of a converter; plugins bring them.
        checkpoint: a .safetensors file, or one of ``torch.save`` (.pth, .pt; the old format too).
        out: the run folder; ``runs/RECIPE-NN`` by default.
        overrides: dotted keys to values, over what the converter reads from the file; the data of a later training,
            say.
        registry: where converters and components are found.
        say: told in one sentence what a user should know.

    Returns:
        The run; its model is on the averaged weights where the recipe averages.

    Raises:
        RegistryError: no such converter.
        RunError: the file cannot be read, is not what the converter knows, or asks for more than weights; the
            weights do not fit the recipe; the folder cannot be used.
        RecipeError: the overrides make a recipe that has problems.
    """
    registry, say = registry or default_registry(), say or (lambda _: None)
    converter = registry.converter(name)
    if out is not None:
        _check_free(Folder(Path(out)))
    found = read_checkpoint(Path(checkpoint))
    try:
        conversion = converter.convert(found.content, found.metadata)
        source = source_of(conversion.recipe, {**conversion.overrides, **(overrides or {})}, registry)
        training = _training(source, conversion, registry)
    except RunError as error:
        raise RunError(f"{found.path}: {error}") from None
    for note in conversion.notes:
        say(note)
    owner = registry.converters[name].name.partition(".")[0]
    plugin = f"{owner} {registry.plugins[owner].version}"
    origin = Origin(
        converter=name, plugin=plugin, file=found.path.name, sha256=found.sha256, step=conversion.step,
        notes=conversion.notes,
    )  # fmt: skip
    return _written(Folder(Path(out) if out is not None else default_folder(source.name)), training, origin, registry)


def _check_free(folder: Folder) -> None:
    if folder.path.exists() and not (folder.path.is_dir() and not any(folder.path.iterdir())):
        raise RunError(f"{folder.path}: exists already and is not an empty folder; choose another --out")


def _training(source: Source, conversion: Conversion, registry: Registry) -> Training:
    """The converted weights in a training that has not begun."""
    wiring = assemble(source, registry)
    prove(wiring, registry).raise_for_problems()
    training = Training(wiring, registry)
    weighted = {part: module for part, module in training.modules.items() if module.state_dict()}
    _check_names("weights", conversion.weights, weighted, required=True)
    for part, module in weighted.items():
        _fill(module, conversion.weights[part], part)
    _check_names("averages", conversion.averages, training.averages)
    for name, average in training.averages.items():
        given = conversion.averages.get(name, {})
        _check_names(f"average '{name}'", given, average.averaged)
        for part, module in average.averaged.items():
            state = given.get(part)
            _fill(module, training.modules[part].state_dict() if state is None else state, f"{name}.{part}")
    _check_names("states", conversion.states, training.states)
    for name, value in conversion.states.items():
        mine = training.states[name]
        if mine.shape != value.shape:
            raise RunError(f"the state '{name}' has the shape {list(value.shape)}; the recipe's has {list(mine.shape)}")
        mine.copy_(value)
    training.step_count, training.images = conversion.step, conversion.images
    training.positions = dict.fromkeys(wiring.data, 0)
    return training


def _check_names(what: str, given: abc.Collection[str], known: abc.Collection[str], required: bool = False) -> None:
    extra = sorted(set(given) - set(known))
    missing = sorted(set(known) - set(given)) if required else []
    if extra:
        raise RunError(f"the conversion has {what} of {', '.join(extra)}, which the recipe does not have")
    if missing:
        raise RunError(f"the conversion has no {what} of {', '.join(missing)}, which the recipe has")


def _fill(module: nn.Module, given: State, where: str) -> None:
    own = module.state_dict()
    missing, extra = sorted(own.keys() - given.keys()), sorted(given.keys() - own.keys())
    wrong = [
        f"'{key}' is {list(given[key].shape)} and not {list(own[key].shape)}"
        for key in own
        if key in given and given[key].shape != own[key].shape
    ]
    facts = [f"there is no '{key}'" for key in missing] + [f"'{key}' has no place" for key in extra] + wrong
    if facts:
        more = f", and {len(facts) - 3} more" if len(facts) > 3 else ""
        raise RunError(f"the weights of '{where}' do not fit the recipe: {'; '.join(facts[:3])}{more}")
    for key, value in given.items():
        if value.is_floating_point() and not bool(value.isfinite().all()):
            raise RunError(f"the weights of '{where}' are damaged: '{key}' has numbers that are not finite")
    module.load_state_dict(dict(given))


def _written(folder: Folder, training: Training, origin: Origin, registry: Registry) -> Run:
    wiring = training.wiring
    owners = sorted({name.partition(".")[0] for name in wiring.components} - {"core"})
    versions = {"latentkit": registry.plugins["core"].version}
    versions |= {f"plugin {owner}": registry.plugins[owner].version for owner in owners}
    folder.create()
    recipe = folder.write_recipe(wiring.source.tables, versions)
    folder.cut_metrics(-1, 1)
    origin.write(folder.path)
    save(folder.path, training, versions, recipe, wiring.recipe.train.keep_checkpoints)
    save_model(folder.model, training, recipe)
    write_card(folder, wiring, training, versions, 0.0)
    model = load(folder.path, registry=registry)
    write_pictures(model, folder, {})
    return Run(folder.path, model, [], 0.0)
