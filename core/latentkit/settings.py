"""Settings of a run, never of a recipe: device, precision, memory layout."""

from __future__ import annotations

import contextlib
import functools
from collections import abc
from typing import Literal

import attrs
import torch

from latentkit.errors import LatentkitError

Precision = Literal["auto", "float32", "medium", "bfloat16", "float64"]
PRECISIONS: tuple[Precision, ...] = ("auto", "float32", "medium", "bfloat16", "float64")
_TOLERANCE = 1e-6
"""Relative error of a matrix product that still counts as float32's; its own is near 3e-7."""


@attrs.frozen(kw_only=True)
class Settings:
    """How a run computes.

    ``precision``: ``float32``; ``medium`` (torch's medium float32 matrix products, on many CPUs another library whose
    products are as exact and much faster, on some coarser); ``auto`` (``medium`` where it is as exact, else
    ``float32``; decided by :meth:`settled`); ``bfloat16`` (autocast; weights, losses and updates stay float32);
    ``float64``.
    """

    device: str = "cpu"
    precision: Precision = attrs.field(default="float32")
    channels_last: bool = False

    @precision.validator
    def _known(self, _: object, value: str) -> None:
        if value not in PRECISIONS:
            raise LatentkitError(f"--precision: expected one of {', '.join(PRECISIONS)}; found '{value}'")

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
        return device

    def settled(self) -> Settings:
        """These settings with ``auto`` decided, by a product's error and no timing: the same on the same machine."""
        if self.precision != "auto":
            return self
        exact = self.torch_device().type == "cpu" and medium_error() < _TOLERANCE
        return attrs.evolve(self, precision="medium" if exact else "float32")

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
        with _products("medium") if self.precision == "medium" else contextlib.nullcontext():
            yield


@functools.cache
def medium_error() -> float:
    """Relative error of torch's medium float32 matrix products on this CPU."""
    numbers = torch.Generator().manual_seed(0)
    a, b = torch.randn(256, 1024, generator=numbers), torch.randn(1024, 256, generator=numbers)
    exact = a.double() @ b.double()
    with _products("medium"):
        return float((a @ b - exact).norm() / exact.norm())


@contextlib.contextmanager
def _products(precision: str) -> abc.Iterator[None]:
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(precision)
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
