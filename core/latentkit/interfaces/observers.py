"""Observers: what is told of a run while it trains."""

from __future__ import annotations

from typing import ClassVar

import attrs

from latentkit.interfaces.component import Component


@attrs.define(slots=False, eq=False)
class Observer(Component):
    """Watches a run through the lifecycle hooks (``latentkit.hooks``); one object is made for each run.

    Implement the hooks that matter with ``lk.hookimpl``, with any of their arguments::

        class Log(lk.Observer):
            @lk.hookimpl
            def latentkit_evaluated(self, event, figures):
                print(event.step, figures)

    An exception is told to the user, and the run goes on without the observer; :class:`latentkit.StopRun` ends it.
    """

    kind: ClassVar[str] = "observer"
