"""Adversarial games: a score that one phase tells values apart by, and that another phase moves the other way."""

from __future__ import annotations

from collections import abc

import attrs

from latentkit.engine.plan import reached_by
from latentkit.explaining.origins import DATA, Origin
from latentkit.explaining.pushes import Push, opposed
from latentkit.wiring.graph import Node, ancestors, differentiable_ancestors
from latentkit.wiring.wiring import Phase, parts_called

Labels = frozenset[Origin]
Values = tuple[Node, ...]


@attrs.frozen(eq=False)
class Game:
    """One phase tells two sides apart; another one changes the second side against it."""

    score: object
    """What computes the score: see :func:`scorer`."""
    critic: str
    player: str
    judges: tuple[str, ...]
    """Parts of the score that the critic's phase trains."""
    players: tuple[str, ...]
    """Parts that the player's phase trains and that what is judged is made by."""
    first: tuple[Values, ...]
    second: tuple[Values, ...]
    """The values that a score is computed from, of either side; the player moves the second one, perhaps both."""
    moved: Values
    """Those of them that the player's parts make."""
    terms: tuple[tuple[str, str], ...]
    """Phase and name of the terms that take part."""


@attrs.frozen(eq=False)
class _View:
    """A push, and the values that its score is computed from by the parts that a phase trains."""

    push: Push
    values: Values
    labels: Labels
    judges: tuple[str, ...]


def scorer(score: Node) -> object:
    """What two scores have in common that are one function of different values: the part, or the loss."""
    return score.op, score.value


def games(
    phases: abc.Sequence[Phase], pushes: abc.Sequence[Push], origin: abc.Callable[[Node], Origin | None]
) -> list[Game]:
    """All games between phases.

    Args:
        phases: those of the recipe.
        pushes: of all their terms.
        origin: of a node.
    """
    found = []
    reached = {
        phase.name: reached_by(sorted(ancestors(push.score for push in pushes)), set(phase.spec.train))
        for phase in phases
    }
    for critic in phases:
        views = [_view(push, critic, reached[critic.name], origin) for push in pushes]
        judged = [view for view in views if view.judges and view.labels]
        for player in phases:
            if player is not critic:
                found += _between(critic, player, judged, reached[player.name])
    return found


def _view(
    push: Push, critic: Phase, reached: abc.Collection[Node], origin: abc.Callable[[Node], Origin | None]
) -> _View:
    inside, edge = set[Node](), set[Node]()
    stack = [push.score]
    while stack:
        node = stack.pop()
        if node in inside or node in edge:
            continue
        (inside if node in reached else edge).add(node)
        stack += node.args if node in reached else ()
    values = tuple(node for node in sorted(edge) if origin(node) is not None)
    judges = tuple(part for part in critic.spec.train if part in parts_called(inside))
    labels = frozenset(label for node in values if (label := origin(node)) is not None)
    return _View(push, values, labels, judges)


def _between(critic: Phase, player: Phase, views: abc.Sequence[_View], reached: abc.Collection[Node]) -> list[Game]:
    found = []
    own = [view for view in views if view.push.phase == critic.name]
    others = [view for view in views if view.push.phase == player.name and any(v in reached for v in view.values)]
    for score in dict.fromkeys(scorer(view.push.score) for view in own):
        mine = [view for view in own if scorer(view.push.score) == score]
        told = {
            view: [other for other in mine if other.labels != view.labels and opposed(other.push.to, view.push.to)]
            for view in mine
        }
        against = {
            view: [
                other for other in others
                if scorer(other.push.score) == score and other.labels == view.labels
                and opposed(other.push.to, view.push.to)
            ]
            for view in mine if told[view]
        }  # fmt: skip
        pushed = [view for view in mine if against.get(view)]
        if not pushed:
            continue
        # A player may move both sides, as encoders of pairs do; then the second one is that without data.
        turned = min(pushed, key=lambda view: DATA in view.labels)
        second = [view for view in pushed if not opposed(view.push.to, turned.push.to)]
        first = [view for view in told[turned] if view not in second]
        moved = [other for view in pushed for other in against[view]]
        made = parts_called(differentiable_ancestors(value for other in moved for value in other.values))
        found.append(
            Game(
                score, critic.name, player.name,
                judges=tuple(dict.fromkeys(part for view in (*first, *second) for part in view.judges)),
                players=tuple(part for part in player.spec.train if part in made),
                first=_values(first), second=_values(second),
                moved=tuple(dict.fromkeys(value for view in moved for value in view.values if value in reached)),
                terms=tuple(dict.fromkeys((view.push.phase, view.push.term) for view in (*first, *second, *moved))),
            )
        )  # fmt: skip
    return found


def _values(views: abc.Iterable[_View]) -> tuple[Values, ...]:
    return tuple(dict.fromkeys(view.values for view in views))
