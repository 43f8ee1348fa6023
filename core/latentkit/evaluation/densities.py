"""The densities of a model of likelihood, log p(x | z), log p(z) and log q(z | x), as its recipe tells them.

Each is a role of ``[inference]`` (``log_likelihood``, ``log_prior``, ``log_posterior``: one number per sample, in
nats), or follows: the likelihood from the term whose loss declares that it is one, the prior from what ``sample`` has
where ``decode`` has the code, and the posterior from ``reparameterize(q, eps)``.
"""

from __future__ import annotations

import math

import attrs

from latentkit.components.priors import Normal
from latentkit.engine.drawing import at_time
from latentkit.errors import LatentkitError
from latentkit.evaluation.dependence import draws_behind, per_sample, standing_for_code
from latentkit.interfaces import Loss, Part, Prior
from latentkit.interfaces.parts import Likelihood
from latentkit.model import Model
from latentkit.recipe.quantities import number
from latentkit.spaces import SCORE
from latentkit.wiring.graph import Node, ancestors
from latentkit.wiring.wiring import Wiring

_COUPLING = frozenset({"concat", "chunk", "roll", "flip", "batch_mean"})


@attrs.frozen(kw_only=True, eq=False)
class ImageDensity:
    """log p(x | z) = factor * value + offset, of values of ``size`` numbers per sample."""

    node: Node
    factor: float
    offset: float
    kind: Likelihood
    size: int
    targets: tuple[Node, ...]
    """The values whose probability it is."""


@attrs.frozen(kw_only=True, eq=False)
class Densities:
    """What an importance weight p(x | z) p(z) / q(z | x) is made of."""

    image: ImageDensity
    prior: Node | Prior
    """A log-density, or the prior of which the code is a draw."""
    posterior: Node | None
    """A log-density; ``None`` where the code is ``reparameterize(q, eps)``."""
    code: Node | None
    fresh: frozenset[Node]
    """The draws that make one sample of the code differ from another for the same image."""

    @property
    def roots(self) -> list[Node]:
        """All that has to be evaluated for a weight."""
        found = [self.image.node]
        found += [node for node in (self.prior, self.posterior) if isinstance(node, Node)]
        if self.code is not None:
            found += [self.code, *(self.code.args if self.posterior is None else ())]
        return found


def densities_of(model: Model) -> Densities:
    """The densities of a model.

    Raises:
        LatentkitError: the recipe does not tell one of them.
    """
    wiring = model.wiring
    image = _image_density(model)
    posterior = _role(wiring, "log_posterior")
    if posterior is None:
        _reparameterized(model)
    prior = _role(wiring, "log_prior") or _prior(model)
    code = wiring.code if posterior is None or isinstance(prior, Prior) else None
    found = Densities(image=image, prior=prior, posterior=posterior, code=code, fresh=frozenset())
    fresh = draws_behind(found.roots) - draws_behind(image.targets)
    if not fresh:
        raise LatentkitError("the code is not random for a given image, so there is no posterior to sample from")
    coupled = sorted({node.op for node in per_sample(found.roots) if node.op in _COUPLING})
    if coupled:
        raise LatentkitError(f"the densities depend on other samples of the batch ({', '.join(coupled)})")
    return attrs.evolve(found, fresh=frozenset(fresh))


def _role(wiring: Wiring, name: str) -> Node | None:
    node = wiring.inference.get(name)
    if node is not None and wiring.spaces.get(node) != SCORE:
        raise LatentkitError(f"the role '{name}' is {wiring.spaces.get(node)}; expected one number per sample")
    return node


def declared(wiring: Wiring, node: Node) -> tuple[Likelihood, Node] | None:
    """Of a node that is a loss which declares itself a likelihood: as what, and the value whose probability it is."""
    part: Part | None = None
    if node.op == "apply" and isinstance(node.value, Part):
        part = node.value
    elif node.op == "call" and not node.callee[1]:
        part = wiring.parts[node.callee[0]]
    if not isinstance(part, Loss) or part.likelihood is None:
        return None
    names = [port.name for port in part.signatures()[""].inputs]
    return part.likelihood, node.args[names.index("to")]


