"""Settings of a run, never of a recipe: device, precision, memory layout, threads, compilation."""

from __future__ import annotations

import contextlib
from collections import abc
from typing import Any, Literal

import attrs
import torch

from latentkit import _machine
from latentkit.errors import LatentkitError

Precision = Literal["auto", "float32", "medium", "bfloat16", "float64"]
PRECISIONS: tuple[Precision, ...] = ("auto", "float32", "medium", "bfloat16", "float64")
_TOLERANCE = 1e-6
"""Relative error of a matrix product that still counts as float32's; its own is near 3e-7."""


@attrs.frozen(kw_only=True)
class Settings:
    """How a run computes.

    Attributes:
        device: ``cpu``, ``cuda``, ``cuda:1``, ...
        precision: ``float32``; ``medium`` (torch's medium float32 matrix products, on many CPUs another library whose
            products are as exact and much faster, on some coarser; on GPUs TF32); ``auto`` (``medium`` where it is as
            exact, else ``float32``); ``bfloat16`` (autocast; weights, losses and updates stay float32); ``float64``.
        channels_last: keep images and convolutions in channels-last layout.
        compile: each phase as one compiled graph.
        capture: each phase with its update as one graph of launches; on a GPU.
        threads: of the CPU, for one operation; ``auto``: as many as this process can have of the cores; ``None``: as
            torch has it, which reads ``OMP_NUM_THREADS``.
    """

    device: str = "cpu"
    precision: Precision = attrs.field(default="float32")
    channels_last: bool = False
    compile: bool = False
    capture: bool = False
    threads: int | Literal["auto"] | None = attrs.field(default=None)

    @precision.validator
    def _known(self, _: object, value: str) -> None:
        if value not in PRECISIONS:
            raise LatentkitError(f"--precision: expected one of {', '.join(PRECISIONS)}; found '{value}'")

    @threads.validator
    def _countable(self, _: object, value: object) -> None:
        if value not in (None, "auto") and (type(value) is not int or value < 1):
            raise LatentkitError(f"--threads: expected a number from 1, or auto; found '{value}'")

    @property
    def dtype(self) -> torch.dtype:
        """Of weights and values."""
        return torch.float64 if self.precision == "float64" else torch.float32

    def torch_device(self) -> torch.device:
        """The device.

        Raises:
            LatentkitError: no such device here.
        """
        try:
            device = torch.device(self.device)
            torch.empty(0, device=device)
        except (RuntimeError, AssertionError) as error:
            cuda = f"cuda ({torch.cuda.device_count()})" if torch.cuda.is_available() else ""
            here = ", ".join(filter(None, ["cpu", cuda]))
            raise LatentkitError(f"--device {self.device}: not available here; there is: {here}") from error
        if self.capture and device.type != "cuda":
            raise LatentkitError(f"--capture: launches are captured on a GPU only, and the device is {self.device}")
        return device

    def settled(self) -> Settings:
        """These settings with ``auto`` decided: precision by a product's error, threads by the time that they get."""
        found: dict[str, Any] = {}
        if self.precision == "auto":
            exact = self.torch_device().type == "cpu" and _machine.medium_error() < _TOLERANCE
            found["precision"] = "medium" if exact else "float32"
        if self.threads == "auto":
            found["threads"] = _machine.free_cores()
        return attrs.evolve(self, **found)

    def told(self) -> str:
        """These settings, decided ones, in a few words."""
        count = self.threads or torch.get_num_threads()
        threads = ["1 thread" if count == 1 else f"{count} threads"] if torch.device(self.device).type == "cpu" else []
        slow = self.precision == "bfloat16" and not _machine.has_bfloat16(self.torch_device())
        precision = f"{self.precision} (slower than float32 on this device)" if slow else self.precision
        flags = {"channels-last": self.channels_last, "compiled": self.compile, "captured": self.capture}
        return ", ".join([self.device, *threads, precision, *(name for name, on in flags.items() if on)])

    def take_threads(self) -> None:
        """Set the number of threads of this process, once: changing it on the way would cost more than it gains."""
        if isinstance(self.threads, int):
            torch.set_num_threads(self.threads)

    def autocast(self) -> contextlib.AbstractContextManager[object]:
        """The context that a forward runs in."""
        if self.precision != "bfloat16":
            return contextlib.nullcontext()
        # Without the cache: a weight that was cast without a graph would be reused where one is needed.
        kind = torch.device(self.device).type
        return torch.autocast(kind, dtype=torch.bfloat16, cache_enabled=False)

    @contextlib.contextmanager
    def matrix_products(self) -> abc.Iterator[None]:
        """Torch's global precision of float32 matrix products, for the duration of a run."""
        with _machine.products("medium") if self.precision == "medium" else contextlib.nullcontext():
            yield
