"""``plugin new``: a package of one's own that installs, passes its tests, and trains."""

from __future__ import annotations

import importlib.util
import keyword
import re
import shlex
from pathlib import Path
from string import Template
from typing import Annotated

import typer

from latentkit.errors import LatentkitError
from latentkit.registry.manager import Registry, default_registry
from latentkit.registry.quarantine import Taken
from latentkit_cli.output import heading, near, rows

TEMPLATES = Path(__file__).parent / "templates" / "plugin"
FILES = {
    "pyproject.toml": "pyproject.toml",
    "README.md": "README.md",
    "init.py": "$module/__init__.py",
    "parts.py": "$module/parts.py",
    "py.typed": "$module/py.typed",
    "registry.toml": "$module/registry.toml",
    "recipe.toml": "$module/recipes/$recipe.toml",
    "test.py": "tests/test_plugin.py",
}
"""Templates, without their suffix, and where each goes in the package."""

Name = Annotated[
    str,
    typer.Argument(
        metavar="NAME", show_default=False,
        help="The plugin's name, which its components start with: lower-case letters, digits and '-'.",
    ),
]  # fmt: skip
Out = Annotated[
    Path | None,
    typer.Option(
        "--out", "-o", metavar="DIR", show_default=False,
        help="The package's folder; new, or empty.  [default: latentkit-NAME]",
    ),
]  # fmt: skip

plugin = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Write a plugin package of your own.")


@plugin.command()
def new(name: Name, out: Out = None) -> None:
    """Make a plugin package to start from.

    It has one part, one loss, a recipe that trains with them, and their tests.

    \b
    Example:
      latentkit plugin new my-losses
      cd latentkit-my-losses
      pip install -e ".[test]"
      pytest
    """
    values = _values(name, default_registry())
    folder = out if out is not None else Path(values["package"])
    _require_empty(folder)
    for template, place in FILES.items():
        _write(folder / Template(place).substitute(values), _filled(template, values))
    typer.echo(f"{heading(f'wrote {near(folder)}')}\n{_made(values)}\n\nNext:\n{_next(folder, values)}")


def _values(name: str, registry: Registry) -> dict[str, str]:
    """What the templates need.

    Raises:
        LatentkitError: the name cannot be that of a new plugin.
    """
    if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", name):
        better = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("0123456789-")
        hint = f"; for example '{better}'" if better else ""
        raise LatentkitError(f"'{name}': expected a lower-case letter, then letters, digits and single '-'{hint}")
    if keyword.iskeyword(name):
        raise LatentkitError(f"'{name}' is a word of Python; choose another name, for example '{name}-parts'")
    values = {
        "name": name, "package": f"latentkit-{name}", "module": f"latentkit_{name.replace('-', '_')}",
        "recipe": f"{name}-autoencoder", "requirement": _requirement(registry),
    }  # fmt: skip
    if name in registry.plugins:
        raise Taken(f"the name '{name}'", registry.plugins[name])
    if values["recipe"] in registry.recipes:
        raise Taken(f"the recipe '{values['recipe']}'", registry.plugins[registry.recipe_owner[values["recipe"]]])
    if importlib.util.find_spec(values["module"]) is not None:
        raise LatentkitError(f"'{name}': a module '{values['module']}' is there already; choose another name")
    return values


def _requirement(registry: Registry) -> str:
    version = re.match(r"\d+\.\d+", registry.plugins["core"].version)
    return f"latentkit>={version[0]}" if version else "latentkit"


def _require_empty(folder: Path) -> None:
    if folder.is_dir() and any(folder.iterdir()):
        raise LatentkitError(f"{folder}: the folder is not empty; give a new one with --out DIR")
    if folder.exists() and not folder.is_dir():
        raise LatentkitError(f"{folder}: is a file; give a new folder with --out DIR")


def _filled(template: str, values: dict[str, str]) -> str:
    return Template((TEMPLATES / f"{template}.template").read_text(encoding="utf-8")).substitute(values)


def _write(file: Path, text: str) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise LatentkitError(f"{file}: cannot be written ({error.strerror})") from None


def _made(values: dict[str, str]) -> str:
    what = {
        "parts.py": "a part and a loss: put yours in their place",
        "registry.toml": "their names",
        "recipe.toml": "a recipe that trains with them",
        "test.py": "tests of all three",
    }
    return rows([(Template(FILES[template]).substitute(values), text) for template, text in what.items()])


def _next(folder: Path, values: dict[str, str]) -> str:
    return rows([
        (f"cd {shlex.quote(near(folder))}", ""),
        ('pip install -e ".[test]"', "from now on latentkit knows it"),
        ("pytest", ""),
        (f"latentkit compose {values['recipe']}", "trains, in seconds"),
    ])  # fmt: skip
