"""The axes of the matrix: what ships, by kind and ports, and in which place of a system each component can stand."""

from __future__ import annotations

import typing
from collections import abc

import attrs

from latentkit.interfaces import Component, Part, Prior
from latentkit.ports import Port, Signature, parse_ports
from latentkit.registry.catalogue import Entry
from latentkit.registry.manager import Registry
from latentkit.spaces import Space

ANY = frozenset({"", "tensor"})
LATENT = 8
"""Coordinates of a latent, and the size of whatever else must be stated."""
NARROW = 8
"""What larger whole numbers among a part's options become: widths, mostly."""
RANGES = {"[-1, 1]": (-1.0, 1.0), "[0, 1]": (0.0, 1.0)}

# Declared, because ports do not tell it.
STATED: dict[str, dict[str, object]] = {"core.mixture": {"means": [[-1.0] * LATENT, [1.0] * LATENT]}}
"""Options without which a prior cannot be made."""
PARTNERS = {"core.saturating-generator": "core.logistic-discriminator"}
"""The discriminator's side of a generator's, where it is not the one of the same name."""
PENALTIES: dict[str, dict[str, dict[str, object]]] = {
    "core.r1": {
        "on real (R1)": {"of": "real", "wrt": "x"},
        "on fakes (R2)": {"of": "fake", "wrt": "x_fake"},
    },
    "core.gradient-penalty": {
        "two-sided": {"of": "mixed", "wrt": "x_mix"},
        "one-sided": {"of": "mixed", "wrt": "x_mix", "one_sided": True},
        "zero-centred": {"of": "mixed", "wrt": "x_mix", "center": 0.0},
    },
    "core.input-gradient": {"of D's loss": {"of": "softplus(-real)", "wrt": "x"}},
}
"""Where a penalty on a gradient is taken, and its options; one that is not named here is taken on real samples."""


@attrs.frozen
class Side:
    """Where reciprocity is asked for."""

    of: frozenset[str]
    """Kinds of a loss's port ``of`` ("" is any space)."""
    others: frozenset[str]
    """Kinds of its other ports."""
    values: dict[str, str]
    """What each port is given, by its name."""


SIDES = {
    "pixels": Side(ANY | {"image"}, ANY | {"image"}, {"of": "x_rec", "to": "x"}),
    "latents": Side(
        ANY | {"latent", "features"}, ANY | {"latent", "features", "label"},
        {"of": "h_fake", "to": "z", "projections": "directions"},
    ),
    "posteriors": Side(
        frozenset({"posterior"}), frozenset({"posterior", "latent"}),
        {"of": "q", "to": "q_fake", "at": "h", "components": "q_fake"},
    ),
}  # fmt: skip


@attrs.frozen
class Choice:
    """One value of an axis."""

    name: str
    form: str = ""
    """In which way it takes part; what the forms are is the matter of its axis."""
    use: str = ""
    weighted: bool = True
    """Whether there is something to train. A decorated function has no weights."""
    options: dict[str, object] = attrs.field(factory=dict, eq=False)
    alike: object = attrs.field(default="", eq=False)
    """Equal for choices that no static check can tell apart: of equal ports, and without sizes of their own making."""

    def table(self, **more: object) -> dict[str, object]:
        """What a recipe says of it."""
        return {"use": self.use, **self.options, **more}


@attrs.frozen
class Cell:
    """One system: a generator, an encoder and a discriminator, with what they are trained by."""

    encoder: Choice
    generator: Choice
    range: Choice
    prior: Choice
    discriminator: Choice
    adversarial: Choice
    reciprocity: Choice
    regularizer: Choice

    def __str__(self) -> str:
        return " x ".join(getattr(self, axis).name for axis in AXES)


AXES = tuple(field.name for field in attrs.fields(Cell))
Axes = dict[str, tuple[Choice, ...]]


def shipped_axes(registry: Registry) -> tuple[Axes, dict[str, str]]:
    """The choices of every axis, and the components of these kinds that are on none, each with the reason."""
    reader = _Reader(registry)
    axes = {
        "encoder": reader.parts("encoder", _encodes),
        "generator": reader.generators(),
        "range": tuple(Choice(name, options={"range": list(limits)}, alike=name) for name, limits in RANGES.items()),
        "prior": reader.priors(),
        "discriminator": reader.parts("discriminator", _judges),
        "adversarial": reader.pairs(),
        "reciprocity": (Choice("none", "none", alike="none"), *reader.reciprocities()),
        "regularizer": (Choice("none", "none", alike="none"), *reader.regularizers()),
    }
    return {axis: axes[axis] for axis in AXES}, reader.left_out


