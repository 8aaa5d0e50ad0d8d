"""One page a stage: what it is, what came out, its training curve, the end of its log, where it was made.

A page is written anew only where the stage's files, or the code that draws it, changed: the page's first lines hold a
digest of both.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments.records import Record
from experiments.results import StageResult
from experiments.sources import EMBEDDED
from experiments.stages import Attend, Data, Evaluate, Measure, Stage, Train, Visual
from experiments.store import State
from mila.streaming.description import DESCRIPTION
from reports.digests import code, combined, made_from
from reports.files import WRITERS, update
from reports.plots.drawing import Figure
from reports.plots.training_curves import curve_figure
from reports.render import render
from reports.titles import data_title, short_title

FOLDER = "stages"
_KINDS = {
    "data": "Data",
    "train": "Training",
    "evaluate": "Score",
    "measure": "Cost",
    "attention": "Attention",
    "film": "Video",
    "motion": "Motion",
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
        digest: of what it is made of.
        title: as it was recorded.
        kind: in words.
        key: the stage's hash.
        state: see `Store.state`.
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
        whose: see `Store`.
    """

    digest: str
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
    whose: str


def digests_of(stages: Sequence[StageResult]) -> list[tuple[StageResult, str]]:
    """The stages, each with a digest of its files and of the code that draws its page."""
    return [(result, combined([code(), result.key, result.state, *result.files])) for result in stages]


def write_stage_pages(digests: Sequence[tuple[StageResult, str]], out: Path) -> int:
    """Bring pages up to date in `out/stages/`; returns how many were written.

    Args:
        digests: of the stages and all that they need, see `digests_of`.
        out: the folder of all pages.
    """
    writing = []
    pages = {result.stage.key: (result.title, result.key) for result, _ in digests}
    with ThreadPoolExecutor(WRITERS) as writers:  # most of writing is waiting for the disk
        for result, digest in digests:
            path = out / FOLDER / f"{result.key}.html"
            if made_from(path) != digest:
                page = make_stage_page(result, pages, digest)
                writing.append(writers.submit(_write, path, render("stage.html.j2", page), page.curve))
        for written in writing:
            written.result()
    return len(writing)


def _write(path: Path, html: str, curve: Figure | None) -> None:
    if curve is not None:
        update(path.with_suffix(".svg"), curve.file)
        update(path.with_suffix(".csv"), curve.data)
    update(path, html)  # last: from here on the page is up to date


def make_stage_page(result: StageResult, pages: Mapping[str, tuple[str, str]], digest: str) -> StagePage:
    """What the page of a stage says.

    Args:
        result: all that is known of it.
        pages: title and page of the stages that it needs, by hash.
        digest: see `digests_of`.
    """
    stage, source = result.stage, _data(result.stage)
    values: dict[str, Any] = {} if result.record is None else result.record.result
    documents = [("Configuration", _json(_description(stage, result.record)))]
    if isinstance(stage, Data):
        documents.append(("Data manifest", _json(values.get("manifest", stage.source.manifest()))))
    states = values.get("states", {})
    return StagePage(
        digest=digest,
        title=result.title,
        kind=_KINDS[stage.kind],
        key=result.key,
        state=result.state,
        data="" if source is None else _named(source),
        embedded=None if source is None else source.source.name in EMBEDDED,
        needs=tuple({needed.key: pages[needed.key] for needed in stage.needs}.values()),
        facts=_facts(result),
        numbers=_numbers(stage, values),
        groups=tuple((name, _metrics(stage, some)) for name, some in states.items()) if len(states) > 1 else (),
        documents=tuple(documents),
        curve=curve_figure(values.get("curve", [])),
        log=result.log,
        reason=result.reason,
        whose=result.whose,
    )


def _description(stage: Stage, record: Record | None) -> dict[str, Any]:
    """All that the hash of the stage's folder covers: of what was run where it was, else of what would be."""
    now = stage.description()
    return now if record is None else {name: record.stage[name] for name in now}


def _facts(result: StageResult) -> tuple[tuple[str, str], ...]:
    stage, record = result.stage, result.record
    facts: dict[str, str] = {"State": result.state}
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
        if record.result.get("dropped"):
            facts["Dropped once scored"] = ", ".join(record.result["dropped"])
        if DESCRIPTION in record.files and not result.whose:
            facts["Load it"] = f'mila.load("{record.folder.parents[2].name}", "{result.key}")'
    return (*facts.items(), ("Record", f"{stage.kind}/{result.key}"))


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
        label = f"{short_title(task.name)}: {m.label}"
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
    return f"{'data of your own' if source.is_own else 'real images'}: {data_title(source)}"


def _json(value: object) -> str:
    return json.dumps(value, indent=1, ensure_ascii=False, sort_keys=True)
