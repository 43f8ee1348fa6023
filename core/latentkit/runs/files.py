"""Files that appear whole or not at all, and checksums that tell whether they stayed whole."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
from collections import abc
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from latentkit.errors import RunError

CHECKSUM = "checksum"
"""The key of a checksum of everything else, in the header of a model and in ``state.json``."""
_TEMPORARY = re.compile(r"\..+\.\d+")


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
        _remove(temporary)
        raise cannot_write(path, error) from None
    except BaseException:  # a second Ctrl-C
        _remove(temporary)
        raise


def _remove(temporary: Path) -> None:
    with contextlib.suppress(OSError):  # the first error is the one to tell
        temporary.unlink(missing_ok=True)


def cannot_write(path: Path, error: OSError) -> RunError:
    """What to tell when a file of a run cannot be written."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return RunError(
            f"{path}: cannot be written ({error.strerror}); what was written before is intact. "
            "Make room, then continue the run with --resume"
        )
    return RunError(f"{path}: cannot be written ({error.strerror})")


def append_line(path: Path, line: str) -> None:
    """Add a line to a text file; where it does not fit on the disk, nothing of it stays.

    Raises:
        OSError: it cannot be written.
    """
    content = line.encode() + b"\n"
    with path.open("ab", buffering=0) as file:
        before = file.tell()
        try:
            if file.write(content) < len(content):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError:
            file.truncate(before)
            raise


def sync_folder(folder: Path) -> None:
    """Flush the names in a folder to disk, where the system can."""
    with contextlib.suppress(OSError):
        number = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)


def remove_leftovers(folder: Path) -> None:
    """Remove what a process that was killed while it wrote left beside its targets."""
    for path in folder.glob(".*"):
        if path.is_file() and _TEMPORARY.fullmatch(path.name):
            path.unlink(missing_ok=True)


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
    except (SafetensorError, OSError) as error:
        raise RunError(f"{path}: damaged, or not a safetensors file ({error})") from None


def checksum(content: bytes) -> str:
    """BLAKE2b of a file's content."""
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def checksum_of(tensors: abc.Mapping[str, Tensor], notes: abc.Mapping[str, str]) -> str:
    """BLAKE2b of tensors and notes, whatever their order in a file."""
    digest = hashlib.blake2b(digest_size=16)
    digest.update(json.dumps(sorted(notes.items())).encode())
    for name, tensor in sorted(tensors.items()):
        plain = tensor.detach().cpu().contiguous()
        digest.update(f"{name} {plain.dtype} {tuple(plain.shape)}".encode())
        digest.update(plain.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def write_json(path: Path, value: abc.Mapping[str, object]) -> None:
    """Write a JSON object that carries a checksum of itself."""
    plain = {key: item for key, item in value.items() if key != CHECKSUM}
    write_atomically(path, json.dumps({**plain, CHECKSUM: checksum(_canonical(plain))}, indent=1).encode())


def read_json(path: Path) -> dict[str, object]:
    """A JSON object that :func:`write_json` wrote.

    Raises:
        RunError: missing or damaged.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise RunError(f"{path}: cannot be read ({error})") from None
    if not isinstance(value, dict):
        raise RunError(f"{path}: damaged; expected a JSON object")
    if value.pop(CHECKSUM, None) != checksum(_canonical(value)):
        raise RunError(f"{path}: damaged (its checksum does not fit its content)")
    return value


def _canonical(value: abc.Mapping[str, object]) -> bytes:
    return json.dumps(value, sort_keys=True).encode()
