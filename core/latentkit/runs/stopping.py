"""Ending a run on request: the first signal finishes the step and saves, the second one ends at once."""

from __future__ import annotations

import signal
import threading
from pathlib import Path
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(KeyboardInterrupt):
    """A run was asked to stop. Its last step is complete and saved; it can be continued.

    Attributes:
        path: the run folder.
        step: the step that was saved.
        steps: of the whole run.
        by: the signal, for example ``SIGINT``.
    """

    def __init__(self, path: Path, step: int, steps: int, by: str) -> None:
        super().__init__(f"{by}: stopped at step {step} of {steps}, saved in {path}")
        self.path, self.step, self.steps, self.by = path, step, steps, by


class StopRun(Exception):
    """Raised by an observer to end a run early; the run is saved and finished as it is."""


class Stopping:
    """What asks a run to stop. Inside ``with``, the first SIGINT or SIGTERM is only noted here.

    Signals are taken over in the main thread only, where Python delivers them; elsewhere they act as before.
    """

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None
        self.early = False
        """An observer has raised :class:`StopRun`."""
        self.before: dict[signal.Signals, object] = {}

    @property
    def wanted(self) -> bool:
        """Whether the run should end after this step."""
        return self.early or self.signal is not None

    def asked(self) -> int:
        """What asks for the end, as a number: 0 nothing, 1 an observer, else the signal's number plus 1."""
        return self.signal + 1 if self.signal is not None else int(self.early)

    def follow(self, asked: int) -> None:
        """End as another process was asked to."""
        if asked == 1:
            self.early = True
        elif asked and self.signal is None:
            self.signal = signal.Signals(asked - 1)

    def __enter__(self) -> Stopping:
        if threading.current_thread() is threading.main_thread():
            self.before = {number: signal.signal(number, self._note) for number in SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self.before.items():
            # A handler that was not set from Python cannot be set again from here.
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)  # type: ignore[arg-type]
        self.before = {}

    def _note(self, number: int, _: FrameType | None) -> None:
        if self.signal is not None:
            raise KeyboardInterrupt(signal.Signals(number).name)
        self.signal = signal.Signals(number)
