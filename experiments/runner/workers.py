"""How a process that does stages computes: on which device, with one thread, and how many of them at once.

PyTorch is imported where it is used: a command that runs nothing needs none of it.
"""

from __future__ import annotations

from mila.common.processes import cores, follow_parent
from mila.errors import UserError


def default_jobs(device: str) -> int:
    """Stages at once: one a core, at most 4 (each holds a copy of PyTorch); one on a GPU."""
    if device == "cuda":
        return 1
    return min(4, cores())


def start_worker(device: str) -> None:
    """See `use_one_thread`; Ctrl-C is left to the runner, and the worker ends with the runner."""
    follow_parent()
    use_one_thread(device)


def use_one_thread(device: str) -> None:
    """One thread and, on the CPU, deterministic kernels: results then do not depend on the number of cores."""
    import torch

    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(device == "cpu")


def find_device(wanted: str) -> str:
    """`cpu` or `cuda` for what was asked for: one of the two, or `auto`.

    Raises:
        UserError: there is no GPU.
    """
    import torch

    available = torch.cuda.is_available()
    if wanted == "cuda" and not available:
        raise UserError("--device cuda: PyTorch finds no GPU here; use --device cpu or auto.")
    return "cuda" if available and wanted != "cpu" else "cpu"
