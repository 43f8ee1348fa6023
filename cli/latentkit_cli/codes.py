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
from latentkit.runs.files import write_atomically

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
