"""Options of the commands that take images whose attributes are known."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Labels = Annotated[
    str,
    typer.Option(
        "--labels", metavar="FILE.csv|FIELD", show_default=False,
        help="A table with a header: the image's file, then a column per attribute. Or a field of the run's own data, "
        "such as label, or factors of sprites.",
    ),
]  # fmt: skip
Folder = Annotated[
    Path | None,
    typer.Option(
        "--images", metavar="DIR", show_default=False, help="The folder that the files of the table are relative to."
    ),
]
CodesOfImages = Annotated[
    Path | None,
    typer.Option(
        "--codes", metavar="FILE", show_default=False,
        help="Codes of the images, as `latentkit encode` and `latentkit invert --codes` write them, in place of the "
        "encoder's.",
    ),
]  # fmt: skip
Unmatched = Annotated[
    str,
    typer.Option(
        "--unmatched", metavar="refuse|skip", help="What is done with images without a row, and rows without an image."
    ),
]
