"""One page a stage: what it is, what came out, its training curve, the end of its log, where it was made.

A page is written anew only where the stage's files, or the code that draws it, changed: the page's first lines hold a
digest of both.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments.sources import EMBEDDED
from experiments.stages import Attend, Data, Evaluate, Measure, Stage, Train, Visual, in_order
from experiments.store import DamagedRecordError, Record, State, Store
from reports.digests import code, combined, made_from
from reports.files import WRITERS, update
from reports.plots.drawing import Figure
from reports.plots.training_curves import curve_figure
from reports.render import render
from reports.tables.table import DATASET_TITLES, TASK_TITLES

FOLDER = "stages"
_LOG_LINES = 40
_FILES = ("stage.json", "record.json", "error.txt", "log.txt")
_KINDS = {
    "data": "Data",
    "train": "Training",
    "evaluate": "Score",
    "measure": "Cost",
    "attention": "Attention",
    "film": "Film",
}
_COSTS = {
    "gflops": ("GFLOPs a frame, mean over the keyframe interval", "10⁹ multiply-accumulates ↓"),
    "keyframe": ("GFLOPs of a keyframe", "10⁹ multiply-accumulates ↓"),
    "non_keyframe": ("GFLOPs of a frame between keyframes", "10⁹ multiply-accumulates ↓"),
    "parameters": ("Parameters", "↓"),
    "height": ("Height of the frames", "pixels"),
    "width": ("Width of the frames", "pixels"),
    "convention": ("Counted as", ""),
}


@dataclass(frozen=True)
class Number:
    """One line of what came out: `value` at full precision, `text` in the unit that tables print."""

    name: str
    unit: str
    text: str
    value: str


@dataclass(frozen=True)
class StagePage:
    """What the page of a stage says.

    Attributes:
        kind: in words.
        data: what the numbers are of, in words; empty for costs, which depend on no data.
        embedded: whether these are procedural videos; None for costs.
        needs: (title, hash) of the stages that it needs.
        facts: (name, value).
        numbers: what came out.
        groups: (name, numbers) of each scored state, where there are several.
        documents: (name, JSON text).
        curve: of a training.
        log: its last lines.
        reason: why it failed, or what is damaged.
    """

    title: str
    kind: str
    key: str
    state: State
    data: str
    embedded: bool | None
    needs: tuple[tuple[str, str], ...]
    facts: tuple[tuple[str, str], ...]
    numbers: tuple[Number, ...]
    groups: tuple[tuple[str, tuple[Number, ...]], ...]
    documents: tuple[tuple[str, str], ...]
    curve: Figure | None
    log: str
    reason: str


def write_stage_pages(digests: Sequence[tuple[Stage, str]], store: Store, out: Path) -> int:
    """Bring pages up to date in `out/stages/`; returns how many were written.

    Args:
        digests: of the stages, see `digests_of`.
        store: where their records are.
        out: the folder of all pages.
    """
    writing = []
    with ThreadPoolExecutor(WRITERS) as writers:  # most of writing is waiting for the disk
        for stage, digest in digests:
            path = out / FOLDER / f"{stage.key}.html"
            if made_from(path) != digest:
                page = make_stage_page(stage, store.state(stage), store)
                html = render("stage.html.j2", page=page, digest=digest)
                writing.append(writers.submit(_write, path, html, page.curve))
        for written in writing:
            written.result()
    return len(writing)


def _write(path: Path, html: str, curve: Figure | None) -> None:
    if curve is not None:
        update(path.with_suffix(".svg"), curve.file)
        update(path.with_suffix(".csv"), curve.data)
    update(path, html)  # last: from here on the page is up to date


def make_stage_page(stage: Stage, state: State, store: Store) -> StagePage:
    """Read all that is known of a stage; a damaged record gives no number."""
    folder = store.folder(stage)
    record, reason = None, _text(folder / "error.txt") if state == "failed" else ""
    try:
        record = store.record(stage) if state == "done" else None
        if state == "damaged":
            store.record(stage)
    except DamagedRecordError as error:
        reason = str(error)
    source = _data(stage)
    result: dict[str, Any] = {} if record is None else record.result
    documents = [("Configuration", _json(stage.description()))]
    if isinstance(stage, Data):
        documents.append(("Data manifest", _json(result.get("manifest", stage.source.manifest()))))
    states = result.get("states", {})
    return StagePage(
        title=_title(stage, store),
        kind=_KINDS[stage.kind],
        key=stage.key,
        state=state,
        data="" if source is None else _named(source),
        embedded=None if source is None else source.source.name in EMBEDDED,
        needs=tuple({needed.key: (_title(needed, store), needed.key) for needed in stage.needs}.values()),
        facts=_facts(stage, state, record),
        numbers=_numbers(stage, result),
        groups=tuple((name, _metrics(stage, values)) for name, values in states.items()) if len(states) > 1 else (),
        documents=tuple(documents),
        curve=curve_figure(result.get("curve", [])),
        log="\n".join(_text(folder / "log.txt").splitlines()[-_LOG_LINES:]),
        reason=reason,
    )


def _title(stage: Stage, store: Store) -> str:
    """As it was recorded: tables that share a stage may each call it by a name of their own."""
    try:
        return str(json.loads((store.folder(stage) / "stage.json").read_text(encoding="utf-8"))["title"])
    except (OSError, ValueError, KeyError, TypeError):
        return stage.title


def _facts(stage: Stage, state: State, record: Record | None) -> tuple[tuple[str, str], ...]:
    facts: dict[str, str] = {"State": state}
    train = stage.train if isinstance(stage, Evaluate | Visual) else stage if isinstance(stage, Train) else None
    if train is not None:
        facts["Seed"] = str(train.seed) if train.schedule is not None else "any: nothing in it is random"
        facts["Task weights"] = train.weighting
    if isinstance(stage, Evaluate | Attend):
        facts["Keyframe offset"] = str(stage.offset)
    if isinstance(stage, Data):
        facts["Split"] = stage.source.split
    if record is not None:
        facts |= {"Finished": record.finished, "Took": f"{record.seconds:.1f} s"}
        facts |= {"Code digest": str(record.stage.get("code", "unknown"))}
        facts |= {name.capitalize(): str(value) for name, value in record.environment.items()}
    return (*facts.items(), ("Record", f"{stage.kind}/{stage.key}"))


def _numbers(stage: Stage, result: dict[str, Any]) -> tuple[Number, ...]:
    if isinstance(stage, Evaluate):
        return _metrics(stage, result.get("metrics", {}))
    if isinstance(stage, Measure):
        found = [(*_COSTS.get(name, (name, "")), value) for name, value in result.items()]
        return tuple(Number(name, unit, _rounded(value), str(value)) for name, unit, value in found)
    plain = {name: value for name, value in result.items() if isinstance(value, int | float | str)}
    return tuple(Number(name.capitalize(), "", _rounded(value), str(value)) for name, value in plain.items())


def _metrics(stage: Stage, values: dict[str, float]) -> tuple[Number, ...]:
    """In the units that tables print."""
    assert isinstance(stage, Evaluate)
    known = {m.name: (task, m) for task in stage.data.source.suite.tasks for m in task.metrics}
    numbers = []
    for name, value in values.items():
        if name not in known:
            numbers.append(Number(name, "", _rounded(value), repr(value)))
            continue
        task, m = known[name]
        unit = f"{m.unit} {'↑' if m.better == 'higher' else '↓'}".strip()
        label = f"{TASK_TITLES.get(task.name, task.name).split(',')[0]}: {m.label}"
        numbers.append(Number(label, unit, _rounded(m.scale * value), repr(value)))
    return tuple(numbers)


def _rounded(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _data(stage: Stage) -> Data | None:
    if isinstance(stage, Data):
        return stage
    return stage.data if isinstance(stage, Train | Evaluate | Visual) else None


def _named(data: Data) -> str:
    source = data.source
    if source.name in EMBEDDED:
        return f"procedural videos ({source.name})"
    return f"real images: {DATASET_TITLES[source.name]}"


def _json(value: object) -> str:
    return json.dumps(value, indent=1, ensure_ascii=False, sort_keys=True)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def digests_of(stages: Sequence[Stage], store: Store) -> list[tuple[Stage, str]]:
    """`stages` and what they need, in order, each with a digest of its files and of the code that draws its page."""
    return [
        (stage, combined([code(), stage.key, store.state(stage), *_files_of(store.folder(stage))]))
        for stage in in_order(list(stages))
    ]


def _files_of(folder: Path) -> Iterator[str]:
    for name in _FILES:
        with suppress(OSError):
            yield f"{name} {hashlib.sha256((folder / name).read_bytes()).hexdigest()}"
    with suppress(OSError):
        yield f"pictures {(folder / 'pictures.npz').stat().st_size}"
