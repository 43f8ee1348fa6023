"""``sample``, ``reconstruct``, ``encode``: a trained model at work."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from latentkit.errors import LatentkitError
from latentkit_cli.amounts import Attributes, DirectionsFile, Places, asked_edits, known_directions
from latentkit_cli.options import AsJson, Device, Images, RunPath, Seed, Weights
from latentkit_cli.output import emit, near

if TYPE_CHECKING:
    from torch import Tensor

    from latentkit import CodePrior, Model
    from latentkit.runs.loading import Weights as WeightsChoice

Count = Annotated[int, typer.Option("-n", metavar="N", min=1, help="How many.")]
Picture = Annotated[
    Path | None,
    typer.Option("--out", "-o", metavar="FILE.png", help="The picture.  [default: here, named after the run]"),
]
CodeFile = Annotated[
    Path | None,
    typer.Option(
        "--out", "-o", metavar="FILE",
        help="FILE.npz, .safetensors or .csv.  [default: npz, here, named after the run; none with --json]",
    ),
]  # fmt: skip
Prior = Annotated[
    str | None,
    typer.Option(
        "--prior", metavar="gmm", show_default=False,
        help="Decode draws of a mixture of Gaussians, fitted to the codes of training images and kept in the run.",
    ),
]  # fmt: skip
Components = Annotated[
    int | None,
    typer.Option("--components", metavar="K", min=1, help="Of that mixture.  [default: 10]", show_default=False),
]
Given = Annotated[
    list[str] | None,
    typer.Option(
        "--given", metavar="NAME=VALUE", show_default=False,
        help="A class in place of a label's draw, e.g. y=3, or a number per class: y=[0,0.5,0.5]; or the value of a "
        "scalar, e.g. psi=0.7. May be repeated.",
    ),
]  # fmt: skip


def sample(
    run: RunPath,
    count: Count = 64,
    seed: Seed = 0,
    prior: Prior = None,
    components: Components = None,
    given: Given = None,
    attributes: Attributes = None,
    places: Places = None,
    directions: DirectionsFile = None,
    out: Picture = None,
    weights: Weights = "average",
    device: Device = "cpu",
    as_json: AsJson = False,
) -> None:
    """Draw samples, as one picture.

    With --prior, codes are not drawn as the recipe says, but from a density that is fitted to the codes of its
    training images; also for autoencoders that draw none. The first time needs the data and scikit-learn.

    With --given, samples are of the class that is named, counted from 0, where the model was trained with labels; and
    scalars of the recipe that samples are made with have another value.

    With --attribute or --at, codes are drawn, moved along directions of the run, and decoded.

    \b
    Example:
      latentkit sample runs/ogan-01 -n 64 --seed 1 --out samples.png
      latentkit sample runs/ogan-01 --prior gmm --components 20
      latentkit sample runs/biggan-01 --given y=2
      latentkit sample runs/stylealae-01 --given psi=0.7
      latentkit sample runs/ogan-01 --attribute zoom=+0.2
    """
    file = result_file(run, out, "samples.png")
    if components is not None and prior is None:
        raise LatentkitError("--components: is of a prior, so it needs --prior gmm")
    if given and prior is not None:
        raise LatentkitError("--given: is of how the recipe draws samples; with --prior they are made of codes alone")
    model = loaded(run, weights, device)
    from latentkit import pictures
    from latentkit.runs.observing import as_array, value_range

    facts: dict[str, object] = {"n": count, "seed": seed, "step": model.step}
    facts |= {key: value for key, value in (("given", given), ("attributes", attributes), ("at", places)) if value}
    codes = None
    if prior is not None:
        fitted = _prior(run, prior, components, weights, str(model.device))
        codes = fitted.sample(count, seed)
        facts["prior"] = fitted.notes
    if attributes or places:
        images = _moved(model, run, directions, (attributes, places), codes, count, seed, given)
    else:
        images = _sampled(model, count, seed, given or []) if codes is None else model.decode(codes)
    pictures.save_png(pictures.grid(as_array(images), value_range(model)), file)
    wrote(file, as_json, **facts)


def reconstruct(
    run: RunPath,
    images: Images,
    out: Picture = None,
    weights: Weights = "average",
    device: Device = "cpu",
    as_json: AsJson = False,
) -> None:
    """Reconstruct your images, as one picture.

    Each image stands above its reconstruction. Images are cropped around the centre and resized to the model's
    resolution; smaller ones are enlarged, which is noted.

    \b
    Example:
      latentkit reconstruct runs/ogan-01 photo.jpg scans/ --out pairs.png
    """
    file = result_file(run, out, "reconstructions.png")
    model = loaded(run, weights, device)
    from latentkit import pictures
    from latentkit.runs.observing import as_array, value_range
    from latentkit_cli.images import read_images

    originals, files = read_images(model, images)
    rebuilt = model.reconstruct(originals)
    error = float((rebuilt - originals).square().mean())
    pictures.save_png(pictures.pairs(as_array(originals), as_array(rebuilt), value_range(model)), file)
    wrote(file, as_json, n=len(files), images=files, mean_squared_error=error)


def encode(
    run: RunPath,
    images: Images,
    out: CodeFile = None,
    weights: Weights = "average",
    device: Device = "cpu",
    as_json: AsJson = False,
) -> None:
    """Write the latent codes of your images.

    The file has `codes` [n, ...] and `files`, the image of each code.

    \b
    Example:
      latentkit encode runs/ogan-01 scans/ --out codes.npz
      latentkit encode runs/ogan-01 photo.jpg --json
    """
    file = result_file(run, out, "codes.npz", ".safetensors", ".csv")
    model = loaded(run, weights, device)
    from latentkit.runs.observing import as_array
    from latentkit_cli.codes import write_codes
    from latentkit_cli.images import read_images

    pixels, files = read_images(model, images)
    codes = as_array(model.encode(pixels))
    if as_json and out is None:
        emit([{"file": name, "code": code.tolist()} for name, code in zip(files, codes, strict=True)])
        return
    write_codes(file, codes, files)
    wrote(file, as_json, n=len(files), shape=list(codes.shape), images=files)


def loaded(run: Path, weights: str, device: str) -> Model:
    """The model of a run, on a device."""
    from latentkit import load
    from latentkit.settings import Settings

    return load(run, cast("WeightsChoice", weights), str(Settings(device=device).torch_device()))


def _sampled(model: Model, count: int, seed: int, given: list[str]) -> Tensor:
    if not given or "sample" not in model.roles:  # a model without this role says so itself
        return model.sample(count, seed)
    from latentkit_cli.given import given_values

    values = given_values(model, "sample", given, count)
    images: Tensor = model.values([model.wiring.inference["sample"]], count, seed=seed, given=values)[0]
    return images


def _moved(
    model: Model, run: Path, file: Path | None, asked: tuple[list[str] | None, list[str] | None], codes: Tensor | None,
    count: int, seed: int, given: list[str] | None,
) -> Tensor:  # fmt: skip
    """Images of drawn codes, or of these, moved along directions."""
    from latentkit import edited
    from latentkit.latent.codes import drawn_codes
    from latentkit_cli.given import given_values

    edits = asked_edits(known_directions(model, run, file), *asked)
    values = given_values(model, "decode", given, 1) if given else {}
    if codes is None:
        codes = drawn_codes(model, count, seed, given=values, instead="give --prior gmm")
    return edited(model, codes, edits, given=values, seed=seed)


def _prior(run: Path, kind: str, components: int | None, weights: str, device: str) -> CodePrior:
    from latentkit import fit_prior
    from latentkit.evaluation.expost import COMPONENTS

    chosen = COMPONENTS if components is None else components
    return fit_prior(run, kind, components=chosen, weights=cast("WeightsChoice", weights), device=device)


def result_file(run: Path, out: Path | None, what: str, *others: str, option: str = "--out") -> Path:
    """Where a result goes: by default ``RUN-what`` in the folder where the command was given.

    Raises:
        LatentkitError: a name that ends otherwise than ``what`` or one of ``others``.
    """
    if out is None:
        place = run.resolve()
        return Path(f"{place.name if place.is_dir() else place.parent.name}-{what}")
    suffixes = (Path(what).suffix, *others)
    if out.suffix.lower() not in suffixes:
        raise LatentkitError(f"{option} {out}: expected a name that ends in {' or '.join(suffixes)}")
    return out


def wrote(file: Path, as_json: bool, **facts: object) -> None:
    """Say what was written: a line, or JSON with facts."""
    emit({"file": str(file), **facts}) if as_json else typer.echo(f"wrote {near(file)}")
