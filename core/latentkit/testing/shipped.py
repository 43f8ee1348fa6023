"""Examples of what ships with core and cannot be derived: files for the data sources that read some."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from latentkit.testing.examples import Example

COUNT, CLASSES, SIDE = 12, 3, 9


def core_examples(folder: Path) -> dict[str, Example]:
    """Pictures, IDX files and an archive in a folder, and the options that lead to them."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (COUNT, SIDE, SIDE, 3), np.uint8)
    label = np.arange(COUNT, dtype=np.uint8) % CLASSES
    for index, picture in enumerate(pixels):
        (folder / "pictures" / f"class-{label[index]}").mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(folder / "pictures" / f"class-{label[index]}" / f"{index}.png")
    np.savez(folder / "images.npz", images=pixels, classes=label)
    _write_idx(folder / "images.idx", pixels[..., 0])
    _write_idx(folder / "labels.idx", label)
    pictures = {"path": str(folder / "pictures"), "labels": True, "small": "enlarge", "workers": 0}
    pictures |= {"cache": str(folder / "cache")}
    return {
        "folder": Example(options=pictures),
        "npz": Example(options={"path": str(folder / "images.npz"), "label": "classes"}),
        "idx": Example(options={"images": str(folder / "images.idx"), "labels": str(folder / "labels.idx")}),
        "mixture": Example(options={"ring": 8}),
    }


def _write_idx(path: Path, array: np.ndarray) -> None:
    head = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
    path.write_bytes(head + array.tobytes())
