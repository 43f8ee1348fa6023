"""The page of benchmarks/zoo.py: a table of figures, what published orderings come out as, and the pictures."""

from __future__ import annotations

import json
from collections import abc
from pathlib import Path

import attrs
import torch

import latentkit as lk

Figures = dict[str, float | str | None]

COLUMNS = (
    ("held-out error", "pixel-mse", "{:.4f}"),
    ("same digit", "reconstruction-class", "{:.0f} %"),
    ("distance", "classifier-frechet", "{:.3f}"),
    ("GMM", "classifier-frechet gmm", "{:.3f}"),
    ("confident", "classifier-confident", "{:.0f} %"),
    ("1-NN", "1-nn-short", "{:.1f} %"),
    ("nll", "nll", "{:.1f}"),
    ("s / 1,000", "seconds", "{:.2f}"),
)
HEAD = """# The family on the same digits

Every system here is a shipped recipe, trained on 8,000 digits of MNIST (its 10,000 test images), with 2,000 held out.
One command makes this page:

```bash
python benchmarks/zoo.py FOLDER          # FOLDER has t10k-images-idx3-ubyte.gz and t10k-labels-idx1-ubyte.gz
```

- **held-out error** ↓: mean squared error per pixel of reconstructions of held-out images, black 0 and white 1.
- **same digit** ↑: held-out images whose reconstruction is nearest, in pixels, to a training image of their class.
- **distance** ↓: Fréchet distance of 2,000 samples to the held-out images, on features of a small classifier that the
  command trains on the same 8,000 digits. *Not the FID of the literature*: its numbers compare within this table only.
  1 is the spread of the data; training images are at {floor}.
- **GMM** ↓: the same for codes drawn from a mixture of 10 Gaussians that was fitted to codes of training images.
- **confident** ↑: samples of which that classifier is more than 90 % sure (of held-out digits: {sure} %).
- **1-NN** ↑: held-out digits whose nearest code among the 8,000 training images has their class.
- **nll** ↓: nats per held-out image, importance sampling with 200 codes. Pixels are Bernoulli and grey values are taken
  as probabilities, so this is a bound of a cross-entropy.
- **s / 1,000**: seconds of training per 1,000 images, with {threads} of one machine, nothing beside.

A dash: the system has no encoder, no samples, or no likelihood. Figures are of one seed, and of averaged weights where
a recipe averages; settings are `--channels-last` and the default precision. The nll of introvae is that of a Gaussian
and compares with no other. vampprior's encoder has no batch norm, other than vae's. What cyclegan reconstructs are
digits that went to the other kind of images and back. [docs/evaluation.md](../docs/evaluation.md) has the protocols.
"""

PICTURES = """
## Pictures

Samples on the left; then pairs, an original above what the system makes of it. For cyclegan these are digits to coarse
ones, coarse ones to digits, and both there and back.
"""


@attrs.frozen
class Ordering:
    """Something that publications agree on: a figure of one system is below that of another."""

    claim: str
    better: tuple[str, str]
    worse: tuple[str, str]

    def row(self, table: abc.Mapping[str, Figures]) -> str:
        """A line of the table; empty where a figure is missing."""
        low, high = (table.get(system, {}).get(figure) for system, figure in (self.better, self.worse))
        if not isinstance(low, float) or not isinstance(high, float):
            return ""
        verdict = "yes" if low < high else "**no**, not at this budget"
        return f"| {self.claim} | {_named(*self.better)} {low:.4g} | {_named(*self.worse)} {high:.4g} | {verdict} |"


ORDERINGS = (
    Ordering("β-VAE reconstructs worse than VAE", ("vae", "pixel-mse"), ("beta-vae", "pixel-mse")),
    Ordering("AE reconstructs better than VAE", ("ae", "pixel-mse"), ("vae", "pixel-mse")),
    Ordering(
        "a mixture that is fitted afterwards samples better than the VAE's own prior",
        ("vae", "classifier-frechet gmm"), ("vae", "classifier-frechet"),
    ),
    Ordering("VampPrior has the better test likelihood", ("vampprior", "nll"), ("vae", "nll")),
    Ordering(
        "a gradient penalty trains better than clipped weights", ("wgan-gp", "classifier-frechet"),
        ("wgan", "classifier-frechet"),
    ),
    Ordering("VAE/GAN samples better than VAE", ("vae-gan", "classifier-frechet"), ("vae", "classifier-frechet")),
    Ordering("IntroVAE samples better than VAE", ("introvae", "classifier-frechet"), ("vae", "classifier-frechet")),
)  # fmt: skip


def page(systems: abc.Sequence[str], runs: Path, threads: int) -> str:
    """The whole page, from the files beside the runs."""
    table: dict[str, Figures] = {}
    for name in systems:
        figures = json.loads((runs / name / "figures.json").read_text())
        files = (runs / name / "zoo.json", runs / name / "seconds.json")
        table[name] = figures | {key: value for file in files for key, value in json.loads(file.read_text()).items()}
    floor, sure = _yardstick(runs, systems)
    text = HEAD.format(threads=f"{threads} core{'s' if threads > 1 else ''}", floor=floor, sure=sure)
    lines = [f"| system | images | {' | '.join(title for title, _, _ in COLUMNS)} |", "|---" * (len(COLUMNS) + 2) + "|"]
    for name, figures in table.items():
        cells = [_cell(figures.get(key), form) for _, key, form in COLUMNS]
        lines.append(f"| [{name}](#{name}) | {figures['images']:,} | {' | '.join(cells)} |")
    orderings = [row for row in (ordering.row(table) for ordering in ORDERINGS) if row]
    text += "\n" + "\n".join(lines) + "\n"
    if orderings:
        text += "\n## Published orderings\n\n| published | better | worse | here |\n|---|---|---|---|\n"
        text += "\n".join(orderings) + "\n"
    text += PICTURES
    titles = lk.recipes()
    for name in systems:
        text += f"\n### {name}\n\n{titles[name]}.\n\n![{name}](../docs/pictures/zoo/{name}.png)\n"
    return text + f"\ntorch {torch.__version__}\n"


def _cell(value: object, form: str) -> str:
    return form.format(value) if isinstance(value, float) else "–"


def _named(system: str, figure: str) -> str:
    return f"{system} + GMM" if figure.endswith("gmm") else system


def _yardstick(runs: Path, systems: abc.Sequence[str]) -> tuple[str, str]:
    """What the distance of training images and the confidence in held-out images are; a dash where nobody asked."""
    for name in systems:
        for line in (runs / name / "metrics.jsonl").read_text().splitlines():
            record = json.loads(line)
            if record.get("evaluation") == "classifier-frechet":
                floor = record["protocol"]["training_images"]
            elif record.get("evaluation") == "classifier-confident":
                return f"{floor:.3f}", f"{record['protocol']['held_out_images']:.0f}"
    return "–", "–"
