"""From a plan and its store to values: the store is read here, once a report, and by nothing behind it."""

from __future__ import annotations

import hashlib
import json
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from experiments.plan import Plan, RowPlan
from experiments.records import DamagedRecordError, Record
from experiments.results import (
    AttentionResult,
    FlowResult,
    KeptArrays,
    KeptClipSums,
    MotionResult,
    Results,
    RowPictures,
    RowResult,
    StageResult,
    Value,
    VideoResult,
)
from experiments.stage_files import CLIP_SHARES, CLIP_SUMS
from experiments.stages import Attend, Data, Evaluate, FollowMotion, PredictVideo, Stage, Visual, in_order
from experiments.store import Store
from mila.common.stored_files import DamagedFileError, read_bytes
from mila.data.packed import PackedClips
from mila.errors import UserError

_LOG_LINES = 40

Shown = TypeVar("Shown", Evaluate, Record)


def collect(plan: Plan, store: Store) -> Results:
    """All that is known of a plan. What is large is not kept: arrays and clips are read by the pages that show them."""
    _check_arrays(plan, store)
    rows = collect_rows(plan, store)
    splits = [plan.train_data, plan.test_data]
    splits += [data for stage in plan.flow[:1] for data in (stage.train.data, stage.data)]
    return Results(
        plan=plan,
        rows=rows,
        flow=collect_flow(plan, store),
        stages=collect_stages([plan.train_data, plan.test_data, *plan.stages()], store),
        manifests={data.key: manifest_of(data, store) for data in splits},
        clips=_clips(plan.test_data, store) if store.state(plan.test_data) == "done" else None,
        pictures=tuple(_pictures(row) for row in rows if row.evaluations and not row.plan.is_constant),
        attention=_attention(plan, store),
        motion=_motion(plan, store),
        videos=_videos(plan, store),
        whose=_whose(rows, store),
    )


def collect_rows(plan: Plan, store: Store) -> tuple[RowResult, ...]:
    """Each row's result, in the plan's order. A seed counts once all its offsets are finished."""
    return tuple(_row(row, store) for row in plan.rows)


def collect_flow(plan: Plan, store: Store) -> FlowResult | None:
    """The scores of FlowNet-S; None where no row of the plan starts from it."""
    if not plan.flow:
        return None
    seeds = tuple((stage,) for stage in plan.flow)
    complete = _complete(seeds, store)
    records = tuple(store.record(stage) for (stage,) in complete)
    numbers = [record.result["metrics"] for record in records]
    values = {name: _value([[n[name]] for n in numbers]) for name in ("epe", "epe_zero") if numbers}
    if numbers and all(n["epe_zero"] for n in numbers):
        values["ratio"] = _value([[n["epe"] / n["epe_zero"]] for n in numbers])
    return FlowResult(
        values=values,
        missing=_missing(seeds, len(complete), store),
        trains=tuple(store.record(stage.train) for (stage,) in complete),
        evaluations=records,
    )


def collect_stages(stages: Sequence[Stage], store: Store) -> tuple[StageResult, ...]:
    """What is known of some stages and of all that they need, in order."""
    return tuple(_stage(stage, store) for stage in in_order(list(stages)))


def manifest_of(data: Data, store: Store) -> dict[str, Any]:
    """The manifest of a split: of the clips that were packed, or of those that would be."""
    if store.state(data) == "done":
        manifest: dict[str, Any] = store.record(data).result["manifest"]
        return manifest
    return data.source.manifest()


def _whose(rows: Sequence[RowResult], store: Store) -> str:
    """Who made what the rows show, where that is not simply whoever asks."""
    run = [row.plan for row in rows if row.evaluations]
    own = [row.label for row in run if store.whose_of(row.evaluations[0][0]) != store.whose]
    return f"{store.whose}; run here: {', '.join(own)}" if own else store.whose


def _row(row: RowPlan, store: Store) -> RowResult:
    measure = None
    if row.measure is not None and store.state(row.measure) == "done":
        measure = store.record(row.measure)
    complete = _complete(row.evaluations, store)
    evaluations = tuple(tuple(store.record(stage) for stage in seed) for seed in complete)
    values = {}
    if evaluations:
        for name in evaluations[0][0].result["metrics"]:
            values[name] = _value([[r.result["metrics"][name] for r in seed] for seed in evaluations])
    return RowResult(
        plan=row,
        values=values,
        missing=_missing(row.evaluations, len(complete), store),
        gflops=None if measure is None else float(measure.result["gflops"]),
        trains=tuple(store.record(seed[0].train) for seed in complete),
        evaluations=evaluations,
        measure=measure,
        clips=tuple(_clip_sums(seed) for seed in evaluations),
    )


def _clip_sums(seed: tuple[Record, ...]) -> tuple[KeptClipSums, ...]:
    """Of every offset, or of none: scores of earlier versions kept none."""
    for name in (CLIP_SUMS, CLIP_SHARES):
        if all(name in record.files for record in seed):
            return tuple(KeptClipSums(r.folder / name, str(r.files[name]["sha256"])) for r in seed)
    return ()


def _complete(seeds: tuple[tuple[Evaluate, ...], ...], store: Store) -> list[tuple[Evaluate, ...]]:
    """The seeds whose every score is there, and the record of the training that was scored."""
    return [seed for seed in seeds if store.state(seed[0].train) == "done" and _is_scored(seed, store)]


def _is_scored(seed: tuple[Evaluate, ...], store: Store) -> bool:
    return all(store.state(stage) == "done" for stage in seed)


