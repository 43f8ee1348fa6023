"""Settings of a run: what is refused, what is decided at the start, and how it is told."""

from __future__ import annotations

import os
import time
from typing import Any

import pytest
import torch

from latentkit import _machine
from latentkit.errors import LatentkitError
from latentkit.settings import Settings


def test_threads_are_a_number_from_one_or_auto() -> None:
    for wrong in (0, -1, True, "two", 1.5):
        with pytest.raises(LatentkitError, match=f"--threads: expected a number from 1, or auto; found '{wrong}'"):
            Settings(threads=wrong)  # type: ignore[arg-type]
    assert Settings(threads=3).settled() == Settings(threads=3)


@pytest.mark.parametrize(
    ("cores", "ranks", "obtained", "expected"),
    [(8, "1", 8.0, 8), (8, "2", 3.9, 4), (8, "1", 5.6, 6), (2, "1", 1.3, 1), (2, "4", 1.0, 1), (1, "1", 0.4, 1)],
)
def test_auto_threads_are_the_share_of_cores_that_can_be_had(
    cores: int, ranks: str, obtained: float, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_machine, "cores", lambda: cores)
    monkeypatch.setattr(_machine, "_obtained", lambda threads: obtained)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", ranks)
    assert _machine.free_cores.__wrapped__() == expected


def test_the_time_that_threads_get_is_measured_and_their_number_stays() -> None:
    before, start = torch.get_num_threads(), time.perf_counter()
    assert 0.1 < _machine._obtained(1) < 1.2
    assert time.perf_counter() - start < 5
    assert torch.get_num_threads() == before


def test_cores_are_those_that_the_process_may_use() -> None:
    assert 1 <= _machine.cores() <= (os.cpu_count() or 1)


def test_auto_is_decided_and_what_is_taken_is_told_in_a_few_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_machine, "medium_error", lambda: 4e-7)
    monkeypatch.setattr(_machine, "free_cores", lambda: 6)
    found = Settings(precision="auto", threads="auto", channels_last=True, compile=True).settled()
    assert found == Settings(precision="medium", threads=6, channels_last=True, compile=True)
    assert found.told() == "cpu, 6 threads, medium, channels-last, compiled"
    assert Settings(threads=1).told() == "cpu, 1 thread, float32"


@pytest.mark.parametrize(("has", "told"), [(True, ""), (False, " (slower than float32 on this device)")])
def test_bfloat16_that_the_device_does_not_have_is_told(has: bool, told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_machine, "has_bfloat16", lambda device: has)
    assert Settings(precision="bfloat16", threads=1).told() == f"cpu, 1 thread, bfloat16{told}"


def test_threads_are_set_where_a_number_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[Any] = []
    monkeypatch.setattr(torch, "set_num_threads", taken.append)
    Settings().take_threads()
    Settings(threads=3).take_threads()
    assert taken == [3]
