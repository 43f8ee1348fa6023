"""Images that are read when they are wanted: the same batches as in memory, read ahead by processes that end."""

from __future__ import annotations

import json
import os
import pickle
import re
import signal
import subprocess
import sys
import time
import warnings
from collections import abc
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import latentkit as lk
from latentkit.data.folder import Folder
from latentkit.data.recent import TOGETHER, Recent
from latentkit.data.rows import Reduced
from latentkit.engine import batches as batches_module
from latentkit.engine.batches import Batches
from latentkit.engine.order import Order, by_shards
from latentkit.engine.reading import DEPTH, Reader, following
from latentkit.engine.samples import Samples, at_resolution, open_samples
from latentkit.engine.world import World
from latentkit.errors import DataError, LatentkitWarning
from latentkit.interfaces import Rows, Table
from latentkit.recipe.schema import DataSpec
from latentkit.registry.manager import default_registry
from latentkit.runs.files import read_tensors
from latentkit.testing.stand_ins import AUTOENCODER, with_stand_ins

CPU = torch.device("cpu")
COUNT, SIDE = 40, 8


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty colour pictures in two classes; nobody writes there."""
    folder = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    for index in range(COUNT):
        path = folder / "ab"[index % 2] / f"{index:02}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (SIDE, SIDE, 3), np.uint8)).save(path)
    return folder


@pytest.fixture
def closing() -> abc.Iterator[abc.Callable[[Batches], Batches]]:
    """Closes batches at the end of a test."""
    opened: list[Batches] = []

    def remember(found: Batches) -> Batches:
        opened.append(found)
        return found

    yield remember
    for found in opened:
        found.close()


def folder_samples(path: Path, stream: str, cache: Path, spec: dict[str, Any] | None = None, **more: Any) -> Samples:
    gives = {"x": "image", "y": "label"} if more.get("labels", True) else {"x": "image"}
    options = {"path": str(path), "labels": True, "stream": stream, "cache": str(cache), "workers": 0, **more}
    source = Folder(**options)
    return open_samples("data", DataSpec(use="folder", resolution=SIDE, gives=gives, **(spec or {})), source)


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


# Batches


@pytest.mark.parametrize("workers", [0, 2])
def test_streamed_batches_equal_those_in_memory_at_any_position(
    pictures: Path, tmp_path: Path, closing: abc.Callable[[Batches], Batches], workers: int
) -> None:
    spec = {"flip": True, "split": {"seed": 1, "train": 33}, "range": (0.0, 1.0)}
    kept, streamed = (
        closing(Batches(folder_samples(pictures, stream, tmp_path, spec, workers=workers), 5, 7, CPU, torch.float32))
        for stream in ("never", "always")
    )
    assert kept.reader is None
    assert streamed.reader is not None
    for position in (0, 1, 2, 3, 3, 7, 6, 5, 50, 0, 13):
        assert same(kept.at(position), streamed.at(position)), position


def test_streamed_batches_of_another_resolution_equal_those_in_memory(
    pictures: Path, tmp_path: Path, closing: abc.Callable[[Batches], Batches]
) -> None:
    found = []
    for stream in ("never", "always"):
        samples = folder_samples(pictures, stream, tmp_path)
        found.append(at_resolution(samples, attrs.evolve(samples.spec, resolution=4), 4, 4))
    one, other = (closing(Batches(samples, 5, 7, CPU, torch.float32)) for samples in found)
    assert isinstance(found[1].table.fields["image"], Reduced)
    assert one.at(4)["x"].shape == (5, 3, 4, 4)
    assert same(one.at(4), other.at(4))


def test_samples_by_index_are_the_same_streamed(pictures: Path, tmp_path: Path) -> None:
    kept, streamed = (folder_samples(pictures, stream, tmp_path) for stream in ("never", "always"))
    chosen = np.array([3, 3, 39, 0])
    for value in ("x", "y"):
        assert torch.equal(kept.field(value, chosen, torch.float32), streamed.field(value, chosen, torch.float32))
    assert np.array_equal(kept.table.fields["image"][5:9], streamed.table.fields["image"][5:9])
    assert streamed.table.fields["image"].shape == kept.table.fields["image"].shape == (COUNT, 3, SIDE, SIDE)


def test_ranks_read_their_own_rows_of_a_batch(
    pictures: Path, tmp_path: Path, closing: abc.Callable[[Batches], Batches]
) -> None:
    for stream in ("never", "always"):
        samples = folder_samples(pictures, stream, tmp_path, {"flip": True})
        alone = closing(Batches(samples, 6, 7, CPU, torch.float32))
        ranks = [closing(Batches(samples, 6, 7, CPU, torch.float32, World(rank=r, size=3))) for r in range(3)]
        for position in (0, 9):
            shares = [rank.at(position) for rank in ranks]
            assert [len(share["x"]) for share in shares] == [2, 2, 2]
            assert same({name: torch.cat([share[name] for share in shares]) for name in "xy"}, alone.at(position))
            assert same(ranks[1].at(position, whole=True), alone.at(position))


def test_an_array_too_large_for_its_device_is_read_from_main_memory(
    monkeypatch: pytest.MonkeyPatch, closing: abc.Callable[[Batches], Batches]
) -> None:
    images = np.random.default_rng(0).integers(0, 256, (20, 1, 4, 4), np.uint8)
    samples = Samples("data", DataSpec(use="npz"), Table({"image": images}), np.arange(20), np.arange(0))
    small = closing(Batches(samples, 4, 0, CPU, torch.float32))
    monkeypatch.setattr(batches_module, "machine_memory", lambda: 2 * images.nbytes - 1)
    large = closing(Batches(samples, 4, 0, CPU, torch.float32))
    assert small.reader is None
    assert large.reader is not None
    assert same(small.at(3), large.at(3))


# Reading ahead


class Counted(Rows):
    """Rows of their own index, of which it is known how many are in memory."""

    def __init__(self) -> None:
        self.read: list[int] = []

    @property
    def shape(self) -> tuple[int, int, int, int]:
        return 1000, 1, 2, 2

    @property
    def workers(self) -> int:
        return 0

    def rows(self, indices: np.ndarray) -> np.ndarray:
        self.read += indices.tolist()
        return np.broadcast_to(indices.astype(np.uint8)[:, None, None, None], (len(indices), 1, 2, 2))


def settled(reader: Reader) -> None:
    for _, tasks in reader.ahead.values():
        for task in tasks:
            task.result()


def test_a_few_batches_are_read_ahead_and_no_more() -> None:
    rows = Counted()
    reader = Reader(rows, lambda position: (np.array([position]), None), CPU)
    for position in range(50):
        assert int(reader.take(position).flatten()[0]) == position
        assert sorted(reader.ahead) == list(range(position + 1, position + 1 + DEPTH))
    settled(reader)
    assert rows.read == list(range(50 + DEPTH))  # each once
    reader.close()
    assert reader.ahead == {}


def test_a_batch_that_is_asked_for_twice_is_read_once() -> None:
    rows = Counted()
    reader = Reader(rows, lambda position: (np.array([position]), None), CPU)
    assert torch.equal(reader.take(3), reader.take(3))
    settled(reader)
    assert rows.read == list(range(3, 4 + DEPTH))
    reader.close()


@pytest.mark.parametrize(
    ("seen", "next_ones"),
    [
        ([0], [1, 2, 3]),
        ([7, 8], [9, 10, 11]),
        ([0, 3, 6, 9], [12, 15, 18]),
        ([0, 1, 2, 6, 7, 8, 12, 13, 14], [18, 19, 20]),  # two in turn, then a leap
        ([0, 1, 2, 40], [41, 42, 43]),
        ([5, 5, 5], []),
        ([4, 2, 0], []),
    ],
)
def test_what_comes_next_is_guessed_from_what_came(seen: list[int], next_ones: list[int]) -> None:
    assert following(seen, 3) == next_ones


# Order


@settings(max_examples=40, deadline=None)
@given(sizes=st.lists(st.integers(1, 9), min_size=1, max_size=30), seed=st.integers(0, 9), every=st.integers(1, 3))
def test_an_order_by_shards_is_a_permutation_of_samples_and_of_shards(sizes: list[int], seed: int, every: int) -> None:
    shards = np.cumsum([0, *sizes[:-1]])
    training = np.arange(0, sum(sizes), every)
    epoch = by_shards(training, shards, np.random.default_rng(seed))
    assert sorted(epoch.indices.tolist()) == training.tolist()
    shard = np.searchsorted(shards, epoch.indices, "right")
    assert epoch.runs is not None
    places = dict(zip(shard.tolist(), epoch.runs.tolist(), strict=True))
    assert [places[number] for number in shard.tolist()] == epoch.runs.tolist()
    assert sorted(places.values()) == list(range(len(places)))


def test_shards_come_in_turn_and_mixed_with_the_next() -> None:
    shards = np.arange(0, 4000, 100)
    epoch = by_shards(np.arange(4000), shards, np.random.default_rng(0))
    assert epoch.runs is not None
    for start in range(0, 4000, 100):  # as long as one shard
        open_now = len(np.unique(epoch.runs[start : start + 100]))
        assert TOGETHER <= open_now <= TOGETHER + 3, start
    again = by_shards(np.arange(4000), shards, np.random.default_rng(0))
    assert np.array_equal(again.indices, epoch.indices)


def test_orders_by_shards_depend_on_seed_source_and_epoch() -> None:
    shards = np.arange(0, 300, 10)
    key = [(0, "a", 0), (1, "a", 0), (0, "b", 0), (0, "a", 1)]
    found = [Order(np.arange(300), shards, seed, name).of(epoch).indices for seed, name, epoch in key]
    again = [Order(np.arange(300), shards, seed, name).of(epoch).indices for seed, name, epoch in key]
    assert all(np.array_equal(one, other) for one, other in zip(found, again, strict=True))
    assert len({tuple(one.tolist()) for one in found}) == len(key)


def test_few_shards_are_kept_and_those_not_wanted_are_let_go() -> None:
    kept: Recent[str] = Recent()
    read = []

    def make(number: int) -> str:
        read.append(number)
        return str(number)

    for number in [*range(30), 29, 25]:
        assert kept.get(number, make) == str(number)
    assert read == list(range(30))
    assert list(kept.kept) == [*range(20, 25), 26, 27, 28, 29, 25]
    for _ in range(100):
        kept.get(3, make)
    assert list(kept.kept) == [25, 3]
    kept.get(3, make)
    assert list(kept.kept) == [3]
    assert pickle.loads(pickle.dumps(kept)).kept == {}
    kept.clear()
    assert kept.kept == {}


# Faults on the way


def damaged(pictures: Path, folder: Path, *names: str) -> Path:
    for path in pictures.rglob("*.png"):
        (folder / path.name).parent.mkdir(exist_ok=True)
        (folder / path.name).write_bytes(b"no picture" if path.name in names else path.read_bytes())
    return folder


@pytest.mark.parametrize("workers", [0, 1])
def test_an_unreadable_picture_on_the_way_is_named(
    pictures: Path, tmp_path: Path, closing: abc.Callable[[Batches], Batches], workers: int
) -> None:
    folder = damaged(pictures, tmp_path / "some", "07.png")
    samples = folder_samples(folder, "always", tmp_path, labels=False, workers=workers)
    found = closing(Batches(samples, 40, 0, CPU, torch.float32))
    fact = f"folder: path = '{folder}': 1 cannot be read: 07.png\n  repair or remove what cannot be read"
    with pytest.raises(DataError, match=f"^{re.escape(fact)}"):
        found.at(0)
    assert found.reader is not None
    assert found.reader.workers is None


def test_a_small_picture_on_the_way_is_named_with_its_size(pictures: Path, tmp_path: Path) -> None:
    folder = damaged(pictures, tmp_path / "some")
    Image.new("RGB", (5, 8)).save(folder / "03.png")
    samples = folder_samples(folder, "always", tmp_path, labels=False)
    fact = "1 is smaller than 8 x 8 (height x width): 03.png (8 x 5)\n  choose a smaller resolution"
    with pytest.raises(DataError, match=re.escape(fact)):
        samples.table.fields["image"][:5]


@pytest.mark.parametrize("workers", [0, 2])
def test_the_next_picture_of_the_same_part_takes_the_place_of_one_that_is_skipped(
    pictures: Path, tmp_path: Path, closing: abc.Callable[[Batches], Batches], workers: int
) -> None:
    folder = damaged(pictures, tmp_path / "some", "07.png", "08.png", "29.png")
    spec = {"split": [5, 30]}
    options = {"labels": False, "unreadable": "skip", "workers": workers}
    with warnings.catch_warnings(record=True) as noted:
        warnings.simplefilter("always")
        samples = folder_samples(folder, "always", tmp_path, spec, **options)
        got = closing(Batches(samples, 25, 0, CPU, torch.float32)).at(0)["x"]
    whole = folder_samples(damaged(pictures, tmp_path / "whole"), "always", tmp_path, labels=False)
    order = Order(np.arange(5, 30), None, 0, "data").of(0).indices
    instead = [{7: 9, 8: 9, 29: 5}.get(index, index) for index in order.tolist()]
    assert torch.equal(got, whole.field("x", np.array(instead), torch.float32))
    told = {str(note.message) for note in noted}
    where = f"folder: path = '{folder}': 1 cannot be read:"
    assert told == {f"{where} {name}.png: skipped, and the next one taken" for name in ("07", "08", "29")}


def test_a_part_without_a_usable_picture_is_refused(pictures: Path, tmp_path: Path) -> None:
    folder = damaged(pictures, tmp_path / "some", "00.png", "01.png")
    samples = folder_samples(folder, "always", tmp_path, {"split": [2, 40]}, labels=False, unreadable="skip")
    with pytest.warns(LatentkitWarning), pytest.raises(DataError, match="no sample is left that can be used"):
        samples.table.fields["image"][:2]


def test_labels_that_would_be_skipped_on_the_way_are_refused(pictures: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="skipped only where they have no labels"):
        folder_samples(pictures, "always", tmp_path, small="skip")


class Misshapen(Counted):
    def rows(self, indices: np.ndarray) -> np.ndarray:
        return np.zeros((len(indices), 3, 2, 2), np.float32)


class Unpackable(Counted):
    def __reduce__(self) -> str:
        raise TypeError("a socket is in it")

    @property
    def workers(self) -> int:  # type: ignore[override]
        return 1


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (Misshapen(), "Misshapen.rows(): expected uint8 [1, 1, 2, 2], found float32 [1, 3, 2, 2]"),
        (Unpackable(), "Unpackable cannot be sent to another process (TypeError: a socket is in it)"),
    ],
)
def test_rows_that_break_their_promise_are_named(rows: Rows, message: str) -> None:
    reader = Reader(rows, lambda position: (np.array([position]), None), CPU)
    with pytest.raises(DataError, match=re.escape(message)):
        reader.take(0)
    reader.close()


# Processes


def test_a_process_that_is_killed_is_told_of(
    pictures: Path, tmp_path: Path, closing: abc.Callable[[Batches], Batches]
) -> None:
    found = closing(Batches(folder_samples(pictures, "always", tmp_path, workers=1), 5, 0, CPU, torch.float32))
    found.at(0)
    assert found.reader is not None
    assert found.reader.workers is not None
    settled(found.reader)
    (child,) = children()
    os.kill(child, signal.SIGKILL)
    with pytest.raises(DataError, match=r"a process that reads data was ended \(by SIGKILL\)"):
        found.at(20)
    assert children() == []
    found.at(20)  # other processes are started


def children() -> list[int]:
    """Processes of this test that read data."""
    found = []
    for task in Path("/proc/self/task").iterdir():
        for child in (task / "children").read_text().split():
            line = Path(f"/proc/{child}/cmdline").read_bytes()
            found += [int(child)] if b"latentkit.data.worker" in line else []
    return found


def test_processes_end_with_what_has_started_them_and_import_no_torch(pictures: Path, tmp_path: Path) -> None:
    script = tmp_path / "script.py"  # without a main guard
    script.write_text(
        "import sys, time, numpy as np\n"
        "from pathlib import Path\n"
        "from latentkit.data.folder import Folder\n"
        "from latentkit.data.workers import Workers\n"
        f"rows = Folder(path={str(pictures)!r}, stream='always').open(8, 8, 3).fields['image']\n"
        "workers = Workers(rows, 1, rows)\n"
        "out = np.empty((2, 3, 8, 8), np.uint8)\n"
        "workers.read(0, np.array([4, 5]), slice(0, 2), out).result()\n"
        "assert np.array_equal(out, rows[4:6])\n"
        "print(workers.lanes[0][0].process.pid, 'torch' in sys.modules, flush=True)\n"
        "time.sleep(60)\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)}
    process = subprocess.Popen([sys.executable, script], env=environment, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    pid, torch_too = process.stdout.readline().split()
    assert torch_too == "False"  # and so what the other one imports for these rows has none either
    assert "torch" not in Path(f"/proc/{pid}/maps").read_text()
    os.kill(int(pid), signal.SIGINT)  # Ctrl-C is for the one that trains
    process.kill()
    process.wait()
    process.stdout.close()
    until = time.monotonic() + 20
    while Path(f"/proc/{pid}").exists() and b"worker" in Path(f"/proc/{pid}/cmdline").read_bytes():
        assert time.monotonic() < until
        time.sleep(0.05)


def test_processes_end_when_batches_are_gone(pictures: Path, tmp_path: Path) -> None:
    found = Batches(folder_samples(pictures, "always", tmp_path, workers=2), 5, 0, CPU, torch.float32)
    found.at(0)
    assert len(children()) == 2
    found.close()
    assert children() == []


# Runs


class StopAt(lk.Observer):
    """Ends a run after a step, saved as it is."""

    def __init__(self, step: int) -> None:
        self.step = step

    @lk.hookimpl
    def latentkit_step_done(self, event: Any) -> None:
        if event.step == self.step:
            raise lk.StopRun


@pytest.fixture
def trained(pictures: Path, tmp_path: Path) -> abc.Callable[..., Path]:
    """Trains a linear autoencoder on the pictures; returns the run's folder."""
    registry = with_stand_ins(default_registry())

    def train(name: str, *, stop: int | None = None, resume: bool = False, **data: Any) -> Path:
        options = {"use": "folder", "path": str(pictures), "resolution": SIDE, "channels": 3, "split": 0.8, **data}
        tables = {**AUTOENCODER, "data": {"cache": str(tmp_path / "cache"), "workers": 0, "flip": True, **options}}
        train = {"batch": 6, "log_every": 4, "checkpoint_every": 4}
        lk.train(
            None if resume else {**tables, "train": train}, tmp_path / name, steps=11, resume=resume, registry=registry,
            observers=[] if stop is None else [StopAt(stop)],
        )  # fmt: skip
        return tmp_path / name

    return train


