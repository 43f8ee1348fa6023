"""``show``: everything about one component, or the text of a recipe."""

from __future__ import annotations

from typing import Annotated

import typer

from latentkit.errors import RegistryError, nearest
from latentkit.registry.manager import Registry, default_registry
from latentkit_cli.options import AsJson
from latentkit_cli.output import emit

Name = Annotated[str, typer.Argument(metavar="NAME", help="A component (PLUGIN.NAME, or NAME of core) or a recipe.")]


def show(name: Name, as_json: AsJson = False) -> None:
    """Show one component, or print a recipe.

    Of a component: what it is, its paper, ports, and options with types and defaults. A recipe is printed as it is,
    ready to be saved and changed.

    \b
    Example:
      latentkit show alae.mlp-encoder
      latentkit show r1
      latentkit show ogan > mine.toml
    """
    registry = default_registry()
    if name in registry.recipes:
        _recipe(registry, name, as_json)
        return
    _require(registry, name)
    from latentkit_cli.component import as_text, described

    component = described(registry, name)
    emit(component.record()) if as_json else typer.echo(as_text(component))


def _recipe(registry: Registry, name: str, as_json: bool) -> None:
    path = registry.recipes[name]
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise RegistryError(f"recipe '{name}' of plugin '{registry.recipe_owner[name]}': {error}") from None
    if as_json:
        emit({"name": name, "plugin": registry.recipe_owner[name], "file": str(path), "text": text})
    else:
        typer.echo(text, nl=False)


def _require(registry: Registry, name: str) -> None:
    """Names that are neither a recipe's nor a component's: the nearest of either, whatever their plugin."""
    full = name if "." in name else f"core.{name}"
    owner = registry.plugins.get(full.partition(".")[0])
    if full in registry.entries or (owner is not None and owner.fault):
        return
    same = sorted(known for known in registry.entries if known.partition(".")[2] == name)
    bare = [known.removeprefix("core.") for known in registry.entries]
    hint = f"did you mean {' or '.join(map(repr, same))}?" if same else nearest(name, [*registry.recipes, *bare])
    hint = hint or "see `latentkit list` and `latentkit recipes`"
    raise RegistryError(f"no component or recipe is called '{name}'; {hint}")
