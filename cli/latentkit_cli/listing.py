"""``list``, ``recipes``, ``plugins``: what is installed, read from catalogues without importing components."""

from __future__ import annotations

import textwrap
from itertools import groupby
from typing import Annotated

import typer

from latentkit.errors import RegistryError, nearest
from latentkit.registry.catalogue import KINDS, Entry
from latentkit.registry.manager import Registry, default_registry
from latentkit.registry.quarantine import PluginInfo
from latentkit_cli.options import AsJson
from latentkit_cli.output import emit, heading, plain, rows

Kind = Annotated[str | None, typer.Argument(metavar="KIND", help=f"One of: {', '.join(KINDS)}.", show_default=False)]


def components(kind: Kind = None, as_json: AsJson = False) -> None:
    """List the components that a recipe can `use`.

    \b
    Example:
      latentkit list
      latentkit list loss
    """
    if kind is not None and kind not in KINDS:
        hint = nearest(kind, KINDS)
        raise RegistryError(f"no kind of component is called '{kind}'; {hint or 'known: ' + ', '.join(KINDS)}")
    registry = default_registry()
    order = [*KINDS, None]
    found = sorted(registry.of_kind(kind), key=lambda entry: order.index(entry.kind))
    if as_json:
        emit([_entry(entry) for entry in found])
        return
    width = max((len(entry.name) for entry in found), default=0)
    for group, members in groupby(found, key=lambda entry: entry.kind):
        typer.echo(heading(group or "other"))
        typer.echo(rows([(entry.name, plain(entry.summary())) for entry in members], widths=[width]) + "\n")
    if not found:
        typer.echo(f"Nothing of kind '{kind}' is installed.")
    else:
        typer.echo("`latentkit show NAME` has the options of a component. The prefix `core.` may be left out.")


def _entry(entry: Entry) -> dict[str, object]:
    plugin = entry.name.partition(".")[0]
    return {"name": entry.name, "kind": entry.kind, "plugin": plugin, "summary": plain(entry.summary())}


def recipes(as_json: AsJson = False) -> None:
    """List the recipes of the installed plugins.

    \b
    Example:
      latentkit recipes
      latentkit compose ogan
    """
    registry = default_registry()
    by_plugin = sorted(registry.recipes, key=lambda name: registry.recipe_owner[name])
    if as_json:
        emit([
            {"name": name, "plugin": registry.recipe_owner[name], "summary": registry.notes.get(name, ""),
             "file": str(registry.recipes[name])}
            for name in by_plugin
        ])  # fmt: skip
        return
    width = max(map(len, by_plugin), default=0)
    for plugin, names in groupby(by_plugin, key=lambda name: registry.recipe_owner[name]):
        info = registry.plugins[plugin]
        typer.echo(heading(plugin) + "  " + "  ".join(filter(None, [info.title, info.paper])))
        typer.echo(rows([(name, registry.notes.get(name, "")) for name in names], widths=[width]) + "\n")
    typer.echo("`latentkit compose NAME` trains one, `latentkit explain NAME` says what it does,")
    typer.echo("`latentkit show NAME` prints it.")


def plugins(as_json: AsJson = False) -> None:
    """List the installed plugins.

    Of those that cannot be used, say what is wrong.

    \b
    Example:
      latentkit plugins
    """
    registry = default_registry()
    if as_json:
        emit([_plugin(registry, info) for info in registry.plugins.values()])
        return
    well = [info for info in registry.plugins.values() if not info.fault]
    header = ("plugin", "version", "from", "components", "recipes", "what it is")
    table = [header, *[(info.name, info.version, info.origin, *_counts(registry, info), info.title) for info in well]]
    head, _, body = rows(table).partition("\n")
    typer.echo(heading(head) + "\n" + body)
    converting = [(name, plain(registry.converters[name].summary())) for name in sorted(registry.converters)]
    if converting:
        typer.echo(f"\n{heading('converters of foreign checkpoints')}\n{rows(converting)}")
    for info in registry.plugins.values():
        if info.fault:
            why = textwrap.indent("\n".join(filter(None, [info.fault, info.remedy])), "  ")
            typer.echo(f"\n{heading(info.name)} {info.version} from {info.origin} cannot be used:\n{why}")


def _counts(registry: Registry, info: PluginInfo) -> tuple[str, str]:
    if info.fault:
        return "0", "0"  # another plugin may have its name
    owned = [name for name in registry.entries if name.partition(".")[0] == info.name]
    return str(len(owned)), str(list(registry.recipe_owner.values()).count(info.name))


def _converters(registry: Registry, info: PluginInfo) -> list[str]:
    return [bare for bare, entry in registry.converters.items() if entry.name.startswith(f"{info.name}.")]


def _plugin(registry: Registry, info: PluginInfo) -> dict[str, object]:
    owned, shipped = _counts(registry, info)
    return {
        "name": info.name, "version": info.version, "from": info.origin, "title": info.title, "paper": info.paper,
        "components": int(owned), "recipes": int(shipped), "fault": info.fault or None,
        "converters": _converters(registry, info), "remedy": info.remedy or None,
    }  # fmt: skip
