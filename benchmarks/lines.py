"""Count what each shipped system costs, in lines of its recipe and of Python, and write docs/systems.md.

python benchmarks/lines.py
"""

from __future__ import annotations

import importlib
import inspect
from collections import abc
from pathlib import Path

import attrs

import latentkit as lk
from latentkit.registry.catalogue import Catalogue, module_path, read_catalogue, shipped_catalogue

PAGE = Path(__file__).parents[1] / "docs/systems.md"
ELSEWHERE = {
    "vae": ("latentkit_plugins.dcgan.parts:DcganPosterior",),
    "bigan": ("latentkit_plugins.dcgan.parts:DcganPairDiscriminator", "latentkit_plugins.dcgan._networks:PairScore"),
}
"""By plugin, what was written for its systems and stands in a family that all may use."""
PYTHAE = {"vae": 198, "beta-vae": 116, "vampprior": 259, "aae": 396, "vae-gan": 460}
"""Lines of the file of each model in pythae 0.1.2, as ``wc -l`` counts them."""
HEAD = """# What each system costs

A system is a recipe. Python is written only for what no recipe could say before: a new network, a new loss. This page
is counted by `python benchmarks/lines.py`.

- **recipe**: lines of its own file that are not empty, and which recipe it extends.
- **Python**: all lines of its plugin, with docstrings and blank lines, and of networks that were written for it in a
  family that others use too; counted once per plugin, at the system it was written for.
- **pythae**: lines of the model's own file in pythae 0.1.2, where it has the system; configuration, trainers and
  networks come on top there, as networks and losses of the [families](families.md) and the core do here.

| system | what it is | recipe | Python | pythae |
|---|---|---|---|---|
"""


@attrs.frozen
class Cost:
    """What one system costs."""

    system: str
    title: str
    recipe: int
    extends: str
    python: int

    def row(self) -> str:
        """Its line of the table."""
        recipe = f"{self.recipe}, extends `{self.extends}`" if self.extends else str(self.recipe)
        return f"| `{self.system}` | {self.title} | {recipe} | {self.python} | {PYTHAE.get(self.system, '')} |"


def costs() -> list[Cost]:
    """Of every shipped system, plugin by plugin."""
    found = []
    for plugin in read_catalogue(shipped_catalogue()):
        if plugin.recipe_notes:
            found += _costs(plugin)
    return found


def _costs(plugin: Catalogue) -> abc.Iterator[Cost]:
    recipes = plugin.latentkit_recipes()
    eldest = plugin.name if plugin.name in recipes else next(iter(recipes))
    for name, path in recipes.items():
        source = lk.read(name)
        lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
        extends = next((line.split('"')[1] for line in lines if line.startswith("extends")), "")
        yield Cost(name, str(source.tables["title"]), len(lines), extends, _python(plugin) if name == eldest else 0)


def _python(plugin: Catalogue) -> int:
    package = module_path(plugin.module)
    assert package is not None
    own = sum(len(file.read_text(encoding="utf-8").splitlines()) for file in package.parent.glob("*.py"))
    return own + sum(len(inspect.getsource(_target(target)).splitlines()) for target in ELSEWHERE.get(plugin.name, ()))


def _target(name: str) -> type:
    module, _, attribute = name.partition(":")
    found: type = getattr(importlib.import_module(module), attribute)
    return found


def page() -> str:
    """The whole page."""
    return HEAD + "\n".join(cost.row() for cost in costs()) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