class _Reader:
    def __init__(self, registry: Registry) -> None:
        self.registry = registry
        self.left_out: dict[str, str] = {}
        losses = [entry for entry in self.shipped("loss")]
        ports = {entry.name: _kinds(_signature(self.load(entry)).inputs) for entry in losses}
        self.critics = [name for name, kinds in ports.items() if kinds == {"real": "score", "fake": "score"}]
        self.players = [name for name, kinds in ports.items() if kinds == {"fake": "score"}]
        self.on_scores = [name for name, kinds in ports.items() if kinds == {"of": "score"}]
        taken = {*self.critics, *self.players, *self.on_scores}
        self.others = [entry for entry in losses if entry.name not in taken]

    def shipped(self, kind: str) -> list[Entry]:
        """What the project itself brings, and no other package."""
        plugins = self.registry.plugins
        return [entry for entry in self.registry.of_kind(kind)
                if plugins[entry.name.partition(".")[0]].origin == "built in"]  # fmt: skip

    def load(self, entry: Entry) -> type[Part]:
        found = self.registry.load(entry.name)
        assert issubclass(found, Part)
        return found

    def parts(self, kind: str, form_of: abc.Callable[[Signature], str]) -> tuple[Choice, ...]:
        found = []
        for entry in self.shipped(kind):
            cls = self.load(entry)
            form = form_of(_signature(cls))
            if form:
                weighted = not hasattr(cls, "function")
                found.append(Choice(entry.name, form, entry.name, weighted, small(cls), _alike(entry.name, cls)))
            else:
                self.left_out[entry.name] = f"a {kind} with the ports {cls.ports}"
        return tuple(found)

    def generators(self) -> tuple[Choice, ...]:
        """Each, and where an option decides on the range of its images, each of that option's values."""
        found = []
        for entry in self.shipped("generator"):
            cls = self.load(entry)
            for name, option in _range_options(cls):
                options = small(cls) | option
                made = cls(**option).sizes().get("range")
                form = next((text for text, limits in RANGES.items() if limits == made), "")
                alike = _alike(entry.name, cls), tuple(option.items())
                found.append(Choice(f"{entry.name} {name}".strip(), form, entry.name, True, options, alike))
        return tuple(found)

    def priors(self) -> tuple[Choice, ...]:
        found = []
        for entry in self.shipped("prior"):
            cls = self.registry.load(entry.name)
            assert issubclass(cls, Prior)
            options = STATED.get(entry.name) or {
                field.name: LATENT for field in attrs.fields(cls)
                if field.name == "dim" or (field.default is attrs.NOTHING and field.type in ("int", int))
            }  # fmt: skip
            try:
                space = cls(**options).space()
            except (TypeError, ValueError) as error:
                self.left_out[entry.name] = f"a prior that cannot be made of {options}: {error}"
                continue
            found.append(Choice(entry.name, "", entry.name, False, dict(options), str(space)))
        return tuple(found)

    def pairs(self) -> tuple[Choice, ...]:
        """The two sides of an adversarial loss: those of one name, and those that are declared."""
        found = []
        for player in self.players:
            critic = PARTNERS.get(player, player.replace("-generator", "-discriminator"))
            if critic not in self.critics:
                self.left_out[player] = f"no loss is called '{critic}', and no other side of it is declared"
                continue
            alike = tuple(_alike(name, self.load(self.registry.find(name))) for name in (critic, player))
            sides = {"discriminate": critic, "generate": player}
            found.append(Choice(_short(player).removesuffix("-generator"), "", player, False, dict(sides), alike))
        used = {choice.options["discriminate"] for choice in found}
        self.left_out |= {name: "no generator's side belongs to it" for name in self.critics if name not in used}
        return tuple(found)

    def reciprocities(self) -> abc.Iterator[Choice]:
        """Every loss that is not adversarial, at each side where its ports can be filled."""
        for entry in self.others:
            cls = self.load(entry)
            kinds = _kinds(_signature(cls).inputs)
            fits = {name: given for name, side in SIDES.items() if (given := _filled(kinds, side))}
            for side, given in fits.items():
                if "logits" in attrs.fields_dict(cls):  # decided by the generator, in the cell
                    given["logits"] = None
                yield Choice(f"{entry.name} of {side}", side, entry.name, False, given, (_alike(entry.name, cls), side))
            if not fits:
                self.left_out[entry.name] = f"a loss with the ports {cls.ports}"

    def regularizers(self) -> abc.Iterator[Choice]:
        """Penalties on gradients, scores and weights of D, and what is done to its weights."""
        for entry in self.shipped("regularizer"):
            cls = self.load(entry)
            kinds = _kinds(_signature(cls).inputs)
            if "gradient" in kinds:
                for name, options in PENALTIES.get(entry.name, {"on real": {"of": "real", "wrt": "x"}}).items():
                    alike = _alike(entry.name, cls), options["of"], options["wrt"]
                    yield Choice(f"{entry.name} {name}", "term", entry.name, False, dict(options), alike)
            elif kinds == {"of": "weights"}:
                options = {"of": "D", "weight": 1e-3}
                yield Choice(entry.name, "term", entry.name, False, options, _alike(entry.name, cls))
            else:
                self.left_out[entry.name] = f"a regularizer with the ports {cls.ports}"
        for name in self.on_scores:
            alike = _alike(name, self.load(self.registry.find(name)))
            yield Choice(name, "term", name, False, {"of": "real", "weight": 1e-3}, alike)
        yield Choice("spectral norm", "part", "", False, {"spectral_norm": True}, "spectral norm")
        for entry in self.shipped("constraint"):
            yield Choice(entry.name, "part", "", False, {"constraint": {"use": entry.name}}, "constraint")