def _value(numbers: list[list[float]]) -> Value:
    """From numbers by seed and offset."""
    means = [statistics.fmean(offsets) for offsets in numbers]
    by_offset = list(zip(*numbers, strict=True))
    several = len(numbers) > 1
    return Value(
        mean=statistics.fmean(means),
        std=float(np.std(means, ddof=1)) if several else None,
        seeds=len(means),
        by_offset=tuple(statistics.fmean(column) for column in by_offset),
        by_offset_std=tuple(np.std(numbers, axis=0, ddof=1).tolist()) if several else None,
    )


def _missing(seeds: tuple[tuple[Evaluate, ...], ...], complete: int, store: Store) -> str:
    if complete == len(seeds):
        return ""
    needed = in_order([stage for seed in seeds for stage in seed])  # what the row starts from may have failed as well
    states = {store.state(stage) for stage in needed}
    if "damaged" in states:
        return "a record was changed"
    if any(store.state(seed[0].train) == "waiting" and _is_scored(seed, store) for seed in seeds):
        return "the record of a training is gone"
    if "failed" in states:
        return "a stage failed"
    return store.why_waiting(needed) if not complete else f"{complete} of {len(seeds)} seeds run"


def _stage(stage: Stage, store: Store) -> StageResult:
    """Read all files of a stage that pages show; a damaged record gives no number."""
    folder, state = store.folder(stage), store.state(stage)
    record, reason = None, ""
    if state in ("done", "damaged"):
        try:
            record = store.record(stage)
        except DamagedRecordError as error:
            reason = str(error)
    found = {name: _bytes(folder / name) for name in ("stage.json", "record.json", "error.txt", "log.txt")}
    texts = {name: (raw or b"").decode(errors="replace") for name, raw in found.items() if name.endswith(".txt")}
    files = [f"{name} {hashlib.sha256(raw).hexdigest()}" for name, raw in found.items() if raw is not None]
    pictures = folder / "pictures.npz"
    files += [f"pictures {pictures.stat().st_size}"] if pictures.is_file() else []
    files += [reason] if reason else []
    return StageResult(
        stage=stage,
        key=folder.name,
        state=state,
        title=_title(stage, record, found["stage.json"]),
        record=record,
        reason=texts["error.txt"] if state == "failed" else reason,
        log="\n".join(texts["log.txt"].splitlines()[-_LOG_LINES:]),
        files=tuple(files),
        whose=store.whose_of(stage),
    )


def _title(stage: Stage, record: Record | None, description: bytes | None) -> str:
    try:
        return str((json.loads(description or b"") if record is None else record.stage)["title"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return stage.title


def _bytes(path: Path) -> bytes | None:
    try:
        return read_bytes(path)
    except (OSError, DamagedFileError):
        return None


def _check_arrays(plan: Plan, store: Store) -> None:
    """See that what can be shown is what was written; a stage of which that is not true has no number either."""
    for row in plan.rows:
        for stage in row.visuals:
            store.check_arrays(stage)
        for seed in _complete(row.evaluations, store):
            if all(store.check_arrays(stage) for stage in _shown(seed)):
                break  # the first seed that is whole is the one that is shown


def _shown(seed: tuple[Shown, ...]) -> tuple[Shown, ...]:
    """Of a seed's scores the one at the first and the one at the last offset; once, where these are the same."""
    return (seed[0], seed[-1]) if len(seed) > 1 else (seed[0],)


def _pictures(row: RowResult) -> RowPictures:
    """Of its first seed, at the first and at the last offset."""
    records = _shown(row.evaluations[0])
    kept = [_kept(record, "pictures.npz") for record in records]
    return RowPictures(
        label=row.plan.label,
        seed=int(row.trains[0].stage["config"]["seed"]),
        offsets=tuple(int(record.result["offset"]) for record in records),
        predictions=tuple(kept) if all(arrays.path.is_file() for arrays in kept) else (),
    )


def _kept(record: Record, name: str) -> KeptArrays:
    return KeptArrays(record.folder / name, tuple(int(index) for index in record.result.get("pictures", ())))


def _attention(plan: Plan, store: Store) -> tuple[AttentionResult, ...]:
    """What is finished, and whose clips are still there."""
    found = []
    for label, stage in _visuals(plan):
        if isinstance(stage, Attend) and store.state(stage) == "done":
            record, clips = store.record(stage), _clips(stage.data, store)
            if clips is not None:
                kept = _kept(record, "attention.npz")
                found.append(AttentionResult(label, record.key, int(record.result["offset"]), kept, clips))
    return tuple(found)


def _motion(plan: Plan, store: Store) -> tuple[MotionResult, ...]:
    """What is finished."""
    found = []
    for label, stage in _visuals(plan):
        if isinstance(stage, FollowMotion) and store.state(stage) == "done":
            record = store.record(stage)
            agreement = tuple(record.result["agreement"])
            found.append(MotionResult(label, record.key, int(record.result["clips"]), agreement))
    return tuple(found)


def _videos(plan: Plan, store: Store) -> tuple[VideoResult, ...]:
    """What is finished, and whose clips are still there."""
    found = []
    for label, stage in _visuals(plan):
        if isinstance(stage, PredictVideo) and store.state(stage) == "done":
            record, clips = store.record(stage), _clips(stage.data, store)
            if clips is not None:
                interval = int(record.result["keyframe_interval"])
                found.append(VideoResult(label, record.key, interval, _kept(record, "film.npz"), clips))
    return tuple(found)


def _visuals(plan: Plan) -> list[tuple[str, Visual]]:
    return [(row.label, stage) for row in plan.rows for stage in row.visuals]


def _clips(data: Data, store: Store) -> PackedClips | None:
    try:
        return store.clips(data)
    except UserError:
        return None
