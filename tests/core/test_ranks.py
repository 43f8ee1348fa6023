"""Several processes that share each batch train as one does."""

from __future__ import annotations

import json
import os
import socket
import sys
from collections import abc
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import nn

import latentkit as lk
from latentkit._building import wired
from latentkit.engine import joining, reaching
from latentkit.engine.sharding import Sharding
from latentkit.engine.statistics import share_statistics
from latentkit.engine.world import World
from latentkit.errors import LatentkitError

pytestmark = pytest.mark.xdist_group("ranks")
Narrow = abc.Callable[..., dict[str, object]]
Ranks = abc.Callable[..., list[str]]
Far = abc.Callable[[Path, Path], float]
OF_EACH_KIND = {
    "alae-mlp": "an input gradient, phases in turn",
    "biggan": "labels, batch norm of classes, spectral normalisation",
    "cyclegan": "two sources, what is kept, a store of earlier images",
    "gaia": "rates and weights that are computed, parts of a batch",
    "gan-ada": "[state], augmentation",
    "ogan": "batch norm, a joint step, a loss of the whole batch",
    "stylealae-digits": "all stages, [state], styles of two codes",
    "vampprior": "a prior of the system's own posteriors",
    "wgan-gp": "an input gradient between two batches, here through batch norm",
}
MORE: dict[str, dict[str, object]] = {"wgan-gp": {"parts.D.normalization": "batch"}}
SIDES = {"cyclegan": 16, "gaia": 16, "gaia-128": 16, "gaia-paper": 16, "gaia-simple": 32}
"""Of images of recipes that normalise deep inside: of 8 x 8 next to nothing is left there, and what is divided by its
variance grows a thousandfold in every step, of one process alone as well."""


def overlay(name: str, narrow: Narrow) -> dict[str, object]:
    """A recipe's small self, on sprites where its data are files."""
    found = {**narrow(name), "train.batch": 8}
    wiring = wired(name)
    for source, spec in wiring.recipe.data.items():
        start = "data" if len(wiring.data) == 1 else f"data.{source}"
        found |= {f"{start}.resolution": SIDES.get(name, 8)}
        if spec.use != "sprites":
            found |= {f"{start}.use": "sprites"} | ({} if isinstance(spec.split, float) else {f"{start}.split": 0.75})
            found |= {
                f"draw.{draw}.classes": 3 for draw in wiring.draws if hasattr(wiring.draws[draw].prior, "classes")
            }
    return found


def compared(
    ranks: Ranks, out: Path, recipes: dict[str, dict[str, object]], steps: int
) -> dict[str, dict[str, object]]:
    """What two processes found out about each recipe; both have the same weights, bit for bit."""
    ranks(2, out, compare={"recipes": recipes, "steps": steps})
    found = {name: [json.loads((out / f"{name}-{rank}.json").read_text()) for rank in range(2)] for name in recipes}
    assert [name for name, (one, other) in found.items() if one["content"] != other["content"]] == []
    return {name: one for name, (one, _) in found.items()}


def is_as_one(found: dict[str, object]) -> bool:
    """Terms and weights are equal. Only biases have a gradient that is nothing, and the same ones."""
    if not all(name.endswith(("bias", "bias_1", "bias_2")) for name in found["nil"]):  # type: ignore[attr-defined]
        return False
    return found["terms"] <= 1e-12 and found["weights"] <= 1e-12 and found["nil"] == found["alone"]  # type: ignore[operator]


@pytest.fixture(scope="module")
def of_each_kind(
    ranks: Ranks, narrow: Narrow, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, dict[str, object]]:
    recipes = {name: overlay(name, narrow) | MORE.get(name, {}) for name in OF_EACH_KIND}
    return compared(ranks, tmp_path_factory.mktemp("ranks"), recipes, 5)


@pytest.mark.parametrize("name", OF_EACH_KIND)
def test_two_processes_train_a_recipe_as_one_does(name: str, of_each_kind: dict[str, dict[str, object]]) -> None:
    assert is_as_one(of_each_kind[name]), of_each_kind[name]


@pytest.mark.slow
def test_two_processes_train_every_shipped_recipe_as_one_does(ranks: Ranks, narrow: Narrow, tmp_path: Path) -> None:
    found = compared(ranks, tmp_path, {name: overlay(name, narrow) for name in lk.recipes()}, 20)
    for name, line in found.items():
        print(f"{name:22} terms {line['terms']:.0e}  weights {line['weights']:.0e}  without gradient: {line['nil']}")
    assert {name: line for name, line in found.items() if not is_as_one(line)} == {}
    assert len(found) == len(lk.recipes())


