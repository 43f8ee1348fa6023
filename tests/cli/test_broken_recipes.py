"""Recipes with one fault each: what ``check`` says of it, word for word, and that it says so soon.

Each file of ``broken`` begins with what is expected on standard error. Files that cannot be written that way are made
here. ``pytest -m slow`` measures every one of them in a process of its own, start-up included.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections import abc
from pathlib import Path
from typing import Any

import pytest

import latentkit
import latentkit_cli
import latentkit_plugins

Command = abc.Callable[..., Any]
Content = bytes | abc.Callable[[Path], None]

BROKEN = Path(__file__).parent / "broken"
WRITTEN = sorted(path.name for path in BROKEN.glob("*.toml"))
SECONDS = 3.0
ROOTS = [str(Path(package.__file__ or "").parents[1]) for package in (latentkit, latentkit_cli, latentkit_plugins)]
RECIPE = (BROKEN / "parents" / "base.toml").read_text()
NESTED = "error: x.toml: tables or lists are nested more than 32 deep\n  a recipe needs about 5\n"


def hundred_megabytes(line: bytes) -> abc.Callable[[Path], None]:
    def write(path: Path) -> None:
        with path.open("wb") as file:
            if line:
                file.write(line * (100_000_000 // len(line)))
            file.truncate(100_000_000)

    return write


def flow(text: str) -> bytes:
    return f'{RECIPE}\n[inference]\nmore = "{text}"'.encode()


def too_much(text: str, fact: str) -> str:
    return f'error: x.toml, line 34, [inference] more: "{text[:60]}...": {fact}\n  name a part of it in [flow]\n'


DEEP, MINUS, LONG, SUM = "(" * 1500 + "x" + ")" * 1500, "-" * 3000 + "x", "x" * 20_000, "+".join(["x"] * 300)
MADE: dict[str, tuple[Content, str]] = {
    "empty": (b"", 'error: x.toml, [phase]: the recipe has no phase: nothing would be trained\n  a phase is a table '
              '[phase.NAME] with train = ["a part", ...] and loss.NAME = an expression\n'),
    "random bytes": (bytes(range(256)) * 16, "error: x.toml, line 2: not a text file in UTF-8: found the byte 0x80\n"
                     "  a recipe is TOML; if it is one, save it as UTF-8\n"),
    "NUL": (b'title = "a\0b"\n', "error: x.toml, line 1: not valid TOML: Illegal character '\\x00', in: title = "
            '"ab"\n  see https://toml.io for the form of TOML\n'),
    "UTF-16": (RECIPE.encode("utf-16"), "error: x.toml: not a text file in UTF-8, but in UTF-16\n  save it as UTF-8\n"),
    "Latin-1": ('\ntitle = "Mod\u00e8le"\n'.encode("latin-1"), "error: x.toml, line 2: not a text file in UTF-8: found "
                "the byte 0xe8\n  a recipe is TOML; if it is one, save it as UTF-8\n"),
    "100 MB of valid lines": (hundred_megabytes(b"# a line\n"), "error: x.toml: 100.0 MB are no recipe; at most 100.0 "
                              "kB are read\n  a recipe has some kB; is this another file?\n"),
    "100 MB of zeros": (hundred_megabytes(b""), "error: x.toml: 100.0 MB are no recipe; at most 100.0 kB are read\n"
                        "  a recipe has some kB; is this another file?\n"),
    "10,000 brackets": (b"a = " + b"[" * 10_000 + b"]" * 10_000, NESTED),
    "10,000 braces": (b"a = " + b"{a=" * 10_000 + b"1" + b"}" * 10_000, NESTED),
    "10,000 dots": (b".".join([b"a"] * 10_000) + b" = 1", NESTED),
    "10,000 dots in a header": (b"[" + b".".join([b"a"] * 10_000) + b"]", NESTED),
    "49,000 dots": (b".".join([b"a"] * 49_000) + b" = 1", NESTED),
    "parentheses": (flow(DEEP), too_much(DEEP, "the expression is nested more than 50 deep")),
    "minus signs": (flow(MINUS), too_much(MINUS, "the expression is nested more than 50 deep")),
    "many terms": (flow(SUM), too_much(SUM, "the expression is a chain of more than 200 operations")),
    "a long expression": (flow(LONG), too_much(LONG, "the expression has 20000 characters; at most 4000 are read")),
    "400 digits": (RECIPE.replace("batch = 4", "batch = 1" + "0" * 400).encode(), "error: x.toml, line 30, [train] "
                   "batch: expected a whole number of at most 64 bits, found a number of 401 digits\n"),
    "5,000 digits": (b"[train]\nbatch = 1" + b"0" * 5000, "error: x.toml, line 2: found a number of thousands of "
                     "digits; expected at most 19\n"),
    "5,000 hexadecimal digits": (RECIPE.replace("batch = 4", "batch = 0x1" + "0" * 5000).encode(), "error: x.toml, "
                                 "line 30, [train] batch: expected a whole number of at most 64 bits, found a number "
                                 "of 6021 digits\n"),
    "a folder": (Path.mkdir, "error: no such recipe file: x.toml is a folder\n"),
    "a pipe": (lambda path: os.mkfifo(path), "error: no such recipe file: x.toml is no regular file\n"),
    "a link to nothing": (lambda path: path.symlink_to("nothing"), "error: no such recipe file: x.toml\n"),
    "a link to itself": (lambda path: path.symlink_to(path), "error: no such recipe file: x.toml\n"),
    "no file": (lambda path: None, "error: no such recipe file: x.toml\n"),
    "escapes of a terminal": (b'"\\u001b[2J" = 1\n' + RECIPE.encode(), 'error: x.toml, line 1, ["\\u001b[2J"]: unknown '
                              "key\n  known: title, paper, together, order, data, draw, scalars, parts, flow, state, "
                              "phase, optimizer, average, stage, train, inference, monitor, extends, remove\n"),
}  # fmt: skip


def expected(name: str) -> str:
    lines = (BROKEN / name).read_text().partition("\n\n")[0].splitlines()
    return "".join(f"{line.removeprefix('# ')}\n" for line in lines)


def anywhere(text: str) -> str:
    """The text without what depends on the machine's memory."""
    text = re.sub(r"this machine( has|'s) [\d.]+ \w+", r"this machine\1 memory", text)
    return re.sub(r"over [\d,]{8,} weights", "over so many weights", text)


