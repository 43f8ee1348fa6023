"""Several recipes in one table: by what each matches distributions."""

from __future__ import annotations

from collections import abc

import attrs

from latentkit._building import RecipeLike, wired
from latentkit.explaining.deriving import taxon
from latentkit.explaining.layout import columns, section
from latentkit.explaining.taxonomy import Key, Reason, Taxon, Trip
from latentkit.registry.manager import Registry, default_registry

_HEADS = ("data distribution", "latent distribution", "reciprocity")


@attrs.frozen
class Comparison:
    """The places of systems in the taxonomy of autoencoders and GANs. As text it is the table with its reasons."""

    taxa: tuple[Taxon, ...]
    """In the order in which they were asked for."""

    def __str__(self) -> str:
        rows = [("recipe", *_HEADS), *((taxon.name, *taxon.cells) for taxon in self.taxa)]
        widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
        head, *body = columns(rows, widest=max(widths))
        lines = [head, "  " + "─" * (sum(widths) + 2 * len(_HEADS)), *body]
        for each in self.taxa:
            title = f"{each.name} — {each.title}" if each.title else each.name
            lines += section(title, columns(_reasons(each)))
        return "\n".join(lines) + "\n"

    def tables(self) -> list[dict[str, object]]:
        """The same as plain values, for JSON."""
        return [
            {
                "name": each.name, "title": each.title, **dict(zip(map(_key, _HEADS), each.cells, strict=True)),
                "reasons": {
                    "data": [_reason(reason) for reason in each.data],
                    "prior": {"is": each.prior or "none", "how": each.prior_how},
                    "latent": [_reason(reason) for reason in each.latent],
                    "reciprocity": [
                        {"space": trip.space, "features": trip.features, "how": trip.how, "terms": _terms(trip.terms)}
                        for trip in each.reciprocity
                    ],
                },
                "other_terms": _terms(each.beside),
            }
            for each in self.taxa
        ]  # fmt: skip


def compare(
    recipes: RecipeLike | abc.Sequence[RecipeLike],
    overrides: abc.Mapping[str, object] | None = None,
    *,
    registry: Registry | None = None,
) -> Comparison:
    """By what systems match distributions, derived from their wiring.

    What makes generated data follow the data's distribution; whether the distribution of codes is imposed or learned,
    and what makes codes of data follow it; and in which space the encoder is held to be the decoder's inverse.
    ``print`` shows the table.

    Args:
        recipes: each a shipped name, a path ending in .toml, tables, or a recipe that has been read.
        overrides: dotted keys to values, as ``--set`` gives them, for each of the recipes.
        registry: where components are found.

    Raises:
        RecipeError: a recipe has problems; all of the first such one.
    """
    registry = registry or default_registry()
    several = recipes if isinstance(recipes, abc.Sequence) and not isinstance(recipes, str) else [recipes]
    return Comparison(tuple(taxon(wired(recipe, overrides, registry)) for recipe in several))


def _reasons(each: Taxon) -> list[tuple[str, str]]:
    prior = [f"{each.prior}: {each.prior_how}"] if each.prior else []
    blocks = {
        _HEADS[0]: [*map(_said, each.data)],
        _HEADS[1]: [*prior, *map(_said, each.latent)],
        _HEADS[2]: [*map(_said, each.reciprocity)],
        "other terms": [", ".join(_terms(each.beside))] if each.beside else [],
    }
    return [
        (head if first else "", text)
        for head, texts in blocks.items()
        for first, text in zip([True, *[False] * len(texts)], texts, strict=False)
    ]


def _said(reason: Reason | Trip) -> str:
    return f"{reason.mechanism if isinstance(reason, Reason) else reason.space}: {reason.how}"


def _reason(reason: Reason) -> dict[str, object]:
    return {"mechanism": reason.mechanism, "how": reason.how, "terms": _terms(reason.terms)}


def _terms(keys: abc.Iterable[Key]) -> list[str]:
    return [".".join(key) for key in keys]


def _key(head: str) -> str:
    return head.replace(" ", "_")
