"""Local attention against the unfold formulation, measured side by side in one run: time and peak memory.

python -m experiments.benchmarks.attention
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from mila.attention import local_attention
from mila.common.console import exit_code_of, make_console
from mila.errors import UserError


def unfold_attention(query: Tensor, key: Tensor, value: Tensor, window: int) -> Tensor:
    """Eqs. 1 and 2 as they are usually written: every neighbourhood copied out, C x L^2 numbers a pixel."""
    batch, _, height, width = value.shape
    radius, count = window // 2, window * window

    def neighbours(x: Tensor) -> Tensor:
        return F.unfold(x, window, padding=radius).view(batch, x.shape[1], count, height * width)

    scores = (query.flatten(2).unsqueeze(2) * neighbours(key)).sum(1)  # [B, L^2, HW]
    inside = neighbours(torch.ones_like(key[:, :1]))[:, 0]
    weights = scores.masked_fill(inside == 0, -torch.inf).softmax(1)
    return (neighbours(value) * weights.unsqueeze(1)).sum(2).view_as(value)


def peak_memory(call: Callable[[], object]) -> int:
    """Most bytes that were allocated at once during `call`, beyond what was there before it (CPU)."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True, record_shapes=False) as profiler:
        kept = call()
    held = peak = 0
    for event in profiler.profiler.kineto_results.events():
        if event.name() == "[memory]":
            held += event.nbytes()
            peak = max(peak, held)
    del kept
    return peak


def _medians(calls: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median seconds of each call, the calls taking turns."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for call in calls.values():
        call()
    for _ in range(rounds):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            times[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in times.items()}


def main(words: list[str] | None = None) -> int:
    """Print the comparison at Table 7's feature sizes; returns the exit code."""
    console = make_console(width=140)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args(words)
    return exit_code_of(lambda: _run(options, console), "the same command starts anew.")


def _run(options: argparse.Namespace, console: Console) -> int:
    if options.rounds < 1:
        raise UserError("--rounds takes a number from 1 up.")
    table = Table(
        "map", "C', C, L", "pass", "unfold", "band", "faster", "unfold MiB", "band MiB", "value maps", box=None
    )
    for height, width, window in ((33, 65, 3), (33, 65, 5), (33, 65, 7), (37, 49, 5)):
        query, key = torch.randn(2, 1, 36, height, width).unbind()
        value = torch.randn(1, 512, height, width)
        for backward in (False, True):
            tensors = [t.clone().requires_grad_(backward) for t in (query, key, value)]

            def run(
                attention: Callable[..., Tensor],
                tensors: list[Tensor] = tensors,
                window: int = window,
                backward: bool = backward,
            ) -> object:
                out = attention(*tensors, window)
                return torch.autograd.grad(out.sum(), tensors) if backward else out

            calls = {"unfold": lambda run=run: run(unfold_attention), "band": lambda run=run: run(local_attention)}
            seconds = _medians(calls, options.rounds)
            peaks = {name: peak_memory(call) for name, call in calls.items()}
            maps = peaks["band"] / (value.numel() * value.element_size())
            table.add_row(
                f"{height}x{width}",
                f"36, 512, {window}",
                "forward + backward" if backward else "forward",
                f"{seconds['unfold'] * 1e3:.1f} ms",
                f"{seconds['band'] * 1e3:.2f} ms",
                f"{seconds['unfold'] / seconds['band']:.1f}x",
                f"{peaks['unfold'] / 2**20:.0f}",
                f"{peaks['band'] / 2**20:.1f}",
                f"{maps:.2f}",
            )
    console.print(table, f"{torch.get_num_threads()} threads, PyTorch {torch.__version__}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
