"""How long training waits for data that are read on the way."""

from __future__ import annotations

import time

from latentkit.engine.training import Training

FIGURE = "data-wait"


class DataWait:
    """The share of the time between two readings in which steps waited for images."""

    def __init__(self) -> None:
        self.since, self.waited = time.perf_counter(), 0.0

    def figures(self, training: Training) -> dict[str, float]:
        """``data-wait``, from 0 to 1; nothing where all images are on the device."""
        readers = [batches.reader for batches in training.data.values() if batches.reader is not None]
        if not readers:
            return {}
        now, waited = time.perf_counter(), sum(reader.waited for reader in readers)
        share = max(0.0, waited - self.waited) / (now - self.since)  # after a change of stage it counts from 0
        self.since, self.waited = now, waited
        return {FIGURE: share}
