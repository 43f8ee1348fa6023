"""What ships, by kind and ports, as choices of the axes."""

from __future__ import annotations

import typing
from collections import abc

import attrs

from composition.axes import AXES, LATENT, PARTNERS, PENALTIES, RANGES, REAL, SIDES, STATED, Axes, Choice, Side
from latentkit.interfaces import Part
from latentkit.ports import Port, parse_ports
from latentkit.registry.catalogue import Entry
from latentkit.registry.manager import Registry
from latentkit.spaces import Space

NARROW = 8
"""What larger whole numbers among the options of a part become: widths, mostly."""
FEW = 1e-3
"""What a loss is given that wants a number; free bits, say, and below as many there is no gradient."""
NONE = Choice("none", form="none", alike="none")
_LOOKS = {("image",): "image", ("latent",): "code", ("image", "latent"): "pair"}


def shipped_axes(registry: Registry) -> tuple[Axes, dict[str, str]]:
    """The choices of every axis, and the components of these kinds that are on none, each with the reason."""
    reader = _Reader(registry)
    ranges = tuple(Choice(name, options={"range": list(limits)}, alike=name) for name, limits in RANGES.items())
    axes = {
        "encoder": reader.encoders(), "generator": reader.generators(), "range": ranges, "prior": reader.priors(),
        "discriminator": reader.discriminators(), "adversarial": reader.pairs(),
        "reciprocity": (NONE, *reader.reciprocities()), "regularizer": (NONE, *reader.regularizers()),
    }  # fmt: skip
    return {axis: tuple(axes[axis]) for axis in AXES}, reader.left_out


class _Reader:
    """Reads the registry, of which only what the project itself brings."""

    def __init__(self, registry: Registry) -> None:
        self.registry = registry
        self.left_out: dict[str, str] = {}
        ports = {entry.name: _inputs(cls) for entry, cls in self.shipped("loss")}
        self.critics = [name for name, kinds in ports.items() if kinds == {"real": "score", "fake": "score"}]
        self.players = [name for name, kinds in ports.items() if kinds == {"fake": "score"}]
        self.on_scores = [name for name, kinds in ports.items() if kinds == {"of": "score"}]

    def entries(self, kind: str) -> abc.Iterator[Entry]:
        plugins = self.registry.plugins
        for entry in self.registry.of_kind(kind):
            if plugins[entry.name.partition(".")[0]].origin == "built in":
                yield entry

    def shipped(self, kind: str) -> abc.Iterator[tuple[Entry, type[Part]]]:
        for entry in self.entries(kind):
            yield entry, self.part(entry.name)

    def part(self, name: str) -> type[Part]:
        found = self.registry.load(name)
        assert issubclass(found, Part)
        return found

    def encoders(self) -> abc.Iterator[Choice]:
        """All; how they are used depends on whether they give a posterior."""
        for entry, cls in self.shipped("encoder"):
            form = "posterior" if _outputs(cls) == ["posterior"] else "code"
            yield _choice(entry.name, cls, form)

    def generators(self) -> abc.Iterator[Choice]:
        """All, and where an option decides on the range of the images, with each of its values."""
        for entry, cls in self.shipped("generator"):
            for suffix, option in _ranges(cls).items():
                made = cls(**option).sizes().get("range")
                form = next((text for text, limits in RANGES.items() if limits == made), "")
                plain = _choice(f"{entry.name} {suffix}".strip(), cls, form, entry.name)
                yield attrs.evolve(plain, options=plain.options | option, alike=(plain.alike, suffix))

    def discriminators(self) -> abc.Iterator[Choice]:
        """Those that judge images, codes, or pairs of both, by a score or, of images, by a map of scores."""
        for entry, cls in self.shipped("discriminator"):
            form = _LOOKS.get(tuple(_inputs(cls).values()), "")
            gives = _outputs(cls)
            if gives == ["score"] and form:
                yield _choice(entry.name, cls, form)
            elif gives == ["map"] and form == "image":
                yield _choice(entry.name, cls, "image map")
            else:
                self.left_out[entry.name] = f"a discriminator with the ports {cls.ports}"

    def priors(self) -> abc.Iterator[Choice]:
        for entry in self.entries("prior"):
            cls: typing.Any = self.registry.load(entry.name)
            sizes = [field.name for field in attrs.fields(cls) if field.name == "dim" or field.default is attrs.NOTHING]
            options = STATED.get(entry.name) or dict.fromkeys(sizes, LATENT)
            try:
                space = cls(**options).space()
            except (TypeError, ValueError) as error:
                self.left_out[entry.name] = f"a prior that cannot be made of {options}: {error}"
            else:
                yield Choice(entry.name, entry.name, options=dict(options), alike=str(space))

    def pairs(self) -> abc.Iterator[Choice]:
        """The two sides of an adversarial loss: those of one name, and those that are declared."""
        used = set()
        for player in self.players:
            critic = PARTNERS.get(player, player.replace("-generator", "-discriminator"))
            if critic not in self.critics:
                self.left_out[player] = f"no loss is called '{critic}', and no other side is declared"
                continue
            used.add(critic)
            name = player.removeprefix("core.").removesuffix("-generator")
            alike = tuple(_alike(side, self.part(side)) for side in (critic, player))
            yield Choice(name, options={"discriminate": critic, "generate": player}, alike=alike)
        self.left_out |= {name: "no generator's side belongs to it" for name in self.critics if name not in used}

    def reciprocities(self) -> abc.Iterator[Choice]:
        """Every loss on something else than scores, at each side where its ports can be filled."""
        for entry, cls in self.shipped("loss"):
            if entry.name in (*self.critics, *self.players, *self.on_scores):
                continue
            fits = {name: given for name, side in SIDES.items() if (given := _filled(_inputs(cls), side))}
            for side, given in fits.items():
                if "logits" in attrs.fields_dict(cls):
                    given["logits"] = None  # as the generator of the cell has it
                alike = _alike(entry.name, cls), side
                yield Choice(f"{entry.name} of {side}", entry.name, side, options=given, alike=alike)
            if not fits:
                self.left_out[entry.name] = f"a loss with the ports {cls.ports}"

    def regularizers(self) -> abc.Iterator[Choice]:
        """Penalties on gradients, scores and weights of the discriminator, and what is done to its weights."""
        for entry, cls in self.shipped("regularizer"):
            kinds, name, alike = _inputs(cls), entry.name, _alike(entry.name, cls)
            if "gradient" in kinds:
                for suffix, options in PENALTIES.get(name, {"on real": REAL}).items():
                    at = alike, options["of"], options["wrt"]
                    yield Choice(f"{name} {suffix}", name, "term", options=options, alike=at)
            elif kinds == {"of": "weights"}:
                yield Choice(name, name, "term", options={"of": "D", "weight": 1e-3}, alike=alike)
            else:
                self.left_out[name] = f"a regularizer with the ports {cls.ports}"
        for name in self.on_scores:
            options = {"of": "real", "weight": 1e-3}
            yield Choice(name, name, "term", options=options, alike=_alike(name, self.part(name)))
        yield Choice("spectral norm", form="part", options={"spectral_norm": True}, alike="spectral norm")
        for entry in self.entries("constraint"):
            yield Choice(entry.name, form="part", options={"constraint": {"use": entry.name}}, alike="constraint")


