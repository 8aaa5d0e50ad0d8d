"""Commands on the store: show a stage, recompute its numbers, say how far all are, delete stages."""

from __future__ import annotations

import json
import math
import multiprocessing
import shutil
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Literal

from rich.console import Console
from rich.filesize import decimal
from rich.table import Table
from rich.text import Text

from experiments.runner.dropping import dropped_states
from experiments.runner.workers import start_worker
from experiments.stages import Evaluate, Stage
from experiments.store import Store
from mila.common.processes import holding_interrupts
from mila.common.stored_files import DamagedFileError, read_bytes, read_object_or_nothing
from mila.common.visible import visible
from mila.errors import UserError

_LOG_LINES = 12
_TOLERANCE = 1e-6
"""Largest relative difference of a recomputed number; on the device that computed it there is none."""


def show(name: str, store: Store, console: Console) -> int:
    """Print all that the store knows of the stage whose hash begins with `name`.

    Raises:
        UserError: there is no such stage, or there are several.
    """
    folder = find_folder(name, store)
    about = read_object_or_nothing(folder / "stage.json")
    title, kind = (visible(str(about.pop(name, "?"))) for name in ("title", "kind"))
    console.print(Text.assemble((title, "bold"), f"  {kind} {folder.name}"))
    console.print(f"state    {Store.state_of(folder, contents=True)}")
    console.print(f"folder   {folder.resolve()}", highlight=False, markup=False)
    for key, value in about.items():
        console.print(f"{visible(key):8} {json.dumps(value)}", highlight=False, markup=False)
    for name, file in (("result", "record.json"), ("progress", "progress.json")):
        values = read_object_or_nothing(folder / file)
        result = values.get("result", values)
        values = (result if isinstance(result, dict) else {}) | {
            k: v for k, v in values.items() if k in ("seconds", "finished")
        }
        values.pop("curve", None)
        if values:
            console.print(f"{name:8} {json.dumps(values)}", highlight=False, markup=False)
    environment = read_object_or_nothing(folder / "record.json").get("environment")
    if environment:
        console.print(f"made on  {json.dumps(environment)}", highlight=False, markup=False)
    for file in ("error.txt", "log.txt"):
        with suppress(OSError, DamagedFileError):
            lines = visible(read_bytes(folder / file).decode(errors="replace")).splitlines()
            console.print(f"{file}, its last lines:")
            console.print("\n".join(f"  {line}" for line in lines[-_LOG_LINES:]), highlight=False, markup=False)
    return 0


def find_folder(name: str, store: Store) -> Path:
    """The folder of the one stage whose hash begins with `name`."""
    found = [folder for folder in store.folders() if name and folder.name.startswith(name)]
    if not found:
        raise UserError(f"{store.root} has no stage {name!r}; reports and --dry-run show their hashes.")
    if len(found) > 1:
        raise UserError(f"{store.root} has {len(found)} stages {name!r}...; give more digits of the hash.")
    return found[0]


def verify(name: str, stages: Sequence[Stage], store: Store, device: str, console: Console) -> int:
    """Recompute the numbers of a score from its training's checkpoint, in a process of its own, and compare.

    Returns:
        0 where they are the same, 1 where they are not.

    Raises:
        UserError: none of `stages` is a finished score whose hash begins with `name`, or a file is damaged.
    """
    found = [stage for stage in stages if isinstance(stage, Evaluate) and stage.key.startswith(name)]
    if len(found) != 1:
        what = "no score" if not found else f"{len(found)} scores"
        raise UserError(
            f"the present code, data and options have {what} of hash {name!r}...; if it is a score, then its code or "
            "its data have changed, or it was run with other options: give --grid, --profile, --method, "
            "--augmentation, --weights, --data, --data-root, --suite, --mode, --seeds and --split as then."
        )
    (stage,) = found
    if store.state(stage) == "waiting":
        raise UserError(f"{stage.title} is not finished, so there is nothing to verify; run it first.")
    store.check_arrays(stage)
    dropped = dropped_states(stage.train, store)
    result = store.record(stage).result
    recorded = result["states"]["model.pt"] if dropped else result["metrics"]
    recomputed = _recompute(stage, store, device)
    table = Table("metric", "recorded", "recomputed", "", box=None)
    wrong = 0
    for key, value in recorded.items():
        now = recomputed.get(key, math.nan)
        same = math.isclose(value, now, rel_tol=_TOLERANCE) or (math.isnan(value) and math.isnan(now))
        wrong += not same
        table.add_row(key, repr(value), repr(now), "" if same else "differs")
    console.print(f"{stage.title}, {store.folder(stage)}", markup=False, highlight=False)
    console.print(table)
    if dropped:
        console.print(f"Of the last state alone: {len(dropped)} before it were dropped after they were scored.")
    console.print("the same." if not wrong else f"{wrong} numbers differ.")
    return 1 if wrong else 0


