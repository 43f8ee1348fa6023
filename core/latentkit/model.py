"""A system as something to use: sample, encode, decode, reconstruct, interpolate."""

from __future__ import annotations

from collections import abc
from typing import Any

import attrs
import torch
from torch import Tensor, nn

from latentkit.engine.drawing import at_time, drawn
from latentkit.engine.evaluating import evaluate
from latentkit.engine.streams import Streams
from latentkit.errors import LatentkitError
from latentkit.interpolating import interpolate, interpolate_grid
from latentkit.latents import Mode
from latentkit.mixing import chosen_layers, mix, style_layers
from latentkit.recipe.schema import DataSpec
from latentkit.spaces import Space
from latentkit.wiring.graph import Node
from latentkit.wiring.wiring import Wiring

CHUNK = 256
"""Samples that are evaluated at once."""


class Model:
    """A system in evaluation mode with the roles of ``[inference]``.

    Attributes:
        parts: the modules by the recipe's letters, plain ``nn.Module`` on tensors.
        wiring: the resolved recipe.
        step: training steps behind these weights; 0 where untrained.
        states: values of ``[state]``.
    """

    def __init__(
        self, wiring: Wiring, parts: abc.Mapping[str, nn.Module], states: abc.Mapping[str, Tensor] | None = None,
        step: int = 0, images: int = 0, name: str = "",
    ) -> None:  # fmt: skip
        self.wiring, self.parts = wiring, dict(parts)
        self.states = dict(states or {})
        self.step, self.images = step, images
        self.name = name or wiring.recipe.name
        for part in self.parts.values():
            part.eval()

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next((p.device for part in self.parts.values() for p in part.parameters()), torch.device("cpu"))

    @property
    def dtype(self) -> torch.dtype:
        """Of the weights."""
        return next((p.dtype for part in self.parts.values() for p in part.parameters()), torch.float32)

    @property
    def roles(self) -> tuple[str, ...]:
        """What this model can do: the names in ``[inference]``, and ``reconstruct`` where it follows."""
        roles = tuple(self.wiring.inference)
        follows = "reconstruct" not in roles and {"encode", "decode"} <= set(roles)
        return (*roles, "reconstruct") if follows else roles

    @property
    def image_space(self) -> Space:
        """The space of the data, with its value range.

        Raises:
            LatentkitError: the recipe has no image data.
        """
        for space in self.wiring.data_spaces.values():
            if space.kind == "image":
                return space
        raise LatentkitError(f"'{self.name}' has no image data")

    @property
    def data(self) -> DataSpec | None:
        """The recipe's first data source."""
        return next(iter(self.wiring.recipe.data.values()), None)

    def to(self, device: str | torch.device) -> Model:
        """Move the weights; returns itself."""
        for part in self.parts.values():
            part.to(device)
        self.states = {name: value.to(device) for name, value in self.states.items()}
        return self

    def sample(self, n: int, seed: int = 0, **given: Tensor | float) -> Tensor:
        """Draw ``n`` samples, [n, channels, height, width].

        Args:
            n: how many.
            seed: of the draws.
            **given: values by name in place of draws or data (labels, say), or of scalars (``psi=0.7``).

        Raises:
            LatentkitError: the recipe has no role ``sample``.
        """
        return self.role("sample", n, seed=seed, **given)

    def encode(self, x: Tensor) -> Tensor:
        """Codes of images in the data's value range: [n, channels, height, width] to [n, dim].

        Raises:
            LatentkitError: no role ``encode``, or images of another shape.
        """
        return self._role("encode", len(x), 0, {self._data_name(): self._checked(x)})

    def decode(self, code: Tensor) -> Tensor:
        """Images of codes: [n, dim] to [n, channels, height, width].

        Raises:
            LatentkitError: no role ``decode``.
        """
        return self._role("decode", len(code), 0, {self.wiring.recipe.inference.get("code", ""): code})

    def reconstruct(self, x: Tensor) -> Tensor:
        """``decode(encode(x))``, unless the recipe says otherwise; same shape as ``x``.

        Raises:
            LatentkitError: the model has no encoder.
        """
        if "reconstruct" in self.wiring.inference:
            return self._role("reconstruct", len(x), 0, {self._data_name(): self._checked(x)})
        return self.decode(self.encode(x))

    def interpolate(self, a: Tensor, b: Tensor, steps: int = 9, mode: Mode = "linear") -> Tensor:
        """Images on the way from ``a`` to ``b`` in latent space, [n, steps, channels, height, width].

        Args:
            a: images (which are encoded) or codes.
            b: as many: image or code ``i`` is the other end of ``a[i]``.
            steps: images per pair, ends included.
            mode: ``linear``, straight; ``spherical``, along the arc; ``normalized``, straight between codes with mean
                0 and standard deviation 1, and normalised again, for models whose codes are.

        Raises:
            LatentkitError: no role ``decode``, ends that are not as many, fewer than 2 steps, or another mode.
        """
        return interpolate(self, a, b, steps=steps, mode=mode)

    def interpolate_grid(
        self, a: Tensor, b: Tensor, c: Tensor, d: Tensor, steps: int = 9, mode: Mode = "linear"
    ) -> Tensor:
        """Images between four corners in latent space, [n, steps, steps, channels, height, width].

        The first row goes from ``a`` to ``b``, the last from ``c`` to ``d``; the first column from ``a`` to ``c``.
        Arguments and errors are those of :meth:`interpolate`.
        """
        return interpolate_grid(self, a, b, c, d, steps=steps, mode=mode)

    def mix(self, source: Tensor, destination: Tensor, layers: str | abc.Iterable[int] = "coarse") -> Tensor:
        """Style mixing: every destination with every source's styles in some layers, [d, s, channels, height, width].

        Args:
            source: images (which are encoded) or codes, s of them.
            destination: likewise, d of them.
            layers: ``coarse``, ``middle``, ``fine``, ``"A-B"``, or numbers of layers, counted from 0.

        Raises:
            LatentkitError: a model without styles, or layers that it does not have.
        """
        given, kept = (self.encode(value) if value.ndim == 4 else value for value in (source, destination))
        chosen = chosen_layers(layers, style_layers(self)) if isinstance(layers, str) else layers
        return mix(self, given, kept, chosen)

    def role(self, name: str, n: int, *, seed: int = 0, **given: Tensor | float) -> Tensor:
        """Evaluate a role of ``[inference]`` for ``n`` samples, without gradient.

        Raises:
            LatentkitError: no such role, or a value that must be given.
        """
        return self._role(name, n, seed, given)

    def _role(self, name: str, n: int, seed: int, given: abc.Mapping[str, Tensor | float]) -> Tensor:
        value: Tensor = self.values([self.node(name)], n, seed=seed, given=given)[0]
        return value

    def node(self, role: str) -> Node:
        """What a role of ``[inference]`` evaluates.

        Raises:
            LatentkitError: no such role.
        """
        if role not in self.wiring.inference:
            searched = role == "encode" and "decode" in self.wiring.inference
            hint = "\n  `latentkit invert` searches codes of images where there is no encoder" if searched else ""
            raise LatentkitError(f"'{self.name}' has no role '{role}'; it has: {', '.join(self.roles)}{hint}")
        return self.wiring.inference[role]

    def values(
        self, nodes: abc.Sequence[Node], n: int, *, seed: int = 0,
        given: abc.Mapping[str, Tensor | float] | None = None, known: abc.Mapping[Node, Tensor] | None = None,
    ) -> list[Any]:  # fmt: skip
        """Evaluate nodes together on the same draws, in chunks; each node has one value per sample.

        ``known`` are values of nodes, one per sample, that are not computed again.
        """
        sources: dict[Node, Any] = {}
        streams = Streams(seed, self.device)

        def whole(node: Node) -> Any:
            if node not in sources:
                sources[node] = self.source(node, n, streams, given or {})
            return sources[node]

        chunks: list[list[Any]] = []
        for start in range(0, max(n, 1), CHUNK):

            def piece(node: Node, start: int = start) -> Any:
                value = whole(node)
                per_sample = isinstance(value, Tensor) and value.ndim > 0 and len(value) == n and self._batched(node)
                return value[start : start + CHUNK] if per_sample else value

            ready = {node: value[start : start + CHUNK].to(self.device) for node, value in (known or {}).items()}
            chunks.append(evaluate(nodes, self.parts, self.wiring.spaces, piece, known=ready))
        return [_joined(parts) for parts in zip(*chunks, strict=True)]

    def source(self, node: Node, n: int, streams: Streams, given: abc.Mapping[str, Tensor | float]) -> Any:
        """The value of a source for ``n`` samples: given, drawn, a state, or a number at the model's step.

        Raises:
            LatentkitError: a value that must be given.
        """
        kind, name = node.source
        if kind != "timed" and name in given:
            value = torch.as_tensor(given[name], device=self.device)
            return value.to(self.dtype) if value.is_floating_point() else value
        if kind == "draw":
            draw = self.wiring.draws[name]
            prior = at_time(draw.prior, self.wiring.recipe.scalars, self.step, self.images)
            return drawn(attrs.evolve(draw, prior=prior), n, streams.at("sample", name), self.dtype)
        if kind == "state":
            return self.states[name]
        if kind in ("timed", "scalars"):
            quantity = self.wiring.recipe.scalars[name] if kind == "scalars" else name
            return quantity.at(self.step, self.images)
        raise LatentkitError(f"'{self.name}' needs a value for '{name}': pass it as {name}=...")

    def _batched(self, node: Node) -> bool:
        return node.is_source("draw", "data", "kept") and self.wiring.spaces[node].batched

    def _data_name(self) -> str:
        for name, space in self.wiring.data_spaces.items():
            if space.kind == "image":
                return name
        return "x"

    def _checked(self, x: Tensor) -> Tensor:
        space = self.image_space
        if x.ndim != 4 or tuple(x.shape[1:]) != space.dims:
            raise LatentkitError(f"expected images [n, {', '.join(map(str, space.dims))}], found {list(x.shape)}")
        return x


def _joined(chunks: abc.Sequence[Any]) -> Any:
    if isinstance(chunks[0], Tensor):
        return torch.cat(list(chunks))
    return type(chunks[0])(*(_joined(fields) for fields in zip(*chunks, strict=True)))
