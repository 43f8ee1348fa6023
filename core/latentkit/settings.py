"""Settings of a run, never of a recipe: device, precision, memory layout."""

from __future__ import annotations

import contextlib
from collections import abc
from typing import Literal

import attrs
import torch

from latentkit.errors import LatentkitError

Precision = Literal["float32", "medium", "bfloat16", "float64"]
PRECISIONS: tuple[Precision, ...] = ("float32", "medium", "bfloat16", "float64")


@attrs.frozen(kw_only=True)
class Settings:
    """How a run computes.

    ``precision``: ``float32``; ``medium`` (torch's medium float32 matrix products); ``bfloat16`` (autocast; weights,
    losses and updates stay float32); ``float64``.
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
        before = torch.get_float32_matmul_precision()
        if self.precision == "medium":
            torch.set_float32_matmul_precision("medium")
        try:
            yield
        finally:
            torch.set_float32_matmul_precision(before)
