"""Processes that stand for the ranks of a process group, on CPUs (gloo)."""

from __future__ import annotations

import io
import multiprocessing
import os
import sys
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
from torch.distributed import FileStore  # type: ignore[attr-defined]  # torch does not list it

from mila.distributed import process_group

# Processes are forked from a server that has imported everything: starting one takes no second.
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(
    ["baselines.multi_task", "experiments.commands.run", "mila.model", "pytest", "torch._dynamo"]
)
PATIENCE = 60.0  # seconds after which a process is taken to hang


def _serve(pipe: Connection, number: int, task: Callable[..., Any], words: tuple[Any, ...]) -> None:
    torch.set_num_threads(1)
    try:
        given = task(number, *words)
    except Exception as error:
        given = error
    buffer = io.BytesIO()  # a tensor in a pipe lies in shared memory that ends with its sender
    torch.save(given, buffer)
    pipe.send_bytes(buffer.getvalue())


def start(count: int, task: Callable[..., Any], *words: Any) -> list[Any]:
    """Call `task(number, *words)` in `count` processes; what each gave or raised, None where it was killed."""
    pipes, processes = [], []
    for number in range(count):
        ours, theirs = CONTEXT.Pipe()
        processes.append(CONTEXT.Process(target=_serve, args=(theirs, number, task, words)))
        processes[-1].start()
        theirs.close()
        pipes.append(ours)
    given: list[Any] = []
    try:
        for pipe in pipes:
            assert pipe.poll(PATIENCE), "a process hangs"
            try:
                given.append(torch.load(io.BytesIO(pipe.recv_bytes()), weights_only=False))
            except (EOFError, ConnectionResetError):
                given.append(None)
    finally:
        for process in processes:
            process.kill()
            process.join()
    return given


def in_group(number: int, count: int, file: str, task: Callable[..., Any], *words: Any) -> Any:
    """In a process: `task(*words)` as rank `number`."""
    with process_group(FileStore(file, count), number, count, "cpu"):
        return task(*words)


def on_ranks(count: int, folder: Path, task: Callable[..., Any], *words: Any) -> list[Any]:
    """`task(*words)` on every rank of a group; what each gave or raised, None where it was killed."""
    return start(count, in_group, count, str(folder / f"meeting-{time.monotonic_ns()}"), task, *words)


def watch(folder: Path) -> None:
    """From here on this process may open nothing in `folder` for writing."""

    def look(event: str, words: tuple[Any, ...]) -> None:
        if event == "open" and str(words[0]).startswith(str(folder)):
            assert not words[2] & (os.O_WRONLY | os.O_RDWR), words

    sys.addaudithook(look)
