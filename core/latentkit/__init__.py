"""Latent-space generative models from recipes: GANs that encode, autoencoders that generate.

Names are imported when they are first used, so that ``import latentkit`` does not import torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from latentkit.api import Comparison, Recipe, check, compare, compose, evaluate, explain, read, recipes
    from latentkit.errors import (
        DataError,
        LatentkitError,
        LatentkitWarning,
        Mismatch,
        NotFiniteError,
        Problem,
        RecipeError,
        RegistryError,
        RunError,
    )
    from latentkit.evaluation.code_prior import CodePrior
    from latentkit.evaluation.comparing import compare_figures, refuse_mixed
    from latentkit.evaluation.expost import fit_prior
    from latentkit.functions import loss, regularizer, stateless
    from latentkit.hooks import hookimpl
    from latentkit.interfaces import (
        Conversion,
        Converter,
        DataSource,
        Direction,
        DirectionFinder,
        Discriminator,
        Encoder,
        Examples,
        Function,
        Generator,
        Loss,
        Mapping,
        Metric,
        Observer,
        Part,
        Prior,
        Regularizer,
    )
    from latentkit.latent.edits import Edit, edited
    from latentkit.latent.finding import find_directions
    from latentkit.model import Model
    from latentkit.optimizers import Optimizer
    from latentkit.proof import Report
    from latentkit.runs.converting import convert
    from latentkit.runs.loading import load
    from latentkit.runs.run import Run
    from latentkit.runs.stopping import Interrupted, StopRun
    from latentkit.runs.training import train

_HOMES = {
    "api": ("Comparison", "Recipe", "check", "compare", "compose", "evaluate", "explain", "read", "recipes"),
    "errors": ("DataError", "LatentkitError", "LatentkitWarning", "Mismatch", "NotFiniteError", "Problem",
               "RecipeError", "RegistryError", "RunError"),
    "evaluation.code_prior": ("CodePrior",),
    "evaluation.comparing": ("compare_figures", "refuse_mixed"),
    "evaluation.expost": ("fit_prior",),
    "functions": ("loss", "regularizer", "stateless"),
    "hooks": ("hookimpl",),
    "interfaces": ("Conversion", "Converter", "DataSource", "Direction", "DirectionFinder", "Discriminator", "Encoder",
                   "Examples", "Function", "Generator", "Loss", "Mapping", "Metric", "Observer", "Part", "Prior",
                   "Regularizer"),
    "latent.edits": ("Edit", "edited"),
    "latent.finding": ("find_directions",),
    "model": ("Model",),
    "optimizers": ("Optimizer",),
    "proof": ("Report",),
    "runs.converting": ("convert",),
    "runs.loading": ("load",),
    "runs.run": ("Run",),
    "runs.stopping": ("Interrupted", "StopRun"),
    "runs.training": ("train",),
}  # fmt: skip
_HOME = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "CodePrior", "Comparison", "Conversion", "Converter", "DataError", "DataSource", "Direction", "DirectionFinder",
    "Discriminator", "Edit", "Encoder", "Examples", "Function", "Generator", "Interrupted", "LatentkitError",
    "LatentkitWarning", "Loss", "Mapping", "Metric", "Mismatch", "Model", "NotFiniteError", "Observer", "Optimizer",
    "Part", "Prior", "Problem", "Recipe", "RecipeError", "RegistryError", "Regularizer", "Report", "Run", "RunError",
    "StopRun", "check", "compare", "compare_figures", "compose", "convert", "edited", "evaluate", "explain",
    "find_directions", "fit_prior", "hookimpl", "load", "loss", "read", "recipes", "refuse_mixed", "regularizer",
    "stateless", "train",
]  # fmt: skip


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'latentkit' has no attribute '{name}'")
    return getattr(importlib.import_module(f"latentkit.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
