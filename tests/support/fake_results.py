"""Plans on embedded data, and stores whose records are written by hand, for the tests of reports."""

from __future__ import annotations

import numpy as np

from experiments.grids.grid import Grid
from experiments.grids.multi_task import TABLE1
from experiments.plan import Plan, make_plan
from experiments.profiles import SMOKE
from experiments.stage_files import describe_files
from experiments.stages import (
    Attend,
    Data,
    Evaluate,
    FollowMotion,
    Measure,
    PredictVideo,
    Stage,
    Train,
    Visual,
    in_order,
)
from experiments.store import Store
from mila.clip_sums import ClipSums, save_clip_sums
from mila.common.types import Array
from mila.data.prepare import pack
from mila.tasks import NYUV2
from tests.support.fake_clips import FakeClips

NASTY = "<script>alert('x')</script>"
VIDEO_FRAMES = 7
"""Of a video that predictions are kept along."""
ENVIRONMENT = {"python": "3.11.0", "processor": NASTY, "device": "cpu", "commit": "0123456789ab"}


def plan_of(*seeds: int, grid: Grid = TABLE1) -> Plan:
    return make_plan(grid, SMOKE, "rooms" if grid.suite == NYUV2 else "street", mode="video", seeds=seeds)


def scores(plan: Plan, row: int, seed: int, offset: int) -> dict[str, float]:
    """The last row leads in mIoU, at each seed alike; in depth by less than seeds differ, which favour every other."""
    metrics = [m for task in plan.suite.tasks for m in task.metrics]
    if plan.rows[row].is_constant:
        return {m.name: {"miou": 0.05, "depth_abs": 0.92, "normal_mean": 50.0}.get(m.name, 0.25) for m in metrics}
    known = {
        "miou": 0.13 + 0.02 * row + 0.01 * seed + 0.001 * offset,
        "depth_abs": 0.54 - 0.01 * row + 0.02 * (1 - seed if row % 2 else seed),
        "normal_mean": 49.0 - row,
    }
    return {m.name: known.get(m.name, 0.5) for m in metrics}


def fill(store: Store, plan: Plan) -> None:
    """Finish every stage of a plan with made-up results."""
    rows = {e.key: i for i, row in enumerate(plan.rows) for seed in row.evaluations for e in seed}
    for stage in in_order(plan.stages()):
        store.begin(stage)
        store.finish(
            stage,
            fake_result(stage, plan, rows, store),
            seconds=1.5,
            finished="2026-01-02T03:04:05+00:00",
            environment=ENVIRONMENT,
        )


def score_clips(store: Store, plan: Plan, clips: int = 60) -> None:
    """Give every score of a filled store sums of clips, and the metrics that they make.

    The networks of all rows do alike but for the last two, which are better and better still.
    """
    for place, row in enumerate(plan.rows):
        lead = 0.0 if row.is_constant else max(0, 3 + place - len(plan.rows)) / 10
        for seed in row.evaluations:
            for stage in seed:
                folder, result = store.begin(stage), store.record(stage).result
                sums = fake_clip_sums(plan, lead, [place, stage.train.seed, stage.offset], clips)
                with (folder / "clips.npz").open("wb") as file:
                    save_clip_sums(file, {"model.pt": sums})
                store.finish(
                    stage,
                    {**result, "metrics": sums.metrics()},
                    files=describe_files(folder),
                    seconds=1.5,
                    finished="2026-01-02T03:04:05+00:00",
                    environment=ENVIRONMENT,
                )


def fake_clip_sums(plan: Plan, lead: float, chance: list[int], clips: int) -> ClipSums:
    """Sums of clips of which some are hard for every row; `lead` is the share of errors that a row does not make."""
    generator, every = np.random.default_rng(chance), np.random.default_rng(0)
    hard = every.uniform(0.5, 1.5, clips) * (1 - lead)
    arrays: dict[str, Array] = {}
    for task in plan.suite.tasks:
        size = (clips, task.channels)
        if task.name == "segmentation":
            truth = every.integers(50, 200, size)
            rate = (0.3 * hard * generator.uniform(0.9, 1.1, clips))[:, None]
            missed, wrong = generator.binomial(truth, rate), generator.binomial(truth, rate)
            none = np.zeros(size, np.int64)
            arrays |= {"truth": truth, "false_negatives": missed, "false_positives": wrong, "on_void": none}
        elif task.name == "depth":
            errors = 100 * hard * generator.uniform(0.9, 1.1, clips)
            pixels = np.full(clips, 100)
            arrays |= {"depth_pixels": pixels, "depth_absolute": errors, "depth_relative": errors / 2}
        else:
            bounds = np.array([0, 1125, 2000, 2250, 3000, 18000])
            shares = np.array([0.3, 0.2, 0.1, 0.1, 0.3])
            counts = generator.multinomial(100, shares, clips)
            arrays |= {
                "angle": 2500 * hard * generator.uniform(0.9, 1.1, clips),
                "angle_counts": counts,
                "angle_bounds": bounds,
            }
    return ClipSums(arrays)


