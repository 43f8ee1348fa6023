"""The operations of the recipe language on tensors. Operands align from the left: the batch comes first."""

from __future__ import annotations

from collections import abc

import torch
from torch import Tensor
from torch.nn import functional as F

Value = Tensor | float | int


def _align(a: Value, b: Value) -> tuple[Value, Value]:
    if isinstance(a, Tensor) and isinstance(b, Tensor) and 0 < a.ndim != b.ndim > 0:
        if a.ndim < b.ndim:
            a = a.reshape(a.shape + (1,) * (b.ndim - a.ndim))
        else:
            b = b.reshape(b.shape + (1,) * (a.ndim - b.ndim))
    return a, b


def add(a: Value, b: Value) -> Value:
    """a + b."""
    a, b = _align(a, b)
    return a + b


def sub(a: Value, b: Value) -> Value:
    """a - b."""
    a, b = _align(a, b)
    return a - b


def mul(a: Value, b: Value) -> Value:
    """a b, per element."""
    a, b = _align(a, b)
    return a * b


def div(a: Value, b: Value) -> Value:
    """a / b, per element."""
    a, b = _align(a, b)
    return a / b


def lerp(a: Value, b: Value, t: Value) -> Value:
    """a + t (b - a)."""
    return add(a, mul(t, sub(b, a)))


def _on_tensors(function: abc.Callable[..., Tensor]) -> abc.Callable[..., object]:
    """The function, which may then be given plain numbers for its first argument."""

    def call(a: Value, *rest: Value) -> object:
        # In float64 a plain number keeps its digits, and without axes it does not promote what it meets.
        return function(a if isinstance(a, Tensor | tuple) else torch.as_tensor(a, dtype=torch.float64), *rest)

    return call


def per_sample_mean(a: Tensor) -> Tensor:
    """Mean over all but the batch, [b]."""
    return a if a.ndim < 2 else a.flatten(1).mean(1)


def per_sample_sum(a: Tensor) -> Tensor:
    """Sum over all but the batch, [b]."""
    return a if a.ndim < 2 else a.flatten(1).sum(1)


def batch_mean(a: Tensor) -> Tensor:
    """Mean over the batch; the other axes stay."""
    return a if a.ndim == 0 else a.mean(0)


def chunk(a: Tensor, index: Value, count: Value) -> Tensor:
    """Part ``index`` of ``count`` equal parts of the batch."""
    return a.chunk(int(count))[int(index)]


def clip(a: Tensor, low: Value, high: Value) -> Tensor:
    """Clip to [low, high]; the gradient is 0 outside."""
    return torch.clamp(a, low, high)  # type: ignore[arg-type]


def take(a: Tensor | tuple[Tensor, ...], index: Tensor) -> Tensor | tuple[Tensor, ...]:
    """Samples by index; of a posterior, of each field."""
    if isinstance(a, tuple):
        return type(a)(*(field[index] for field in a))
    return a[index]


def reparameterize(q: abc.Sequence[Tensor], eps: Tensor) -> Tensor:
    """mu + exp(logvar / 2) eps (Kingma & Welling 2014, eq. 10)."""
    mu, logvar = q
    return mu + torch.exp(0.5 * logvar) * eps


OPERATIONS: dict[str, abc.Callable[..., object]] = {
    "add": add, "sub": sub, "mul": mul, "div": div, "neg": lambda a: -a,
    "detach": _on_tensors(lambda a: a.detach() if isinstance(a, Tensor) else type(a)(*(f.detach() for f in a))),
    "mean": _on_tensors(per_sample_mean), "sum": _on_tensors(per_sample_sum), "batch_mean": _on_tensors(batch_mean),
    "exp": _on_tensors(torch.exp), "log": _on_tensors(torch.log), "sqrt": _on_tensors(torch.sqrt),
    "square": _on_tensors(torch.square), "abs": _on_tensors(torch.abs), "sign": _on_tensors(torch.sign),
    "sigmoid": _on_tensors(torch.sigmoid), "softplus": _on_tensors(F.softplus), "relu": _on_tensors(torch.relu),
    "clip": _on_tensors(clip),
    "concat": lambda *a: torch.cat(a), "chunk": chunk, "roll": lambda a, n: a.roll(int(n), 0),
    "flip": lambda a: a.flip(0), "take": take, "join": lambda *a: torch.cat(a, 1), "lerp": lerp,
    "reparameterize": reparameterize,
}  # fmt: skip
"""Operation names of the language to functions; ``grad`` and ``field`` are the program's own."""
