"""Random streams and batches: what a number depends on, and what it does not."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from latentkit.engine.batches import Batches
from latentkit.engine.samples import Samples, open_samples
from latentkit.engine.streams import Streams, key_seed
from latentkit.errors import DataError
from latentkit.interfaces import DataSource, Table
from latentkit.recipe.schema import DataSpec

CPU = torch.device("cpu")
COUNT = 23


class Numbered(DataSource):
    """Images of two rows whose pixels are [index, 100] twice, with labels and a measured factor."""

    native_size = (2, 2)
    native_channels = 1

    def offers(self) -> tuple[str, ...]:
        return ("image", "label", "factor", "index")

    def open(self, height: int, width: int, channels: int) -> Table:
        index = np.arange(COUNT)
        row = np.stack([index, np.full(COUNT, 100)], -1).astype(np.uint8)  # n w
        image = np.broadcast_to(row[:, None, None, :], (COUNT, channels, height, width))
        index.setflags(write=False)  # as of a file that is mapped into memory
        return Table({"image": image, "label": index % 4, "factor": index / 8, "index": index})


def samples(name: str = "data", **options: Any) -> Samples:
    gives = {"x": "image", "y": "label", "f": "factor", "i": "index"}
    return open_samples(name, DataSpec(use="numbered", **{"gives": gives, **options}), Numbered())


def batches(
    batch: int = 5, seed: int = 3, dtype: torch.dtype = torch.float32, name: str = "data", **options: Any
) -> Batches:
    return Batches(samples(name, **options), batch, seed, CPU, dtype)


def order(found: Batches, epoch: int) -> list[int]:
    """The samples of an epoch in turn."""
    per_epoch = len(found.samples.training) // found.batch
    return [int(i) for at in range(per_epoch) for i in found.at(epoch * per_epoch + at)["i"]]


def numbers(streams: Streams, *key: object) -> Tensor:
    return torch.randn(16, generator=streams.at(*key))


# Streams


def test_numbers_of_a_draw_depend_on_its_key_alone() -> None:
    early, late = Streams(1, CPU), Streams(1, CPU)
    wanted = numbers(early, 5, "generate", 0, "z")
    for step in range(5):
        torch.randn(3, generator=late.at(step, "discriminate", 0, "z"))
    torch.randn(7)
    assert torch.equal(numbers(late, 5, "generate", 0, "z"), wanted)
    assert torch.equal(numbers(early, 5, "generate", 0, "z"), wanted)


def test_any_part_of_the_key_changes_the_numbers() -> None:
    keys = [(5, "generate", 0, "z"), (6, "generate", 0, "z"), (5, "encode", 0, "z"), (5, "generate", 1, "z")]
    drawn = [numbers(Streams(1, CPU), *key) for key in keys]
    drawn += [numbers(Streams(1, CPU), 5, "generate", 0, "eps"), numbers(Streams(2, CPU), *keys[0])]
    assert not any(torch.equal(a, b) for a, b in itertools.combinations(drawn, 2))


def test_streams_leave_the_global_generator_alone() -> None:
    before = torch.get_rng_state()
    numbers(Streams(1, CPU), 0, "z")
    assert torch.equal(torch.get_rng_state(), before)


def test_seed_of_a_key_never_changes_and_fits_63_bits() -> None:
    assert key_seed(0, "init", "G") == 375729589487803832
    seeds = {key_seed(seed, name) for seed in range(100) for name in "FGED"}
    assert len(seeds) == 400
    assert all(0 <= seed < 2**63 for seed in seeds)


# Order


def test_epoch_is_a_permutation_of_the_training_samples() -> None:
    found = batches(batch=1, split=0.8)
    wanted = list(range(18))
    assert sorted(order(found, 0)) == wanted
    assert sorted(order(found, 7)) == wanted
    assert order(found, 0) != wanted


def test_order_differs_by_epoch_source_and_seed() -> None:
    orders = [order(batches(), 0), order(batches(), 1), order(batches(name="other"), 0), order(batches(seed=4), 0)]
    assert not any(a == b for a, b in itertools.combinations(orders, 2))


def test_order_does_not_depend_on_when_it_is_asked_for() -> None:
    forwards, backwards = batches(), batches()
    wanted = [order(forwards, epoch) for epoch in range(4)]
    assert [order(backwards, epoch) for epoch in (3, 2, 1, 0)] == wanted[::-1]
    assert order(batches(), 2) == wanted[2]


def test_short_last_batch_is_dropped() -> None:
    found = batches(batch=5)
    assert len(order(found, 0)) == 20
    assert len(set(order(found, 0))) == 20
    assert {len(found.at(position)["i"]) for position in range(9)} == {5}


def test_order_does_not_depend_on_the_batch_size() -> None:
    assert order(batches(batch=1), 1)[:20] == order(batches(batch=5), 1)


@pytest.mark.parametrize("flip", [False, True])
def test_batch_is_a_function_of_its_position(flip: bool) -> None:
    found = batches(flip=flip)
    wanted = [found.at(position) for position in range(10)]
    for position in (9, 0, 3, 3, 8, 1):
        for now in (found.at(position), batches(flip=flip).at(position)):
            assert now.keys() == wanted[position].keys()
            assert all(torch.equal(now[name], value) for name, value in wanted[position].items())


def test_batch_does_not_share_memory_with_the_data() -> None:
    found = batches(batch=COUNT)
    wanted = {name: value.clone() for name, value in found.at(0).items()}
    for value in found.at(0).values():
        value.zero_()
    assert all(torch.equal(found.at(0)[name], value) for name, value in wanted.items())


def test_values_of_one_batch_belong_to_the_same_samples() -> None:
    got = batches(batch=7, range=(0.0, 1.0)).at(4)
    index = got["i"]
    torch.testing.assert_close(got["x"][:, 0, 0, 0] * 255, index.float())
    assert torch.equal(got["y"].argmax(1), index % 4)
    assert torch.equal(got["f"], index.float() / 8)


def test_batch_larger_than_the_source_is_refused() -> None:
    with pytest.raises(DataError) as caught:
        batches(batch=12, split=[0, 11])
    assert str(caught.value) == "a batch of 12 needs at least 12 training samples; source 'data' has 11"


# Flips


def flipped(found: Batches, epoch: int) -> dict[int, bool]:
    """Per sample, whether its constant column came first."""
    per_epoch = len(found.samples.training) // found.batch
    got = [found.at(epoch * per_epoch + at) for at in range(per_epoch)]
    first = torch.cat([(values["x"][:, 0, 0, 0] * 255).round() == 100 for values in got])
    return dict(zip(order(found, epoch), first.tolist(), strict=True))


def flips(**options: Any) -> Batches:
    return batches(flip=True, range=(0.0, 1.0), **options)


def test_flip_belongs_to_the_sample_and_not_to_its_position() -> None:
    whole, other_sizes = flipped(flips(batch=1), 2), flipped(flips(batch=5), 2)
    assert all(whole[index] == now for index, now in other_sizes.items())
    fewer = flipped(flips(batch=1, split={"seed": 1, "train": 9}), 2)  # the same samples at other positions
    assert len(fewer) == 9
    assert all(whole[index] == now for index, now in fewer.items())


def test_flips_differ_by_epoch_source_and_seed() -> None:
    found = [flipped(flips(batch=1), 0), flipped(flips(batch=1), 1)]
    found += [flipped(flips(batch=1, name="other"), 0), flipped(flips(batch=1, seed=4), 0)]
    assert not any(a == b for a, b in itertools.combinations(found, 2))


def test_half_of_the_images_are_flipped_whole_and_left_to_right() -> None:
    found = flips(batch=1)
    turned = [now for epoch in range(40) for now in flipped(found, epoch).values()]
    assert 0.4 < np.mean(turned) < 0.6
    plain = batches(batch=1, range=(0.0, 1.0))
    for position, turn in enumerate(flipped(found, 0).values()):
        wanted = plain.at(position)["x"]
        assert torch.equal(found.at(position)["x"], wanted.flip(3) if turn else wanted)


# Fields


def test_held_out_samples_never_reach_a_batch() -> None:
    found = batches(batch=3, split={"seed": 2, "train": 9})
    seen = {index for epoch in range(5) for index in order(found, epoch)}
    assert seen == set(found.samples.training.tolist())
    assert seen.isdisjoint(found.samples.held_out.tolist())
    assert len(found.samples.held_out) == COUNT - 9


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_labels_are_one_hot_rows(dtype: torch.dtype) -> None:
    got = batches(batch=COUNT, dtype=dtype).at(0)
    assert got["y"].dtype == dtype
    assert torch.equal(got["y"], torch.eye(4, dtype=dtype)[got["i"] % 4])


def test_samples_by_index_are_scaled_but_not_shuffled_or_flipped() -> None:
    got = samples(flip=True, range=(0.0, 1.0)).field("x", np.array([4, 0, 4]), torch.float32)
    assert got.shape == (3, 1, 2, 2)
    torch.testing.assert_close(got[:, 0, 1] * 255, torch.tensor([[4.0, 100], [0, 100], [4, 100]]))