def fake_result(stage: Stage, plan: Plan, rows: dict[str, int], store: Store) -> dict[str, object]:
    if isinstance(stage, Data):
        if stage == plan.test_data:
            height, width = plan.profile.size(plan.suite)
            pack(FakeClips(2, plan.suite, height, width), 6, store.folder(stage) / "clips")
        elif any(isinstance(v, PredictVideo) and v.data == stage for row in plan.rows for v in row.visuals):
            height, width = plan.profile.size(plan.suite)
            pack(FakeClips(1, plan.suite, height, width), VIDEO_FRAMES, store.folder(stage) / "clips")
        return {"clips": 2, "frames": 6, "manifest": {"world": stage.source.name, "note": NASTY}}
    if isinstance(stage, Measure):
        return {"gflops": 42.25, "height": 288, "width": 384}
    if isinstance(stage, Train):
        weights = {"weight_segmentation": 1.2345, "weight_depth": 0.8} if stage.weighting == "uncertainty" else {}
        return {"curve": [{"step": 4, "depth": 0.1, **weights}], "steps": 4, "clips": 2, "parameters": 10}
    if isinstance(stage, Visual):
        return visual_result(stage, plan, store)
    assert isinstance(stage, Evaluate)
    if stage in plan.flow:
        return {"metrics": {"epe": 0.6 + 0.2 * stage.train.seed, "epe_zero": 2.0}, "offset": 0, "pictures": []}
    height, width = plan.profile.size(plan.suite)
    pictures = {
        "segmentation": np.full((2, height, width), 3, np.int8),
        "depth": np.full((2, 1, height, width), 2.0, np.float32),
        "normals": np.full((2, 3, height, width), -0.5, np.float32),
    }
    np.savez_compressed(store.folder(stage) / "pictures.npz", **pictures)  # type: ignore[arg-type]
    metrics = scores(plan, rows[stage.key], stage.train.seed, stage.offset)
    return {"metrics": metrics, "offset": stage.offset, "pictures": [0, 1]}


def fake_agreement(stage: FollowMotion, plan: Plan) -> list[dict[str, object]]:
    """A network that is closer than staying put at its first offset alone; of ILA once a task."""
    propagation = dict(stage.train.arguments).get("propagation", "ila")
    branches = [task.name for task in plan.suite.tasks] if propagation == "ila" else ["all tasks"]
    weights = {"entropy": 0.25, "centre": 0.125} if propagation != "flow" else {"entropy": None, "centre": None}
    known = {"cells": 99, "rms": 1.5, "rms_true": 0.75, "r_x": -0.5, "r_y": None, "lost": 0.015}
    return [
        {"offset": offset, "branch": branch, "epe": 0.3 * offset, "epe_zero": 0.5, "epe_equal": 0.4, **known, **weights}
        for offset in range(1, stage.interval)
        for branch in branches
    ]


def visual_result(stage: Visual, plan: Plan, store: Store) -> dict[str, object]:
    """Weights that fall from 1 to 24 parts of 300 along the window, and features that rise along a row."""
    height, width = plan.profile.size(plan.suite)
    tasks = len(plan.suite.tasks)
    if isinstance(stage, FollowMotion):
        return {"clips": 2, "interval": stage.interval, "agreement": fake_agreement(stage, plan)}
    if isinstance(stage, Attend):
        weights = np.tile((25 - np.arange(25.0)).reshape(5, 5) / 325, (2, tasks, 5, 6, 1, 1))
        features = np.arange(2 * tasks * 5 * 6, dtype=np.float32).reshape(2, tasks, 5, 6)
        maps = {"weights": weights, "encoded": features, "carried": features, "fused": features[:, ::-1] ** 2}
        np.savez_compressed(store.folder(stage) / "attention.npz", **maps)  # type: ignore[arg-type]
        return {"offset": stage.offset, "pictures": [0, 1], "window": 5}
    shapes = {"segmentation": (), "depth": (1,), "normals": (3,)}
    kinds = {task.name: np.int8 if task.name == "segmentation" else np.float16 for task in plan.suite.tasks}
    predictions = {
        f"{which}/{task.name}": np.full((1, VIDEO_FRAMES, *shapes[task.name], height, width), value, kinds[task.name])
        for which, value in (("stream", 2), ("slow", 5))
        for task in plan.suite.tasks
    }
    np.savez_compressed(store.folder(stage) / "film.npz", **predictions)  # type: ignore[arg-type]
    return {"clips": 1, "frames": VIDEO_FRAMES, "keyframe_interval": 5}
