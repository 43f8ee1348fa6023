"""What is measured: shipped recipes, the loops that they are compared with, and under which names."""

from __future__ import annotations

import functools
from collections import abc

import attrs

from measuring import loops
from measuring.loops import Maker
from measuring.variants import OF_A_RUN, Overrides, Variant, changed, r1_every

HAND, AGAIN, UNFUSED = "hand-written", "hand-written, again", "hand-written, unfused Adam"
LOOPS = (HAND, AGAIN, UNFUSED)


@attrs.frozen(kw_only=True)
class System:
    """A shipped recipe, and what it is compared with."""

    name: str
    recipe: str
    loop: abc.Callable[[Overrides], Maker]
    overrides: Overrides = attrs.field(factory=dict)
    changes: abc.Mapping[str, Variant] = attrs.field(factory=dict)
    """Variants that change the mathematics, of the library's side only."""
    unfused: abc.Callable[[Overrides], Maker] | None = None
    """The same loop with torch's Adam as it is by default."""

    @property
    def variants(self) -> dict[str, Variant]:
        """By name, those of the library's side."""
        return {**OF_A_RUN, **self.changes}

    @property
    def names(self) -> tuple[str, ...]:
        """Of everything that can be measured of it, in the order of the table; the loop first."""
        found = [HAND, AGAIN, *([UNFUSED] if self.unfused else []), *self.variants]
        return tuple(found)

    def maker(self, name: str) -> Maker:
        """Of the loop by one of its names."""
        return (self.unfused if name == UNFUSED and self.unfused else self.loop)(self.overrides)

    def overrides_of(self, name: str) -> Overrides:
        """Those of the system, and of a variant."""
        return {**self.overrides, **self.variants[name].overrides}


STYLE_CHANGES = changed("z", "z2", "cut", "noise")


def styled(name: str, side: int, batch: int, base: int, most: int, dim: int, **more: object) -> System:
    """StyleALAE held at one resolution, all levels there, not fading."""
    widths = {"levels": (side // 4).bit_length(), "channels_base": base, "max_channels": most}
    sizes = {f"parts.{part}.{option}": value for part in "GE" for option, value in widths.items()}
    stage = {"steps": 1, "set": {"data.resolution": side, "train.batch": batch}}
    overrides = {**sizes, "draw.z.dim": dim, "parts.F.layers": 4, "stage": [stage], **more}
    unfused = functools.partial(loops.style, fused=False)
    return System(
        name=name, recipe="stylealae", overrides=overrides, changes=STYLE_CHANGES, loop=loops.style, unfused=unfused
    )


WITHOUT_NORMS: Overrides = {"parts.E.normalization": "none", "parts.G.normalization": "none"}
USUAL = (
    System(name="alae-mlp", recipe="alae-mlp", loop=loops.alae, changes=changed("z")),
    System(name="ogan", recipe="ogan", loop=loops.ogan),
    System(name="vae", recipe=loops.VAE, loop=loops.vae),
    styled("stylealae-32", 32, 32, 16, 64, 64),
    styled("stylealae-64", 64, 16, 16, 64, 64),
    System(name="gaia", recipe="gaia", loop=loops.gaia),
)
"""Those of the table."""
FURTHER = (
    System(
        name="alae-mlp, R1 every 16 steps", recipe="alae-mlp", overrides=r1_every(16),
        loop=functools.partial(loops.alae, lazy=16),
    ),
    System(
        name="ogan without batch norm", recipe="ogan", overrides=WITHOUT_NORMS,
        loop=functools.partial(loops.ogan, norms=False),
    ),
    styled("stylealae-32, published widths", 32, 16, 64, 256, 32),
    styled("stylealae-128", 128, 8, 16, 64, 64),
    styled("stylealae-256", 256, 8, 64, 512, 512, **{"data.channels": 3, "data.count": 32, "parts.F.layers": 8}),
)  # fmt: skip
SYSTEMS = {system.name: system for system in (*USUAL, *FURTHER)}
