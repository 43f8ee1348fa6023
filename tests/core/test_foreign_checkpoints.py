"""Checkpoints of others: what is read of them, and that nothing in them is ever executed."""

from __future__ import annotations

import contextlib
import os
import pickle
import sys
import types
import zipfile
from collections import Counter, OrderedDict, abc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from latentkit.errors import RunError
from latentkit.runs.foreign import read_checkpoint
from latentkit.runs.plain import Unknown, flat, nested, plain
from latentkit_cli import main


class Asks:
    """Pickled as a call: what a hostile file asks for."""

    def __init__(self, function: abc.Callable[..., Any], *arguments: object) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple[abc.Callable[..., Any], tuple[object, ...]]:
        return self.call


def archive(path: Path, data: bytes) -> Path:
    """A file as torch.save makes it, with this pickle and no tensors."""
    with zipfile.ZipFile(path, "w") as file:
        for name, content in {"data.pkl": data, "byteorder": b"little", "version": b"3\n"}.items():
            file.writestr(f"archive/{name}", content)
    return path


def legacy(path: Path, data: bytes, system: bytes = b"") -> Path:
    """The same in the format that torch had before 1.6."""
    head = [pickle.dumps(value, 2) for value in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True})]
    path.write_bytes(b"".join([*head[:2], system or head[2], data, pickle.dumps([], 2)]))
    return path


@pytest.fixture
def vanished() -> abc.Iterator[type]:
    """A class that can be pickled and whose module is gone when the file is read."""
    module = types.ModuleType("lk_gone_tracker")
    tracker = type("RunningMean", (), {"__module__": "lk_gone_tracker", "__qualname__": "RunningMean"})
    module.RunningMean = tracker  # type: ignore[attr-defined]
    sys.modules["lk_gone_tracker"] = module
    yield tracker
    sys.modules.pop("lk_gone_tracker", None)


def forget() -> None:
    del sys.modules["lk_gone_tracker"]


@pytest.mark.parametrize("archived", [True, False], ids=["zip", "legacy"])
def test_a_torch_file_is_plain_values_and_unknown_classes_are_told(
    archived: bool, vanished: type, tmp_path: Path
) -> None:
    mean = vanished()
    mean.values, mean.tracks, mean.self = [torch.ones(2)], OrderedDict(loss=0.5), mean
    weights = torch.nn.Linear(3, 2)
    content = {
        "models": {"net": weights.state_dict()}, "whole": torch.nn.Parameter(torch.ones(1)),
        "tracker": {"mean": mean}, "epoch": 3, "sizes": (torch.Size([2, 3]), {1}), "counts": Counter("aab"),
    }  # fmt: skip
    torch.save(content, tmp_path / "a.pth", _use_new_zipfile_serialization=archived)
    forget()
    read = read_checkpoint(tmp_path / "a.pth").content
    assert "lk_gone_tracker" not in sys.modules
    assert torch.equal(flat(read)["models.net.weight"], weights.weight)
    assert type(flat(read)["whole"]) is Tensor
    assert (read["epoch"], read["sizes"], read["counts"]) == (3, [[2, 3], [1]], {"a": 2, "b": 1})
    known = read["tracker"]["mean"]
    assert isinstance(known, Unknown)
    assert known.name == "lk_gone_tracker.RunningMean"
    assert known.state["tracks"] == {"loss": 0.5}  # type: ignore[index]
    assert known.state["self"] is known  # type: ignore[index]


def test_dotted_keys_of_safetensors_become_tables_and_the_header_is_given(tmp_path: Path) -> None:
    values = {"models.net.fc_1.weight": torch.rand(2, 3), "step": torch.tensor(4), "step.more": torch.zeros(1)}
    save_file(values, tmp_path / "a.safetensors", {"made": "elsewhere"})
    read = read_checkpoint(tmp_path / "a.safetensors")
    assert list(read.content["models"]["net"]["fc_1"]) == ["weight"]
    assert read.metadata == {"made": "elsewhere"}
    assert {key: value.tolist() for key, value in flat(read.content).items()} == {
        key: value.tolist() for key, value in values.items()
    }


def test_a_file_is_known_by_its_content_whatever_its_name(tmp_path: Path) -> None:
    torch.save({"a": torch.ones(1)}, tmp_path / "weights.bin")
    save_file({"a": torch.ones(1)}, tmp_path / "weights.pth")
    for name in ("weights.bin", "weights.pth"):
        assert flat(read_checkpoint(tmp_path / name).content)["a"].item() == 1


