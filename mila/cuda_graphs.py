"""Work on a GPU recorded once and replayed as it was: a launch for all of its kernels (CUDA graphs)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import torch

T = TypeVar("T")

_REHEARSALS = 3
"""Before a recording, so that libraries have chosen their algorithms and kernels are compiled."""


class CudaGraphs:
    """Recordings that share one pool of memory: what one leaves there lasts until another one is replayed.

    Args:
        device: the GPU that all work is on, which need not be the current one.
    """

    def __init__(self, device: torch.device | str = "cuda") -> None:
        self._device = torch.device(device)
        self._pool: Any = None  # PyTorch's handle, which it has no public type for

    def __call__(self, work: Callable[[], T]) -> tuple[Callable[[], None], T]:
        """Record what `work` does, without doing it.

        Args:
            work: operations on tensors that stay where they are, whose kernels are compiled and chosen already.

        Returns:
            Its replay, and what it returned; a replay puts its numbers there.

        Raises:
            RuntimeError: there is an operation that cannot be recorded.
        """
        self._pool = self._pool or torch.cuda.graph_pool_handle()
        graph = torch.cuda.CUDAGraph()
        # Other threads may go on: one of them reads and pins batches.
        with (
            torch.cuda.device(self._device),
            torch.cuda.graph(graph, pool=self._pool, capture_error_mode="thread_local"),
        ):
            done = work()
        return graph.replay, done

    def rehearsed(self, rehearse: Callable[[], object], work: Callable[[], T]) -> tuple[Callable[[], None], T]:
        """Record `work` once `rehearse` has been done a few times beside what goes on; otherwise as a call."""
        current, side = torch.cuda.current_stream(self._device), torch.cuda.Stream(self._device)
        side.wait_stream(current)
        with torch.cuda.stream(side):
            for _ in range(_REHEARSALS):
                rehearse()
        current.wait_stream(side)
        return self(work)
