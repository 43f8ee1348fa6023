"""Torch files read weights-only: classes that are not known become stand-ins, and nothing is called.

Torch's own restricted unpickler does the reading. It builds tensors and plain containers, and refuses every other
global unless it was told a substitute. Here each name that the pickle mentions gets a class of its own that has no
behaviour, so that objects which lie beside the weights (loss trackers, say) do not stand in the way. A class is never
imported by such a name. What a pickle wants to have *called* is refused, with its name.
"""

from __future__ import annotations

import contextlib
import pickle
import pickletools
import re
import threading
import warnings
import zipfile
from collections import abc
from pathlib import Path
from typing import IO, Any, Self

import torch

from latentkit.errors import RunError
from latentkit.runs.opcodes import Scan, scan

ZIP_START = b"PK\x03\x04"
LEGACY_START = bytes.fromhex("80028a0a6cfc9c46f9206aa850192e")
"""The magic number that torch before 1.6 pickled first."""
REFUSED = "nothing of it was run. The program that wrote it can save the weights alone, as safetensors for instance"
_LEGACY_PICKLES = 5  # magic number, protocol, system, content, keys of the storages
_ROUTINE = re.compile(
    r"collections\.(OrderedDict|Counter)|torch\._utils\._rebuild_\w+|torch\.(\w+\.)?\w*(Storage|Tensor)"
    r"|torch\.(Size|device|nn\.parameter\.Parameter|serialization\._get_layout|_tensor\._rebuild_from_type_v2)"
    r"|_codecs\.encode|builtins\.(set|bytearray|complex)|torch\.[a-z]+\d+"
)
_MAKERS = frozenset(
    f"numpy.{name}"
    for core in ("core", "_core")
    for name in (f"{core}.multiarray.scalar", f"{core}.multiarray._reconstruct")
) | {"numpy.dtype"}
"""Calls that numpy's scalars and arrays consist of: a loss that was logged is often one. They give a stand-in too."""
_OPERAND = re.compile(r"Unsupported operand (\d+)")
_LOCK = threading.Lock()


class _Called(Exception):
    """The pickle asks to call something that is not torch's own."""


class _Inert(type):
    full_name: str

    def __call__(cls, *_: object, **__: object) -> Any:
        if cls.full_name in _MAKERS:
            return object.__new__(cls)  # type: ignore[arg-type]  # mypy sees a metaclass, not its class
        raise _Called(cls.full_name)


class StandIn(metaclass=_Inert):
    """What stands for an object of an unknown class: torch can make one and give it a state, and no more."""

    full_name = ""
    """Of the class that it stands for."""
    state: object = None

    def __new__(cls, *_: object) -> Self:
        """An instance, whatever the pickle gives for its making."""
        return object.__new__(cls)

    def __setstate__(self, state: object) -> None:
        # A first state may bring the function that unpickling would call with the second one.
        for attributes in self.state if isinstance(self.state, tuple) else (self.state,):
            called = dict.get(attributes, "__setstate__") if isinstance(attributes, dict) else None
            if isinstance(called, _Inert):
                raise _Called(called.full_name)
        self.state = state


def read_torch(path: Path) -> object:
    """The content of a file of ``torch.save``, of either format. Objects of unknown classes are :class:`StandIn`.

    Raises:
        RunError: damaged; or it asks to call what is not torch's own, which has not been done.
    """
    with path.open("rb") as file:
        archived = file.read(len(ZIP_START)) == ZIP_START
        file.seek(0)
        found = _scan_archive(path, file) if archived else scan(file, _LEGACY_PICKLES)
        if not found.whole:
            raise RunError(f"{path}: damaged: its pickle breaks off or cannot be followed{naming(found)}")
        file.seek(0)
        try:
            with _substitutes(found.names), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return torch.load(file, map_location="cpu", weights_only=True)
        except _Called as call:
            fact = f"its pickle asks to call '{call}', which is not torch's own"
            raise RunError(f"{path}: refused: {fact}; {REFUSED}") from None
        except pickle.UnpicklingError as error:
            said = _OPERAND.sub(_opcode, _line(error.__context__ or error))
            fact = f"torch's weights-only reader does not take its pickle{naming(found)}"
            raise RunError(f"{path}: refused: {fact} ({said}); {REFUSED}") from None
        except Exception as error:  # whatever a damaged file makes torch or zlib raise
            raise RunError(f"{path}: damaged, or no checkpoint of torch ({_line(error)})") from None


def _scan_archive(path: Path, file: IO[bytes]) -> Scan:
    try:
        with zipfile.ZipFile(file) as archive:
            records = archive.infolist()
            if sum(record.file_size for record in records) > file.seek(0, 2):
                raise RunError(f"{path}: damaged: its records claim more bytes than the file has")
            pickles = [record for record in records if record.filename.rpartition("/")[2] == "data.pkl"]
            if not pickles:
                raise RunError(f"{path}: a zip archive, but not one of torch.save (it has no data.pkl)")
            with archive.open(pickles[0]) as stream:
                return scan(stream)
    except RunError:
        raise
    except Exception as error:
        raise RunError(f"{path}: damaged zip archive ({_line(error)})") from None


@contextlib.contextmanager
def _substitutes(names: abc.Iterable[str]) -> abc.Iterator[None]:
    """Torch takes these and its own, and for once not what the program has allowed it besides."""
    with _LOCK:
        before = torch.serialization.get_safe_globals()
        torch.serialization.clear_safe_globals()
        try:
            torch.serialization.add_safe_globals([_stand_in(name) for name in names])
            yield
        finally:
            torch.serialization.clear_safe_globals()
            torch.serialization.add_safe_globals(before)


def _stand_in(full_name: str) -> _Inert:
    module, _, name = full_name.rpartition(".")
    # Torch finds it by these two.
    return _Inert(name, (StandIn,), {"__module__": module, "__qualname__": name, "full_name": full_name})


def naming(found: Scan) -> str:
    """``", which names 'posix.system'"``: what tensors and containers do not need; or the empty string."""
    foreign = [name for name in found.names if not _ROUTINE.fullmatch(name)]
    more = ", ..." if len(foreign) > 8 else ""
    return f", which names {', '.join(repr(name[:80]) for name in foreign[:8])}{more}" if foreign else ""


def _opcode(found: re.Match[str]) -> str:
    names = {opcode.code: opcode.name for opcode in pickletools.opcodes}
    name = names.get(chr(int(found[1])), found[1])
    return f"it uses the opcode {name}; torch.save with its default protocol does not"


def _line(error: BaseException) -> str:
    return (str(error).strip().partition("\n")[0] or type(error).__name__)[:160]
