"""The recipe of a cell."""

from __future__ import annotations

from composition.axes import LATENT, Cell

BATCH, STEPS = 4, 3
Table = dict[str, object]
_SCORES = {
    "image": ("D(x)", "D(x_fake)", "D(x_mix)"),
    "image map": ("mean(D(x))", "mean(D(x_fake))", "mean(D(x_mix))"),
    "pair": ("D(x, h)", "D(x_fake, z)", "D(x_mix, lerp(h, z, t))"),
    "code": ("D(h)", "D(h_fake)", "D(h_mix)"),
}
"""Of real, made and mixed samples, by what a discriminator looks at."""
FLOW = ("x_fake", "q", "q_fake", "h", "h_fake", "x_rec", "real", "fake", "x_mix", "h_mix", "mixed")
"""The values of a cell, each after those that it is made of."""


def tables(cell: Cell, side: int) -> Table:
    """The recipe of a cell, for images of this side.

    A discriminator of images trains alone against the generator, one of codes together with the encoder, as in ALAE,
    and one of pairs against generator and encoder, as in BiGAN. Reciprocity is a phase of its own; it trains encoder
    and generator, or the encoder alone where the loss looks at posteriors of real images only.
    """
    parts = {"E": cell.encoder.table(), "G": cell.generator.table(), "D": cell.discriminator.table()}
    if cell.regularizer.form == "part":
        parts["D"] |= cell.regularizer.options
    return {
        "title": str(cell),
        "data": {"use": "sprites", "count": 16 * BATCH, "resolution": side, **cell.range.options},
        "draw": _draws(cell),
        "parts": parts,
        "flow": _flow(cell),
        "phase": _phases(cell),
        "train": {"steps": STEPS, "batch": BATCH},
        "inference": {
            "sample": "G(z)", "encode": "q.mu" if _sampled(cell) else "q", "code": "z", "decode": "G(z)",
        },
    }  # fmt: skip


def _sampled(cell: Cell) -> bool:
    return cell.encoder.form == "posterior"


def _mixes(cell: Cell) -> bool:
    return "mixed" in cell.regularizer.options.values()


def _draws(cell: Cell) -> dict[str, Table]:
    found = {"z": cell.prior.table()}
    if _sampled(cell):
        found |= {name: {"use": "normal", "like": "q.mu"} for name in ("eps", "eps_fake")}
    if _mixes(cell):
        found["t"] = {"use": "uniform", "row": True}
    if "directions" in cell.reciprocity.options.values():
        found["directions"] = {"use": "sphere", "dim": LATENT}
    return found


def _flow(cell: Cell) -> dict[str, str]:
    real, fake, mixed = _SCORES[cell.discriminator.form]
    code = "reparameterize({}, {})" if _sampled(cell) else "{}"
    found = {
        "x_fake": "G(z)", "q": "E(x)", "q_fake": "E(x_fake)", "h": code.format("q", "eps"),
        "h_fake": code.format("q_fake", "eps_fake"), "x_rec": "G(h)", "real": real, "fake": fake,
    }  # fmt: skip
    if _mixes(cell):
        found |= {"x_mix": "lerp(x, detach(x_fake), t)", "h_mix": code.format("E(x_mix)", "eps"), "mixed": mixed}
    return found


def _phases(cell: Cell) -> dict[str, Table]:
    sides = cell.adversarial.options
    critic: Table = {"adversarial": {"use": sides["discriminate"], "real": "real", "fake": "fake"}}
    player: Table = {"adversarial": {"use": sides["generate"], "fake": "fake"}}
    if cell.regularizer.form == "term":
        critic["regularizer"] = cell.regularizer.table()
    if cell.discriminator.form == "pair":
        player["encoder"] = {"use": sides["generate"], "fake": "-real"}  # real pairs are to pass for made ones
    found: dict[str, Table] = {
        "discriminate": {"train": _trained(cell, "ED" if cell.discriminator.form == "code" else "D"), "loss": critic},
        "generate": {"train": _trained(cell, "EG" if cell.discriminator.form == "pair" else "G"), "loss": player},
    }
    if cell.reciprocity.form != "none":
        values = cell.reciprocity.options.values()
        reaches = "EG" if any(str(value) in ("x_rec", "h_fake", "q_fake") for value in values) else "E"
        term = cell.reciprocity.table()
        if "logits" in term:  # what a generator without a sigmoid makes
            term["logits"] = cell.generator.form != "[0, 1]"
        found["reciprocate"] = {"train": _trained(cell, reaches), "loss": {"reciprocity": term}}
    return found


def _trained(cell: Cell, letters: str) -> list[str]:
    choices = {"E": cell.encoder, "G": cell.generator, "D": cell.discriminator}
    return [letter for letter in letters if choices[letter].weighted]
