"""A system's place in the taxonomy from its wiring: what its terms compare, and who is trained on them.

No recipe is known by name. A term counts by what it reads, by where minimising it moves a score, and by what losses
declare of themselves (``role`` and ``pushes`` of :class:`latentkit.interfaces.Loss`).
"""

from __future__ import annotations

from collections import abc

from latentkit.explaining.facts import Facts
from latentkit.explaining.games import Game, Values, scorer
from latentkit.explaining.layout import listed
from latentkit.explaining.origins import CODE, DATA, PRIOR, Matched, Origin, matched
from latentkit.explaining.pairs import Pair
from latentkit.explaining.sketch import part_of
from latentkit.explaining.taxonomy import Key, Mechanism, Place, Reason, Taxon, Trip, Ways
from latentkit.interfaces import Loss
from latentkit.wiring.graph import Node, ancestors
from latentkit.wiring.wiring import Wiring, parts_called

_MECHANISMS: dict[str, Mechanism] = {"divergence": "divergence", "discrepancy": "moments"}
_SPACES: tuple[Place, ...] = ("data", "latent", "adversarial")


def taxon(wiring: Wiring) -> Taxon:
    """The place of a system."""
    return _Answers(Facts(wiring)).taxon()


class _Answers:
    def __init__(self, facts: Facts) -> None:
        self.facts, self.wiring = facts, facts.wiring

    def taxon(self) -> Taxon:
        found: dict[Matched, list[Reason]] = {"data": [], "latent": []}
        targets: list[Node] = []
        for places, reason, nodes in [*self._played(), *self._declared()]:
            for place in places:
                found[place].append(reason)
            targets += nodes if "latent" in places else ()
        prior, how = self._prior(targets, fixed=bool(found["latent"]))
        trips = self._trips()
        # A comparison of single samples stands in where no distribution is compared.
        if not found["data"]:
            found["data"] = [
                Reason(mechanism="similarity", how=trip.how, terms=trip.terms)
                for trip, pair in trips if self.facts.origins.of(pair.of) == DATA
            ]  # fmt: skip
        if prior and not found["latent"]:
            found["latent"] = [
                Reason(mechanism="reciprocity", how=trip.how, terms=trip.terms)
                for trip, _ in trips if trip.space == "latent"
            ]  # fmt: skip
        all_trips = sorted([*(trip for trip, _ in trips), *self._ties()], key=lambda trip: _SPACES.index(trip.space))
        shown: list[Reason | Trip] = [*found["data"], *found["latent"], *all_trips]
        used = {key for item in shown for key in item.terms}
        return Taxon(
            name=self.wiring.recipe.name, title=self.wiring.recipe.title, data=tuple(found["data"]),
            prior=prior, prior_how=how, latent=tuple(found["latent"]), reciprocity=tuple(all_trips),
            beside=tuple(key for term in self.facts.terms if (key := (term.phase, term.name)) not in used),
        )  # fmt: skip

    def _played(self) -> abc.Iterator[tuple[set[Matched], Reason, list[Node]]]:
        for game in self.facts.games:
            places = self._told_apart(game)
            prior = [node for values in (*game.first, *game.second) for node in map(self.facts.plain.of, values)]
            yield places, Reason(mechanism="adversarial", how=self._course(game), terms=game.terms), self._priors(prior)

    def _course(self, game: Game) -> str:
        first, second = (listed(dict.fromkeys(map(self._tuple, side))) for side in (game.first, game.second))
        return (
            f"{listed(game.judges)} ({game.critic}) tell{'s' * (len(game.judges) == 1)} {first} from {second}; "
            f"{listed(game.players)} ({game.player}) play{'s' * (len(game.players) == 1)} against it"
        )

    def _tuple(self, values: Values) -> str:
        bare = sorted(map(self.facts.plain.of, values), key=lambda value: not self.facts.origins.is_image(value))
        texts = list(map(self.facts.text, bare))
        return f"({', '.join(texts)})" if len(texts) > 1 else texts[0]

    def _told_apart(self, game: Game) -> set[Matched]:
        sides = [
            {origin for values in side for value in values if (origin := self.facts.origin(value))}
            for side in (game.first, game.second)
        ]
        moved = {origin for value in game.moved if (origin := self.facts.origin(value))}
        found = matched(*sides) | matched(*reversed(sides))
        # Where the player makes no code and no prior, only the data's distribution is moved.
        return found - ({"latent"} if not moved & {CODE, PRIOR} else {"data"} if moved <= {CODE, PRIOR} else set())

    def _ties(self) -> abc.Iterator[Trip]:
        """Games over pairs of image and code: where they agree, either is the other's inverse."""
        for game in self.facts.games:
            pairs = all(self._is_pair(values) for values in (*game.first, *game.second))
            if pairs and {"data", "latent"} <= self._told_apart(game):
                pair = self._tuple(game.first[0])
                yield Trip(
                    space="adversarial",
                    how=f"{listed(game.judges)} judge{'s' * (len(game.judges) == 1)} pairs, {pair}",
                    terms=game.terms,
                )

    def _is_pair(self, values: Values) -> bool:
        kinds = {self.facts.origins.is_image(self.facts.plain.of(value)) for value in values}
        return kinds == {True, False}

    def _declared(self) -> abc.Iterator[tuple[set[Matched], Reason, list[Node]]]:
        """Terms whose loss compares distributions."""
        scores = {game.score for game in self.facts.games}
        found: dict[tuple[Mechanism, Node], tuple[set[Matched], list[Node], list[Key]]] = {}
        for push in self.facts.pushes:
            part = part_of(self.wiring, push.score)
            if not isinstance(part, Loss) or part.role not in _MECHANISMS or push.to == "up":
                continue
            read = [self.facts.plain.of(arg) for arg in push.score.args]
            origins = {origin for node in read if (origin := self.facts.origins.of(node))}
            places = matched(origins, origins) or ({"latent"} if origins == {CODE} else set[Matched]())
            if places:
                mechanism: Mechanism = "adversarial" if scorer(push.score) in scores else _MECHANISMS[part.role]
                known = found.setdefault((mechanism, self.facts.plain.of(push.score)), (places, self._priors(read), []))
                known[2].append((push.phase, push.term))
        for (mechanism, score), (places, priors, keys) in found.items():
            how = f"{self._loss(score, keys[0])} ({_where(keys)})"
            how += ", itself the score of the game" * (mechanism == "adversarial")
            yield places, Reason(mechanism=mechanism, how=how, terms=tuple(dict.fromkeys(keys))), priors

    def _priors(self, nodes: abc.Iterable[Node]) -> list[Node]:
        return [node for node in nodes if self.facts.origins.of(node) == PRIOR]

    def _loss(self, score: Node, key: Key) -> str:
        phase = next(phase for phase in self.wiring.phases if phase.name == key[0])
        spec = phase.spec.loss[key[1]]
        return min((self.facts.renderer.term(node, spec) for node in self.facts.originals(score)), key=len)

    def _prior(self, targets: list[Node], fixed: bool) -> tuple[Ways, str]:
        """Where the codes that are decoded to samples, and those that others are compared with, come from."""
        sample = self.wiring.inference.get("sample")
        roots = [term.node for term in self.facts.terms] if sample is None else [sample]
        every = ancestors(self.facts.plain.of(self.facts.sketch.of(root)) for root in roots)
        decoded = [
            arg for node in sorted(every) if self.facts.origins.of(node) == Origin("image", "generated")
            if not any(map(self.facts.origins.is_image, node.args))
            for arg in node.args if self.facts.origins.of(arg) == PRIOR
        ]  # fmt: skip
        for nodes in (decoded, targets):
            made = parts_called(ancestors(nodes)) & self.facts.trained
            if made:
                learned = [node for node in nodes if parts_called(ancestors([node])) & made]
                return "learned", f"{listed(sorted(made))} make{'s' * (len(made) == 1)} {self.facts.texts(learned)}"
        fixed_ones = decoded or targets
        if fixed_ones:
            drawn = (
                " as drawn" if all(node.is_source("draw") for node in fixed_ones) else ", which no trained part makes"
            )
            return "imposed", self.facts.texts(fixed_ones) + drawn
        return ("imposed", "a fixed distribution") if fixed else ("", "")

    def _trips(self) -> list[tuple[Trip, Pair]]:
        found: dict[tuple[object, ...], tuple[Pair, list[Key]]] = {}
        for term in self.facts.terms:
            for pair in self.facts.pairs.of(self.facts.sketch.of(term.node)):
                key = pair.space, pair.features, pair.made, pair.of
                found.setdefault(key, (pair, []))[1].append((term.phase, term.name))
        made = []
        for pair, keys in found.values():
            how = f"{self.facts.text(pair.made)} against {self.facts.text(pair.of)}"
            how += f", in the features of {pair.features}" if pair.features else ""
            how += f" ({_where(keys)})"
            made.append((Trip(space=pair.space, features=pair.features, how=how, terms=tuple(keys)), pair))
        return made


def _where(keys: abc.Sequence[Key]) -> str:
    return listed(dict.fromkeys(".".join(key) for key in keys))
