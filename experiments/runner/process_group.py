"""Several processes for one run: rank 0 does the stages, and the others come to its help at every training.

torchrun, or a SLURM job of several tasks, starts the processes and says in the environment which one each is: RANK,
WORLD_SIZE, LOCAL_RANK, and MASTER_ADDR and MASTER_PORT, where they meet. Rank 0 does everything that it does alone.
When it comes to a training it announces it there; the other ranks wait for that, build the same model and join it
(`mila.distributed`). They write nothing. When all is done rank 0 announces the end.
"""

from __future__ import annotations

import os
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import lru_cache
from typing import Any

import torch.distributed as dist

from experiments.runner.rank_environment import rank, world_size
from mila import distributed
from mila.distributed import is_lost
from mila.errors import DivergedError, LostRankError, StoppedError, UserError

_HOSTED = "TORCHELASTIC_USE_AGENT_STORE"
"""Set to "True" in the environment where another process hosts the meeting point: torchrun, or this one's parent."""
_END = b"the end"
_NOTICE = timedelta(seconds=60)
"""For which rank 0 may take to notice that another rank has failed."""


@lru_cache(maxsize=1)
def meet() -> Any:
    """The meeting point; where nobody else hosts it, rank 0 does from its first call on, until it ends.

    Raises:
        UserError: it cannot be reached.
    """
    host, port = os.environ.get("MASTER_ADDR", "localhost"), os.environ.get("MASTER_PORT", "29500")
    hosts = rank() == 0 and os.environ.get(_HOSTED) != "True"
    try:
        store = dist.TCPStore(  # type: ignore[attr-defined]
            host, int(port), is_master=hosts, wait_for_workers=False
        )
    except (RuntimeError, ValueError) as error:
        raise UserError(
            f"the processes of this run cannot meet at {host}:{port} ({str(error).splitlines()[0]}); "
            "give MASTER_ADDR and a free MASTER_PORT."
        ) from error
    os.environ[_HOSTED] = "True"  # for the worker processes of this one
    return store


@contextmanager
def together(key: str, device: str) -> Iterator[None]:
    """On rank 0, around the training of a stage: with all other ranks in a process group. Alone, nothing.

    Raises:
        LostRankError: another rank failed, with its reason where it could give one.
    """
    if world_size() == 1:
        yield
        return
    store = meet()
    number = store.add("announced", 1)
    store.set(f"training/{number}", key)
    try:
        with _group(number, device):
            yield
    except LostRankError as error:
        reason = f"reason/{number}"
        if store.check([reason]):
            raise LostRankError(f"{store.get(reason).decode()}; run again to continue.") from error
        raise
    finally:
        store.set(f"left/{number}", "")


def follow(join: Callable[[str], None], device: str) -> None:
    """On another rank: join each training that rank 0 announces, until it announces the end.

    Args:
        join: takes part in the training of the stage of a key.
        device: `cpu` or `cuda`.

    Raises:
        LostRankError: rank 0 has ended without a word.
    """
    store, number = meet(), 0
    while True:
        number += 1
        _wait(store, f"training/{number}", timedelta(days=365))
        key: bytes = store.get(f"training/{number}")
        if key == _END:
            store.add("ended", 1)
            return
        try:
            with _group(number, device):
                try:
                    join(key.decode())
                except Exception as error:
                    if not is_lost(error):  # said before the group is left, which is when the others notice
                        store.set(f"reason/{number}", f"process {rank()} failed ({type(error).__name__}: {error})")
                    raise
        except (DivergedError, StoppedError):
            continue  # on all ranks alike
        except Exception:
            traceback.print_exc(file=sys.stderr)
            # Rank 0 deals with it. Where it cannot, in a call to a GPU that waits for this rank, this process ends, and
            # whatever started the processes ends the others.
            _wait(store, f"left/{number}", _NOTICE)


def _wait(store: Any, name: str, longest: timedelta) -> None:
    try:
        store.wait([name], longest)
    except RuntimeError as error:
        raise LostRankError("process 0 of this run has ended or does not answer; run again to continue.") from error


@contextmanager
def leading() -> Iterator[None]:
    """On rank 0, around all stages: at the end the others are told that there is nothing more to do. Alone, nothing."""
    if world_size() == 1:
        yield
        return
    store = meet()
    try:
        yield
    finally:
        store.set(f"training/{store.add('announced', 1)}", _END)
    until = time.monotonic() + _NOTICE.total_seconds()  # this process may host the meeting point: it goes last
    while store.add("ended", 0) < world_size() - 1 and time.monotonic() < until:
        time.sleep(0.05)


@contextmanager
def _group(number: int, device: str) -> Iterator[None]:
    store = dist.PrefixStore(f"group/{number}", meet())  # type: ignore[attr-defined]
    with distributed.process_group(store, rank(), world_size(), device, int(os.environ.get("LOCAL_RANK", "0"))):
        yield
