"""Several processes that train one model: what must be summed over them so that they compute what one would.

The ranks of a process group share each batch. PyTorch's DistributedDataParallel takes the mean of the ranks' gradients.
For that to be the gradient of the whole batch, every rank computes the loss of the whole batch from sums over the ranks
(`mean_over_ranks`, `SyncBatchNorm2d`), and the gradient of such a sum is summed over the ranks again: each rank then
holds its part of the gradient times the number of ranks.

Without a process group everything here is what a single process does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from mila.errors import LostRankError, UserError

_TIMEOUT = timedelta(minutes=10)
"""For which a rank waits for another; longer than it takes rank 0 to write a checkpoint."""
_LOST = ("Connection closed by peer", "Connection reset by peer", "Broken pipe", "Timed out waiting")


def rank() -> int:
    """Number of this process in the process group, from 0; 0 without one. Rank 0 alone writes."""
    return dist.get_rank() if _is_group() else 0


def world_size() -> int:
    """How many processes the process group has; 1 without one."""
    return dist.get_world_size() if _is_group() else 1


def _is_group() -> bool:
    return dist.is_available() and dist.is_initialized()


@contextmanager
def process_group(
    store: dist.Store,  # type: ignore[name-defined]
    rank: int,
    world_size: int,
    device: str,
    local_rank: int = 0,
) -> Iterator[None]:
    """Be one rank of a group of `world_size` processes: gloo on CPUs, NCCL on GPUs.

    Args:
        store: in which the ranks find each other; nothing else may use it.
        rank: of this process, from 0.
        world_size: how many there are; entering waits for all of them.
        device: `cpu` or `cuda`.
        local_rank: which process on its machine this is; chooses its GPU.

    Raises:
        LostRankError: inside it, another rank has ended or does not answer.
    """
    if device == "cuda":
        torch.cuda.set_device(local_rank % torch.cuda.device_count())
    try:
        dist.init_process_group(
            "nccl" if device == "cuda" else "gloo", store=store, rank=rank, world_size=world_size, timeout=_TIMEOUT
        )
        yield
    except RuntimeError as error:
        if not is_lost(error):
            raise
        raise LostRankError(
            "another process of this training has ended or does not answer; run again to continue."
        ) from error
    finally:
        if _is_group():
            dist.destroy_process_group()


def is_lost(error: BaseException) -> bool:
    """Whether an error says that another rank is gone."""
    return isinstance(error, dist.DistError) or (
        isinstance(error, RuntimeError) and any(text in str(error) for text in _LOST)
    )


def part(count: int) -> slice:
    """Which of `count` things are for this rank: consecutive ones, as many as the others have or one fewer.

    Raises:
        UserError: there are fewer than ranks.
    """
    if count < world_size():
        raise UserError(f"a batch of {count} cannot be shared by {world_size()} processes; start at most {count}.")
    return slice(count * rank() // world_size(), count * (rank() + 1) // world_size())


def any_rank(flag: bool, device: torch.device | str) -> bool:
    """Whether `flag` is set on any rank; the same answer on all."""
    if world_size() == 1:
        return flag
    flags = torch.tensor([int(flag)], device=device)
    dist.all_reduce(flags, dist.ReduceOp.MAX)
    return bool(flags.item())


def is_same(value: int, device: torch.device | str) -> bool:
    """Whether all ranks hold the same number; the same answer on all."""
    if world_size() == 1:
        return True
    ends = torch.tensor([value, -value], device=device)
    dist.all_reduce(ends, dist.ReduceOp.MAX)
    return bool((ends.sum() == 0).item())


def mean_over_ranks(means: Mapping[str, Tensor], counts: Mapping[str, Tensor | int]) -> dict[str, Tensor]:
    """The means over what all ranks have, from each rank's own means (scalars by name) and of how many things they are.

    Where no rank has anything the mean is 0, provided that it is 0 on each.
    """
    if world_size() == 1 or not means:
        return dict(means)
    values = torch.stack(list(means.values())).double()
    weights = torch.tensor([float(counts[name]) for name in means], dtype=values.dtype, device=values.device)
    totals, number = _Sum.apply(torch.stack([values * weights, weights]))
    mean = (totals / number.clamp(min=1)).to(next(iter(means.values())).dtype)
    return dict(zip(means, mean.unbind(), strict=True))


class _Sum(torch.autograd.Function):
    """The sum over the ranks; backward likewise."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:  # noqa: ARG004
        total = x.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tensor:  # noqa: ARG004
        total = grad.contiguous().clone()
        dist.all_reduce(total)
        return total


