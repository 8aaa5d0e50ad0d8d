"""Commands on the store: show a stage, recompute its numbers, say how far all are, forecast a run, delete stages."""

from __future__ import annotations

import json
import math
import multiprocessing
import shutil
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.filesize import decimal
from rich.table import Table
from rich.text import Text

from experiments.runner.workers import start_worker
from experiments.stages import Evaluate, Stage
from experiments.store import Store
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
    about = _json(folder / "stage.json")
    title = (str(about.pop("title", "?")), "bold")
    console.print(Text.assemble(title, f"  {about.pop('kind', '?')} {folder.name}"))
    console.print(f"state    {Store.state_of(folder)}")
    console.print(f"folder   {folder.resolve()}", highlight=False, markup=False)
    for key, value in about.items():
        console.print(f"{key:8} {json.dumps(value)}", highlight=False, markup=False)
    for name, file in (("result", "record.json"), ("progress", "progress.json")):
        values = _json(folder / file)
        values = values.get("result", values) | {k: v for k, v in values.items() if k in ("seconds", "finished")}
        values.pop("curve", None)
        if values:
            console.print(f"{name:8} {json.dumps(values)}", highlight=False, markup=False)
    environment = _json(folder / "record.json").get("environment")
    if environment:
        console.print(f"made on  {json.dumps(environment)}", highlight=False, markup=False)
    for file in ("error.txt", "log.txt"):
        if (folder / file).is_file():
            lines = (folder / file).read_text(encoding="utf-8", errors="replace").splitlines()
            console.print(f"{file}, its last lines:")
            console.print("\n".join(f"  {line}" for line in lines[-_LOG_LINES:]), highlight=False, markup=False)
    return 0


def find_folder(name: str, store: Store) -> Path:
    """The folder of the one stage whose hash begins with `name`."""
    found = sorted(path for path in store.root.glob(f"*/{name}*") if path.is_dir()) if name.isalnum() else []
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
            f"the present code and options have {what} of hash {name!r}...; give --grid, --profile, --data and --seeds "
            "as they were run, and a whole hash (--dry-run shows them)."
        )
    (stage,) = found
    if store.state(stage) == "waiting":
        raise UserError(f"{stage.title} is not finished, so there is nothing to verify; run it first.")
    recorded = store.record(stage).result["metrics"]
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
    console.print("the same." if not wrong else f"{wrong} numbers differ.")
    return 1 if wrong else 0


def _recompute(stage: Evaluate, store: Store, device: str) -> dict[str, float]:
    from experiments.runner.stage_functions import score  # needs PyTorch, which the other commands do not

    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, context, initializer=start_worker, initargs=(device,)) as pool:
        metrics, _ = pool.submit(score, stage, store, device, _nothing).result()
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


def forecast(stages: Sequence[Stage], store: Store, console: Console) -> int:
    """Say which stages would run, and how long they took before; returns the exit code."""
    earlier = store.earlier_seconds()
    table = Table("stage", "kind", "hash", "state", "took", box=None)
    waiting, total, unknown = 0, 0.0, 0
    for stage in stages:
        state, before = store.state(stage), earlier.get((stage.kind, stage.title))
        if state == "done":
            before = store.record(stage).seconds
        else:
            waiting += 1
            total += before or 0.0
            unknown += before is None
        table.add_row(stage.title, stage.kind, stage.key, state, "never run" if before is None else f"{before:.1f} s")
    console.print(table)
    console.print(
        f"{waiting} of {table.row_count} stages would run"
        + (f", about {total:.0f} s of work by earlier runs" if total else "")
        + (f", {unknown} of them never timed" if unknown and waiting else "")
        + "."
    )
    return 0


def clean(stages: Sequence[Stage] | None, store: Store, console: Console, *, ask: bool = True) -> int:
    """Delete the folders of `stages`, or with None those of all stages that are not finished; asks first.

    A stage that is being worked on is left alone.
    """
    if stages is None:
        folders = [path.parent for path in store.root.glob("*/*/stage.json") if Store.state_of(path.parent) != "done"]
    else:
        folders = [folder for stage in stages if (folder := store.folder(stage)).is_dir()]
    table = Table("stage", "hash", "state", "size", box=None)
    for folder in folders:
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        title = str(_json(folder / "stage.json").get("title", "?"))
        table.add_row(title, folder.name, Store.state_of(folder), decimal(size))
    if not folders:
        console.print("nothing to delete.")
        return 0
    console.print(table)
    if ask and console.input(f"Delete these {len(folders)} stages? (yes/no) ").strip().lower() not in ("y", "yes"):
        console.print("nothing deleted.")
        return 0
    busy = 0
    for folder in folders:
        with store.lock_folder(folder) as free:
            if free:
                shutil.rmtree(folder)
            busy += not free
    console.print(f"{len(folders) - busy} stages deleted" + (f", {busy} are being worked on." if busy else "."))
    return 0


def _json(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}
