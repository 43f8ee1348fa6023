"""Inside ``decode``: what a module makes of codes, and the weights of the layers that read the code as it is."""

from __future__ import annotations

import contextlib
from collections import abc

import torch
from torch import Tensor, nn

from latentkit.errors import LatentkitError, nearest
from latentkit.latent.decoding import decoder
from latentkit.mixing import images_of_styles, styles
from latentkit.model import Model

Given = abc.Mapping[str, Tensor | float] | None
Seen = abc.Callable[[nn.Module, Tensor, object], None]
_PROBES = 8
"""Codes by which a layer's input is known to be the code."""


def features_at(model: Model, layer: str, codes: Tensor, given: Given, seed: int) -> Tensor:
    """Output of a module that ``decode`` calls, flattened: [n, dim] to [n, features].

    Raises:
        LatentkitError: no such module; ``decode`` does not call it, or not once, or it yields no row per code.
    """
    modules = {f"{letter}.{path}".rstrip("."): module for letter, module, path in _modules(model)}
    if layer not in modules:
        hint = nearest(layer, modules)
        raise LatentkitError(f"layer: '{model.name}' has no module '{layer}'" + (f"; {hint}" if hint else ""))
    found: list[object] = []
    with _watched([modules[layer]], lambda _, __, output: found.append(output)), torch.no_grad():
        decoder(model, given=given, seed=seed)(codes)
    if len(found) != 1 or not isinstance(found[0], Tensor) or len(found[0]) != len(codes):
        raise LatentkitError(f"layer: expected '{layer}' to be called once by 'decode', with a row per code")
    return found[0].flatten(1)


def readers_of_code(model: Model, codes: Tensor, given: Given, seed: int) -> list[Tensor]:
    """Weights [outputs, dim] of all affine layers whose input is the code, or a multiple of it.

    Raises:
        LatentkitError: there is none.
    """
    probes, found = codes[:_PROBES], []

    def seen(module: nn.Module, value: Tensor, _: object) -> None:
        factor = _multiple(value, probes)
        weight = None if factor is None else _affine(module, value)
        if factor is not None and weight is not None:
            found.append(weight * factor)

    with _watched(_layers(model), seen), torch.no_grad():
        decoder(model, given=given, seed=seed)(probes)
    return _required(found, model, "code")


def readers_of_styles(model: Model, codes: Tensor, given: Given, seed: int) -> dict[int, list[Tensor]]:
    """Weights [outputs, dim] of the affine layers that read styles, by the styles' layer.

    Raises:
        LatentkitError: there is none, or the model has no styles.
    """
    made = styles(model, codes[:_PROBES])
    # Every layer has its own styles, so that they can be told apart.
    probes = made + torch.randn(made.shape, generator=torch.Generator().manual_seed(seed)).to(made)
    found: dict[int, list[Tensor]] = {}

    def seen(module: nn.Module, value: Tensor, _: object) -> None:
        for layer in range(probes.shape[1]):
            if _multiple(value, probes[:, layer]) is not None:
                weight = _affine(module, value)
                if weight is not None:
                    found.setdefault(layer, []).append(weight)

    with _watched(_layers(model), seen):
        images_of_styles(model, probes, seed)
    _required([weight for weights in found.values() for weight in weights], model, "styles")
    return found


def pieces_of_code(model: Model, codes: Tensor, given: Given, seed: int) -> list[int]:
    """Sizes of the consecutive pieces in which layers of ``decode`` read the code; one, where all read all of it.

    Raises:
        LatentkitError: some of the code is read by no layer as it is.
    """
    probes, readers = codes[:_PROBES], []

    def seen(_: nn.Module, value: Tensor, __: object) -> None:
        if value.ndim == 2 and len(value) == len(probes):
            readers.append(_columns(value, probes))

    with _watched(_layers(model), seen), torch.no_grad():
        decoder(model, given=given, seed=seed)(probes)
    read = torch.stack(readers) if readers else torch.zeros(1, probes.shape[1], dtype=torch.bool)  # layers dim
    if not read.any(0).all():
        raise LatentkitError(
            f"'{model.name}': not all of the code is read as it is by linear layers of 'decode', so that its pieces "
            "are not known; say --chunks SIZE,SIZE,..."
        )
    borders = (read[:, 1:] != read[:, :-1]).any(0).nonzero().flatten().tolist()
    ends = [*(border + 1 for border in borders), probes.shape[1]]
    return [end - start for start, end in zip([0, *ends], ends, strict=False)]


def _columns(value: Tensor, codes: Tensor) -> Tensor:
    """Which coordinates of the codes are among the columns of a layer's input: [n, f] and [n, dim] to bool [dim]."""
    if _multiple(value, codes) is not None:
        return torch.ones(codes.shape[1], dtype=torch.bool)
    same = torch.ones(value.shape[1], codes.shape[1], dtype=torch.bool, device=codes.device)
    for row, code in zip(value.to(codes), codes, strict=True):
        same &= torch.isclose(row[:, None], code, rtol=1e-4, atol=1e-5)
    return same.any(0).cpu()


def _modules(model: Model) -> abc.Iterator[tuple[str, nn.Module, str]]:
    for letter, part in model.parts.items():
        for path, module in part.named_modules():
            yield letter, module, path


def _layers(model: Model) -> list[nn.Module]:
    """Modules with weights of their own and no modules below, but what makes these weights (spectral norm, say)."""
    return [
        module
        for _, module, path in _modules(model)
        if _WEIGHTS not in path.split(".")
        and not [name for name, _ in module.named_children() if name != _WEIGHTS]
        and list(module.parameters())
    ]


_WEIGHTS = "parametrizations"
"""Where torch keeps what makes a module's weights."""


@contextlib.contextmanager
def _watched(modules: abc.Iterable[nn.Module], seen: Seen) -> abc.Iterator[None]:
    def hook(module: nn.Module, inputs: tuple[object, ...], output: object) -> None:
        seen(module, inputs[0] if inputs and isinstance(inputs[0], Tensor) else torch.empty(0), output)

    handles = [module.register_forward_hook(hook) for module in modules]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _multiple(value: Tensor, codes: Tensor) -> Tensor | None:
    """The factor by which these are the codes, or ``None`` where they are something else."""
    if value.numel() != codes.numel() or len(value) != len(codes):
        return None
    rows = value.reshape(codes.shape).to(codes)
    factor = (rows * codes).sum() / codes.square().sum()
    return factor if factor.abs() > 0 and torch.allclose(rows, factor * codes, rtol=1e-4, atol=1e-5) else None


def _affine(module: nn.Module, value: Tensor) -> Tensor | None:
    """The matrix [outputs, dim] of a module's answer to inputs of this shape; ``None`` where it is not affine."""
    dim = value[0].numel()
    unit = torch.eye(dim, dtype=value.dtype, device=value.device)

    def answers(rows: Tensor) -> Tensor:
        # Not by a call of the module, which would be watched.
        made: Tensor = module.forward(rows.reshape(-1, *value.shape[1:]))
        return made.flatten(1)

    origin = answers(torch.zeros_like(unit[:1]))
    matrix = answers(unit) - origin
    twice = answers(-2 * unit) - origin
    return matrix.T if torch.allclose(twice, -2 * matrix, rtol=1e-3, atol=1e-5) else None


def _required(found: list[Tensor], model: Model, what: str) -> list[Tensor]:
    if not found:
        raise LatentkitError(
            f"'{model.name}': no linear layer of 'decode' reads the {what} as it is, so that there are no weights to "
            "look at; take principal-components"
        )
    return found
