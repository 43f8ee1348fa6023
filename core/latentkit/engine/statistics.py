"""Batch norm whose statistics are of the samples of all ranks, each of which has its own (as Ioffe, Szegedy 2015 would
have it in one process, https://arxiv.org/abs/1502.03167)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from latentkit.engine.world import World


def batch_norms(module: nn.Module) -> list[_BatchNorm]:
    """Those of torch's own whose statistics can be shared."""
    kinds = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
    return [inner for inner in module.modules() if isinstance(inner, kinds)]


def share_statistics(module: nn.Module, world: World) -> None:
    """Put a norm over all ranks in the place of each of torch's batch norms inside ``module``; names do not change."""
    shared = {norm: _Shared(norm, world) for norm in batch_norms(module)}
    for parent in list(module.modules()):
        for name, child in list(parent.named_children()):
            if child in shared:
                setattr(parent, name, shared[child])


def shares_statistics(module: nn.Module) -> bool:
    """Whether ranks talk while the module computes."""
    return any(isinstance(inner, _Shared) for inner in module.modules())


class _Shared(nn.Module):
    """A batch norm over all ranks. It differs from torch's ``SyncBatchNorm`` in that it can be differentiated twice,
    and works on any device.

    Args:
        norm: torch's, whose weights and buffers it has from now on.
        world: the ranks, each with as many samples.
    """

    weight: Tensor | None
    bias: Tensor | None
    running_mean: Tensor | None
    running_var: Tensor | None
    num_batches_tracked: Tensor | None

    def __init__(self, norm: _BatchNorm, world: World) -> None:
        super().__init__()
        self.world = world
        self.eps, self.momentum = norm.eps, norm.momentum
        for name, parameter in norm._parameters.items():
            self.register_parameter(name, parameter)
        for name, buffer in norm._buffers.items():
            self.register_buffer(name, buffer)
        self.train(norm.training)

    def forward(self, x: Tensor) -> Tensor:
        """``b c ... -> b c ...``."""
        if not self.training:
            alone = self.running_mean is None
            return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, alone, 0.0, self.eps)
        values = x.float() if x.dtype in (torch.bfloat16, torch.float16) else x
        axes = [axis for axis in range(x.ndim) if axis != 1]
        variance, mean = torch.var_mean(values, axes, correction=0)
        # One exchange of both. The whole variance is that within the ranks, and that between them.
        means, variances = self.world.whole(torch.stack([mean, variance]).unsqueeze(0)).unbind(1)  # ranks c
        mean = means.mean(0)
        variance = variances.mean(0) + (means - mean).square().mean(0)
        self._remember(mean.detach(), variance.detach(), self.world.size * x.numel() // x.shape[1])
        shape = (-1, *[1] * (x.ndim - 2))
        scale = (variance + self.eps).rsqrt() * (1 if self.weight is None else self.weight)
        y: Tensor = (values - mean.view(shape)) * scale.view(shape)
        return (y if self.bias is None else y + self.bias.view(shape)).to(x.dtype)

    @torch.no_grad()
    def _remember(self, mean: Tensor, variance: Tensor, count: int) -> None:
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        self.num_batches_tracked += 1
        share = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), share)
        self.running_var.lerp_((variance * (count / (count - 1))).to(self.running_var.dtype), share)
