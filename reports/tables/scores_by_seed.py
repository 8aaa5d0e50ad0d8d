"""Behind each mean: the number of every seed and keyframe offset, and the stage that it came from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from experiments.records import Record
from experiments.results import FlowResult, RowResult
from reports.tables.flow import ANCHOR
from reports.tables.table import DELTA, Column, ResultTable, stage_href


@dataclass(frozen=True)
class Score:
    """One stage that scored: its name and page, its numbers, and the training that it scored."""

    name: str
    href: str
    numbers: tuple[str, ...]
    train: str
    train_href: str


@dataclass(frozen=True)
class RowScores:
    """The scores behind the means of one row.

    Attributes:
        label, anchor: of the row.
        columns: (name, unit with direction) of the numbers.
        scores: by seed and offset.
    """

    label: str
    anchor: str
    columns: tuple[tuple[str, str], ...]
    scores: tuple[Score, ...]


def scores_by_seed(table: ResultTable, results: Sequence[RowResult], flow: FlowResult | None) -> list[RowScores]:
    """For every row with a number, and for FlowNet-S where rows start from it."""
    columns = tuple(c for c in table.headline if c.key != DELTA)  # which is of two networks
    headers = tuple((f"{c.short_task}: {c.label}", f"{c.unit} {c.arrow}".strip()) for c in columns)
    rows = []
    for line, result in zip(table.lines, results, strict=True):
        scores = [
            _score(train, record, columns, one=len(seed) == 1)
            for train, seed in zip(result.trains, result.evaluations, strict=True)
            for record in seed
        ]
        if scores:
            rows.append(RowScores(line.label, line.anchor, headers, tuple(scores)))
    if flow is not None and flow.evaluations:
        pairs = zip(flow.trains, flow.evaluations, strict=True)
        flow_headers = (("End-point error", "px ↓"), ("End-point error of zero flow", "px"))
        rows.append(RowScores("FlowNet-S", ANCHOR, flow_headers, tuple(_flow_score(*pair) for pair in pairs)))
    return rows


def _score(train: Record, record: Record, columns: Sequence[Column], *, one: bool) -> Score:
    metrics = record.result["metrics"]
    numbers = [f"{c.scale * metrics[c.key]:.{c.decimals + 1}f}" if c.key in metrics else "–" for c in columns]
    seed = _seed(train)
    name = seed if one else f"{seed}, offset {record.result['offset']}"
    return Score(name, stage_href(record.key), tuple(numbers), seed, stage_href(train.key))


def _flow_score(train: Record, record: Record) -> Score:
    metrics = record.result["metrics"]
    numbers = tuple(f"{metrics[name]:.3f}" for name in ("epe", "epe_zero"))
    return Score(_seed(train), stage_href(record.key), numbers, _seed(train), stage_href(train.key))


def _seed(train: Record) -> str:
    config = train.stage["config"]
    return "any seed" if config["schedule"] is None else f"seed {config['seed']}"
