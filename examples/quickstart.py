"""latentkit from Python: compose, check, train, load, and use a model. Run it from the root of a checkout."""

from __future__ import annotations

from pathlib import Path

import latentkit as lk
from latentkit import pictures

STEPS = 300  # a minute or less on a CPU; the recipe's own number makes better pictures


def main(steps: int = STEPS) -> None:
    """Train a little, then look at what a model can do."""
    for name, summary in lk.recipes().items():
        print(f"{name:20} {summary}")

    # A recipe is a shipped name, a path ending in .toml, or a dict. Nothing is trained here.
    untrained = lk.compose("ogan")
    print({name: sum(p.numel() for p in part.parameters()) for name, part in untrained.parts.items()})

    # What is proved before any training. No data is opened.
    report = lk.check(Path(__file__).parent / "hybrid.toml")
    print(f"{report.name}: {'sound' if report.ok else 'faulty'}")
    for problem in report.problems:
        print(problem)

    # Overrides are dotted paths into the recipe. Without `out` the run goes to the next free runs/ogan-NN.
    overrides = {"optimizer.lr": 3e-4, "data.count": 2000, "train.log_every": 50}
    run = lk.train("ogan", steps=steps, overrides=overrides, say=print)
    print(run.path, run.metrics[-1])

    model = lk.load(run.path)  # run.model is the same
    x = model.sample(8, seed=0)  # 8 1 32 32, in the recipe's value range
    code = model.encode(x)  # 8 24
    again = model.decode(code)
    print(f"code {list(code.shape)}, decoded {list(again.shape)}")
    print(f"squared error of reconstructions {float((model.reconstruct(x) - x).square().mean()):.3f}")

    between = model.interpolate(x[:1], x[1:2], steps=9)  # 1 9 1 32 32
    pictures.save_png(pictures.strip(between[0].numpy(), range=(-1.0, 1.0)), run.path / "between.png")
    print(f"wrote {run.path / 'between.png'}")

    print(model.parts["E"])  # an ordinary torch.nn.Module


if __name__ == "__main__":
    main()
