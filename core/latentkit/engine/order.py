"""In which order an epoch takes the samples, and which images it mirrors: functions of (seed, source, epoch)."""

from __future__ import annotations

import attrs
import numpy as np

from latentkit.data.recent import TOGETHER
from latentkit.engine.streams import key_seed

_EPOCHS = 2
"""That are kept: the end of one and the beginning of the next are read together."""


@attrs.frozen(eq=False)
class Epoch:
    """The samples of an epoch.

    Attributes:
        indices: of the training samples, in their order, int64 [n].
        runs: where samples are read by shards, the place in this epoch of each one's shard, int64 [n].
    """

    indices: np.ndarray
    runs: np.ndarray | None = None


class Order:
    """The orders of all epochs.

    Args:
        training: indices of what is trained on.
        shards: first indices of the runs of samples that are cheap to read together, where there are such.
        seed: the run's.
        name: the source's.
    """

    def __init__(self, training: np.ndarray, shards: np.ndarray | None, seed: int, name: str) -> None:
        self.training, self.shards, self.key = training, shards, (seed, name)
        self.epochs: dict[int, Epoch] = {}

    def of(self, epoch: int) -> Epoch:
        """The samples of an epoch."""
        if epoch not in self.epochs:
            while len(self.epochs) >= _EPOCHS:
                del self.epochs[next(iter(self.epochs))]
            self.epochs[epoch] = self._made(epoch)
        return self.epochs[epoch]

    def flips(self, epoch: int, count: int) -> np.ndarray:
        """Whether each of all samples of the source is mirrored, bool [count]."""
        return self._rng("flip", epoch).random(count) < 0.5

    def _made(self, epoch: int) -> Epoch:
        rng = self._rng("order", epoch)
        if self.shards is None:
            return Epoch(rng.permutation(self.training))
        return by_shards(self.training, self.shards, rng)

    def _rng(self, what: str, epoch: int) -> np.random.Generator:
        return np.random.Generator(np.random.Philox(key_seed(what, *self.key, epoch)))


def by_shards(training: np.ndarray, shards: np.ndarray, rng: np.random.Generator) -> Epoch:
    """A random order that goes through the shards, a few at a time.

    The shards are put in a random order, on a circle of their number; each sample then moves on by a random distance of
    up to ``TOGETHER`` shards. So the samples of one are spread over those that follow, next to those of as many others
    at any time, and one shard begins after the other; where there are fewer, this is any order at all.

    Args:
        training: indices, [n].
        shards: first index of each shard, rising from 0.
        rng: where the order comes from.
    """
    _, shard = np.unique(np.searchsorted(shards, training, "right"), return_inverse=True)
    count = int(shard.max()) + 1
    run = rng.permutation(count)[shard]
    place = (run + min(count, TOGETHER) * rng.random(len(training))) % count
    order = np.argsort(place, kind="stable")
    return Epoch(training[order], run[order])