def _image_density(model: Model) -> ImageDensity:
    wiring = model.wiring
    role = _role(wiring, "log_likelihood")
    if role is not None:
        told = [found for node in ancestors([role]) if (found := declared(wiring, node))]
        if not told:
            raise LatentkitError("the role 'log_likelihood' has no loss that declares a likelihood")
        kinds = {"density" if kind == "squared-error" else kind for kind, _ in told}
        if len(kinds) > 1:
            raise LatentkitError("the role 'log_likelihood' adds a probability and a density")
        targets = tuple(sorted({target for _, target in told}))
        size = sum(_size(wiring, target) for target in targets)
        kind: Likelihood = "probability" if kinds == {"probability"} else "density"
        return ImageDensity(node=role, factor=1.0, offset=0.0, kind=kind, size=size, targets=targets)
    terms = [term for phase in wiring.phases for term in phase.terms if _is_of_images(wiring, term.node)]
    nodes = list(dict.fromkeys(term.node for term in terms))
    if len(nodes) != 1:
        fact = "no term of the recipe is" if not nodes else f"{len(nodes)} terms of the recipe are"
        raise LatentkitError(f"{fact} a likelihood of the images given the code; write [inference] log_likelihood")
    told_once = declared(wiring, nodes[0])
    assert told_once is not None
    kind, target = told_once
    size = _size(wiring, target)
    if kind != "squared-error":
        return ImageDensity(node=nodes[0], factor=-1.0, offset=0.0, kind=kind, size=size, targets=(target,))
    weights = {_number(model, term.weight) for term in terms}
    weight = weights.pop()
    if weights or weight is None or weight <= 0:
        fact = "the weight of the squared error, which makes it a likelihood, is not one positive number"
        raise LatentkitError(f"{fact}; write [inference] log_likelihood")
    offset = 0.5 * size * math.log(weight / math.pi)  # of a Gaussian of variance 1 / (2 weight)
    return ImageDensity(node=nodes[0], factor=-weight, offset=offset, kind="density", size=size, targets=(target,))


def _is_of_images(wiring: Wiring, node: Node) -> bool:
    found = declared(wiring, node)
    if found is None or wiring.code is None or wiring.code not in ancestors([node]):
        return False
    space, images = wiring.spaces.get(found[1]), [s for s in wiring.data_spaces.values() if s.kind == "image"]
    # Images themselves, perhaps with noise or made binary; not what a network finds in them.
    alike = space is not None and any((space.kind, space.dims) == (image.kind, image.dims) for image in images)
    return alike and wiring.code not in ancestors([found[1]])


def _size(wiring: Wiring, node: Node) -> int:
    return math.prod(size for size in wiring.spaces[node].dims if isinstance(size, int))


def _number(model: Model, node: Node) -> float | None:
    if node.op == "number":
        return float(str(node.value))
    return float(node.source[1].at(model.step, model.images)) if node.is_source("timed") else None


def _reparameterized(model: Model) -> None:
    code, hint = model.wiring.code, "write [inference] log_posterior"
    if code is None:
        raise LatentkitError(f"the recipe has no code; {hint}")
    if code.op != "reparameterize":
        name = model.wiring.recipe.inference["code"]
        raise LatentkitError(f"the code '{name}' is not reparameterize(q, eps); {hint}")
    eps = _drawn(model, code.args[1])
    if not isinstance(eps, Normal) or (number(eps.mean), number(eps.std)) != (0.0, 1.0):
        raise LatentkitError(f"the noise of the code is not drawn from N(0, 1); {hint}")


def _drawn(model: Model, node: Node | None) -> Prior | None:
    if node is None or not node.is_source("draw"):
        return None
    return at_time(model.wiring.draws[node.source[1]].prior, model.wiring.recipe.scalars, model.step, model.images)


def _prior(model: Model) -> Prior:
    wiring, hint = model.wiring, "write [inference] log_prior"
    if not {"sample", "decode"} <= set(wiring.inference):
        raise LatentkitError(f"without the roles 'sample' and 'decode' nothing tells the prior of the code; {hint}")
    stands = standing_for_code(wiring.recipe.inference["code"], wiring.inference["decode"], wiring.inference["sample"])
    prior = _drawn(model, stands)
    if prior is None:
        raise LatentkitError(f"'sample' is not 'decode' of a draw, so nothing tells the prior of the code; {hint}")
    # Before any weights: whether there is a density at all is a fact of the class.
    if type(prior).log_prob is Prior.log_prob:
        raise LatentkitError(f"the prior of the code ({type(prior).__name__.lower()}) has no density; {hint}")
    return prior