@pytest.mark.parametrize("fails", [None, 1])
def test_an_execution_in_which_processes_talk_is_one_graph_or_runs_as_it_is_in_all_of_them(
    fails: int | None, ranks: Ranks, narrow: Narrow, tmp_path: Path
) -> None:
    names = ("ogan", "wgan-gp", "gaia", "cyclegan") if fails is None else ("ogan",)
    recipes = {name: overlay(name, narrow) | MORE.get(name, {}) for name in names}
    ranks(2, tmp_path, graphs={"recipes": recipes, "steps": 3, "fails": fails})
    for name in names:
        found = [json.loads((tmp_path / f"{name}-{rank}.json").read_text()) for rank in range(2)]
        assert len({line[what] for line in found for what in ("plain", "graph")}) == 1
        assert all(line["talking"] and all(line["talking"]) == (fails is None) for line in found)
        reasons = [told.rpartition(": ")[2] for line in found for told in line["told"]]
        assert reasons == ([] if fails is None else ["another process cannot compile it", "no compiler"])


@pytest.mark.slow
def test_two_processes_with_a_compiler_train_as_one_without(
    ranks: Ranks, narrow: Narrow, far: Far, tmp_path: Path
) -> None:
    given = {"recipe": "ogan", "overrides": {**overlay("ogan", narrow), "train.log_every": 1}, "steps": 5,
             "precision": "float64"}  # fmt: skip
    for name in "ab":
        (tmp_path / name).mkdir()
    told = ranks(2, tmp_path / "a", train={**given, "compile": True})
    assert not [text for text in told if "runs as it is" in text or "run as they are" in text]
    ranks(1, tmp_path / "b", train=given)
    assert 0 < far(tmp_path / "a/run", tmp_path / "b/run") < 1e-12


class Alone:
    """A world of one rank."""

    size = 1

    def whole(self, value: torch.Tensor) -> torch.Tensor:
        return value


@pytest.mark.parametrize(
    "options", [{}, {"affine": False, "momentum": None}, {"track_running_stats": False}, {"eps": 0.1, "momentum": 0.5}]
)
def test_a_norm_over_ranks_is_torchs_batch_norm(options: dict[str, Any]) -> None:
    torch.manual_seed(0)
    part, plain = (nn.Sequential(nn.BatchNorm2d(3, dtype=torch.float64, **options)) for _ in range(2))
    share_statistics(part, Alone())  # type: ignore[arg-type]
    assert type(part[0]) is not nn.BatchNorm2d
    for training in (True, True, False):
        part.train(training)
        plain.train(training)
        x = torch.randn(4, 3, 2, 2, dtype=torch.float64) + 5
        torch.testing.assert_close(part(x), plain(x), rtol=0, atol=1e-13)
    assert part.state_dict().keys() == plain.state_dict().keys()
    for key, value in plain.state_dict().items():
        torch.testing.assert_close(part.state_dict()[key], value, rtol=0, atol=1e-13)


def test_a_part_with_batch_norm_alone_is_computed_by_each_rank_for_its_own() -> None:
    wiring = wired("ogan")
    sharding = Sharding(wiring, World(rank=0, size=2), 8)
    assert {sharding.of(node) for node in wiring.graph.nodes if node.op == "call"} == {"own"}
    wiring = wired("pggan")
    sharding = Sharding(wiring, World(rank=0, size=2), 8)
    assert {sharding.of(node) for node in wiring.graph.nodes if node.op == "call" and node.callee[0] == "D"} == {
        "whole"
    }


def test_a_batch_that_cannot_be_shared_is_refused() -> None:
    with pytest.raises(LatentkitError, match="a batch of 9 cannot be shared evenly by 2 processes"):
        Sharding(wired("ogan", {"train.batch": 9}), World(rank=0, size=2), 9)
    with pytest.raises(LatentkitError, match="a batch of 6, of which 3 are used, cannot be shared evenly"):
        Sharding(wired("gaia", {"train.batch": 6}), World(rank=0, size=2), 6)


def test_what_keeps_samples_apart_is_computed_by_each_rank_for_its_own() -> None:
    wiring = wired("alae-mlp")
    sharding = Sharding(wiring, World(rank=1, size=2), 8)
    calls = [node for node in wiring.graph.nodes if node.op == "call"]
    assert calls
    assert {sharding.of(node) for node in calls} == {"own"}
    data = next(node for node in wiring.graph.nodes if node.is_source("data"))
    assert sharding.given(data, torch.arange(8)).tolist() == [4, 5, 6, 7]


