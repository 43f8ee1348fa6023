"""Values of ``--set``, what faults look like, and the bar."""

from __future__ import annotations

import io
from collections import abc
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from latentkit.errors import LatentkitError
from latentkit.events import Event
from latentkit.settings import Settings
from latentkit_cli import listing
from latentkit_cli.options import overrides
from latentkit_cli.output import rows
from latentkit_cli.progress import Bar, Pace, clock

Command = abc.Callable[..., Any]


def test_values_are_toml_and_what_is_no_toml_is_a_string() -> None:
    given = ["a.b=3", "c = 0.5", "d=true", "e=[0, 1]", 'f={ use = "x" }', "g=idx", "h=a/b c.gz", 'i="3"', "j=a=b", "k="]
    assert overrides(given) == {
        "a.b": 3, "c": 0.5, "d": True, "e": [0, 1], "f": {"use": "x"}, "g": "idx", "h": "a/b c.gz", "i": "3",
        "j": "a=b", "k": "",
    }  # fmt: skip
    assert overrides(["x=1\ny = 2"]) == {"x": "1\ny = 2"}
    assert overrides(None) == {}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["train.batch"], "--set train.batch: expected KEY=VALUE, for example --set train.batch=32"),
        (["=3"], "--set =3: expected a key before '='"),
        (["a..b=3"], "expected a key before '='"),
        (["a=1", "a=2"], "--set a=2: 'a' is set twice"),
    ],
)
def test_a_setting_of_another_form_is_refused(given: list[str], message: str) -> None:
    with pytest.raises(LatentkitError) as caught:
        overrides(given)
    assert message in str(caught.value)


def _raising(error: Exception):
    def registry():
        raise error

    return registry


def test_a_bug_ends_with_1_a_traceback_and_a_line_that_says_so(
    latentkit: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "default_registry", _raising(KeyError("w")))
    done = latentkit("recipes")
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith("Traceback")
    assert "error: This is a bug in latentkit or in a plugin" in done.err


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OSError(28, "No space left on device"), "error: [Errno 28] No space left on device\n"),
        (MemoryError(), "error: out of memory; a smaller batch"),
        (RuntimeError("CUDA out of memory. Tried to allocate"), "error: out of memory; a smaller batch"),
    ],
)
def test_what_is_nobodys_mistake_ends_with_1_and_no_traceback(
    latentkit: Command, monkeypatch: pytest.MonkeyPatch, error: Exception, message: str
) -> None:
    monkeypatch.setattr(listing, "default_registry", _raising(error))
    done = latentkit("recipes")
    assert done.code == 1
    assert done.err.startswith(message)


def test_columns_are_aligned_and_the_last_one_wraps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "50")
    lines = rows([("a", "one two three four five six seven eight nine ten"), ("long", "x")]).splitlines()
    assert lines[0].startswith("  a     one")
    assert lines[1].startswith("        ")
    assert lines[-1] == "  long  x"
    assert max(map(len, lines)) <= 50


def _event(step: int) -> Event:
    training = SimpleNamespace(batch=8, settings=Settings(threads=2))
    return Event(Path("runs/a"), "toy", step, 3, 8 * step, training)  # type: ignore[arg-type]


def test_the_bar_shows_where_training_stands_and_the_newest_figures() -> None:
    terminal = io.StringIO()
    bar = Bar(Console(file=terminal, force_terminal=True, width=100))
    bar.latentkit_run_started(_event(0))
    for step in (1, 2, 3):
        bar.latentkit_evaluated({"generate.adversarial": 0.5 / step})
        bar.latentkit_step_done(_event(step))
    bar.live.stop()
    shown = terminal.getvalue()
    assert "toy: 3 steps of 8 images into runs/a; cpu, 2 threads, float32" in shown
    assert "3/3" in shown
    assert "generate.adversarial 0.167" in shown


def test_times_are_written_as_clocks() -> None:
    assert [clock(seconds) for seconds in (5, 65, 7800)] == ["0:05", "1:05", "2:10:00"]
    pace = Pace()
    assert pace.text(3) == ""
    pace.rate = 0.25
    assert pace.text(10) == "4.0 s/it  0:40 left"
