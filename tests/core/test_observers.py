"""Observers by name, and TensorBoard."""

from __future__ import annotations

import builtins
import json
from pathlib import Path
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import latentkit as lk
from latentkit.registry.catalogue import read_catalogue, shipped_catalogue
from latentkit.registry.manager import Registry

TINY: dict[str, object] = {
    "parts.E.hidden": 16, "parts.G.hidden": 16, "data.count": 40, "data.resolution": 8, "draw.z.dim": 6,
    "train.batch": 8, "train.log_every": 1, "train.checkpoint_every": 2,
}  # fmt: skip


def curves(run: Path) -> Any:
    found = EventAccumulator(str(run / "tensorboard"))
    found.Reload()
    return found


def test_tensorboard_has_the_curves_of_the_metrics_file(tmp_path: Path) -> None:
    run = lk.train("alae-mlp", tmp_path / "run", steps=5, overrides=TINY, observers=["tensorboard"])
    found = curves(run.path)
    points = [(point.step, point.value) for point in found.Scalars("generate/adversarial")]
    lines = [json.loads(line) for line in (run.path / "metrics.jsonl").read_text().splitlines()]
    assert [step for step, _ in points] == [1, 2, 3, 4, 5]
    assert [value for _, value in points] == pytest.approx([line["generate.adversarial"] for line in lines])
    assert found.Images("samples")[0].step == 5


def test_tensorboard_goes_on_where_a_continued_run_does(tmp_path: Path) -> None:
    class Dead(BaseException):
        pass

    class Dying(lk.Observer):
        @lk.hookimpl
        def latentkit_step_done(self, event: Any) -> None:
            if event.step == 3:
                event.training  # noqa: B018 - alive until here
                raise Dead

    with pytest.raises(Dead):
        lk.train("alae-mlp", tmp_path / "run", steps=6, overrides=TINY, observers=["tensorboard", Dying()])
    lk.train(None, tmp_path / "run", resume=True, observers=["tensorboard"])
    assert [point.step for point in curves(tmp_path / "run").Scalars("generate/adversarial")] == [1, 2, 3, 4, 5, 6]


def test_without_tensorboard_the_extra_is_named_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def missing(name: str, *rest: Any) -> Any:
        if name.startswith("torch.utils.tensorboard"):
            raise ModuleNotFoundError("No module named 'tensorboard'")
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(lk.RunError, match=r"pip install 'latentkit\[tensorboard\]'"):
        lk.train("alae-mlp", tmp_path / "run", steps=2, overrides=TINY, observers=["tensorboard"])
    assert not (tmp_path / "run").exists()


class Tracker(lk.Observer):
    """Notes what it is told."""

    def __init__(self) -> None:
        self.figures: dict[int, float] = {}

    @lk.hookimpl
    def latentkit_evaluated(self, event: Any, figures: dict[str, float]) -> None:
        self.figures[event.step] = figures["generate.adversarial"]

    @lk.hookimpl
    def latentkit_run_finished(self, event: Any) -> None:
        (event.path / "tracked.json").write_text(json.dumps(self.figures))


class Plugin:
    @lk.hookimpl
    def latentkit_components(self) -> dict[str, object]:
        return {"tracker": Tracker}


def test_a_plugins_observer_is_used_by_its_name(tmp_path: Path) -> None:
    registry = Registry(read_catalogue(shipped_catalogue()))
    registry.add("mine", Plugin(), "tests", "0")
    run = lk.train("alae-mlp", tmp_path / "run", steps=3, overrides=TINY, observers=["mine.tracker"], registry=registry)
    tracked = json.loads((run.path / "tracked.json").read_text())
    assert tracked == {str(line["step"]): line["generate.adversarial"] for line in run.metrics}


def test_an_unknown_observer_names_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(lk.RegistryError, match=r"did you mean 'core\.tensorboard'"):
        lk.train("alae-mlp", tmp_path / "run", steps=3, overrides=TINY, observers=["tensorbord"])


def test_an_observer_that_cannot_be_made_is_one_message(tmp_path: Path) -> None:
    class Plugged:
        @lk.hookimpl
        def latentkit_components(self) -> dict[str, object]:
            return {"needy": Needy}

    class Needy(lk.Observer):
        def __init__(self, address: str) -> None: ...

    registry = Registry(read_catalogue(shipped_catalogue()))
    registry.add("mine", Plugged(), "tests", "0")
    with pytest.raises(lk.RunError, match=r"observer 'mine\.needy' cannot start: TypeError"):
        lk.train("alae-mlp", tmp_path / "run", overrides=TINY, observers=["mine.needy"], registry=registry)
    with pytest.raises(lk.RegistryError, match=r"is a class; pass an object"):
        lk.train("alae-mlp", tmp_path / "run", overrides=TINY, observers=[Tracker])
