"""The 1,797 handwritten digits of 8 x 8 pixels that scikit-learn carries (Alpaydin, Kaynak 1998), no download."""

from __future__ import annotations

from typing import ClassVar

import attrs
import numpy as np

from latentkit.data.images import resize_arrays
from latentkit.errors import DataError
from latentkit.interfaces import DataSource, Table

_TOP = 16


@attrs.frozen(kw_only=True)
class Digits(DataSource):
    """Small handwritten digits with labels, enlarged as far as is asked for; for quick trials."""

    native_size: ClassVar[tuple[int, int]] = (8, 8)
    native_channels: ClassVar[int] = 1

    def classes(self) -> int | None:
        """10."""
        return 10

    def offers(self) -> tuple[str, ...]:
        """``image`` and ``label``."""
        return ("image", "label")

    def open(self, height: int, width: int, channels: int) -> Table:
        """``image`` uint8 [1797, channels, height, width], 16 grey levels; ``label`` int64 [1797].

        Raises:
            DataError: scikit-learn is not installed.
        """
        try:
            from sklearn.datasets import load_digits
        except ImportError as error:
            raise DataError(
                "digits: expected scikit-learn, which carries these images; it is not installed\n"
                "  pip install 'latentkit[eval]'"
            ) from error
        bunch = load_digits()
        pixels = np.rint(bunch.images[:, None] * (255 / _TOP)).astype(np.uint8)  # n 1 8 8
        label = np.asarray(bunch.target, np.int64)
        return Table({"image": resize_arrays(pixels, height, width, channels), "label": label})
