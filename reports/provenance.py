"""What produced a report: data, profile, schedules, seeds, code and environment, read from the records."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from experiments.grids.grid import PAPER_INTERVAL
from experiments.models import file_of
from experiments.plan import Plan
from experiments.records import Record
from experiments.results import FlowResult, Results, RowResult, StageResult
from reports.settings import Setting, settings, used_depths, weights_given
from reports.titles import DATASET_TITLES, data_title

_DEFAULT_PROFILE = "quick"
_MODES = {"video": "", "pan": "clips are pans over single images", "still": "clips repeat a single image, no motion"}
_PAPER_EPOCHS = 50  # Section 4.1
_UNITS = ("depth is disparity / 65535",)  # notes that say nothing about the quality of the images


@dataclass(frozen=True)
class About:
    """What a report is of.

    Attributes:
        embedded: whether the data are procedural videos.
        own_data: whether they are the user's own, see `Plan.own_data`.
        kind, name: of the data: `procedural videos`, `rooms`; `real images`, `NYUd v2`; `data of your own`, `camvid`.
        details: how the data differ from the paper's.
        profile, split: see `Plan`.
        seeds: in words, with n.
        file_name: of the page and the CSV file, without ending.
        variant: its end, which pages of other tables on the same data in the same profile share; may be empty.
        differences: what makes absolute numbers not comparable with the published ones.
        paper_data: the data set of the published table.
        size: `height × width` that costs are counted at: the paper's, or that of the user's own data.
        whose: who made the runs and where, in words; empty for those that were made here.
    """

    embedded: bool
    kind: str
    name: str
    details: tuple[str, ...]
    profile: str
    split: str
    seeds: str
    file_name: str
    variant: str
    differences: tuple[str, ...]
    paper_data: str
    size: str
    whose: str = ""
    own_data: bool = False

    @property
    def data(self) -> str:
        """The data in one phrase."""
        if self.embedded:
            return f"{self.kind} ({self.name})"
        return f"{self.kind}: {', '.join((self.name, *self.details))}"

    @property
    def short(self) -> str:
        """The data without their details."""
        return self.data if self.embedded else f"{self.name}, {self.kind}"

    @property
    def cost_unit(self) -> str:
        """Unit of the cost columns."""
        return f"GFLOPs (10^9 multiply-accumulates a frame at {self.size})"


def about(plan: Plan, manifest: Mapping[str, Any], whose: str = "") -> About:
    """Say what a plan's report is of; `manifest` is that of its scored split, for `whose` see `Store`."""
    source, n = plan.test_data.source, len(plan.seeds)
    numbers = ", ".join(str(seed) for seed in plan.seeds)
    paper = plan.grid.suite
    notes = [note for note in str(manifest.get("note", "")).split(", ") if note and note not in _UNITS]
    notes += manifest.get("warnings", ())
    mode = _MODES[source.mode]
    own = (file_of(row.model) for row in plan.grid.own_rows)
    names = [plan.grid.name, *(re.sub(r"\W+", "-", file.stem) for file in own if file is not None)]
    parts: list[str] = []
    if not plan.embedded:
        parts += ["data"] if source.file is not None else []
        parts.append(source.name)
        parts += [source.mode] if source.mode != "video" else []
    named = source.file is None and (plan.own_data or not plan.has_usual_suite)
    parts += [plan.suite.name] if named else []
    if plan.profile.base is not None:
        parts.append(f"profile-{plan.profile.name}")
    elif plan.profile.name != _DEFAULT_PROFILE:
        parts.append(plan.profile.name)
    parts += [source.split] if source.split != plan.grid.split else []
    usual, weights = plan.profile.before_options, weights_given(plan)
    parts += [f"augmentation-{plan.profile.augmentation}"] if plan.profile.augmentation != usual.augmentation else []
    parts += [] if weights is None else [f"weights-{re.sub(r'[^A-Za-z0-9]+', '-', weights)}"]
    parts += [f"k{plan.grid.keyframe_interval}"] if plan.grid.has_own_interval else []
    return About(
        embedded=plan.embedded,
        kind="procedural videos" if plan.embedded else "data of your own" if plan.own_data else "real images",
        name=source.name if plan.embedded else data_title(source),
        details=tuple(notes + ([mode] if mode else [])),
        profile=plan.profile.name,
        split=source.split,
        seeds=f"seed {numbers}; n = 1, no spread" if n == 1 else f"seeds {numbers}; n = {n}",
        file_name="-".join([*names, *parts]),
        variant="".join(f"-{part}" for part in parts),
        differences=_differences(plan),
        paper_data=DATASET_TITLES[paper.name],
        size=f"{plan.costed_suite.height} × {plan.costed_suite.width}",
        whose=whose,
        own_data=plan.own_data,
    )


def _differences(plan: Plan) -> tuple[str, ...]:
    p, suite = plan.profile, plan.suite
    smaller = any(ours < theirs for ours, theirs in zip(p.size(suite), (suite.height, suite.width), strict=True))
    limits = (plan.train_data.source.clips, plan.test_data.source.clips)
    limited = not plan.embedded and any(limit is not None for limit in limits)
    facts = {
        f"the data are not {DATASET_TITLES[plan.grid.suite.name]}": plan.embedded or plan.own_data,
        f"the tasks are others ({plan.suite.name}, not {plan.grid.suite.name})": plan.suite != plan.grid.suite,
        "training is much shorter": max(part.epochs for schedule in (p.encoder, p.method) for part in schedule.parts)
        < _PAPER_EPOCHS,
        "the networks are smaller": p.width < 1 or any(p.depths[depth] < depth for depth in used_depths(plan)),
        "the frames are smaller": smaller,
        "not all clips are used": limited,
        f"keyframes are {plan.grid.keyframe_interval} frames apart, not {PAPER_INTERVAL}": plan.grid.has_own_interval,
        "the clips are no videos": plan.test_data.source.mode != "video",
    }
    return tuple(words for words, true in facts.items() if true)