@pytest.fixture(scope="module")
def whole(ranks: Ranks, small: dict[str, object], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two processes that nothing has disturbed."""
    folder = tmp_path_factory.mktemp("whole")
    ranks(2, folder, train={"recipe": "ogan", "precision": "float64", "overrides": small, "steps": 40})
    return folder / "run"


@pytest.mark.parametrize(("processes", "most"), [((2, 2, 2), 0.0), ((2, 1, 2), 1e-12)])
def test_a_run_continues_with_as_many_processes_or_others(
    processes: tuple[int, ...],
    most: float,
    ranks: Ranks,
    small: dict[str, object],
    whole: Path,
    far: Far,
    tmp_path: Path,
) -> None:
    job: dict[str, object] = {"recipe": "ogan", "precision": "float64", "overrides": small}
    for count, steps in zip(processes, (13, 29, 40), strict=True):
        ranks(count, tmp_path, train={**job, "steps": steps})
        job = {"resume": True}
    assert far(whole, tmp_path / "run") <= most


def test_only_the_first_process_needs_to_see_the_run_folder(
    ranks: Ranks, small: dict[str, object], tmp_path: Path
) -> None:
    job: dict[str, object] = {"recipe": "ogan", "precision": "float64", "overrides": small}
    for steps in (7, 10, 10):  # the last time there is nothing left to do
        first, second = ranks(2, tmp_path, apart=True, train={**job, "steps": steps})
        assert first.startswith(f"{steps} {steps} ")
        assert first == second
        job = {"resume": True}
    assert not (tmp_path / "run-1").exists()


FAILURES = {
    "all have met": (["bad", "bad", "bad"], ["error: bad", "", ""]),
    "the second one alone has met": (
        [None, "no memory", None],
        ["error: process 1 of this run has ended, and its own message says why", "error: process 1: no memory", ""],
    ),
    "the first one alone has met": (["disk full", None, None], ["error: disk full", "", ""]),
    "none has met itself": ([None, None, None], ["error: another process of this run has ended", "", ""]),
    "each has met": (["one", "two", "one"], ["error: one", "error: process 1: two", ""]),
}


@pytest.mark.parametrize(("met", "told"), FAILURES.values(), ids=FAILURES)
def test_a_failure_is_told_by_one_process(met: list[str | None], told: list[str], ranks: Ranks, tmp_path: Path) -> None:
    printed = ranks(3, tmp_path, status=2, fail=met)
    for words, start in zip(printed, told, strict=True):
        assert words.startswith(start), printed
        assert bool(words) == bool(start), printed


@pytest.mark.parametrize(
    ("arguments", "told"),
    [(["nonsense"], "no shipped recipe is called 'nonsense'"), (["ogan", "--nonsense"], "No such option: --nonsense")],
)
def test_a_mistake_in_the_command_is_told_once(arguments: list[str], told: str, ranks: Ranks, tmp_path: Path) -> None:
    first, second = ranks(2, tmp_path, status=2, command=["compose", *arguments])
    assert told in first
    assert "Traceback" not in first
    assert second == ""


def test_one_process_talks(ranks: Ranks, small: dict[str, object], tmp_path: Path) -> None:
    given = {**small, "train.steps": 3}
    changes = [text for key, value in given.items() for text in ("--set", f"{key}={json.dumps(value)}")]
    first, second = ranks(2, tmp_path, command=["compose", "ogan", "--out", str(tmp_path / "run"), *changes])
    assert first.count("step 3/3") == first.count("3 steps, 24 images") == 1
    assert second == ""


@pytest.fixture
def first_of_two(monkeypatch: pytest.MonkeyPatch) -> abc.Iterator[pytest.MonkeyPatch]:
    """As if torchrun had started this process as the first one of two."""
    store = dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": store.port, "TORCHELASTIC_USE_AGENT_STORE": True}
    for key, value in {**place, "RANK": 0, "WORLD_SIZE": 2}.items():
        monkeypatch.setenv(key, str(value))
    monkeypatch.setattr(joining, "PATIENCE", timedelta(seconds=1))
    joining.board.cache_clear()
    yield monkeypatch
    joining.board.cache_clear()


def test_processes_that_do_not_come_are_named(first_of_two: pytest.MonkeyPatch) -> None:
    with pytest.raises(LatentkitError, match="of 2 processes 1 did not come within 1 s"):
        joining.join("cpu")


def test_a_meeting_place_that_is_not_there_is_named(first_of_two: pytest.MonkeyPatch) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        first_of_two.setenv("MASTER_PORT", str(free.getsockname()[1]))
    with pytest.raises(LatentkitError, match=r"cannot reach each other: .*\n  They meet at 127.0.0.1:\d+"):
        joining.join("cpu")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="interfaces are found on Linux")
def test_the_interface_is_the_one_by_which_the_first_process_is_reached(first_of_two: pytest.MonkeyPatch) -> None:
    assert reaching.addresses()["lo"] == "127.0.0.1"
    first_of_two.setenv(reaching.INTERFACE, "no-such-interface")
    assert reaching.choose_interface() == ""  # the user's choice stands
    first_of_two.delenv(reaching.INTERFACE)
    assert reaching.choose_interface() == "127.0.0.1"
    assert os.environ[reaching.INTERFACE] == "lo"
    first_of_two.delenv(reaching.INTERFACE)
    first_of_two.setenv("MASTER_ADDR", "no-such-host.invalid")
    assert reaching.choose_interface() == ""


def test_a_process_that_is_not_reached_is_named(first_of_two: pytest.MonkeyPatch) -> None:
    first_of_two.setenv(reaching.INTERFACE, "lo")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        gone = free.getsockname()[1]
    store = dist.HashStore()
    store.set("address 1", f"127.0.0.1 {gone}")
    store.set("reaches 1", "")
    with pytest.raises(LatentkitError, match=r"process 0 does not reach process 1 at 127\.0\.0\.1: "):
        reaching.reach_all(store, "127.0.0.1")
