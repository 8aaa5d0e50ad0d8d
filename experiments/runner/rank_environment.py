"""Which of how many processes this one is, as torchrun or SLURM says in the environment. Needs no PyTorch."""

from __future__ import annotations

import os


def rank() -> int:
    """Which process this is; 0 for the one that does the stages."""
    return int(os.environ.get("RANK", "0"))


def world_size() -> int:
    """How many processes there are."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def make_slurm_tasks_ranks() -> None:
    """Make the tasks of this process's SLURM job the ranks, where it has several."""
    if int(os.environ.get("SLURM_NTASKS", "1")) > 1:
        from submitit.helpers import TorchDistributedEnvironment

        TorchDistributedEnvironment().export(set_cuda_visible_devices=False, overwrite=True)