@dataclass(frozen=True)
class StageLine:
    """One stage: what a reader needs to find its record."""

    title: str
    kind: str
    key: str
    state: str
    seconds: str
    finished: str
    code: str
    commit: str
    device: str


@dataclass(frozen=True)
class KeyLine:
    """The stages behind one seed of one row.

    Attributes:
        row, seed: which.
        weighting: of the task losses, and the factors at the end where it has any.
        starts: hashes of the trainings that it starts from, each once.
        train: hash of its training.
        evaluations: hashes of its scores, by offset.
        measure: hash of its cost; empty without one.
    """

    row: str
    seed: str
    weighting: str
    starts: tuple[str, ...]
    train: str
    evaluations: tuple[str, ...]
    measure: str


@dataclass(frozen=True)
class Provenance:
    """How a report's numbers were made.

    Attributes:
        settings: this run's beside the paper's.
        manifests: (what, manifest as JSON) of each split.
        environments: each different one, as (name, value) pairs.
        stages: every stage of the plan in order.
        keys: the stages behind each row.
        done: finished stages.
        seconds: total.
        first, last: when the first and the last of the stages finished; empty without any.
        machines: GPUs or processors that they ran on, each once.
        commits: of the code, each once.
    """

    settings: list[Setting]
    manifests: list[tuple[str, str]]
    environments: list[list[tuple[str, str]]]
    stages: list[StageLine]
    keys: list[KeyLine]
    done: int
    seconds: str
    first: str
    last: str
    machines: tuple[str, ...]
    commits: tuple[str, ...]


def provenance_of(results: Results) -> Provenance:
    """Gather everything behind a plan's numbers."""
    records = [stage.record for stage in results.stages if stage.record is not None]
    environments = sorted({json.dumps(record.environment, sort_keys=True) for record in records})
    finished = sorted(record.finished for record in records)
    titles = {result.stage.key: result.stage.title for result in results.stages}
    manifests = [
        (titles[key], json.dumps(manifest, indent=1, ensure_ascii=False)) for key, manifest in results.manifests.items()
    ]
    return Provenance(
        settings=settings(results.plan),
        manifests=manifests,
        environments=[[(k, str(v)) for k, v in json.loads(e).items() if k != "commit"] for e in environments],
        stages=[_stage_line(result) for result in results.stages],
        keys=[*(line for row in results.rows for line in _key_lines(row)), *_flow_lines(results.flow)],
        done=len(records),
        seconds=_duration(sum(record.seconds for record in records)),
        first=finished[0] if finished else "",
        last=finished[-1] if finished else "",
        machines=tuple(sorted({_machine(record) for record in records})),
        commits=tuple(sorted({str(record.environment.get("commit", "unknown")) for record in records})),
    )


def _machine(record: Record) -> str:
    device = str(record.environment.get("device", "unknown"))
    return str(record.environment.get("processor", device)) if device == "cpu" else device


def _stage_line(result: StageResult) -> StageLine:
    stage, record, state = result.stage, result.record, result.state
    if record is None:
        return StageLine(stage.title, stage.kind, result.key, state, "", "", "", "", "")
    return StageLine(
        title=stage.title,
        kind=stage.kind,
        key=result.key,
        state=state,
        seconds=f"{record.seconds:.1f}",
        finished=record.finished,
        code=str(record.stage["code"]),
        commit=str(record.environment.get("commit", "unknown")),
        device=str(record.environment.get("device", "unknown")),
    )


def _key_lines(result: RowResult) -> list[KeyLine]:
    measure = "" if result.measure is None else result.measure.key
    lines = []
    for train, evaluations in zip(result.trains, result.evaluations, strict=True):
        keys = tuple(e.key for e in evaluations)
        if result.plan.is_constant:
            lines.append(KeyLine(result.plan.label, "", "", (), train.key, keys, measure))
        else:
            lines.append(_key_line(result.plan.label, train, keys, measure))
    return lines


def _flow_lines(flow: FlowResult | None) -> list[KeyLine]:
    if flow is None:
        return []
    pairs = zip(flow.trains, flow.evaluations, strict=True)
    return [_key_line("FlowNet-S", train, (score.key,), "") for train, score in pairs]


def _key_line(row: str, train: Record, evaluations: tuple[str, ...], measure: str) -> KeyLine:
    config = train.stage["config"]
    curve = train.result["curve"]
    last: dict[str, float] = curve[-1] if curve else {}
    factors = [f"{k.removeprefix('weight_')} {v:.3g}" for k, v in last.items() if k.startswith("weight_")]
    weighting = config["weighting"] + (f" (at the end {', '.join(factors)})" if factors else "")
    starts = tuple(dict.fromkeys(train.stage["needs"][1:]))  # the first is the data
    return KeyLine(row, str(config["seed"]), weighting, starts, train.key, evaluations, measure)


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60:02d} min"
