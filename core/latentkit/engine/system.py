"""Parts built: one ``nn.Module`` that holds them by the recipe's letters."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.utils import parametrizations

from latentkit.engine.streams import key_seed
from latentkit.errors import LatentkitError, Problem, RecipeError
from latentkit.interfaces import Part
from latentkit.recipe.schema import PartSpec
from latentkit.registry.manager import Registry
from latentkit.shaping import Constraint, Initializer, normalised_layers, output_axis
from latentkit.wiring.components import Components
from latentkit.wiring.wiring import Wiring


class System(nn.Module):
    """The parts of a recipe as modules, in training mode; ``frozen`` ones in evaluation mode.

    Each part is initialised from its own stream (seed, part), so that a hybrid's parts start as its parent's do.
    """

    def __init__(self, wiring: Wiring, registry: Registry, seed: int = 0, device: str | torch.device = "cpu") -> None:
        super().__init__()
        self.wiring = wiring
        self.frozen = frozenset(name for name, spec in wiring.recipe.parts.items() if spec.frozen)
        self.constraints: dict[str, Constraint] = {}
        self.parts = nn.ModuleDict()
        components = Components(registry, wiring.source)
        problems = []
        for name, part in wiring.parts.items():
            try:
                self.parts[name] = self._built(name, part, wiring.recipe.parts[name], components, seed, device)
            except LatentkitError as error:
                place = wiring.source.where(("parts", name))
                problems.append(Problem(place, f"{wiring.recipe.parts[name].use}: {error}"))
        problems += components.problems
        if problems:
            raise RecipeError(problems)
        self.train()

    def _built(
        self, name: str, part: Part, spec: PartSpec, components: Components, seed: int, device: str | torch.device
    ) -> nn.Module:
        with torch.random.fork_rng(devices=[]), torch.device(device):
            torch.manual_seed(key_seed(seed, "init", name))
            module = part.build()
            if spec.init is not None:
                initializer = components.configure(
                    spec.init,
                    ("initializer",),
                    ("parts", name, "init"),
                    Initializer,  # type: ignore[type-abstract]
                )
                if initializer is not None and torch.device(device).type != "meta":
                    initializer.initialize(module)
            if spec.spectral_norm:
                self._normalise(module)
        if spec.constraint is not None:
            constraint = components.configure(
                spec.constraint,
                ("constraint",),
                ("parts", name, "constraint"),
                Constraint,  # type: ignore[type-abstract]
            )
            if constraint is not None:
                self.constraints[name] = constraint
        if spec.frozen:
            module.requires_grad_(False)
        return module

    def _normalise(self, module: nn.Module) -> None:
        layers = normalised_layers(module)
        if not layers:
            raise LatentkitError(
                "spectral_norm = true, but the part has no linear, convolutional or embedding layer to normalise"
            )
        for layer in layers:
            parametrizations.spectral_norm(layer, dim=output_axis(layer))

    def train(self, mode: bool = True) -> System:
        """Training mode for all parts but the frozen ones."""
        super().train(mode)
        for name in self.frozen:
            if name in self.parts:
                self.parts[name].eval()
        return self

    def modules_by_name(self) -> dict[str, nn.Module]:
        """The parts by their letters."""
        return dict(self.parts.items())
