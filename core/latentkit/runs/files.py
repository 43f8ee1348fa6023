"""Files that appear whole or not at all."""

from __future__ import annotations

import hashlib
import json
import os
from collections import abc
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from latentkit.errors import RunError


def write_atomically(path: Path, content: bytes) -> None:
    """Write beside the target, flush to disk, then replace.

    Raises:
        RunError: the folder cannot be written, or the disk is full; the old file is untouched.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise RunError(f"{path}: cannot be written ({error.strerror})") from None


def write_tensors(path: Path, tensors: abc.Mapping[str, Tensor], notes: abc.Mapping[str, str]) -> str:
    """Write safetensors with notes in the header; returns the checksum of the file."""
    content = save({key: value.detach().cpu().contiguous() for key, value in tensors.items()}, dict(notes))
    write_atomically(path, content)
    return checksum(content)


def read_tensors(path: Path, expected: str | None = None) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and notes of a safetensors file.

    Raises:
        RunError: missing, damaged, or not the file whose checksum was expected.
    """
    if not path.is_file():
        raise RunError(f"{path}: no such file")
    if expected is not None and checksum(path.read_bytes()) != expected:
        raise RunError(f"{path}: damaged, or from another checkpoint (its checksum is not the one in state.json)")
    try:
        with safe_open(path, "pt") as file:
            return {key: file.get_tensor(key) for key in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except SafetensorError as error:
        raise RunError(f"{path}: not a safetensors file ({error})") from None


def checksum(content: bytes) -> str:
    """BLAKE2b of a file's content."""
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def read_json(path: Path) -> dict[str, object]:
    """A JSON object.

    Raises:
        RunError: missing or damaged.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunError(f"{path}: cannot be read ({error})") from None
    if not isinstance(value, dict):
        raise RunError(f"{path}: damaged; expected a JSON object")
    return value
