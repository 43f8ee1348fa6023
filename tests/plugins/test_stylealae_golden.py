"""The networks of StyleALAE against the released ones: every level, blend, kind of noise, truncation and mixing.

Sizes, levels and constants come from the files; a key that nothing here compares fails the test.
"""

from __future__ import annotations

import re
from collections import abc
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from latentkit_plugins.alae.mlp import AlaeDiscriminator
from latentkit_plugins.alae.official import style_name
from latentkit_plugins.style.mixing import Mixing, Repeat, truncate
from latentkit_plugins.style.parts import StyleEncoder, StyleGenerator, StyleMapping

Values = dict[str, Tensor]
Golden = abc.Callable[[str], Values]
FILES = ("stylealae_32", "stylealae_128")
SUBNETS = {"G": "decoder", "E": "encoder", "F": "mapping_f", "D": "mapping_d"}
ELSEWHERE = (
    r"cfg|in\..*|noise\..*|ref\..*|lrcoef\..*|.*F_shape|(trunc|mix)\.(psi|cutoff|z2)|D\.index_used|(f64\.)?it1\..*"
)
"""Inputs, and what the test of an iteration compares."""


class Released:
    """The networks of a file, with its weights, at any level."""

    def __init__(self, tensors: Values, dtype: torch.dtype) -> None:
        self.tensors, self.dtype = tensors, dtype
        start, most, self.levels, self.dim, self.layers, self.batch, _ = tensors["cfg"].tolist()
        channels = tensors["in.x.lod0"].shape[1]
        self.sizes: dict[str, Any] = {
            "levels": self.levels, "channels_base": start, "max_channels": most, "dim": self.dim, "channels": channels,
        }  # fmt: skip

    def of(self, name: str) -> Tensor:
        return self.tensors[name].to(self.dtype)

    def loaded(self, letter: str, module: nn.Module) -> nn.Module:
        prefix = f"ref.{SUBNETS[letter]}."
        mine = {key.removeprefix(prefix): value for key, value in self.tensors.items() if key.startswith(prefix)}
        named = {style_name(letter, key, self.levels): value for key, value in mine.items()}
        module.load_state_dict({name: value for name, value in named.items() if name is not None})
        return module.to(self.dtype)

    def images(self, styles: Tensor, lod: int, blend: Any = 1, noise: Tensor | None = None) -> Tensor:
        side, kind = 4 << lod, "bump" if noise is None else "sample"
        module = StyleGenerator(height=side, width=side, noise=kind, rgb_gain=0.03, **self.sizes).build()
        made: Tensor = self.loaded("G", module)(styles[:, : 2 * (lod + 1)], blend, noise)
        return made

    def codes(self, x: Tensor, lod: int, blend: Any = 1) -> Tensor:
        side = 4 << lod
        found: Tensor = self.loaded("E", StyleEncoder(height=side, width=side, **self.sizes).build())(x, blend)
        return found

    def scores(self, w: Tensor) -> nn.Module:
        return self.loaded("D", AlaeDiscriminator(dim=self.dim).build())

    def mapped(self, z: Tensor) -> Tensor:
        w: Tensor = self.loaded("F", StyleMapping(dim=self.dim, layers=self.layers, lrmul=0.1).build())(z)
        return w

    def repeated(self, w: Tensor) -> Tensor:
        styles: Tensor = Repeat(layers=2 * self.levels).build()(w)
        return styles

    def noise(self, prefix: str, count: int) -> Tensor:
        """All maps of a sample in one row; the released first map is one for the whole batch."""
        maps = [self.of(f"{prefix}.{index:02d}") for index in range(count)]
        return torch.cat([map_.expand(self.batch, -1, -1, -1).flatten(1) for map_ in maps], 1)

    # What the keys of the files are, without their prefix ``f64.``.

    def generated(self, lod: str, kind: str) -> Tensor:
        level = int(lod)
        noise = None if kind == "nonoise" else self.noise(f"noise.G.lod{lod}.{kind}", 2 * (level + 1))
        return self.images(self.of("in.styles"), level, self.blend(kind), noise)

    def encoded(self, lod: str, kind: str = "") -> Tensor:
        return self.codes(self.of(f"in.x.lod{lod}"), int(lod), self.blend(kind))

    def scored(self, lod: str, kind: str = "") -> Tensor:
        w = self.encoded(lod, kind)
        scores: Tensor = self.scores(w)(w)
        return scores

    def blend(self, kind: str) -> Any:
        found = re.fullmatch(r"blend(\d+)", kind or "")
        return torch.tensor(int(found[1]) / 100, dtype=self.dtype) if found else 1

    def all_raw(self) -> Tensor:
        w = self.encoded(str(self.levels - 1))
        outputs: Tensor = self.scores(w).outputs(w)  # type: ignore[operator]
        assert torch.equal(outputs[:, int(self.tensors["D.index_used"])], self.scores(w)(w))
        return outputs

    def code_of_z(self) -> Tensor:
        assert self.tensors["out.F_shape"].tolist() == list(self.repeated(self.mapped(self.of("in.z"))).shape)
        return self.mapped(self.of("in.z"))

    def reconstructed(self) -> Tensor:
        top = self.levels - 1
        return self.images(self.repeated(self.codes(self.of(f"in.x.lod{top}"), top)), top)

    def truncated(self) -> Tensor:
        average = self.of("ref.dlatent_avg.buff")  # here, other than in training, rows differ
        styles = self.repeated(self.mapped(self.of("in.z")))
        return truncate(styles, average, float(self.tensors["trunc.psi"]), int(self.tensors["trunc.cutoff"]))

    def mixed(self, done: bool) -> Tensor:
        first, second = self.mapped(self.of("in.z")), self.mapped(self.of("mix.z2"))
        layers = 2 * self.levels
        place = (int(self.tensors["mix.cutoff"]) - 1 + 0.5) / layers
        cut = torch.tensor([0.0 if done else 1.0, place], dtype=self.dtype)
        return self.images(Mixing(layers=layers).build()(first, second, cut), self.levels - 1)

    def crossed(self, which: str) -> Tensor:
        top, layers = self.levels - 1, 2 * self.levels
        start, end = {"coarse": (0, 4), "middle": (4, 8), "fine": (8, layers)}[which]
        styles = self.repeated(self.mapped(self.of("in.z"))).clone()
        styles[:, start:end] = self.repeated(self.codes(self.of(f"in.x.lod{top}"), top))[:, start:end]
        return self.images(styles, top)