def weights(run: Path) -> dict[str, torch.Tensor]:
    return read_tensors(run / "training.safetensors")[0]


def test_a_streamed_run_equals_one_in_memory_and_continues_exactly_in_the_middle_of_an_epoch(
    trained: abc.Callable[..., Path],
) -> None:
    kept, streamed = trained("kept", stream="never"), trained("streamed", stream="always")
    trained("stopped", stream="always", stop=7)  # an epoch has five batches
    stopped = trained("stopped", resume=True)
    for other in (streamed, stopped):
        assert same(weights(kept), weights(other))
    lines = [json.loads(line) for line in (streamed / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [4, 8, 11]
    assert all(0 <= line["data-wait"] < 1 for line in lines)
    assert "data-wait" not in (kept / "metrics.jsonl").read_text()
    state = [json.loads((run / "state.json").read_text())["data"] for run in (kept, streamed)]
    assert state[0] == state[1]


def test_a_run_that_meets_an_unreadable_picture_ends_and_keeps_its_checkpoint(
    pictures: Path, tmp_path: Path, trained: abc.Callable[..., Path]
) -> None:
    folder = damaged(pictures, tmp_path / "some")
    last = Order(np.arange(40), None, 0, "data").of(1).indices[20]  # of the second epoch, with batches of 6
    name = sorted(path.name for path in folder.iterdir())[last]
    kept = (folder / name).read_bytes()
    (folder / name).write_bytes(kept[:40])
    with pytest.raises(DataError, match=f"1 cannot be read: {name}"):
        trained("run", path=str(folder), stream="always", split=1.0, workers=1)
    assert json.loads((tmp_path / "run" / "state.json").read_text())["step"] == 8
    (folder / name).write_bytes(kept)
    trained("run", resume=True)
    assert json.loads((tmp_path / "run" / "state.json").read_text())["step"] == 11
    assert children() == []


def test_figures_of_a_streamed_run_are_those_of_one_in_memory(trained: abc.Callable[..., Path]) -> None:
    registry = with_stand_ins(default_registry())
    images = {"labels": True, "gives": {"x": "image", "y": "label"}}
    names = ["pixel-reconstruction", "sharpness"]
    kept, streamed = (
        lk.evaluate(trained(stream, stream=stream, split=0.5, **images), names, registry=registry)
        for stream in ("never", "always")
    )
    assert len([result for result in kept if result.value is not None]) >= 2
    assert kept == streamed
