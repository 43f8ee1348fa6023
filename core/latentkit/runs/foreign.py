"""Checkpoints that others wrote: what kind of file it is, and its content as plain values."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import attrs

from latentkit.errors import RunError
from latentkit.runs.files import read_tensors
from latentkit.runs.inert import LEGACY_START, ZIP_START, naming, read_torch
from latentkit.runs.opcodes import scan
from latentkit.runs.plain import Unknown, nested, plain

KNOWN = "a .safetensors file, or a .pth or .pt file of torch.save"
_HEAD = 4096


@attrs.frozen(kw_only=True, eq=False)
class Checkpoint:
    """A file that has been read."""

    path: Path
    content: dict[str, Any]
    """Nested dicts and lists of tensors, numbers and strings; the dotted keys of safetensors are nested too."""
    metadata: dict[str, str]
    """Of the header of a safetensors file."""
    sha256: str
    """Of the file, in hexadecimal."""


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint by its content, whatever its name. Nothing of it is imported or executed.

    Raises:
        RunError: no such file, not a checkpoint, damaged, or a pickle that asks for more than weights.
    """
    head = _head(path)
    metadata: dict[str, str] = {}
    if head.startswith((ZIP_START, LEGACY_START)):
        content = _plain(path, read_torch(path))
    elif _is_safetensors(path, head):
        tensors, metadata = read_tensors(path)
        content = plain(nested(tensors))
    else:
        raise RunError(f"{path}: {_what_else(path, head)}")
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return Checkpoint(path=path, content=content, metadata=metadata, sha256=digest)


def _head(path: Path) -> bytes:
    try:
        if path.is_dir():
            raise RunError(f"{path}: a folder; expected {KNOWN}")
        if not path.exists():
            raise RunError(f"{path}: no such file")
        if not path.is_file():
            raise RunError(f"{path}: not an ordinary file; expected {KNOWN}")
        with path.open("rb") as file:
            head = file.read(_HEAD)
    except OSError as error:
        raise RunError(f"{path}: cannot be read ({error.strerror})") from None
    if not head:
        raise RunError(f"{path}: the file is empty; expected {KNOWN}")
    return head


def _is_safetensors(path: Path, head: bytes) -> bool:
    """Eight bytes with the length of a JSON object, then that object; or a file that is called so."""
    length = int.from_bytes(head[:8], "little")
    return (head[8:9] == b"{" and length < path.stat().st_size) or path.suffix == ".safetensors"


def _plain(path: Path, read: object) -> dict[str, Any]:
    try:
        content = plain(read)
    except Exception as error:  # tensors of a hostile file can refuse to be looked at
        raise RunError(f"{path}: damaged: its content cannot be looked through ({error})") from None
    if not isinstance(content, dict):
        found = (
            f"an object of class '{content.name}'" if isinstance(content, Unknown) else f"a {type(content).__name__}"
        )
        raise RunError(f"{path}: holds {found}; expected a dict of weights by name, as state_dict() gives")
    return content


def _what_else(path: Path, head: bytes) -> str:
    named = _pointer(head)
    if named:
        return f"a text file that names a checkpoint, not a checkpoint; give the file that it names: {named}"
    with path.open("rb") as file:
        found = scan(file)
    if found.whole:
        return f"a bare pickle{naming(found)}; it has not been run. Expected {KNOWN}"
    return f"not a checkpoint: expected {KNOWN}"


def _pointer(head: bytes) -> str:
    """What a file like ``last_checkpoint`` says: one line, the path of the current checkpoint."""
    try:
        lines = head.decode("utf-8").strip().splitlines() if len(head) < _HEAD else []
    except UnicodeDecodeError:
        return ""
    return lines[0].strip() if len(lines) == 1 and lines[0].strip().endswith((".pth", ".pt", ".safetensors")) else ""
