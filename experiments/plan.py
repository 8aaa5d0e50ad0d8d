"""From a grid, a profile and a data set to stages; and from finished stages to the numbers of each row."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from experiments.grids.grid import Grid, Row
from experiments.profiles import Profile
from experiments.sources import EMBEDDED, ClipMode, DataName, Source
from experiments.stages import Data, Evaluate, Measure, Stage, Start, Train, arguments

_HISTORY = 1
"""Frames before the last keyframe that packed clips hold: what multi-frame propagation looks at."""

_PAPER_SLOW, _PAPER_FAST = 101, 18
"""Encoders of the cost columns (Section 4.1)."""


@dataclass(frozen=True)
class RowPlan:
    """The stages of one row.

    Attributes:
        label, published: see `Row`; the constant predictor has no published row.
        evaluations: by seed, one stage an offset; empty for a row that is not built.
        measure: cost at the paper's size, if the paper has the row.
    """

    label: str
    published: str | None
    evaluations: tuple[tuple[Evaluate, ...], ...] = ()
    measure: Measure | None = None

    @property
    def is_video(self) -> bool:
        """Whether the prediction depends on the keyframe offset."""
        return any(len(offsets) > 1 for offsets in self.evaluations)


@dataclass(frozen=True)
class Plan:
    """A grid under a profile on a data set.

    Attributes:
        train_data, test_data: the splits.
        rows: in the table's order, the constant predictor last.
    """

    grid: Grid
    profile: Profile
    seeds: tuple[int, ...]
    train_data: Data
    test_data: Data
    rows: tuple[RowPlan, ...]

    @property
    def embedded(self) -> bool:
        """Whether the data are procedural worlds (True) or a real data set."""
        return self.test_data.source.name in EMBEDDED

    def stages(self) -> list[Stage]:
        """What the plan asks for; what that needs is found through the stages."""
        evaluations: list[Stage] = [e for row in self.rows for seed in row.evaluations for e in seed]
        return evaluations + [row.measure for row in self.rows if row.measure is not None]


def make_plan(
    grid: Grid,
    profile: Profile,
    data: DataName,
    *,
    mode: ClipMode,
    seeds: tuple[int, ...] = (0,),
    root: Path | None = None,
    split: str = "test",
) -> Plan:
    """Lay out all stages of a grid.

    Args:
        grid: which table.
        profile: sizes and schedules.
        data: which data set; its suite must be the grid's.
        mode: where clips come from.
        seeds: every training and its evaluations once a seed.
        root: folder of a real data set.
        split: what is scored: `test`, or `val` for choosing settings.

    Raises:
        UserError: the data cannot be found.
    """
    height, width = profile.size(grid.suite)
    embedded = data in EMBEDDED
    clips = (profile.train_clips, profile.test_clips) if embedded else (None, None)
    source = Source(data, "train", height, width, mode, clips[0], root)
    length = grid.keyframe_interval + _HISTORY
    scored = replace(source, split=split, clips=clips[1])  # type: ignore[arg-type]
    train_data = Data(f"clips {data} train", source, length)
    test_data = Data(f"clips {data} {split}", scored, length)
    make = _RowMaker(grid, profile, train_data, test_data, seeds)
    rows = (*(make.row(row) for row in grid.rows), make.constant())
    return Plan(grid, profile, seeds, train_data, test_data, rows)


@dataclass(frozen=True)
class _RowMaker:
    grid: Grid
    profile: Profile
    train_data: Data
    test_data: Data
    seeds: tuple[int, ...]

    @property
    def _sizes(self) -> dict[str, Any]:
        profile = self.profile
        return {
            "width": profile.width,
            "zero_init_residual": profile.zero_init_residual,
            "decoder_norm": profile.decoder_norm,
        }

    def row(self, row: Row) -> RowPlan:
        if row.model is None:
            return RowPlan(row.label, row.published)
        switches, interval = dict(row.switches), {"keyframe_interval": self.grid.keyframe_interval}
        pair = row.encoders == "pair"
        if pair:
            paper = arguments(slow=_PAPER_SLOW, fast=_PAPER_FAST, **interval, **switches)
        else:
            paper = arguments(depth=_PAPER_SLOW, **switches)
        trains = [self._pair(row, seed) if pair else self._frame(row, seed) for seed in self.seeds]
        offsets = self.grid.keyframe_interval if pair else 1
        return RowPlan(
            row.label,
            row.published,
            tuple(tuple(self._evaluate(train, offset) for offset in range(offsets)) for train in trains),
            Measure(f"cost of {row.label}", row.model, paper, self.grid.suite.name),
        )

    def constant(self) -> RowPlan:
        """The row that every model must beat; nothing in it depends on the seed."""
        title = f"{self.train_data.source.name} constant predictor"
        train = Train(title, "constant", (), self.train_data, 0, None)
        return RowPlan("Constant predictor", None, ((self._evaluate(train, 0),),))

    def _evaluate(self, train: Train, offset: int) -> Evaluate:
        return Evaluate(f"score {train.title}, offset {offset}", train, self.test_data, offset)

    def _title(self, name: str, seed: int) -> str:
        return f"{self.train_data.source.name} {name}, seed {seed}"

    def _frame(self, row: Row, seed: int) -> Train:
        assert row.model is not None
        values = arguments(depth=self.profile.slow, **self._sizes, **dict(row.switches))
        title = self._title(row.label, seed)
        return Train(title, row.model, values, self.train_data, seed, self.profile.encoder)

    def _encoder(self, depth: int, seed: int) -> Train:
        """Multi-task training of one encoder; for the slow one this is the D101-MultiTask row itself."""
        values = arguments(depth=depth, **self._sizes)
        name = "D101-MultiTask" if depth == self.profile.slow else "fast encoder"
        return Train(self._title(name, seed), "multi_task", values, self.train_data, seed, self.profile.encoder)

    def _pair(self, row: Row, seed: int) -> Train:
        assert row.model is not None
        values = arguments(
            slow=self.profile.slow,
            fast=self.profile.fast,
            **self._sizes,
            keyframe_interval=self.grid.keyframe_interval,
            **dict(row.switches),
        )
        starts = (
            Start("slow", self._encoder(self.profile.slow, seed), "encoder"),
            Start("fast", self._encoder(self.profile.fast, seed), "encoder"),
            Start("decoders", self._encoder(self.profile.fast, seed), "decoders"),  # they read as many channels
        )
        title = self._title(row.label, seed)
        return Train(title, row.model, values, self.train_data, seed, self.profile.method, starts)
