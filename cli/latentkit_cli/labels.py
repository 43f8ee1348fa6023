"""``--labels``: images whose attributes are known, from a CSV file or of the run's own data."""

from __future__ import annotations

from collections import abc
from pathlib import Path

import attrs
import numpy as np
import torch

from latentkit import Model
from latentkit.errors import DataError, LatentkitError
from latentkit.evaluation.subjects import lacks_role
from latentkit.latent.attribute_tables import AttributeTable, Matching, listed, match, read_attributes
from latentkit.latent.labelled import Labelled, labelled_by_field, samples_of_pixels
from latentkit_cli.codes import read_codes
from latentkit_cli.images import picture_files, read_pixels
from latentkit_cli.output import note


@attrs.frozen(kw_only=True)
class Asked:
    """What the command line says of labels."""

    run: Path
    labels: str
    images: Path | None = None
    codes: Path | None = None
    names: abc.Sequence[str] = ()
    unmatched: str = attrs.field(default="refuse")

    @unmatched.validator
    def _known(self, _: object, value: str) -> None:
        if value not in ("refuse", "skip"):
            raise LatentkitError(f"--unmatched {value}: expected refuse or skip")

    @property
    def is_file(self) -> bool:
        """Whether labels are of a CSV file, and not of a field."""
        path = Path(self.labels)
        return path.exists() or bool(path.suffix) or len(path.parts) > 1


def to_fit(model: Model, asked: Asked, most: int, above: float | str | None) -> Labelled:
    """Codes with attributes, to fit directions to: of the first ``most`` images.

    Args:
        model: in evaluation mode.
        asked: which labels.
        most: images.
        above: make 0 and 1 of the attributes, above this number or the ``median``.

    Raises:
        DataError: images or labels cannot be read, or do not match.
        LatentkitError: no codes; unknown attributes, or one that is the same for all.
    """
    if asked.is_file and asked.codes is not None:
        if asked.images is not None:
            raise LatentkitError("--images: is not needed with --codes, as nothing is read of the images here")
        table, codes = _table(asked), read_codes(asked.codes)
        found = _matching(asked, table, codes[1], f"the codes of {asked.codes}", whole=False)
        labelled = Labelled(
            attributes=table.values[found.rows], names=table.names, codes=torch.from_numpy(codes[0][found.images]),
            chosen=np.arange(len(found.rows)),
        )  # fmt: skip
    else:
        labelled = _with_images(model, asked, most)
    labelled = attrs.evolve(labelled, chosen=labelled.chosen[:most])
    labelled = labelled.only(asked.names) if asked.names else labelled
    if above is not None:
        labelled = labelled.above(None if above == "median" else float(above))
    return _varied(labelled, asked)


def to_read(model: Model, asked: Asked, most: int) -> Labelled:
    """Images with attributes, to learn to read them and to edit: of the first ``most`` files of a folder, or all data.

    Raises:
        DataError: images or labels cannot be read, or do not match.
        LatentkitError: no codes; unknown attributes, or one that is the same for all.
    """
    labelled = _with_images(model, asked, most)
    labelled = labelled.only(asked.names) if asked.names else labelled
    assert labelled.samples is not None
    return _varied(attrs.evolve(labelled, chosen=labelled.samples.training), asked)


def _with_images(model: Model, asked: Asked, most: int) -> Labelled:
    if not asked.is_file:
        for option, value in (("--images", asked.images), ("--codes", asked.codes)):
            if value is not None:
                raise LatentkitError(f"{option}: goes with --labels FILE.csv; --labels {asked.labels} is of own images")
    reason = lacks_role(model, "encode")
    if reason and asked.codes is None:
        raise LatentkitError(
            f"'{model.name}' gives no codes of images: {reason}\n  search them, `latentkit invert {asked.run} IMAGES "
            "--codes codes.npz`, and give --labels FILE.csv and --codes codes.npz"
        )
    if not asked.is_file:
        return labelled_by_field(model, asked.labels)
    if asked.images is None:
        wanted = "--images DIR, the folder of the images that it names"
        more = ", or --codes FILE, their codes" if asked.codes is None else ""
        raise LatentkitError(f"--labels {asked.labels}: expected {wanted}{more}")
    return _of_folder(model, asked, asked.images, most)


def _of_folder(model: Model, asked: Asked, folder: Path, most: int) -> Labelled:
    """Images of a folder by a CSV file, with codes by a file of codes where there is one."""
    if not folder.is_dir():
        raise DataError(f"--images {folder}: expected a folder, found {'a file' if folder.exists() else 'nothing'}")
    table, files = _table(asked), picture_files([folder])
    names = [file.relative_to(folder).as_posix() for file in files]
    found = _matching(asked, table, names, f"the images of {folder}", whole=True)
    pairs = list(zip(found.rows.tolist(), found.images.tolist(), strict=True))
    codes = None
    if asked.codes is not None:
        values, coded = read_codes(asked.codes)
        known = _matching(asked, table, coded, f"the codes of {asked.codes}", whole=False)
        code_of = dict(zip(known.rows.tolist(), known.images.tolist(), strict=True))
        pairs = [pair for pair in pairs if pair[0] in code_of]
        codes = torch.from_numpy(values[[code_of[row] for row, _ in pairs[:most]]])
    if len(pairs) > most:
        note(f"the first {most:,} of {len(pairs):,} images are taken")
    rows, images = np.array(pairs[:most], int).reshape(-1, 2).T
    samples = samples_of_pixels(model, read_pixels(model, [files[index] for index in images]))
    return Labelled(
        attributes=table.values[rows], names=table.names, samples=samples, codes=codes, chosen=np.arange(len(rows))
    )


def _table(asked: Asked) -> AttributeTable:
    table = read_attributes(Path(asked.labels))
    signed = [name for name in table.signed if name in (asked.names or table.names)]
    if signed:
        note(f"-1 and 1 are read as 0 and 1: {listed(signed)}")
    return table


def _matching(asked: Asked, table: AttributeTable, names: abc.Sequence[str], what: str, *, whole: bool) -> Matching:
    """Rows of images.

    Raises:
        DataError: some match nothing, and are not to be left out; or all do.
    """
    try:
        found = match(table, names, whole=whole)
    except DataError as error:
        raise DataError(f"--labels {asked.labels} does not match {what}: {error}") from None
    facts = []
    if found.rowless:
        facts.append(f"{len(found.rowless):,} of {len(names):,} have no row ({listed(found.rowless)})")
    if found.imageless:
        facts.append(f"{len(found.imageless):,} of {len(table.files):,} rows are of none ({listed(found.imageless)})")
    fact = f"--labels {asked.labels} does not match {what}: {', and '.join(facts)}"
    if not len(found.rows):
        hint = f"a row's name is relative to the folder of --images: '{names[0]}', not '{table.files[0]}'"
        raise DataError(f"{fact}\n  {hint}")
    if facts and asked.unmatched == "refuse":
        raise DataError(f"{fact}\n  correct the names, or leave out what does not match with --unmatched skip")
    if facts:
        note(f"left out, as {fact}")
    return found


def _varied(labelled: Labelled, asked: Asked) -> Labelled:
    """Without attributes that are the same for all, unless they were asked for."""
    constant = labelled.constant()
    left = [name for name in labelled.names if name not in constant]
    if constant and (asked.names or not left):
        raise LatentkitError(
            f"attributes: {listed(constant)}: the same for all {len(labelled.chosen):,} images, which tells nothing"
        )
    if constant:
        note(f"left out, as they are the same for all {len(labelled.chosen):,} images: {listed(constant)}")
    return labelled.only(left)