HOSTILE: dict[str, abc.Callable[[Path], object]] = {
    "os.system": lambda marker: Asks(os.system, f"touch {marker}"),
    "eval": lambda marker: Asks(eval, f"open({str(marker)!r}, 'w')"),
    "exec": lambda marker: Asks(exec, f"open({str(marker)!r}, 'w')"),
    "Popen": lambda marker: Asks(__import__("subprocess").Popen, ["touch", str(marker)]),
    "run_path": lambda marker: Asks(__import__("runpy").run_path, str(marker.with_suffix(".py"))),
    "copyfile": lambda marker: Asks(__import__("shutil").copyfile, str(marker.with_suffix(".py")), str(marker)),
    "numpy": lambda marker: Asks(np.save, f"{marker}.npy", [1]),
    "torch.save": lambda marker: Asks(torch.save, 1, str(marker)),
    "Path.touch": lambda marker: Asks(Path.touch, marker),
    "nested": lambda marker: [{"a": ({"b": [1, Asks(os.mkdir, str(marker))]},)}],
    "argument": lambda marker: Asks(OrderedDict, [("a", Asks(os.mkdir, str(marker)))]),
}
NAMED = {
    "os.system": "posix.system", "eval": "builtins.eval", "exec": "builtins.exec",
    "Popen": "subprocess.Popen", "run_path": "runpy.run_path", "copyfile": "shutil.copyfile", "numpy": "numpy.save",
    "torch.save": "torch.serialization.save", "Path.touch": "builtins.getattr", "nested": "posix.mkdir",
    "argument": "posix.mkdir",
}  # fmt: skip


@pytest.fixture
def marker(tmp_path: Path) -> abc.Iterator[Path]:
    """What would be there if anything had been executed."""
    path = tmp_path / "marker"
    path.with_suffix(".py").write_text(f"open({str(path)!r}, 'w')")
    yield path
    assert not [found for found in tmp_path.iterdir() if found.name in ("marker", "marker.npy")]