RULES: dict[str, abc.Callable[..., Tensor]] = {
    r"G\.lod(\d+)\.(\w+)": Released.generated,
    r"E\.lod(\d+)(?:\.(\w+))?": Released.encoded,
    r"D\.lod(\d+)(?:\.(\w+))?": Released.scored,
    r"D\.all_raw": Released.all_raw,
    r"out\.F": Released.code_of_z,
    r"recon\.nonoise": Released.reconstructed,
    r"trunc\.styles": Released.truncated,
    r"trunc\.G": lambda it: it.images(it.truncated(), it.levels - 1),
    r"mix\.G": lambda it: it.mixed(True),
    r"mix\.G_notdone": lambda it: it.mixed(False),
    r"stylemix\.(\w+)": Released.crossed,
}


def computed(it: Released, key: str) -> Tensor | None:
    for pattern, rule in RULES.items():
        found = re.fullmatch(pattern, key)
        if found:
            return rule(it, *(group or "" for group in found.groups()))
    return None


@pytest.mark.parametrize("file", FILES)
def test_every_value_of_the_released_networks_is_reproduced(file: str, golden: Golden) -> None:
    tensors = golden(file)
    plain = {key for key in tensors if not key.startswith("f64.")}
    compared = 0
    for key in sorted(key for key in plain if not re.fullmatch(ELSEWHERE, key)):
        found = computed(Released(tensors, torch.float32), key)
        assert found is not None, f"{key} is not compared"
        images = found.ndim == 4
        atol = (1e-4 if found.shape[-1] <= 32 else 5e-4) if images else 1e-5
        torch.testing.assert_close(
            found, tensors[key], rtol=1e-4, atol=atol, msg=lambda text, key=key: f"{key}: {text}"
        )
        compared += 1
    assert compared >= 15


@pytest.mark.parametrize("file", FILES)
def test_in_float64_the_digits_agree(file: str, golden: Golden) -> None:
    tensors = golden(file)
    it, compared = Released(tensors, torch.float64), 0
    for key in sorted(key for key in tensors if key.startswith("f64.") and not re.fullmatch(ELSEWHERE, key)):
        name = key.removeprefix("f64.")
        found = computed(it, name)
        assert found is not None, f"{key} is not compared"
        # Styles of G.* were computed in float64 and stored as float32; psi was a float32 number.
        loose = name.startswith(("G.", "trunc."))
        torch.testing.assert_close(
            found, tensors[key], rtol=1e-9, atol=2e-6 if loose else 1e-10, msg=lambda text, key=key: f"{key}: {text}"
        )
        compared += 1
    assert compared >= 4
