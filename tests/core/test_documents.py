"""What the pages show is true: recipes are sound, snippets run, links lead somewhere."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import latentkit as lk

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("benchmarks/*.md")])


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```|`[^`]*`", "", page.read_text(), flags=re.DOTALL)
    targets = [target.partition("#")[0] for target in re.findall(r"\]\(([^)\s]+)\)", text)]
    assert [
        target for target in targets if target and "://" not in target and not (page.parent / target).exists()
    ] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_complete_recipes_in_pages_are_sound(page: Path) -> None:
    for text in blocks(page, "toml"):
        tables = tomllib.loads(text)
        if "extends" in tables and "." not in str(tables["extends"]):
            report = lk.check(tables)
            assert report.ok, report.problems


def test_the_hybrid_of_the_readme_is_the_example() -> None:
    hybrid = (ROOT / "examples/hybrid.toml").read_text()
    assert tomllib.loads(hybrid) in [tomllib.loads(text) for text in blocks(ROOT / "README.md", "toml")]
    lines = [line for line in hybrid.splitlines() if line.strip() and not line.startswith("#")]
    assert len(lines) <= 10


def test_the_python_of_the_readme_runs(tmp_path: Path) -> None:
    (shown,) = [text for text in blocks(ROOT / "README.md", "python") if "lk.compose" in text]
    script = shown.replace("steps=300", "steps=3").replace("examples/hybrid.toml", str(ROOT / "examples/hybrid.toml"))
    assert "steps=3," in script
    (tmp_path / "readme.py").write_text(script)
    ran(tmp_path / "readme.py", tmp_path)


def test_the_quickstart_runs(tmp_path: Path) -> None:
    text = (ROOT / "examples/quickstart.py").read_text()
    assert "STEPS = 300" in text
    (tmp_path / "quickstart.py").write_text(text.replace("STEPS = 300", "STEPS = 3"))
    (tmp_path / "hybrid.toml").write_text((ROOT / "examples/hybrid.toml").read_text())
    ran(tmp_path / "quickstart.py", tmp_path)


def ran(script: Path, folder: Path) -> None:
    path = os.pathsep.join(str(ROOT / name) for name in ("core", "plugins", "cli"))
    done = subprocess.run(
        [sys.executable, str(script)], cwd=folder, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": path},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_shipped_hybrids_are_short() -> None:
    hybrids = [
        path for path in ROOT.glob("plugins/latentkit_plugins/*/recipes/*.toml") if "extends" in path.read_text()
    ]
    for path in hybrids:
        wiring, *_ = path.read_text().split("[[stage]]")  # what follows is a timetable
        lines = [line for line in wiring.splitlines() if line.strip()]
        of_a_paper = any(line.startswith("paper") for line in lines)
        assert len(lines) <= (35 if of_a_paper else 25), path.name


def test_the_page_of_costs_is_what_is_counted_and_relatives_cost_little() -> None:
    spec = importlib.util.spec_from_file_location("lines", ROOT / "benchmarks/lines.py")
    assert spec is not None
    assert spec.loader is not None
    lines = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(lines)
    assert (ROOT / "docs/systems.md").read_text() == lines.page()  # else: python benchmarks/lines.py
    python = {cost.system: cost.python for cost in lines.costs()}
    assert set(python) == set(lk.recipes())
    for system in ("aae", "vae-gan", "bigan", "introvae", "age", "veegan"):
        assert python[system] <= 60, system
    assert python["beta-vae"] == 0
