"""What is summed over the ranks of a process group, against one process with everything."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mila.distributed import SyncBatchNorm2d, any_rank, is_same, mean_over_ranks, part, rank, synchronise_batch_norm
from mila.errors import UserError
from tests.support.fake_ranks import on_ranks


def sums() -> dict[str, Any]:
    """On a rank: rank 0 has nothing of "b", neither anything of "c"."""
    mine = float(rank() + 1)
    value = torch.tensor(mine, requires_grad=True)
    means = {"a": value * 1.0, "b": torch.tensor(0.0 if rank() == 0 else 5.0), "c": torch.tensor(0.0)}
    total = mean_over_ranks(means, {"a": 2 + rank(), "b": torch.tensor(rank() * 7), "c": 0})
    (3 * total["a"] ** 2).backward()
    assert value.grad is not None
    return {
        **{name: mean.item() for name, mean in total.items()},
        "grad": value.grad.item() / 2,  # DistributedDataParallel takes the mean over the two ranks
        "part": [range(5)[part(5)], range(2)[part(2)]],
        "refused": refusal(lambda: part(1)),
        "any": [any_rank(rank() == 1, "cpu"), any_rank(False, "cpu")],
        "same": [is_same(7, "cpu"), is_same(rank(), "cpu")],
    }


def refusal(call: Callable[[], Any]) -> str:
    try:
        call()
    except UserError as error:
        return str(error)
    return ""


@pytest.mark.slow  # the first to start processes
def test_means_are_over_all_that_the_ranks_have(tmp_path: Path) -> None:
    first, second = on_ranks(2, tmp_path, sums)
    mean = (1 * 2 + 2 * 3) / 5
    for given, share in ((first, 2 / 5), (second, 3 / 5)):
        assert (given["a"], given["b"], given["c"]) == (pytest.approx(mean), 5.0, 0.0)
        assert given["grad"] == pytest.approx(6 * mean * share)
        assert given["refused"] == "a batch of 1 cannot be shared by 2 processes; start at most 1."
        assert given["any"] == [True, False]
        assert given["same"] == [True, False]
    assert [list(first["part"][0]), list(second["part"][0])] == [[0, 1], [2, 3, 4]]
    assert [list(first["part"][1]), list(second["part"][1])] == [[0], [1]]


def norms() -> tuple[nn.Sequential, Tensor, Tensor]:
    """Two batch norms that are not at their initial state, a batch of 5 far from 0, and weights of a loss."""
    torch.manual_seed(3)
    model = nn.Sequential(nn.BatchNorm2d(4), nn.ReLU(), nn.BatchNorm2d(4, eps=1e-3, momentum=0.3)).double()
    with torch.no_grad():
        for tensor in (*model.parameters(), model.get_buffer("0.running_mean"), model.get_buffer("2.running_var")):
            tensor.uniform_(0.5, 2)
    x = torch.randn(5, 4, 3, 2).double() * torch.tensor([1, 5, 0.1, 1e-3])[:, None, None].double() + 40
    return model, x, torch.randn(5, 4, 3, 2).double()


def normalise() -> dict[str, Any]:
    """On a rank, twice: outputs, gradients (as DistributedDataParallel has them), and the state."""
    model, x, weights = norms()
    parameters, buffers = list(model.parameters()), list(model.buffers())
    synchronise_batch_norm(model)
    assert [type(module) for module in model] == [SyncBatchNorm2d, nn.ReLU, SyncBatchNorm2d]
    assert all(a is b for a, b in zip(parameters, model.parameters(), strict=True))
    assert all(a is b for a, b in zip(buffers, model.buffers(), strict=True))
    mine = part(5)
    given = x[mine].requires_grad_()
    model(given.detach() * 2)
    out = model(given)
    (out.sin() * weights[mine]).sum().backward()
    return {
        "out": out.detach(),
        "x": given.grad,
        "grads": [p.grad for p in parameters],
        "state": model.state_dict(),
        "eval": model.eval()(x).detach(),
    }


def test_batch_norm_is_that_of_the_whole_batch(tmp_path: Path) -> None:
    model, x, weights = norms()
    x.requires_grad_()
    model(x.detach() * 2)
    out = model(x)
    (out.sin() * weights).sum().backward()
    given = on_ranks(2, tmp_path, normalise)
    close: dict[str, Any] = {"rtol": 1e-7, "atol": 1e-9}
    torch.testing.assert_close(torch.cat([g["out"] for g in given]), out.detach(), **close)
    torch.testing.assert_close(torch.cat([g["x"] for g in given]), x.grad, rtol=1e-6, atol=1e-6)
    for index, parameter in enumerate(model.parameters()):
        torch.testing.assert_close(sum(g["grads"][index] for g in given), parameter.grad, **close)
    for one in given:
        for name, value in model.state_dict().items():
            torch.testing.assert_close(one["state"][name], value, **close)
    torch.testing.assert_close(given[0]["eval"], model.eval()(x).detach(), **close)


def test_other_batch_norms_are_refused() -> None:
    for norm in (nn.BatchNorm1d(2), nn.BatchNorm2d(2, affine=False), nn.BatchNorm2d(2, track_running_stats=False)):
        with pytest.raises(UserError, match="cannot be computed over several processes; train this model with one"):
            synchronise_batch_norm(nn.Sequential(norm))