def _choice(name: str, cls: type[Part], form: str, use: str = "") -> Choice:
    narrow: dict[str, object] = {field.name: NARROW for field in attrs.fields(cls)
              if type(field.default) is int and field.default > NARROW}  # fmt: skip
    weighted = not hasattr(cls, "function")
    return Choice(name, use or name, form, weighted, narrow, _alike(use or name, cls))


def _ranges(cls: type[Part]) -> dict[str, dict[str, str]]:
    """The values of the option that decides on the range of a generator's images, if there is one."""
    for name, hint in typing.get_type_hints(cls).items():
        values = typing.get_args(hint) if typing.get_origin(hint) is typing.Literal else ()
        if len({str(cls(**{name: value}).sizes().get("range")) for value in values}) > 1:
            return {value: {name: value} for value in values}
    return {"": {}}


def _filled(kinds: dict[str, str], side: Side) -> dict[str, object]:
    """The ports of a loss with their values at a side; empty where it does not belong there."""
    values = {name: FEW if kind == "scalar" else side.values.get(name) for name, kind in kinds.items()}
    allowed = {name: {"scalar"} | (side.of if name == "of" else side.others) for name in kinds}
    fits = "of" in kinds and None not in values.values() and all(kinds[name] in allowed[name] for name in kinds)
    return dict(values) if fits else {}


def _inputs(cls: type[Part]) -> dict[str, str]:
    """The kinds of the ports that must be given, by name."""
    return {port.name: _kind(port) for port in parse_ports(cls.ports, {}).inputs if not port.optional}


def _outputs(cls: type[Part]) -> list[str]:
    return [_kind(port) for port in parse_ports(cls.ports, {}).outputs]


def _kind(port: Port) -> str:
    return port.space.kind if isinstance(port.space, Space) else ""


def _alike(name: str, cls: type[Part]) -> object:
    """What static checks see of a part: its ports. One with sizes or ports of its own making is like no other."""
    own = any("sizes" in base.__dict__ or "signatures" in base.__dict__
              for base in cls.__mro__ if issubclass(base, Part) and base is not Part)  # fmt: skip
    texts = " ".join([cls.ports, *cls.entries.values()])
    sizes = tuple(field.name for field in attrs.fields(cls) if field.default is None and field.name in texts)
    return name if own else (cls.kind, cls.ports, tuple(cls.entries.items()), sizes, hasattr(cls, "function"))
