"""Files of latent codes."""

from __future__ import annotations

import csv
import io
import json
from collections import abc
from pathlib import Path

import numpy as np
from safetensors.numpy import save

from latentkit.errors import RunError
from latentkit.runs.files import read_tensors, write_atomically

Codes = np.ndarray[tuple[int, ...], np.dtype[np.float32]]


def write_codes(path: Path, codes: Codes, files: abc.Sequence[str]) -> None:
    """Write ``codes`` [n, ...] and the picture that each is of, in the format of the file's suffix.

    Raises:
        RunError: the file cannot be written.
    """
    content = _FORMATS[path.suffix.lower()](codes, files)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"{path}: cannot be written ({error.strerror})") from None
    write_atomically(path, content)


def read_codes(path: Path) -> tuple[Codes, list[str]]:
    """Codes float32 [n, dim] and the picture that each is of, from a file that :func:`write_codes` has written.

    Raises:
        RunError: missing, unreadable, or no such file.
    """
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise RunError(f"{path}: expected a name that ends in {' or '.join(_READERS)}")
    if not path.is_file():
        raise RunError(f"{path}: no such file")
    wanted = "expected codes and their files, as `latentkit encode` and `latentkit invert --codes` write them"
    try:
        codes, files = reader(path)
    except RunError:
        raise
    except Exception as error:  # what a damaged archive or a foreign table leads to is of many kinds
        raise RunError(f"{path}: {wanted}; found something else ({error})") from None
    if codes.dtype.kind != "f" or codes.ndim != 2 or len(codes) != len(files) or not len(files):
        fact = f"found codes {list(codes.shape)} of {codes.dtype} and {len(files)} files"
        raise RunError(f"{path}: {wanted}, [n, dim] each; {fact}")
    return codes.astype(np.float32), files


def _npz(codes: Codes, files: abc.Sequence[str]) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, codes=codes, files=np.array(files, np.str_))
    return buffer.getvalue()


def _safetensors(codes: Codes, files: abc.Sequence[str]) -> bytes:
    return bytes(save({"codes": np.ascontiguousarray(codes)}, {"files": json.dumps(list(files))}))


def _csv(codes: Codes, files: abc.Sequence[str]) -> bytes:
    flat = codes.reshape(len(codes), -1)
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["file", *(f"code{index}" for index in range(flat.shape[1]))])
    writer.writerows([file, *map(str, code)] for file, code in zip(files, flat, strict=True))
    return text.getvalue().encode()


_FORMATS = {".npz": _npz, ".safetensors": _safetensors, ".csv": _csv}


def _read_npz(path: Path) -> tuple[np.ndarray, list[str]]:
    with np.load(path, allow_pickle=False) as found:
        return found["codes"], [str(name) for name in found["files"]]


def _read_safetensors(path: Path) -> tuple[np.ndarray, list[str]]:
    tensors, notes = read_tensors(path)
    return tensors["codes"].numpy(), [str(name) for name in json.loads(notes["files"])]


def _read_csv(path: Path) -> tuple[np.ndarray, list[str]]:
    with path.open(encoding="utf-8", newline="") as file:
        header, *lines = csv.reader(file, strict=True)
    if header[0] != "file":
        raise ValueError("the first column is not 'file'")
    return np.array([line[1:] for line in lines], np.float64), [line[0] for line in lines]


_READERS = {".npz": _read_npz, ".safetensors": _read_safetensors, ".csv": _read_csv}
