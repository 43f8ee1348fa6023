"""What can be told of one component: from its class, and from the source for what classes do not keep."""

from __future__ import annotations

import ast
import inspect
import itertools
import textwrap
import typing
from collections import abc

import attrs

from latentkit.interfaces import Part
from latentkit.ports import parse_ports
from latentkit.recipe import schema
from latentkit.recipe.writing import to_toml
from latentkit.registry.manager import Registry
from latentkit_cli.output import heading, plain, rows

_TABLES: dict[str, tuple[str, type]] = {
    "data": ("[data]", schema.DataSpec), "prior": ("[draw]", schema.DrawSpec),
    "loss": ("[phase.*.loss]", schema.TermSpec),
    "regularizer": ("[phase.*.loss]", schema.TermSpec), "optimizer": ("[optimizer]", schema.OptimizerSpec),
    **dict.fromkeys(("mapping", "generator", "encoder", "discriminator", "function"), ("[parts]", schema.PartSpec)),
}  # fmt: skip


@attrs.frozen
class Option:
    """One option: its default as a recipe writes it; empty where the flow determines it or it must be given."""

    name: str
    type: str
    default: str
    required: bool
    doc: str


@attrs.frozen
class Component:
    """One component, as text."""

    name: str
    kind: str
    plugin: str
    title: str
    paper: str
    target: str
    doc: str
    ports: str
    entries: dict[str, str]
    options: tuple[Option, ...]
    common: tuple[str, tuple[str, ...]]
    """The place in a recipe, and the keys that everything there takes."""

    def record(self) -> dict[str, object]:
        """For JSON."""
        return {**attrs.asdict(self), "common": list(self.common[1])}


def described(registry: Registry, name: str) -> Component:
    """Import a component and describe it.

    Raises:
        RegistryError: no such component, or it cannot be imported.
    """
    entry, part_type = registry.find(name), registry.load(name)
    plugin = registry.plugins[entry.name.partition(".")[0]]
    kind = str(getattr(part_type, "kind", entry.kind))
    place, spec = _TABLES.get(kind, ("", None))
    keys = [field.name for field in attrs.fields(spec)] if spec else []
    return Component(
        name=entry.name, kind=kind, plugin=plugin.name, title=plugin.title, paper=plugin.paper,
        target=entry.target if isinstance(entry.target, str) else f"{part_type.__module__}:{part_type.__qualname__}",
        doc=inspect.cleandoc(part_type.__doc__ or ""), ports=part_type.ports if issubclass(part_type, Part) else "",
        entries=dict(part_type.entries) if issubclass(part_type, Part) else {}, options=tuple(_options(part_type)),
        common=(place, tuple(key for key in keys if key not in ("use", "options", "parts"))),
    )  # fmt: skip


def _options(part_type: type) -> abc.Iterator[Option]:
    docs = _field_docs(part_type)
    hints = _hints(part_type)
    sizes = _open_sizes(part_type) if issubclass(part_type, Part) else frozenset()
    for field in attrs.fields(part_type):
        required = field.default is attrs.NOTHING
        default = getattr(field.default, "factory", lambda value=field.default: value)()
        doc = docs.get(field.name, "")
        if field.name in sizes and default is None:
            doc = " ".join(filter(None, [doc, "Inferred where it is left out."]))
        yield Option(
            field.name, _type(hints.get(field.name, field.type)), "" if required else _toml(default), required, doc
        )
    for name, parameter in inspect.signature(getattr(part_type, "function", lambda: None)).parameters.items():
        if str(parameter.annotation).endswith("Scalar"):
            required = parameter.default is inspect.Parameter.empty
            default = "" if required else _toml(parameter.default)
            yield Option(name, "scalar", default, required, "A number, a schedule, or an expression.")


def _open_sizes(part_type: type[Part]) -> frozenset[str]:
    texts = [part_type.ports, *part_type.entries.values()]
    signatures = [parse_ports(text, {}) for text in texts if text]
    ports = [port for signature in signatures for port in (*signature.inputs, *signature.outputs)]
    return frozenset(str(getattr(dim, "name", "")) for port in ports for dim in getattr(port.space, "dims", ()))


def _hints(part_type: type) -> dict[str, object]:
    try:
        return dict(typing.get_type_hints(part_type))
    except NameError:
        return {}  # a name that only a type checker sees


def _type(annotation: object) -> str:
    if typing.get_origin(annotation) is typing.Literal:
        return " | ".join(_toml(choice) for choice in typing.get_args(annotation))
    if isinstance(annotation, type) and not typing.get_args(annotation):
        return annotation.__name__
    return str(annotation).replace("latentkit.recipe.quantities.", "")


def _toml(value: object) -> str:
    return "" if value is None else to_toml({"v": value}).strip().removeprefix("v = ")


def _field_docs(part_type: type) -> dict[str, str]:
    """The strings below fields, which Python itself drops."""
    try:
        (tree,) = ast.parse(textwrap.dedent(inspect.getsource(part_type))).body
    except (OSError, TypeError, SyntaxError, ValueError):
        return {}  # a class that was made, not written
    if not isinstance(tree, ast.ClassDef):
        return {}
    found = {}
    for field, text in itertools.pairwise(tree.body):
        match field, text:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str() as doc)):
                found[name] = " ".join(doc.split())
    return found


def as_text(component: Component) -> str:
    """A page for people."""
    plugin = "  ".join(filter(None, [component.plugin, component.title]))
    facts = [("kind", component.kind), ("plugin", plugin), ("paper", component.paper), ("source", component.target)]
    flow = [("ports", component.ports), *((f".{name}", ports) for name, ports in component.entries.items())]
    facts += [fact for fact in flow if fact[1]]
    blocks = [heading(component.name), plain(component.doc), rows([fact for fact in facts if fact[1]], indent="")]
    if component.options:
        table = [(item.name, item.type, _default(item), plain(item.doc)) for item in component.options]
        blocks.append(heading("options") + "\n" + rows([("name", "type", "default", ""), *table]))
    place, keys = component.common
    if keys:
        blocks.append(f"Everything in {place} also takes: {', '.join(keys)}.")
    return "\n\n".join(filter(None, blocks))


def _default(option: Option) -> str:
    return "required" if option.required else option.default or "-"
