"""Time of a search for the codes of 64 images of 32 x 32, in one batch, beside one by one and a hand-written loop.

    python benchmarks/inversion.py                    # both generators, the table of benchmarks/README.md
    python benchmarks/inversion.py ogan --rounds 5

The generators are those of the recipes, with the weights that they start training with, which cost as much as trained
ones; batch norms have seen some batches, so that images differ. All searches take the same updates from the same codes
towards the same images: the error behind a Gaussian filter, Adam, codes kept within the root of their dimension. Blocks
alternate in one process; ratios are taken within a round. Before that, their codes are compared in float64.
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
from latentkit.latent.decoding import decoder
from latentkit.latent.filtered import FilteredError, line_kernel
from latentkit.latent.inversion import Inversion, invert

IMAGES, CHECKED = 64, 10
RATE, EPS, SIGMA = 0.05, 1e-7, 1.0
Filter = abc.Callable[[Tensor], Tensor]
Generate = abc.Callable[[Tensor], Tensor]
Found = tuple[Tensor, Tensor]
"""Codes, and errors of their images."""
Search = abc.Callable[[int], Found]
"""Of a number of updates."""


def convolved(like: Tensor) -> Filter:
    """The filter as one writes it first: a convolution along each axis of differences of one channel."""
    kernel = line_kernel(SIGMA, True, dtype=like.dtype)
    before, after = (len(kernel) - 1) // 2, len(kernel) // 2
    tall, wide = kernel.reshape(1, 1, -1, 1), kernel.reshape(1, 1, 1, -1)

    def apply(x: Tensor) -> Tensor:
        return F.conv2d(F.conv2d(F.pad(x, (before, after, before, after)), tall), wide)

    return apply


def grouped(like: Tensor) -> Filter:
    """The fastest convolutions that were found: images are channels, and each channel has its own."""
    kernel = line_kernel(SIGMA, True, dtype=like.dtype)
    before, after, n = (len(kernel) - 1) // 2, len(kernel) // 2, len(like)
    tall, wide = (kernel.reshape(shape).repeat(n, 1, 1, 1) for shape in ((1, 1, -1, 1), (1, 1, 1, -1)))

    def apply(x: Tensor) -> Tensor:
        channels = F.pad(x, (before, after, before, after)).transpose(0, 1)
        return F.conv2d(F.conv2d(channels, tall, groups=n), wide, groups=n).transpose(0, 1)

    return apply


def multiplied(like: Tensor) -> Filter:
    """The same as products with a band matrix, which is what the library does."""
    kernel = line_kernel(SIGMA, True, dtype=like.dtype)
    impulses = torch.eye(like.shape[-1], dtype=like.dtype)[:, None]
    across = F.conv1d(F.pad(impulses, ((len(kernel) - 1) // 2, len(kernel) // 2)), kernel[None, None])[:, 0]
    down = across.T

    def apply(x: Tensor) -> Tensor:
        return down @ x @ across

    return apply


def by_hand(generate: Generate, targets: Tensor, start: Tensor, blurred: Filter, steps: int) -> Found:
    """The loop, eager, with the fastest Adam that torch has."""

    def errors_of(codes: Tensor) -> Tensor:
        return blurred(generate(codes) - targets).square().mean((1, 2, 3))

    codes = start.clone().requires_grad_()
    adam = torch.optim.Adam([codes], lr=RATE, eps=EPS, fused=True)
    limit = math.sqrt(codes.shape[1])
    for _ in range(steps):
        adam.zero_grad()
        errors_of(codes).sum().backward()
        adam.step()
        with torch.no_grad():
            codes.mul_((limit / torch.linalg.vector_norm(codes, dim=1, keepdim=True)).clamp_(max=1))
    with torch.no_grad():
        return codes.detach(), errors_of(codes)


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
        rng, dim = torch.Generator().manual_seed(0), model.wiring.spaces[model.wiring.code].dims[0]
        given = {}
        if "S" in model.parts:  # all images have the same noise, so that an image is a function of its code
            sizes = sum(height * width for height, width in model.parts["G"].maps)
            given["noise"] = torch.randn(1, sizes, generator=rng).to(dtype)
        for module in model.parts["G"].train().modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.reset_running_stats()
                module.momentum = None  # the mean of all batches
        for _ in range(5):
            model.decode(torch.randn(IMAGES, dim, generator=rng).to(dtype))
        model.parts["G"].eval()
        parts = {name: copy.deepcopy(part).requires_grad_(False) for name, part in model.parts.items()}
        target, start = torch.randn(2, IMAGES, dim, generator=rng).to(dtype)

        def generate(code: Tensor) -> Tensor:
            if given:
                return parts["G"](parts["S"](code), 1, given["noise"][0])
            return parts["G"](0.9 * code)

        with torch.no_grad():
            targets = generate(target)
        assert torch.equal(targets, decoder(model, given=given)(target))
        return cls(model, generate, targets, start, given)

    def searches(self) -> dict[str, Search]:
        """The hand-written loop first."""
        how = {"rate": RATE, "eps": EPS, "error": FilteredError(sigma=SIGMA)}

        def hand(steps: int, blurred: Filter) -> Found:
            return by_hand(self.generate, self.targets, self.start, blurred, steps)

        def batch(steps: int, part: slice = slice(None)) -> Found:
            inversion = Inversion(steps=steps, **how)
            found = invert(self.model, self.targets[part], self.start[part], inversion, given=self.given)
            return found.codes, found.errors

        def one_by_one(steps: int) -> Found:
            codes, errors = zip(*[batch(steps, slice(i, i + 1)) for i in range(IMAGES)], strict=True)
            return torch.cat(codes), torch.cat(errors)

        return {
            "hand-written": lambda steps: hand(steps, grouped(self.targets)),
            "hand-written, plain convolutions": lambda steps: hand(steps, convolved(self.targets)),
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
    (wanted, errors), *others = (search(CHECKED) for search in problem.searches().values())
    assert float((wanted - problem.start).norm(dim=1).min()) > RATE * CHECKED
    for found in others:
        torch.testing.assert_close(found, (wanted, errors), rtol=1e-6, atol=1e-9)


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
