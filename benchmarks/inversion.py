"""Time of a search for the codes of 64 images of 32 x 32, in one batch, beside one by one and a hand-written loop.

    python benchmarks/inversion.py                    # both generators, the table of benchmarks/README.md
    python benchmarks/inversion.py ogan --rounds 5

The generators are those of the recipes, with the weights that they start training with, which cost as much as trained
ones. All searches take the same updates from the same codes towards the same images: the error behind a Gaussian
filter, Adam, codes kept within the root of their dimension. Blocks alternate in one process; ratios are taken within a
round. Before, all of them are compared in float64.
"""

from __future__ import annotations

import os

os.environ.setdefault("GOMP_SPINCOUNT", "1000")

import argparse
import copy
import math
import statistics
import time
from collections import abc

import attrs
import torch
import torch.nn.functional as F
from torch import Tensor

import latentkit as lk
from latentkit.latent.filtered import FilteredError, line_kernel
from latentkit.latent.inversion import Inversion, invert

IMAGES, CHECKED = 64, 10
RATE, EPS, SIGMA = 0.05, 1e-7, 1.0
Filter = abc.Callable[[Tensor], Tensor]
Generate = abc.Callable[[Tensor], Tensor]
Search = abc.Callable[[int], Tensor]
"""A number of updates, to the codes that are found."""


def convolved(like: Tensor) -> Filter:
    """The filter as one writes it: two convolutions, along each axis, of differences of one channel."""
    kernel = line_kernel(SIGMA, True, dtype=like.dtype)
    before, after = (len(kernel) - 1) // 2, len(kernel) // 2
    tall, wide = kernel.reshape(1, 1, -1, 1), kernel.reshape(1, 1, 1, -1)

    def apply(x: Tensor) -> Tensor:
        return F.conv2d(F.conv2d(F.pad(x, (before, after, before, after)), tall), wide)

    return apply


def multiplied(like: Tensor) -> Filter:
    """The same as two products with a band matrix, which is what the library does."""
    matrix = convolved(like)(torch.eye(like.shape[-1], dtype=like.dtype)[:, None, :, None])[:, 0, :, 0].T.contiguous()
    across = matrix.T

    def apply(x: Tensor) -> Tensor:
        return matrix @ x @ across

    return apply


def by_hand(generate: Generate, targets: Tensor, start: Tensor, blurred: Filter, steps: int) -> Tensor:
    """The loop, eager, with the fastest Adam that torch has."""
    codes = start.clone().requires_grad_()
    adam = torch.optim.Adam([codes], lr=RATE, eps=EPS, fused=True)
    limit = math.sqrt(codes.shape[1])
    for _ in range(steps):
        adam.zero_grad()
        blurred(generate(codes) - targets).square().mean((1, 2, 3)).sum().backward()
        adam.step()
        with torch.no_grad():
            codes.mul_((limit / torch.linalg.vector_norm(codes, dim=1, keepdim=True)).clamp_(max=1))
    return codes.detach()


@attrs.frozen
class Problem:
    """A generator, 64 images that it has made of other codes, and where the search begins."""

    model: lk.Model
    generate: Generate
    targets: Tensor
    start: Tensor
    given: dict[str, Tensor]

    @classmethod
    def of(cls, recipe: str, dtype: torch.dtype) -> Problem:
        model = lk.compose(recipe)
        for part in model.parts.values():
            part.to(dtype)
        parts = {name: copy.deepcopy(part).requires_grad_(False) for name, part in model.parts.items()}
        rng = torch.Generator().manual_seed(0)
        codes = torch.randn(2, IMAGES, model.wiring.spaces[model.wiring.code].dims[0], generator=rng).to(dtype)
        given = {}
        if "S" in parts:  # styles and noise; of all the noise the same, as a search wants an image to be that of a code
            given["noise"] = torch.randn(1, sum(h * w for h, w in parts["G"].maps), generator=rng).to(dtype)
            noise = given["noise"][0]
            generate = lambda w: parts["G"](parts["S"](w), 1, noise)  # noqa: E731
        else:
            generate = lambda z: parts["G"](0.9 * z)  # noqa: E731
        with torch.no_grad():
            targets = generate(codes[0])
        return cls(model, generate, targets, codes[1], given)

    def searches(self) -> dict[str, Search]:
        """The hand-written loop first."""
        how = {"rate": RATE, "eps": EPS, "error": FilteredError(sigma=SIGMA)}

        def hand(steps: int, blurred: Filter) -> Tensor:
            return by_hand(self.generate, self.targets, self.start, blurred, steps)

        def batch(steps: int) -> Tensor:
            inversion = Inversion(steps=steps, **how)
            return invert(self.model, self.targets, self.start, inversion, given=self.given).codes

        def one_by_one(steps: int) -> Tensor:
            inversion = Inversion(steps=steps, **how)
            pairs = zip(self.targets.split(1), self.start.split(1), strict=True)
            return torch.cat([invert(self.model, x, z, inversion, given=self.given).codes for x, z in pairs])

        return {
            "hand-written": lambda steps: hand(steps, convolved(self.targets)),
            "hand-written, filter as in latentkit": lambda steps: hand(steps, multiplied(self.targets)),
            "latentkit, one batch": batch,
            "latentkit, one by one": one_by_one,
        }


RECIPES = "ogan", "stylealae-digits"


def check(recipe: str) -> None:
    """All of them find the same codes.

    Raises:
        AssertionError: they do not.
    """
    problem = Problem.of(recipe, torch.float64)
    assert problem.targets.shape == (IMAGES, 1, 32, 32)
    wanted, *others = (search(CHECKED) for search in problem.searches().values())
    assert float((wanted - problem.start).norm(dim=1).min()) > 0.1 * RATE * CHECKED
    for found in others:
        torch.testing.assert_close(found, wanted, rtol=0, atol=1e-6)


def compare(recipe: str, rounds: int, steps: int) -> list[str]:
    """Alternate blocks of every search; ratios are taken within a round."""
    searches = Problem.of(recipe, torch.float32).searches()
    times: dict[str, list[float]] = {name: [] for name in searches}
    for round_ in range(-1, rounds):
        names = list(searches) if round_ % 2 == 0 else [*searches][::-1]
        for name in names:
            start = time.perf_counter()
            searches[name](steps)
            times[name] += [(time.perf_counter() - start) / steps * 1e3] if round_ >= 0 else []
    rows, reference = [], times["hand-written"]
    for name, mine in times.items():
        ratios = sorted(a / b for a, b in zip(mine, reference, strict=True))
        low, high = ratios[rounds // 10], ratios[-1 - rounds // 10]
        rows.append(
            f"| {recipe} | {name} | {statistics.median(mine):,.1f} | {statistics.median(ratios):.3f} | "
            f"{low:.3f}–{high:.3f} |"
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipes", nargs="*", metavar="RECIPE", help=", ".join(RECIPES))
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--steps", type=int, default=20, help="updates of a search")
    arguments = parser.parse_args()
    print("| generator | search | ms / update of 64 images | time / hand-written | 10–90 % |\n|---|---|---|---|---|")
    for recipe in arguments.recipes or RECIPES:
        check(recipe)
        print("\n".join(compare(recipe, arguments.rounds, arguments.steps)), flush=True)
    print(f"\ntorch {torch.__version__}, {torch.get_num_threads()} threads, {arguments.rounds} rounds")


if __name__ == "__main__":
    main()
