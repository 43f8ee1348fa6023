"""How the library's side runs: settings of a run, and options of a recipe that change its mathematics."""

from __future__ import annotations

from collections import abc

import attrs

from latentkit.settings import Settings

Overrides = abc.Mapping[str, object]
CHANGED = "†"
"""Marks rows whose mathematics is not the recipe's."""


@attrs.frozen(kw_only=True)
class Variant:
    """Settings of a run, and what is changed of the recipe."""

    settings: Settings = attrs.field(factory=Settings)
    overrides: Overrides = attrs.field(factory=dict)
    period: int = 1
    """Steps after which the same work comes again."""

    @property
    def changes(self) -> bool:
        """Whether another system is trained than the recipe's."""
        return bool(self.overrides)

    def joined(self, other: Variant) -> Variant:
        """This one's settings with the changes of both."""
        return attrs.evolve(self, overrides={**self.overrides, **other.overrides}, period=other.period)


PLAIN = {
    "float32": Variant(),
    "medium": Variant(settings=Settings(precision="medium")),
    "bfloat16": Variant(settings=Settings(precision="bfloat16")),
    "channels-last": Variant(settings=Settings(channels_last=True)),
    "bfloat16 + channels-last": Variant(settings=Settings(precision="bfloat16", channels_last=True)),
}
COMPILED = {
    f"{name}, compiled": attrs.evolve(variant, settings=attrs.evolve(variant.settings, compile=True))
    for name, variant in PLAIN.items()
}
OF_A_RUN = PLAIN | COMPILED
"""The recipe as it is."""
FASTEST = "bfloat16 + channels-last"


def captured(name: str) -> Variant:
    """The same, with each phase and its update launched as one; on a GPU."""
    return attrs.evolve(OF_A_RUN[name], settings=attrs.evolve(OF_A_RUN[name].settings, capture=True))


def r1_every(steps: int) -> Overrides:
    """Lazy R1: every so many steps, so many times as heavy."""
    return {"phase.discriminate.loss.r1.every": steps}


def changed(*draws: str) -> dict[str, Variant]:
    """Lazy R1, and these draws shared by the phases of a step, for a recipe that has both."""
    lazy = {steps: Variant(overrides=r1_every(steps), period=steps) for steps in (4, 16)}
    shared = Variant(overrides={f"draw.{draw}.per": "step" for draw in draws})
    both = shared.joined(lazy[16])
    return {
        f"R1 every 4 steps {CHANGED}": lazy[4],
        f"R1 every 16 steps {CHANGED}": lazy[16],
        f"shared draws {CHANGED}": shared,
        f"{FASTEST}, R1 every 16 steps {CHANGED}": PLAIN[FASTEST].joined(lazy[16]),
        f"{FASTEST}, R1 every 16 steps, shared draws {CHANGED}": PLAIN[FASTEST].joined(both),
    }