def refused(path: Path, callable_name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(RunError) as caught:
        read_checkpoint(path)
    assert str(path) in str(caught.value)
    assert f"'{callable_name}'" in str(caught.value)
    assert main(["convert", "alae", str(path), "--out", str(path.with_suffix(""))]) == 2
    assert f"error: {caught.value}" in capsys.readouterr().err
    assert not path.with_suffix("").exists()


@pytest.mark.skipif(os.name == "nt", reason="names of the functions of POSIX")
@pytest.mark.parametrize("kind", HOSTILE)
def test_what_a_pickle_asks_to_call_is_refused_and_not_called(
    kind: str, marker: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = {"models": {}, "tracker": HOSTILE[kind](marker)}
    torch.save(content, tmp_path / "zip.pth")
    torch.save(content, tmp_path / "legacy.pth", _use_new_zipfile_serialization=False)
    refused(tmp_path / "zip.pth", NAMED[kind], capsys)
    refused(tmp_path / "legacy.pth", NAMED[kind], capsys)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_call_is_refused_in_every_protocol(
    protocol: int, marker: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    twice = HOSTILE["eval"](marker)
    data = pickle.dumps({"a": "builtins", "b": ["eval", twice, twice]}, protocol)  # its names come out of the memo
    name = "builtins.eval"
    refused(archive(tmp_path / "zip.pth", data), name, capsys)
    refused(legacy(tmp_path / "legacy.pth", data), name, capsys)
    bare = tmp_path / "bare.pth"
    bare.write_bytes(data)
    refused(bare, name, capsys)


CRAFTED: dict[str, tuple[bytes, str]] = {
    "inst": (b"(S'touch MARKER'\nisubprocess\ngetoutput\n.", "subprocess.getoutput"),
    "obj": (b"(csubprocess\ngetoutput\nS'touch MARKER'\no.", "subprocess.getoutput"),
    "build calls what an earlier build brought": (
        b"\x80\x02clk_gone\nT\n)\x81}X\x0c\0\0\0__setstate__csubprocess\ngetoutput\nsbX\x0c\0\0\0touch MARKERb.",
        "subprocess.getoutput",
    ),
    "the same by way of slots": (
        b"\x80\x02clk_gone\nT\n)\x81N}X\x0c\0\0\0__setstate__csubprocess\ngetoutput\ns\x86bX\x0c\0\0\0touch MARKERb.",
        "subprocess.getoutput",
    ),
    "build changes a class": (
        b"\x80\x02clk_gone\nT\nN}X\x0c\0\0\0__setstate__cbuiltins\neval\ns\x86b)\x81X\x12\0\0\0open('MARKER','w')b.",
        "builtins.eval",
    ),
    "memo": (b"\x80\x02csubprocess\ngetoutput\nq\x07X\x01\0\0\0a\x85h\x07X\x0c\0\0\0touch MARKER\x85R.",
             "subprocess.getoutput"),
    "its result is called": (
        b"\x80\x02cfunctools\npartial\ncsubprocess\ngetoutput\nX\x0c\0\0\0touch MARKER\x86R)R.", "functools.partial",
    ),
    "stack global of computed names": (
        b"\x80\x04\x8c\x0asubprocess\x94\x8c\x09getoutput\x94\x93\x94\x8c\x0ctouch MARKER\x85R.",
        "subprocess.getoutput",
    ),
    "by way of a tensor": (
        b"\x80\x02ctorch._tensor\n_rebuild_from_type_v2\n(csubprocess\ngetoutput\nctorch\nTensor\n"
        b"X\x0c\0\0\0touch MARKER\x85}tR.", "subprocess.getoutput",
    ),
    "behind names that are harmless": (
        b"\x80\x02]" + b"".join(b"clk_gone\nT%d\na" % index for index in range(20))
        + b"csubprocess\ngetoutput\nX\x0c\0\0\0touch MARKER\x85Ra.", "subprocess.getoutput",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", CRAFTED)
def test_a_crafted_pickle_is_refused(
    kind: str, marker: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # `touch MARKER` is as long as its length says
    data, name = CRAFTED[kind]
    refused(archive(tmp_path / "zip.pth", data), name, capsys)
    refused(legacy(tmp_path / "legacy.pth", data), name, capsys)
    refused(legacy(tmp_path / "system.pth", b"\x80\x02}.", system=data), name, capsys)
    assert not (tmp_path / "MARKER").exists()


def test_what_a_program_has_allowed_torch_is_not_allowed_here(marker: Path, tmp_path: Path) -> None:
    torch.save({"a": Asks(exec, f"open({str(marker)!r}, 'w')")}, tmp_path / "a.pth")
    with torch.serialization.safe_globals([exec]):
        with pytest.raises(RunError, match=r"asks to call 'builtins\.exec'"):
            read_checkpoint(tmp_path / "a.pth")
        assert exec in torch.serialization.get_safe_globals()
    assert exec not in torch.serialization.get_safe_globals()


def test_attributes_that_hide_methods_do_no_harm(tmp_path: Path) -> None:
    hidden = b"".join(b"X%c\0\0\0%scbuiltins\neval\ns" % (len(name), name) for name in (b"items", b"keys", b"get"))
    data = b"\x80\x02}X\x01\0\0\0occollections\nOrderedDict\n)RX\x01\0\0\0aK\x01s}" + hidden + b"bs."
    assert read_checkpoint(archive(tmp_path / "a.pth", data)).content == {"o": {"a": 1}}
    tensor: Any = torch.ones(2)
    tensor.float = tensor.clone = tensor.isfinite = eval
    torch.save({"t": tensor}, tmp_path / "b.pth")
    assert read_checkpoint(tmp_path / "b.pth").content["t"].float().tolist() == [1, 1]


DAMAGED: dict[str, tuple[abc.Callable[[Path], object], str]] = {
    "missing": (lambda path: None, "no such file"),
    "folder": (lambda path: path.mkdir(), "a folder; expected a .safetensors file, or a .pth or .pt file"),
    "empty": (lambda path: path.touch(), "the file is empty"),
    "text": (lambda path: path.write_text("hello\nworld\n"), "not a checkpoint: expected a .safetensors file"),
    "pointer": (
        lambda path: path.write_text("results/model_157.pth\n"),
        "a text file that names a checkpoint, not a checkpoint; give the file that it names: results/model_157.pth",
    ),
    "picture": (lambda path: path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(5000)), "not a checkpoint"),
    "noise": (lambda path: path.write_bytes(np.random.default_rng(0).bytes(4000)), "not a checkpoint"),
    "other zip": (lambda path: closed_zip(path, {"a.txt": b"b"}), "not one of torch.save"),
    "bare pickle": (lambda path: path.write_bytes(pickle.dumps({"a": 1})), "a bare pickle; it has not been run"),
    "list": (lambda path: torch.save([torch.ones(1)], path), "holds a list; expected a dict of weights by name"),
    "model": (
        lambda path: torch.save(torch.nn.Linear(1, 1), path),
        "an object of class 'torch.nn.modules.linear.Linear'; expected a dict",
    ),
    "half a zip": (lambda path: cut(path, True, 2), "damaged zip archive"),
    "half a legacy file": (lambda path: cut(path, False, 2), "damaged"),
    "a tenth of a legacy file": (lambda path: cut(path, False, 10), "damaged: its pickle breaks off"),
    "bomb": (lambda path: closed_zip(path, {"archive/data.pkl": bytes(10**6)}), "claim more bytes than the file has"),
    "huge storage": (
        lambda path: legacy(path, HUGE), "damaged, or no checkpoint of torch",
    ),
    "nothing behind a length": (lambda path: path.write_bytes(b"X\xff\xff\xff\x7f" + bytes(100)), "not a checkpoint"),
}  # fmt: skip
HUGE = (
    b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n((X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\0aX\x03\0\0\0cpu"
    b"\x8a\x08\0\0\0\0\0\0\x10\0NtQK\0K\x01\x85K\x01\x85\x89}tR."
)


def closed_zip(path: Path, records: dict[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in records.items():
            file.writestr(name, content)


def cut(path: Path, archived: bool, share: int) -> None:
    torch.save({"a": torch.rand(50, 50)}, path, _use_new_zipfile_serialization=archived)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // share] if share < 10 else data[:200])


@pytest.mark.parametrize("kind", DAMAGED)
def test_what_is_no_checkpoint_has_one_clear_message(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make, said = DAMAGED[kind]
    path = tmp_path / "model.pth"
    make(path)
    with pytest.raises(RunError) as caught:
        read_checkpoint(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert main(["convert", "alae", str(path), "--out", str(tmp_path / "run")]) == 2
    assert not (tmp_path / "run").exists()


def test_every_truncation_and_flipped_byte_ends_in_a_message(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for archived in (True, False):
        torch.save(
            {"a": {"b": torch.rand(3)}, "c": [1, "x"]}, tmp_path / "a.pth", _use_new_zipfile_serialization=archived
        )
        whole = (tmp_path / "a.pth").read_bytes()
        for length in rng.integers(1, len(whole), 25):
            (tmp_path / "cut.pth").write_bytes(whole[:length])
            with pytest.raises(RunError):
                read_checkpoint(tmp_path / "cut.pth")
        for place, value in zip(rng.integers(0, len(whole), 60), rng.integers(0, 256, 60), strict=True):
            (tmp_path / "other.pth").write_bytes(whole[:place] + bytes([value]) + whole[place + 1 :])
            with contextlib.suppress(RunError):
                read_checkpoint(tmp_path / "other.pth")


def test_a_huge_file_of_another_kind_is_not_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "model.pth"
    with path.open("wb") as file:
        file.write(b"B\xff\xff\xff\xff")  # a pickle's string of 4 GB
        file.truncate(8 * 2**30)  # takes no room on the disk
    with pytest.raises(RunError, match="not a checkpoint"):
        read_checkpoint(path)


def test_a_tensor_that_only_claims_to_be_large_is_left_out() -> None:
    content = plain({"small": torch.ones(1).expand(1000), "large": torch.ones(1).expand(10**6, 10**6)})
    assert content["small"].shape == (1000,)
    assert content["large"].name == "torch.Tensor of [1000000, 1000000] without data"
    assert plain(torch.ones(2, device="meta")).name.endswith("without data")


def test_tables_that_contain_each_other_end_in_a_message() -> None:
    tree: dict[str, Any] = {"w": torch.ones(1)}
    for _ in range(40):
        tree = {"a": tree, "b": tree}
    made = plain(tree)
    assert made["a"] is made["b"]
    with pytest.raises(RunError, match="more than 100,000 names"):
        flat(made)
    circle: dict[str, Any] = {"w": torch.ones(1)}
    circle["again"] = circle
    assert plain(circle)["again"]["again"]["w"].item() == 1
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    assert len(plain(deep)) == 1


def test_nesting_is_undone_by_flattening() -> None:
    values = {"a": torch.zeros(1), "a.b": torch.ones(1), "c.d.e": torch.ones(2)}
    assert nested(values)["c"] == {"d": {"e": values["c.d.e"]}}
    assert flat(nested(values)) == values


@pytest.mark.parametrize("zipped", [True, False])
def test_logged_numpy_numbers_beside_the_weights_are_skipped(zipped: bool, tmp_path: Path) -> None:
    content = {"w": torch.arange(3.0), "log": {"loss": np.float64(0.5), "curve": np.arange(4.0)}}
    torch.save(content, tmp_path / "a.pth", _use_new_zipfile_serialization=zipped)
    found = read_checkpoint(tmp_path / "a.pth").content
    assert torch.equal(found["w"], torch.arange(3.0))
    assert {type(value).__name__ for value in found["log"].values()} == {"Unknown"}
