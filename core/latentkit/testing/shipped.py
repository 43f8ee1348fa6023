"""Examples of what ships with core and cannot be derived: files for the data sources that read some."""

from __future__ import annotations

import importlib
import io
import tarfile
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
    pictures |= {"cache": str(folder / "cache"), "stream": "always"}
    _write_tar(folder / "pictures.tar", folder / "pictures")
    _write_parquet(folder / "pictures.parquet", folder / "pictures")
    others = {"label": "label", "small": "enlarge", "workers": 0}
    return {
        "folder": Example(options=pictures),
        "npz": Example(options={"path": str(folder / "images.npz"), "label": "classes", "stream": "always"}),
        "idx": Example(options={"images": str(folder / "images.idx"), "labels": str(folder / "labels.idx")}),
        "webdataset": Example(options={**others, "path": str(folder / "pictures.tar"), "label": "cls"}),
        "parquet": Example(options={**others, "path": str(folder / "pictures.parquet"), "stream": "always"}),
        "mixture": Example(options={"ring": 8}),
    }


def _write_tar(path: Path, pictures: Path) -> None:
    with tarfile.open(path, "w") as tar:
        for file in sorted(pictures.rglob("*.png")):
            tar.add(file, file.name)
            label = file.parent.name.removeprefix("class-").encode()
            info = tarfile.TarInfo(f"{file.stem}.cls")
            info.size = len(label)
            tar.addfile(info, io.BytesIO(label))


def _write_parquet(path: Path, pictures: Path) -> None:
    try:
        pyarrow, parquet = importlib.import_module("pyarrow"), importlib.import_module("pyarrow.parquet")
    except ImportError:
        return
    files = sorted(pictures.rglob("*.png"))
    images = [{"bytes": file.read_bytes(), "path": file.name} for file in files]
    labels = [int(file.parent.name.removeprefix("class-")) for file in files]
    parquet.write_table(pyarrow.table({"image": images, "label": labels}), path, row_group_size=5)


def _write_idx(path: Path, array: np.ndarray) -> None:
    head = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
    path.write_bytes(head + array.tobytes())
