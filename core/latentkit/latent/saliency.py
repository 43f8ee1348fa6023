"""What in an image catches the eye: maps by a component that is named, or by any function.

Plumerault, Le Borgne, Hudelot 2020, https://arxiv.org/abs/2001.10238, measure what an edit does by the moments of such
maps. Networks that make them are plugins.
"""

from __future__ import annotations

from collections import abc
from typing import Any

import attrs
import torch
from torch import Tensor, nn

from latentkit.engine.streams import key_seed
from latentkit.errors import LatentkitError, Mismatch, RecipeError
from latentkit.interfaces import Part
from latentkit.model import Model
from latentkit.recipe.converting import structure
from latentkit.registry.manager import Registry, default_registry
from latentkit.spaces import Space, Var
from latentkit.wiring.unification import Unifier

Saliency = abc.Callable[[Tensor], Tensor]
"""Images in [0, 1] to maps of 0 or more: [n, c, h, w] to [n, h', w'] or [n, 1, h', w'], of any size."""
_KINDS = ("function", "encoder", "generator", "mapping")


def saliency_of(
    name: str, model: Model, options: abc.Mapping[str, object] | None = None, registry: Registry | None = None
) -> Saliency:
    """A component from image to map, built for a model's images; its weights are those that it starts with.

    Raises:
        RegistryError: no such component, or one of another kind.
        RecipeError: options that it does not have, or of the wrong kind; all of them.
        LatentkitError: it does not take such images, or nothing else makes a map.
    """
    kind: Any = (registry or default_registry()).load(name, _KINDS)
    part, problems = structure(options or {}, kind, lambda path: f"{name}: {'.'.join(path)}", ())
    if problems:
        raise RecipeError(problems)
    assert isinstance(part, Part)
    module = _built(_sized(part, model.image_space, name)).to(model.device, model.dtype).eval()

    def maps(images: Tensor) -> Tensor:
        made: Tensor = module(images)
        return made

    return maps


def salient(images: Tensor, span: tuple[float, float], saliency: Saliency) -> Tensor:
    """Maps of images in a value range, [n, c, h, w] to [n, h', w'].

    Raises:
        LatentkitError: what is made is no map of finite numbers from 0 on.
    """
    low, high = span
    with torch.no_grad():
        maps = saliency(((images - low) / (high - low)).clamp(0, 1))
    if not isinstance(maps, Tensor) or not (maps.ndim == 3 or (maps.ndim == 4 and maps.shape[1] == 1)):
        found = list(maps.shape) if isinstance(maps, Tensor) else type(maps).__name__
        raise LatentkitError(f"saliency: expected maps [n, h, w] of images {list(images.shape)}, found {found}")
    maps = maps.reshape(len(maps), *maps.shape[-2:])
    if len(maps) != len(images) or not (maps.isfinite() & (maps >= 0)).all():
        raise LatentkitError(f"saliency: expected {len(images)} maps of finite numbers of 0 or more, found others")
    return maps


def _sized(part: Part, images: Space, name: str) -> Part:
    """The part with the sizes of a model's images; their values are in [0, 1]."""
    signature = part.signatures(name)[""]
    wanted = [port for port in signature.inputs if not port.optional]
    if len(wanted) != 1 or len(signature.outputs) != 1:
        raise LatentkitError(f"saliency '{name}': expected a component from one image to one map, found other ports")
    unifier = Unifier()
    try:
        unifier.unify(wanted[0].space, attrs.evolve(images, range=(0.0, 1.0)))
    except Mismatch as error:
        raise LatentkitError(f"saliency '{name}' does not take this model's images: {error}") from None
    fields = {field.name for field in attrs.fields(type(part))}
    open_sizes = (*getattr(wanted[0].space, "dims", ()), getattr(wanted[0].space, "range", None))
    found = {size.name: unifier.find(size) for size in open_sizes if isinstance(size, Var) and size.name in fields}
    return attrs.evolve(part, **found)


def _built(part: Part) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(key_seed("saliency"))
        return part.build()
