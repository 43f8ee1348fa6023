"""Optimizers against torch's own, written-out formulas and stored values; what an update leaves alone."""

from __future__ import annotations

import math
from collections import abc
from typing import Literal

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from latentkit.components.layers import EqualizedLinear
from latentkit.engine.averaging import Average
from latentkit.engine.updates import Slot, multipliers, update
from latentkit.optimizers import SGD, Adam, LreqAdam, Optimizer, RMSprop
from latentkit.recipe.schema import AverageSpec

Values = dict[str, Tensor]
ALL = [Adam(beta1=0.5), LreqAdam(), RMSprop(), SGD(), SGD(momentum=0.9)]
NAMES = ["adam", "lreq-adam", "rmsprop", "sgd", "momentum"]
every = pytest.mark.parametrize("optimizer", ALL, ids=NAMES)


class Equalized(nn.Module):
    """An equalised layer, a plain one and a bare parameter."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.first = EqualizedLinear(6, 5, lrmul=0.1)
            self.conv = nn.Conv2d(3, 4, 3)
            self.bare = nn.Parameter(torch.randn(7))
        self.double()


def gradients(module: nn.Module, step: int) -> list[Tensor]:
    """Some gradients, of different sizes of number, the same for the same step."""
    generator = torch.Generator().manual_seed(step)
    shapes = [parameter.shape for parameter in module.parameters()]
    return [torch.randn(shape, generator=generator, dtype=torch.float64) * 3.0**at for at, shape in enumerate(shapes)]


def snapshot(tensors: abc.Iterable[Tensor]) -> list[Tensor]:
    return [tensor.detach().clone() for tensor in tensors]


def run(optimizer: Optimizer, steps: int, rate: float | Tensor = 0.01) -> list[Tensor]:
    module = Equalized()
    slot = Slot(optimizer, module)
    for step in range(steps):
        update([slot], gradients(module, step), [rate])
    return snapshot(module.parameters())


def assert_exact(got: abc.Sequence[Tensor], wanted: abc.Sequence[Tensor]) -> None:
    torch.testing.assert_close(got, wanted, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("ours", "theirs", "options"),
    [
        (Adam(), torch.optim.Adam, {}),
        (Adam(beta1=0.5, beta2=0.99, eps=1e-3), torch.optim.Adam, {"betas": (0.5, 0.99), "eps": 1e-3}),
        (Adam(beta1=0.0), torch.optim.Adam, {"betas": (0.0, 0.999)}),
        (RMSprop(), torch.optim.RMSprop, {"eps": 1e-7}),
        (RMSprop(alpha=0.9, eps=1e-2), torch.optim.RMSprop, {"alpha": 0.9, "eps": 1e-2}),
        (SGD(), torch.optim.SGD, {}),
        (SGD(momentum=0.9), torch.optim.SGD, {"momentum": 0.9}),
    ],
)
def test_ten_steps_are_those_of_torch(
    ours: Optimizer, theirs: type[torch.optim.Optimizer], options: dict[str, object]
) -> None:
    module = Equalized()
    reference = theirs(module.parameters(), lr=0.01, **options)
    for step in range(10):
        for parameter, gradient in zip(module.parameters(), gradients(module, step), strict=True):
            parameter.grad = gradient
        reference.step()
    assert_exact(run(ours, 10), snapshot(module.parameters()))


def test_ten_steps_of_lreq_adam_follow_its_formula() -> None:
    module, rate, beta2, eps = Equalized(), 0.01, 0.9, 1e-2
    deviation = math.sqrt(2) / math.sqrt(6)
    factors = {"first.weight": 0.1 * deviation, "first.bias": 0.1}
    values = {name: parameter.detach().clone() for name, parameter in module.named_parameters()}
    squares = {name: torch.zeros_like(value) for name, value in values.items()}
    for step in range(10):
        for name, gradient in zip(values, gradients(module, step), strict=True):
            squares[name] = beta2 * squares[name] + (1 - beta2) * gradient**2
            correction = math.sqrt(1 - beta2 ** (step + 1))
            change = correction * gradient / (squares[name].sqrt() + eps)
            values[name] = values[name] - rate * factors.get(name, 1.0) * change
    assert_exact(run(LreqAdam(beta2=beta2, eps=eps), 10), list(values.values()))


def test_only_equalised_layers_declare_multipliers() -> None:
    found = multipliers(nn.Sequential(EqualizedLinear(8, 3, gain=1.0, lrmul=0.5), nn.Linear(3, 3)))
    assert found == {"0.weight": pytest.approx(0.5 / math.sqrt(8)), "0.bias": 0.5}
    assert multipliers(EqualizedLinear(2, 1)).keys() == {"weight", "bias"}


def test_other_optimizers_ignore_multipliers() -> None:
    assert set(Slot(Adam(), Equalized()).factors) == {1.0}
    assert len(set(Slot(LreqAdam(), Equalized()).factors)) == 3


def held(value: Tensor) -> nn.Module:
    module = nn.Module()
    module.theta = nn.Parameter(value.clone())
    return module


def test_rmsprop_gives_the_stored_values(golden: abc.Callable[[str], Values]) -> None:
    tensors = golden("losses")
    module = held(tensors["misc/in/theta"])
    slot = Slot(RMSprop(), module)
    for gradient in tensors["misc/in/grads"]:
        update([slot], [gradient], [1e-4])
    torch.testing.assert_close(module.theta.data, tensors["misc/out/rmsprop_keras"], rtol=1e-9, atol=1e-12)


def test_average_gives_the_stored_values(golden: abc.Callable[[str], Values]) -> None:
    tensors = golden("losses")
    module = held(tensors["misc/in/theta"])
    average = Average(AverageSpec(parts=("M",), decay=0.999), {"M": module})
    for value in tensors["misc/in/ema_seq"]:
        module.theta.data.copy_(value)
        average.update(batch=64)
    got = average.tensors()
    assert got.keys() == {"M.theta"}
    torch.testing.assert_close(got["M.theta"], tensors["misc/out/ema999"], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("buffers", ["copy", "average", "keep"])
def test_averaged_weights_are_divided_by_their_own_spectral_norm(buffers: Literal["copy", "average", "keep"]) -> None:
    torch.manual_seed(0)
    layer = spectral_norm(nn.Linear(6, 4, dtype=torch.float64))
    average = Average(AverageSpec(parts=("L",), decay=0.5, buffers=buffers), {"L": layer})
    raw: Tensor = layer.parametrizations.weight.original
    raw.data.copy_(torch.randn(4, 6, dtype=torch.float64))  # whose norm the layer itself is not asked for
    for _ in range(80):
        average.update(batch=1)
    averaged = average.averaged["L"]
    assert torch.linalg.matrix_norm(averaged.weight, 2).item() == pytest.approx(1, abs=1e-6)
    assert torch.linalg.matrix_norm(layer.eval().weight, 2).item() != pytest.approx(1, abs=1e-2)
    assert not averaged.training
    assert not averaged.parametrizations.weight.training


@every
def test_parameter_without_gradient_keeps_its_value_count_and_state(optimizer: Optimizer) -> None:
    module = Equalized()
    slot, absent = Slot(optimizer, module), 2
    update([slot], gradients(module, 0), [0.01])
    value, state = (
        snapshot(module.parameters())[absent],
        [snapshot(found)[absent] for found in slot.slots.values()],
    )
    for step in (1, 2):
        found: list[Tensor | None] = [*gradients(module, step)]
        found[absent] = None
        update([slot], found, [0.01])
    assert slot.steps == [3, 3, 1, 3, 3]
    assert torch.equal(list(module.parameters())[absent], value)
    assert all(torch.equal(now[absent], before) for now, before in zip(slot.slots.values(), state, strict=True))


@every
def test_parameter_that_missed_steps_continues_from_its_own_count(optimizer: Optimizer) -> None:
    late, alone = Equalized(), Equalized()
    slot, other = Slot(optimizer, late), Slot(optimizer, alone)
    update([slot], [None, *gradients(late, 0)[1:]], [0.01])
    for step in (1, 2):
        update([slot], gradients(late, step), [0.01])
        update([other], [gradients(alone, step)[0], None, None, None, None], [0.01])
    assert_exact(snapshot(late.parameters())[:1], snapshot(alone.parameters())[:1])


def transposed(value: Tensor) -> Tensor:
    return value.mT.contiguous().mT if value.ndim > 1 else value


def channels_last(value: Tensor) -> Tensor:
    return value.contiguous(memory_format=torch.channels_last) if value.ndim == 4 else value


def sliced(value: Tensor) -> Tensor:
    return torch.stack([value, -value], -1)[..., 0]


@every
@pytest.mark.parametrize("parameters", [torch.contiguous_format, torch.channels_last], ids=["rows", "channels-last"])
@pytest.mark.parametrize("layout", [transposed, channels_last, sliced])
def test_layout_in_memory_changes_nothing(
    optimizer: Optimizer, parameters: torch.memory_format, layout: abc.Callable[[Tensor], Tensor]
) -> None:
    module = Equalized().to(memory_format=parameters)
    slot = Slot(optimizer, module)
    laid_out = [layout(gradient) for gradient in gradients(module, 0)]
    assert any(not gradient.is_contiguous() for gradient in laid_out)
    for step in range(3):
        update([slot], [layout(gradient) for gradient in gradients(module, step)], [0.01])
    assert_exact(snapshot(module.parameters()), run(optimizer, 3))


@every
def test_expanded_gradient_is_that_of_each_element(optimizer: Optimizer) -> None:
    expanded, full = Equalized(), Equalized()
    shapes = [parameter.shape for parameter in full.parameters()]
    for module, laid_out in ((expanded, lambda value: value), (full, Tensor.contiguous)):
        slot = Slot(optimizer, module)
        for step in (1.0, -3.0):
            one = torch.tensor(step, dtype=torch.float64)
            update([slot], [laid_out(one.expand(shape)) for shape in shapes], [0.01])
            assert one == step
    assert_exact(snapshot(expanded.parameters()), snapshot(full.parameters()))


@every
def test_rate_as_tensor_is_the_rate_as_number(optimizer: Optimizer) -> None:
    rate = torch.tensor(0.01, dtype=torch.float64)
    assert_exact(run(optimizer, 3, rate), run(optimizer, 3, 0.01))
    assert rate == 0.01


@every
def test_each_part_follows_its_own_rate(optimizer: Optimizer) -> None:
    fast, slow = Equalized(), Equalized()
    slots = [Slot(optimizer, fast), Slot(optimizer, slow)]
    rates = [0.01, torch.tensor(0.001, dtype=torch.float64)]
    for step in range(3):
        update(slots, gradients(fast, step) + gradients(slow, step), rates)
    assert_exact(snapshot(fast.parameters()), run(optimizer, 3, 0.01))
    assert_exact(snapshot(slow.parameters()), run(optimizer, 3, 0.001))


@every
def test_two_rate_tensors_of_one_value_work(optimizer: Optimizer) -> None:
    first, second = Equalized(), Equalized()
    slots = [Slot(optimizer, first), Slot(optimizer, second)]
    rates = [torch.tensor(rate, dtype=torch.float64) for rate in (0.01, 0.01)]
    update(slots, gradients(first, 0) * 2, rates)
    assert_exact(snapshot(first.parameters()), run(optimizer, 1))
    assert_exact(snapshot(second.parameters()), run(optimizer, 1))


@every
def test_parameters_may_share_one_gradient_tensor(optimizer: Optimizer) -> None:
    results = []
    for shared in (True, False):
        module = nn.ParameterList([torch.ones(4, dtype=torch.float64), torch.full((4,), 2.0, dtype=torch.float64)])
        slot = Slot(optimizer, module)
        for step in range(3):
            gradient = gradients(module, step)[0]
            update([slot], [gradient, gradient if shared else gradient.clone()], [0.01])
        results.append(snapshot(module))
    assert_exact(*results)


def test_autograd_of_a_sum_shares_a_gradient_and_both_parameters_move() -> None:
    first, second = (held(torch.ones(3, dtype=torch.float64)) for _ in range(2))
    found = torch.autograd.grad((first.theta + second.theta).square().sum(), [first.theta, second.theta])
    update([Slot(LreqAdam(), first), Slot(LreqAdam(), second)], found, [0.01, 0.01])
    assert torch.equal(first.theta, second.theta)
    torch.testing.assert_close(first.theta.data, torch.full((3,), 0.99, dtype=torch.float64))


@every
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_saved_and_loaded_state_continues_bit_for_bit(optimizer: Optimizer, dtype: torch.dtype) -> None:
    module, copy = Equalized().to(dtype), Equalized().to(dtype)
    slot = Slot(optimizer, module)

    def step(slot: Slot, module: nn.Module, number: int) -> None:
        found: list[Tensor | None] = [gradient.to(dtype) for gradient in gradients(module, number)]
        found[1] = found[1] if number % 2 else None
        update([slot], found, [0.01])

    for number in range(3):
        step(slot, module, number)
    saved = {name: tensor.clone() for name, tensor in slot.tensors().items()}
    copy.load_state_dict(module.state_dict())
    resumed = Slot(optimizer, copy)
    resumed.load(saved)
    assert resumed.steps == slot.steps == [3, 1, 3, 3, 3]
    for number in range(3, 6):
        step(slot, module, number)
        step(resumed, copy, number)
    assert all(map(torch.equal, module.parameters(), copy.parameters()))
    assert slot.tensors().keys() == resumed.tensors().keys() == saved.keys()
    assert all(torch.equal(value, resumed.tensors()[name]) for name, value in slot.tensors().items())


@every
def test_state_is_named_by_slot_and_parameter(optimizer: Optimizer) -> None:
    module = Equalized()
    found = Slot(optimizer, module).tensors()
    named = [(slot, name, value) for slot in optimizer.slots for name, value in module.named_parameters()]
    assert found.keys() == {"steps", *(f"{slot}.{name}" for slot, name, _ in named)}
    assert all(found[f"{slot}.{name}"].shape == value.shape for slot, name, value in named)
    assert not any(tensor.requires_grad or tensor.any() for tensor in found.values())


@pytest.mark.parametrize(
    ("kind", "option", "value"),
    [
        (Adam, "beta1", 1.0),
        (Adam, "beta2", -0.1),
        (LreqAdam, "beta2", 1.0),
        (RMSprop, "alpha", 1.0),
        (SGD, "momentum", 1),
    ],
)
def test_factors_outside_0_to_1_are_refused(kind: type[Optimizer], option: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"'{option}' must be"):
        kind(**{option: value})