def make(content: Content, path: Path) -> None:
    path.write_bytes(content) if isinstance(content, bytes) else content(path)


def in_its_own_process(*arguments: str, folder: Path) -> tuple[subprocess.CompletedProcess[str], float]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(ROOTS), "COLUMNS": "100"}
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "latentkit", *arguments],
        cwd=folder, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done, time.perf_counter() - start


def test_the_recipe_that_they_change_is_sound(latentkit: Command) -> None:
    assert latentkit("check", BROKEN / "parents" / "base.toml").code == 0


@pytest.mark.parametrize("name", WRITTEN)
def test_a_fault_is_told_with_its_place(name: str, latentkit: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(BROKEN)
    done = latentkit("check", name)
    assert (done.code, done.out) == (2, "")
    assert anywhere(done.err) == anywhere(expected(name))


@pytest.mark.parametrize("name", MADE)
def test_a_file_that_is_no_recipe_is_told_for_what_it_is(name: str, latentkit: Command, tmp_path: Path) -> None:
    content, message = MADE[name]
    make(content, tmp_path / "x.toml")
    done = latentkit("check", "x.toml")
    assert (done.code, done.out, done.err) == (2, "", message)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="nothing is forbidden to this user")
def test_a_file_that_may_not_be_read_is_told(latentkit: Command, tmp_path: Path) -> None:
    (tmp_path / "x.toml").touch(0o000)
    assert latentkit("check", "x.toml").err == "error: x.toml: cannot be read: Permission denied\n"


