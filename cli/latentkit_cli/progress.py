"""Progress of a training, through the same hooks as any tracker: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import contextlib
import sys
import time
from collections import abc
from pathlib import Path

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, Progress, TextColumn
from rich.text import Text

from latentkit.events import Event
from latentkit.hooks import hookimpl
from latentkit_cli.output import near, say

REFRESH = 0.2
"""Seconds between two drawings of the bar; between them a step costs two comparisons."""

Tell = abc.Callable[[str], None]


class Position:
    """Where a run stands: what must be known to continue it."""

    def __init__(self) -> None:
        self.path: Path | None = None
        self.step = 0
        self.saved: int | None = None

    @hookimpl
    def latentkit_run_started(self, event: Event) -> None:
        """Starts at a checkpoint where it continues one."""
        self.path, self.step, self.saved = event.path, event.step, event.step or None

    @hookimpl
    def latentkit_step_done(self, event: Event) -> None:
        """Counts."""
        self.step = event.step

    @hookimpl
    def latentkit_checkpointed(self, event: Event) -> None:
        """What is safe."""
        self.saved = event.step


class Pace:
    """Steps per second since the second step: the first one pays for what is done once."""

    def __init__(self) -> None:
        self.first: tuple[int, float] | None = None
        self.rate = 0.0

    def at(self, step: int) -> float:
        """Steps per second so far; 0 where it is not known yet."""
        now = time.monotonic()
        if self.first is None:
            self.first = (step, now)
        elif now > self.first[1]:
            self.rate = (step - self.first[0]) / (now - self.first[1])
        return self.rate

    def text(self, left: int) -> str:
        """Speed, and the time that ``left`` steps take."""
        if not self.rate:
            return ""
        speed = f"{self.rate:.1f} it/s" if self.rate >= 1 else f"{1 / self.rate:.1f} s/it"
        return f"{speed}  {clock(left / self.rate)} left"


class Lines:
    """A line at the start and for every reading of the log."""

    def __init__(self) -> None:
        self.pace = Pace()

    @hookimpl
    def latentkit_run_started(self, event: Event) -> None:
        """Where it goes."""
        say(opening(event))

    @hookimpl
    def latentkit_step_done(self, event: Event) -> None:
        """Measures."""
        self.pace.at(event.step)

    @hookimpl
    def latentkit_evaluated(self, event: Event, figures: abc.Mapping[str, float]) -> None:
        """The figures of a step, with the pace up to the step before."""
        pace = self.pace.text(event.steps - event.step)
        say("  ".join(filter(None, [f"step {event.step}/{event.steps}", pace, compact(figures)])))


class Bar:
    """A bar with speed and time left, and the newest figures below it."""

    def __init__(self, console: Console) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(30), TextColumn("{task.fields[where]}"))
        self.progress = Progress(*columns, console=console)
        self.figures = Text("", style="dim", overflow="ellipsis", no_wrap=True)
        # Drawn from the hooks: a thread of its own would take time from the training.
        self.live = Live(Group(self.progress, self.figures), console=console, auto_refresh=False)
        self.pace, self.drawn = Pace(), 0.0

    @hookimpl
    def latentkit_run_started(self, event: Event) -> None:
        """Shows the bar."""
        self.live.console.print(opening(event), markup=False, highlight=False)
        self.task = self.progress.add_task(event.name, total=event.steps, completed=event.step, where="")
        self.live.start()

    @hookimpl
    def latentkit_step_done(self, event: Event) -> None:
        """Moves it, at most every ``REFRESH`` seconds."""
        now = time.monotonic()
        self.pace.at(event.step)
        if now - self.drawn < REFRESH and event.step < event.steps:
            return
        self.drawn = now
        where = f"{event.step}/{event.steps}  {self.pace.text(event.steps - event.step)}"
        self.progress.update(self.task, completed=event.step, where=where)
        self.live.refresh()

    @hookimpl
    def latentkit_evaluated(self, figures: abc.Mapping[str, float]) -> None:
        """The newest figures; they appear with the next step."""
        self.figures.plain = compact(figures)


@contextlib.contextmanager
def watching(quiet: bool) -> abc.Iterator[tuple[list[object], Tell]]:
    """Observers for a run, and what tells its notes. ``quiet``: no progress; notes are told."""
    if quiet or not sys.stderr.isatty():
        yield ([] if quiet else [Lines()]), lambda message: say(f"note: {message}")
        return
    console = Console(stderr=True)
    bar = Bar(console)
    try:
        yield [bar], lambda message: console.print(f"note: {message}", markup=False, highlight=False)
    finally:
        bar.live.stop()


def opening(event: Event) -> str:
    """One line on what begins."""
    training = event.training
    left = f"steps {event.step + 1:,} to {event.steps:,}" if event.step else f"{event.steps:,} steps"
    left = left if event.step < event.steps else "no more steps"
    return f"{event.name}: {left} of {training.batch} images into {near(event.path)}; {training.settings.told()}"


def compact(figures: abc.Mapping[str, float]) -> str:
    """``generate.adversarial 0.71  encode.latent 0.02``."""
    return "  ".join(f"{name} {value:.3g}" for name, value in figures.items())


def clock(seconds: float) -> str:
    """``1:05`` or ``2:10:00``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
