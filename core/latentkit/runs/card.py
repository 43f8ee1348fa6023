"""``card.md``: what was trained, on what, and how to use it."""

from __future__ import annotations

from collections import abc

import attrs

from latentkit.engine.training import Training
from latentkit.runs.files import write_atomically
from latentkit.runs.folder import CARD, Folder
from latentkit.runs.origin import Origin
from latentkit.wiring.wiring import Wiring


def write_card(
    folder: Folder, wiring: Wiring, training: Training, versions: abc.Mapping[str, str], seconds: float
) -> None:
    """Write the card of a finished run."""
    recipe = wiring.recipe
    parts = "\n".join(
        f"| {name} | {recipe.parts[name].use} | {sum(p.numel() for p in module.parameters()):,} |"
        for name, module in training.modules.items()
    )
    sources = recipe.data.values()
    data = "\n".join(f"- {spec.use}, split `{spec.split}`, values in {list(spec.range)}" for spec in sources)
    made_with = ", ".join(f"{name} {version}" for name, version in versions.items())
    settings = ", ".join(f"{key} {value}" for key, value in attrs.asdict(training.settings).items())
    origin = Origin.read(folder.path)
    trained = f"""Trained for {training.step_count:,} steps of {training.batch} images ({training.images:,} images), \
seed {training.seed},
{settings}. The last call took {seconds:.0f} s."""
    if origin is not None:
        data = f"The weights came from elsewhere. For training here, and for figures:\n\n{data}"
        trained = trained if training.step_count > origin.step else "Converted, and not trained further."
    text = f"""# {recipe.title or recipe.name}

{f"Paper: {recipe.paper}" if recipe.paper else ""}

{trained} Made with {made_with}.
{_origin(origin)}
## Data

{data}

## Parts

| part | component | parameters |
|---|---|---|
{parts}

## Use

```python
import latentkit as lk

model = lk.load("{folder.path.name}")
images = model.sample(16, seed=0)
```

The recipe is in `recipe.toml`, figures are in `metrics.jsonl`, pictures in the folders beside them.
"""
    write_atomically(folder.path / CARD, text.encode())


def _origin(origin: Origin | None) -> str:
    if origin is None:
        return ""
    notes = "".join(f"- {note}\n" for note in origin.notes)
    return f"""
## Origin

The weights were converted by `{origin.converter}` ({origin.plugin}) from `{origin.file}`\
{f", which was at step {origin.step:,}" if origin.step else ""}.
SHA-256 of that file: `{origin.sha256}`.

{notes}"""