def test_a_disk_that_cannot_be_read_is_told(
    latentkit: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def opened(path: Path, *arguments: Any, **options: Any) -> Any:
        if path.name == "x.toml":
            raise OSError(5, "Input/output error")
        return readable(path, *arguments, **options)

    readable = Path.open
    (tmp_path / "x.toml").touch()
    monkeypatch.setattr(Path, "open", opened)
    done = latentkit("check", "x.toml")
    assert (done.code, done.err) == (2, "error: x.toml: cannot be read: Input/output error\n")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_recipe_written_elsewhere_is_read(encoding: str, end: str, latentkit: Command, tmp_path: Path) -> None:
    wrong = RECIPE.replace("steps = 1", "steps = 0")
    (tmp_path / "x.toml").write_bytes(wrong.replace("\n", end).encode(encoding))
    assert latentkit("check", "x.toml").err == "error: x.toml, line 31, [train] steps: must be at least 1, found 0\n"


def test_a_long_chain_of_recipes_is_told(latentkit: Command, tmp_path: Path) -> None:
    for number in range(40):
        (tmp_path / f"{number}.toml").write_text(f'extends = "{number + 1}.toml"\n')
    done = latentkit("check", "0.toml")
    assert (done.code, done.err) == (2, "error: 31.toml, line 1, extends: extends a chain of more than 32 recipes\n")


@pytest.mark.parametrize("count", [150, 3000])
def test_a_long_chain_of_values_is_read_or_told(count: int, latentkit: Command, tmp_path: Path) -> None:
    values = "".join(f'v{number} = "v{number - 1} + 1"\n' for number in range(1, count))
    more = f'[inference]\nmore = "v{count - 1}"\n'
    (tmp_path / "x.toml").write_text(RECIPE.replace("[flow]\n", f'[flow]\nv0 = "x"\n{values}') + more)
    done = latentkit("check", "x.toml")
    assert "Traceback" not in done.err
    assert done.code == (0 if count == 150 else 2)
    if count == 3000:
        assert "depends on values that depend on values, and so on, too many times over" in done.err


@pytest.fixture(scope="module")
def torch_alone(processor_time: abc.Callable[[], float]) -> float:
    """Seconds of a processor that importing torch takes here and now."""
    before = processor_time()
    subprocess.run([sys.executable, "-c", "import torch"], check=True)
    return processor_time() - before


def test_of_thousands_of_faults_the_first_are_told(latentkit: Command, tmp_path: Path, torch_alone: float) -> None:
    values = "".join(f'v{number} = "G(z{number})"\n' for number in range(4000))
    (tmp_path / "x.toml").write_text(RECIPE.replace("[flow]\n", f"[flow]\n{values}"))
    start = time.process_time()  # other tests may be running
    told = latentkit("check", "x.toml").err.splitlines()
    assert time.process_time() - start < max(SECONDS, 2 * torch_alone)  # a machine may be slow
    assert told[0] == "error: 4,000 problems"
    assert told[1].endswith("""line 17, [flow] v0: "G(z0)": 'z0' is no value of this recipe""")
    assert told[-1] == "  ... and 3,950 more"


@pytest.mark.parametrize(
    "assignment",
    ["a" + ".a" * 5000 + "=1", "train.batch=" + "[" * 5000, "train.batch=1" + "0" * 5000, "draw.z.dim=-1",
     "flow.fake=\udc80"],
)  # fmt: skip
def test_a_faulty_change_on_the_command_line_is_told(assignment: str, latentkit: Command) -> None:
    done = latentkit("check", BROKEN / "parents" / "base.toml", "--set", assignment)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("error: --set")
    assert "Traceback" not in done.err


def test_ten_faults_are_told_in_one_go(latentkit: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(BROKEN)
    done = latentkit("check", "ten-faults-at-once.toml", "--json")
    places = [problem["where"].partition(", ")[2] for problem in done.json["problems"]]
    assert places == [
        "line 24, title", "line 27, [data] flp", "line 30, [draw] z.dim", "line 33, [parts] G.hiden",
        "line 34, [parts] D.use", "line 37, [flow] more", "line 38, [flow] fake", "line 41, [phase.generate] train",
        "line 42, [phase.generate] loss.pixels", "line 45, [phase.discriminate] loss.r1.weight",
        "line 48, [optimizer] use", "line 51, [train] batch",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "name", ["unknown-value.toml", "phantom-term.toml", "absurd-resolution.toml", "loss-that-is-not-finite.toml"]
)
def test_a_faulty_recipe_leaves_no_run(
    name: str, tmp_path: Path, processor_time: abc.Callable[[], float], torch_alone: float
) -> None:
    before = processor_time()
    done, _ = in_its_own_process("compose", name, "--out", str(tmp_path / "run"), folder=BROKEN)
    assert (done.returncode, done.stdout) == (2, "")
    assert anywhere(done.stderr).endswith(anywhere(expected(name)))
    assert list(tmp_path.iterdir()) == []
    # Other tests may be running, on a slow machine; the slow test below takes the clock's.
    assert processor_time() - before < max(2 * SECONDS, 4 * torch_alone)


def test_data_that_fit_nowhere_are_refused_before_there_is_a_run(latentkit: Command, tmp_path: Path) -> None:
    assignment = "data.count=1_000_000_000_000"
    done = latentkit("compose", BROKEN / "parents" / "base.toml", "--out", tmp_path / "run", "--set", assignment)
    assert done.code == 2
    said = "error: sprites: 1,000,000,000,000 images of 1 x 8 x 8 take 128.0 TB, and this machine has memory; choose"
    assert said in anywhere(done.err)
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
@pytest.mark.parametrize("name", [*WRITTEN, *MADE])
def test_a_fault_is_told_within_three_seconds(name: str, tmp_path: Path) -> None:
    file, folder = name, BROKEN
    if name in MADE:
        file, folder = "x.toml", tmp_path
        make(MADE[name][0], tmp_path / file)
    done, seconds = in_its_own_process("check", file, folder=folder)
    message = MADE[name][1] if name in MADE else expected(name)
    assert (done.returncode, done.stdout, anywhere(done.stderr)) == (2, "", anywhere(message))
    assert seconds < SECONDS