class SyncBatchNorm2d(nn.BatchNorm2d):
    """Batch normalisation over the batch of all ranks; PyTorch's own SyncBatchNorm is for GPUs alone.

    The mean, the variance and the running statistics are those of one process with the whole batch, also where the
    ranks' parts differ in size. Without a process group, and in eval mode, it is `nn.BatchNorm2d`.
    """

    def forward(self, input: Tensor) -> Tensor:
        """`[B, C, H, W]` to the same."""
        if not self.training or world_size() == 1:
            return super().forward(input)
        out, mean, var, count = _Normalise.apply(input, self.weight, self.bias, self.eps)
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        assert self.momentum is not None
        with torch.no_grad():
            self.num_batches_tracked.add_(1)
            self.running_mean.lerp_(mean.to(self.running_mean.dtype), self.momentum)
            self.running_var.lerp_((var * count / (count - 1)).to(self.running_var.dtype), self.momentum)
        normalised: Tensor = out
        return normalised


class _Normalise(torch.autograd.Function):
    """Batch norm with statistics over all ranks; gives them too, in double: mean and variance `[C]`, and how many."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        channels = x.shape[1]
        count = x.numel() // channels
        var, mean = (s.double() for s in torch.var_mean(x, (0, 2, 3), correction=0))  # [C]
        # Second moments are summed in double: what their difference cancels is far below float32's rounding.
        sums = torch.cat([mean * count, (var + mean.square()) * count, mean.new_tensor([count])])
        dist.all_reduce(sums)
        total = sums[-1]
        mean, square = sums[:channels] / total, sums[channels:-1] / total
        var = (square - mean.square()).clamp(min=0)
        centre, scale = mean.to(x.dtype), (var + eps).rsqrt().to(x.dtype)
        ctx.save_for_backward(x, weight, centre, scale, total)
        ctx.mark_non_differentiable(mean, var, total)
        return F.batch_norm(x, centre, var.to(x.dtype), weight, bias, False, 0.0, eps), mean, var, total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        x, weight, centre, scale, total = ctx.saved_tensors
        grad = grads[0]
        normal = (x - _per_channel(centre)).mul_(_per_channel(scale))
        own = torch.stack([grad.sum((0, 2, 3)), (grad * normal).sum((0, 2, 3))])  # [2, C]: of bias and weight
        sums = own.to(torch.float64, copy=True)
        dist.all_reduce(sums)
        level, slope = (sums / total).to(x.dtype)
        # d/dx of (x - mean) / std: what moves mean and std along with x is taken out
        given = grad - normal.mul_(_per_channel(slope)).add_(_per_channel(level))
        return given.mul_(_per_channel(scale * weight)), own[1], own[0], None


def _per_channel(values: Tensor) -> Tensor:
    """One value a channel, as `[1, C, 1, 1]`."""
    return values[None, :, None, None]


def synchronise_batch_norm(model: nn.Module) -> None:
    """Let every batch normalisation of `model` see the batch of all ranks; parameters and buffers stay the same ones.

    Raises:
        UserError: it has another kind of batch normalisation than the suite's.
    """
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if not isinstance(child, nn.modules.batchnorm._BatchNorm) or isinstance(child, SyncBatchNorm2d):
                continue
            if type(child) is not nn.BatchNorm2d or child.momentum is None or not child.affine or not _tracks(child):
                raise UserError(f"{child} cannot be computed over several processes; train this model with one.")
            with torch.device("meta"):
                new = SyncBatchNorm2d(child.num_features, child.eps, child.momentum)
            new.weight, new.bias = child.weight, child.bias
            for buffer, value in child.named_buffers():
                setattr(new, buffer, value)
            setattr(parent, name, new.train(child.training))


def _tracks(norm: nn.BatchNorm2d) -> bool:
    return norm.track_running_stats and norm.running_mean is not None
