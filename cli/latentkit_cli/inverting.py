"""``invert``: codes of pictures by search, where there is no encoder or it is not exact enough."""

from __future__ import annotations

from collections import abc
from pathlib import Path
from typing import Annotated

import typer

from latentkit.errors import LatentkitError
from latentkit_cli.options import AsJson, Device, Images, RunPath, Seed, Weights
from latentkit_cli.output import near, note
from latentkit_cli.using import Given, Picture, loaded, result_file, wrote

Start = Annotated[
    str | None,
    typer.Option(
        "--start", metavar="encoder|mean", show_default=False,
        help="Where the search begins: what the encoder says, or the mean of drawn codes.  "
        "[default: the encoder's, if any]",
    ),
]  # fmt: skip
Steps = Annotated[int, typer.Option("--steps", metavar="N", min=1, help="Updates.")]
Rate = Annotated[float, typer.Option("--rate", metavar="R", min=0.0, help="Learning rate, of Adam.")]
Error = Annotated[
    str,
    typer.Option(
        "--error", metavar="filtered|pixel|features",
        help="What is made small: squared differences of pixels behind a Gaussian filter, where texture costs little; "
        "of pixels; or of what a network sees.",
    ),
]  # fmt: skip
Sigma = Annotated[
    float | None,
    typer.Option(
        "--sigma", metavar="S", show_default=False, help="Of that filter, in pixels.  [default: 1]",
    ),
]  # fmt: skip
Features = Annotated[
    str | None,
    typer.Option(
        "--features", metavar="FILE", show_default=False,
        help="Of that network: weights of VGG16 with the heads of LPIPS.  [default: a classifier that is trained on "
        "the run's own data]",
    ),
]  # fmt: skip
Bounded = Annotated[
    bool | None,
    typer.Option(
        "--bounded/--free", show_default=False,
        help="Keep codes within the root of their dimension in length.  "
        "[default: bounded where codes are drawn from N(0, I) as they are]",
    ),
]  # fmt: skip
Reject = Annotated[
    int | None,
    typer.Option("--reject", metavar="K", min=2, show_default=False, help="Leave out the worst one in K."),
]
CodesFile = Annotated[
    Path | None,
    typer.Option(
        "--codes", metavar="FILE", help="Also write the codes: FILE.npz, .safetensors or .csv.", show_default=False
    ),
]
ERRORS = ("filtered", "pixel", "features")


def invert(
    run: RunPath,
    images: Images,
    start: Start = None,
    steps: Steps = 200,
    rate: Rate = 0.05,
    error: Error = "filtered",
    sigma: Sigma = None,
    features: Features = None,
    bounded: Bounded = None,
    reject: Reject = None,
    given: Given = None,
    codes: CodesFile = None,
    out: Picture = None,
    seed: Seed = 0,
    weights: Weights = "average",
    device: Device = "cpu",
    as_json: AsJson = False,
) -> None:
    """Search the codes whose images come nearest to yours, all at once.

    The picture has each image above the one of its code. Where there is an encoder, the search begins with what it
    says and makes it exact; otherwise with the mean code.

    \b
    Example:
      latentkit invert runs/stylegan-01 photos/
      latentkit invert runs/alae-mlp-01 scan.png --steps 500 --error pixel --codes codes.npz
      latentkit invert runs/ogan-01 photos/ --reject 10
      latentkit invert runs/ogan-01 photos/ --error features --features vgg16-lpips.safetensors
    """
    file = result_file(run, out, "inverted.png")
    if codes is not None:
        result_file(run, codes, "codes.npz", ".safetensors", ".csv", option="--codes")
    _check_error(error, sigma, features)
    model = loaded(run, weights, device)
    from latentkit import pictures
    from latentkit.latent.codes import is_normal
    from latentkit.latent.decoding import decoder
    from latentkit.latent.inversion import Inversion
    from latentkit.runs.observing import as_array, value_range
    from latentkit_cli.codes import write_codes
    from latentkit_cli.given import given_values
    from latentkit_cli.images import read_images
    from latentkit_cli.searching import begun, fits, measured_by, searched

    values = given_values(model, "decode", given, 1) if given and "decode" in model.roles else {}
    decode = decoder(model, seed=seed, given=values)
    targets, names = read_images(model, images)
    if reject is not None and len(names) < reject:
        raise LatentkitError(f"--reject {reject}: leaves out one image in {reject}, and there are {len(names)}")
    first = begun(model, targets, start, seed)
    measure, about = measured_by(model, error, sigma, features)
    bounded = is_normal(model) if bounded is None else bounded
    found = searched(decode, targets, first, Inversion(steps=steps, rate=rate, error=measure, bounded=bounded))
    chosen = fits(found.errors, reject)
    left = [name for name, keep in zip(names, chosen.tolist(), strict=True) if not keep]
    names = [name for name, keep in zip(names, chosen.tolist(), strict=True) if keep]
    found = found.only(chosen)
    pictures.save_png(pictures.pairs(as_array(targets[chosen]), as_array(found.images), value_range(model)), file)
    means = {"error": float(found.errors.mean()), "error_before": float(found.before.mean())}
    facts: dict[str, object] = {
        "n": len(names), "images": names, "left_out": left, **means, "errors": found.errors.tolist(), **about
    }  # fmt: skip
    if codes is not None:
        write_codes(codes, as_array(found.codes), names)
        facts["codes"] = str(codes)
    wrote(file, as_json, **facts)
    farther = int((found.errors > found.before).sum())
    if farther:
        note(f"{farther} of {len(names)} searches ended farther away than they began; try a smaller --rate")
    if not as_json:
        _tell(error, means, len(names), left, codes)


def _check_error(error: str, sigma: float | None, features: str | None) -> None:
    if error not in ERRORS:
        raise LatentkitError(f"--error {error}: expected {', '.join(ERRORS[:-1])} or {ERRORS[-1]}")
    if sigma is not None and error != "filtered":
        raise LatentkitError("--sigma: is of the filter, so it needs --error filtered")
    if features is not None and error != "features":
        raise LatentkitError("--features: is of the network, so it needs --error features")


def _tell(error: str, means: abc.Mapping[str, float], count: int, left: abc.Sequence[str], codes: Path | None) -> None:
    was, now = means["error_before"], means["error"]
    typer.echo(f"mean error {now:.4g} ({error}) of {count} {'image' if count == 1 else 'images'}, at first {was:.4g}")
    if left:
        typer.echo(f"left out: {', '.join(left)}")
    if codes is not None:
        typer.echo(f"wrote {near(codes)}")