def _filled(kinds: dict[str, str], side: Side) -> dict[str, object]:
    """The ports of a loss with their values at a side; empty where it does not belong there."""
    tensors = {name: kind for name, kind in kinds.items() if kind != "scalar"}
    fits = all(kind in (side.of if name == "of" else side.others) and name in side.values
               for name, kind in tensors.items())  # fmt: skip
    return {name: side.values.get(name, 1.0) for name in kinds} if fits and "of" in tensors else {}


def small(cls: type[Component]) -> dict[str, object]:
    """The options that make a part narrow; sizes that the flow tells are left to it."""
    return {field.name: NARROW for field in attrs.fields(cls) if type(field.default) is int and field.default > NARROW}


def _range_options(cls: type[Part]) -> list[tuple[str, dict[str, object]]]:
    for name, hint in typing.get_type_hints(cls).items():
        values = typing.get_args(hint) if typing.get_origin(hint) is typing.Literal else ()
        if len({cls(**{name: value}).sizes().get("range", ...) for value in values}) > 1:
            return [(value, {name: value}) for value in values]
    return [("", {})]


def _signature(cls: type[Part]) -> Signature:
    return parse_ports(cls.ports, {})


def _kind(port: Port) -> str:
    return port.space.kind if isinstance(port.space, Space) else ""


def _kinds(ports: abc.Iterable[Port]) -> dict[str, str]:
    return {port.name: _kind(port) for port in ports if not port.optional}


def _encodes(signature: Signature) -> str:
    return "posterior" if [_kind(port) for port in signature.outputs] == ["posterior"] else "code"


def _judges(signature: Signature) -> str:
    """What a discriminator looks at, and what it gives."""
    (given,) = {_kind(port) for port in signature.outputs} if len(signature.outputs) == 1 else {""}
    looks = {("image",): "image", ("latent",): "code", ("image", "latent"): "pair"}
    form = looks.get(tuple(_kind(port) for port in signature.inputs), "")
    return {"score": form, "map": f"{form} map" if form == "image" else ""}.get(given, "")


def _alike(name: str, cls: type[Part]) -> object:
    """What static checks see of a part: its ports. One that makes sizes or ports of its own is like no other."""
    own = any("sizes" in base.__dict__ or "signatures" in base.__dict__
              for base in cls.__mro__ if issubclass(base, Part) and base is not Part)  # fmt: skip
    texts = " ".join([cls.ports, *cls.entries.values()])
    sizes = tuple(field.name for field in attrs.fields(cls) if field.default is None and field.name in texts)
    return name if own else (cls.kind, cls.ports, tuple(cls.entries.items()), sizes, hasattr(cls, "function"))


def _short(name: str) -> str:
    return name.removeprefix("core.")