def _recompute(stage: Evaluate, store: Store, device: str) -> dict[str, float]:
    from experiments.runner.stage_functions import score  # needs PyTorch, which the other commands do not

    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, context, initializer=start_worker, initargs=(device,)) as pool:
        with holding_interrupts():
            future = pool.submit(score, stage, store, device, _nothing)
        metrics, _ = future.result()
    return metrics


def _nothing(_done: int, _total: int) -> None:
    """Progress that nobody watches."""


def status(stages: Sequence[Stage], store: Store, console: Console) -> int:
    """Say how many stages are in which state, and which are not done; returns the exit code."""
    states = {stage.key: store.state(stage) for stage in stages}
    counts = Counter(states.values())
    console.print(f"{len(stages)} stages: {', '.join(f'{n} {state}' for state, n in counts.items())}.")
    table = Table("stage", "kind", "hash", "state", box=None)
    for stage in stages:
        if states[stage.key] != "done":
            state = "running" if states[stage.key] == "waiting" and store.is_locked(stage) else states[stage.key]
            table.add_row(stage.title, stage.kind, stage.key, state)
    if table.row_count:
        console.print(table)
    return 0 if counts["done"] == len(stages) else 1


def _agreed(question: str, console: Console) -> bool:
    """Whether somebody says yes.

    Raises:
        UserError: nobody is there to ask.
    """
    try:
        return console.input(question).strip().lower() in ("y", "yes")
    except EOFError as error:
        raise UserError("nobody is there to ask; give --yes to delete without being asked.") from error


def clean(stages: Sequence[Stage] | None, store: Store, console: Console, *, ask: bool = True) -> int:
    """Delete the folders of `stages`, or with None those of all stages that are not finished; asks first.

    A stage that is being worked on is left alone, and so is one that is finished when the answer comes but was not
    when it was listed. Links in the store are not followed.
    """
    folders = store.folders()
    if stages is None:
        folders = [folder for folder in folders if Store.state_of(folder) != "done"]
    else:
        asked = {store.folder(stage) for stage in stages}
        folders = [folder for folder in folders if folder in asked]
    table = Table("stage", "hash", "state", "size", box=None)
    states = {folder: Store.state_of(folder) for folder in folders}
    for folder, state in states.items():
        title = visible(str(read_object_or_nothing(folder / "stage.json").get("title", "?")))
        table.add_row(Text(title), folder.name, state, decimal(_size(folder)))
    if not folders:
        console.print("nothing to delete.")
        return 0
    console.print(table)
    if ask and not _agreed(f"Delete these {len(folders)} stages? (yes/no) ", console):
        console.print("nothing deleted.")
        return 0
    ends = Counter(_delete(folder, store, even_done=state == "done") for folder, state in states.items())
    console.print(
        f"{ends['deleted']} stages deleted"
        + (f", {ends['busy']} are being worked on" if ends["busy"] else "")
        + (f", {ends['done']} are finished by now and were kept" if ends["done"] else "")
        + "."
    )
    return 0


def _size(folder: Path) -> int:
    """Bytes of all files in a folder; links count as what they are."""
    total = 0
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError):  # somebody works there
            total += path.lstat().st_size if not path.is_dir() else 0
    return total


def _delete(folder: Path, store: Store, *, even_done: bool) -> Literal["deleted", "busy", "done", "gone"]:
    """Delete a stage's folder, unless somebody works there or it is finished; says what became of it."""
    if not folder.is_dir():
        return "gone"
    with store.lock_folder(folder) as free:
        if not free:
            return "busy"
        if not even_done and Store.state_of(folder) == "done":
            return "done"
        paths = sorted(folder.iterdir(), key=lambda path: path.name != "record.json")
        for path in paths:  # the record first: what is half deleted is not done
            if path.name != "lock":
                _remove(path)
        _remove(folder / "lock")
        with suppress(OSError):  # not empty: a runner that waited has begun anew
            folder.rmdir()
        return "deleted"


def _remove(path: Path) -> None:
    """Delete a file, a folder with all that is in it, or a link itself."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
