"""From a grid, a profile and a data set to stages; and from finished stages to the numbers of each row."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.grids.grid import Grid, InitialWeights, Row
from experiments.models import DEPTHS, WEIGHTS, accepted, follows_motion, is_mila
from experiments.profiles import Profile
from experiments.sources import EMBEDDED, SUITES_OF, DataName, Source, Split
from experiments.stages import (
    Arguments,
    Attend,
    Data,
    Evaluate,
    FollowMotion,
    Measure,
    PredictVideo,
    Stage,
    Start,
    Train,
    Visual,
    arguments,
    in_order,
    score_title,
)
from experiments.weights import encoder_weights, flownet_weights
from mila.errors import UserError
from mila.schedule import Schedule
from mila.tasks import FLOW, Suite

if TYPE_CHECKING:
    from mila.data.clips import ClipSource  # needs PyTorch
    from mila.data.readers.layouts import ClipMode

_HISTORY = 1
"""Frames before the last keyframe that packed clips hold: what multi-frame propagation looks at."""

CONSTANT = "Constant predictor"
"""Label of the row that every plan has."""

_VIDEO_FRAMES = 16
"""Of predictions along a video, where the data have as many: three keyframe intervals of 5, and the next keyframe."""


LARGEST_SEED = 2**64 - 1
"""Of PyTorch's generators."""


def are_seeds(seeds: Collection[object]) -> bool:
    """Whether these are one or more numbers that generators take, each another one."""
    fit = all(type(seed) is int and 0 <= seed <= LARGEST_SEED for seed in seeds)
    return fit and 0 < len(seeds) == len(set(seeds))


@dataclass(frozen=True)
class RowPlan:
    """The stages of one row.

    Attributes:
        label, published: see `Row`.
        evaluations: by seed, one stage an offset.
        measure: cost at the paper's size; None for the constant predictor, which costs nothing.
        visuals: what is kept of its first seed to be looked at.
    """

    label: str
    published: str | None
    evaluations: tuple[tuple[Evaluate, ...], ...]
    measure: Measure | None = None
    visuals: tuple[Visual, ...] = ()

    @property
    def is_constant(self) -> bool:
        """Whether it is the constant predictor."""
        return self.measure is None

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
        flow: how good FlowNet-S is that the rows start from, one stage a seed; empty where no row does.
    """

    grid: Grid
    profile: Profile
    seeds: tuple[int, ...]
    train_data: Data
    test_data: Data
    rows: tuple[RowPlan, ...]
    flow: tuple[Evaluate, ...]

    @property
    def suite(self) -> Suite:
        """The tasks that are trained and scored; the paper's are those of the grid."""
        return self.test_data.source.suite

    @property
    def own_data(self) -> bool:
        """Whether the data are the user's own, see `Source.is_own`: nothing printed or counted elsewhere is of them."""
        return self.test_data.source.is_own

    @property
    def has_usual_suite(self) -> bool:
        """Whether the tasks are those that a run has where nobody asks for others."""
        source = self.test_data.source
        return self.own_data or self.suite == usual_suite(self.grid, source.name)

    @property
    def costed_suite(self) -> Suite:
        """The tasks and the size that costs are counted at: the paper's, or those of the user's own data."""
        return self.suite if self.own_data else self.grid.suite

    @property
    def embedded(self) -> bool:
        """Whether the data are procedural worlds (True) or a real data set."""
        return self.test_data.source.name in EMBEDDED

    def stages(self, rows: Collection[str] | None = None) -> list[Stage]:
        """What the plan asks for, or the rows with these labels and the constant predictor alone.

        What that needs is found through the stages.
        """
        some = [row for row in self.rows if rows is None or row.is_constant or row.label in rows]
        evaluations: list[Stage] = [e for row in some for seed in row.evaluations for e in seed]
        needed = {stage.key for stage in in_order(evaluations)}
        flow = [e for e in self.flow if e.train.key in needed]
        costs = [row.measure for row in some if row.measure is not None]
        return [*evaluations, *flow, *costs, *(visual for row in some for visual in row.visuals)]


def make_plan(
    grid: Grid,
    profile: Profile,
    data: str,
    *,
    mode: ClipMode,
    suite: Suite | None = None,
    seeds: tuple[int, ...] = (0,),
    root: Path | None = None,
    split: Split | None = None,
    file: Path | None = None,
) -> Plan:
    """Lay out all stages of a grid.

    Args:
        grid: which table.
        profile: sizes and schedules.
        data: which data set.
        mode: where clips come from.
        suite: the tasks; None for the grid's, or what stands in for them on the embedded world.
        seeds: every training and its evaluations once a seed.
        root: folder of a real data set.
        split: what is scored: `test`, or `val` for choosing settings; None for the grid's.
        file: the user's file that reads the data; then `suite` is needed, too.

    Raises:
        UserError: the data cannot be found, or have no clips that are long enough.
    """
    suite, split = suite or usual_suite(grid, data), split or grid.split
    height, width = profile.size(suite)
    embedded = data in EMBEDDED
    if profile.keyframe_interval is not None:
        grid = grid.at(profile.keyframe_interval)
    limits = (profile.real_train_clips, profile.real_test_clips)
    clips = (profile.train_clips, profile.test_clips) if embedded else limits
    stride = profile.stride if embedded else 1
    source = Source(data, "train", height, width, mode, suite, clips[0], stride, root, file)
    length = grid.longest_interval + _HISTORY
    scored = replace(source, split=split, clips=clips[1])
    for needed in (source, scored):
        _check_length(needed, grid)
    train_data = Data(f"clips {data} train", source, length)
    test_data = Data(f"clips {data} {split}", scored, length)
    plans = _RowMaker(grid, profile, train_data, test_data, seeds)
    rows = (*(plans.row(row) for row in grid.rows), plans.constant())
    return Plan(grid, profile, seeds, train_data, test_data, rows, plans.flow())


def _check_length(source: Source, grid: Grid) -> None:
    """See that the clips of a source are long enough for a grid; what is wrong names a shorter K that they allow."""
    clips = source.open()
    try:
        clips.check(grid.longest_interval + _HISTORY)
    except UserError as error:
        advice = _shorter(clips, grid)
        raise UserError(f"{str(error).rstrip('.')}. {advice}" if advice else str(error)) from error


def _shorter(clips: ClipSource, grid: Grid) -> str:
    """What a shorter K does about clips that are too short for a grid; empty where they allow none."""
    allowed = (k for k in range(grid.keyframe_interval - 1, 0, -1) if _is_long_enough(clips, k + _HISTORY))
    interval = next(allowed, None)
    if interval is None:
        return ""
    fixed = {row.label: dict(row.arguments).get("keyframe_interval", 0) for row in grid.rows}
    labels = [label for label, own in fixed.items() if own > interval]
    if labels:
        return f"A shorter --keyframe-interval does not help: K is part of what these rows are: {', '.join(labels)}."
    return f"Or take the clips as they are, with --keyframe-interval {interval}."


def _is_long_enough(clips: ClipSource, length: int) -> bool:
    try:
        clips.check(length)
    except UserError:
        return False
    return True


def _longest(source: Source, at_least: int) -> int:
    """The most frames up to `_VIDEO_FRAMES` that clips of a source may have."""
    lengths = range(_VIDEO_FRAMES, at_least, -1)
    return next((length for length in lengths if _is_long_enough(source.open(), length)), at_least)


def usual_suite(grid: Grid, data: str) -> Suite:
    """The paper's tasks, or what stands in for them on an embedded world."""
    return grid.suite if grid.suite in SUITES_OF[data] or grid.stand_in is None else grid.stand_in


@dataclass(frozen=True)
class _RowMaker:
    grid: Grid
    profile: Profile
    train_data: Data
    test_data: Data
    seeds: tuple[int, ...]

    def row(self, row: Row) -> RowPlan:
        paper = dict(row.arguments)
        if "keyframe_interval" in accepted(row.model):
            paper.setdefault("keyframe_interval", self.grid.keyframe_interval)
        trains = [self._train(row, paper, seed) for seed in self.seeds]
        offsets = paper.get("keyframe_interval", 1)
        return RowPlan(
            row.label,
            row.published,
            tuple(tuple(self._evaluate(train, offset) for offset in range(offsets)) for train in trains),
            Measure(f"cost of {row.label}", row.model, arguments(**paper), self._costed_suite()),
            tuple(self._visuals(row, trains[0], offsets)),
        )

    def _costed_suite(self) -> Suite:
        """See `Plan.costed_suite`."""
        source = self.test_data.source
        return source.suite if source.is_own else self.grid.suite

    def _visuals(self, row: Row, train: Train, interval: int) -> Iterator[Visual]:
        """What the grid keeps to be looked at, of a model that has it."""
        if "attention" in self.grid.visuals and is_mila(row.model) and interval > 1:
            yield Attend(f"attention of {train.title}", train, self.test_data, interval - 1)
        if "motion" in self.grid.visuals and self._knows_motion(row) and interval > 1:
            yield FollowMotion(f"motion of {train.title}", train, self.test_data, interval)
        if "film" in self.grid.visuals and interval > 1:
            yield PredictVideo(f"film of {train.title}", train, self._video_data())

    def _knows_motion(self, row: Row) -> bool:
        """Whether the row's model moves features, and the exact motion is known: of the worlds alone."""
        return self.test_data.source.name in EMBEDDED and follows_motion(row.model, dict(row.arguments))

    def _video_data(self) -> Data:
        """The first clip that is scored, with `_VIDEO_FRAMES` frames or as many as the data have."""
        source = replace(self.test_data.source, clips=1)
        length = _longest(source, self.test_data.length)
        return Data(f"film {source.name} {source.split}", source, length)

    def constant(self) -> RowPlan:
        """The row that every model must beat; nothing in it depends on the seed."""
        title = f"{self.train_data.source.name} constant predictor"
        train = Train(title, "constant", (), self.train_data, 0, None)
        return RowPlan(CONSTANT, None, ((self._evaluate(train, 0),),))

    def flow(self) -> tuple[Evaluate, ...]:
        """Scores of FlowNet-S on the split that is scored."""
        if not any(start.network == "flownet" for row in self.grid.rows for start in row.starts):
            return ()
        data = self._flow_data(self.test_data.source.split, self.profile.test_clips)
        return tuple(Evaluate(f"score {t.title}", t, data, 0) for t in map(self._flownet, self.seeds))

    def _evaluate(self, train: Train, offset: int) -> Evaluate:
        return Evaluate(score_title(train, offset), train, self.test_data, offset)

    def _title(self, name: str, seed: int) -> str:
        return f"{self.train_data.source.name} {name}, seed {seed}"

    def _train(self, row: Row, paper: dict[str, Any], seed: int) -> Train:
        starts = tuple(Start(start.ours, self._pretraining(start, paper, seed), start.theirs) for start in row.starts)
        schedule = self.profile.method if starts else self._from_nothing(paper)
        started = frozenset(str(start.depth) for start in row.starts)
        return Train(
            self._title(row.label, seed),
            row.model,
            self._sized(row.model, paper, started),
            self.train_data,
            seed,
            schedule,
            starts,
            row.weighting,
            self.profile.augmentation,
            self.profile.last_epochs,
            self.profile.precision,
        )

    def _sized(self, model: str, paper: dict[str, Any], started: frozenset[str] = frozenset()) -> Arguments:
        """The paper's arguments at the profile's sizes, as far as the model has these switches.

        The encoders whose depths are called `started` begin as networks that were trained here.
        """
        profile, world = self.profile, self.test_data.source.world
        depths = {name: profile.depths[paper[name]] for name in DEPTHS if paper.get(name) is not None}
        sizes: dict[str, Any] = {
            "width": profile.width,
            "zero_init_residual": profile.zero_init_residual,
            "decoder_norm": profile.decoder_norm,
            "flow_width": profile.flow_width,
            "half_resolution": profile.half_resolution,
        }
        sizes |= {
            name: encoder_weights(profile, paper[of], world)
            for of, name in WEIGHTS.items()
            if of not in started and paper.get(of) in profile.weights
        }
        return arguments(**{k: v for k, v in sizes.items() if k in accepted(model)} | paper | depths)

    def _from_nothing(self, paper: dict[str, Any]) -> Schedule:
        """The schedule of a network that starts from nothing trained here: from the profile's weights, or from none."""
        has_weights = any(paper.get(depth) in self.profile.weights for depth in DEPTHS)
        return self.profile.encoder if has_weights else self.profile.scratch

    def _pretraining(self, start: InitialWeights, paper: dict[str, Any], seed: int) -> Train:
        """The training that a row starts from; where that is a row of its own, they are the same stage."""
        if start.network == "flownet" or start.depth is None:
            return self._flownet(seed)
        depth = paper[start.depth]
        name = "MultiTask" if start.network == "multi_task" else "SingleTask"
        values = self._sized(start.network, {"depth": depth})
        title = self._title(f"D{depth}-{name}", seed)
        p = self.profile
        return Train(
            title,
            start.network,
            values,
            self.train_data,
            seed,
            self._from_nothing({"depth": depth}),
            augmentation=p.augmentation,
            last_epochs=p.last_epochs,
            precision=p.precision,
        )

    def _flownet(self, seed: int) -> Train:
        data = self._flow_data("train", self.profile.flow_clips)
        weights = flownet_weights(self.profile, data.source.name)
        values = arguments(
            width=self.profile.flow_width,
            half_resolution=self.profile.half_resolution,
            **({} if weights is None else {"weights": weights}),
        )
        title = f"{data.source.name} FlowNet-S, seed {seed}"
        return Train(title, "flownet", values, data, seed, self.profile.flow, precision=self.profile.precision)

    def _flow_data(self, split: Split, clips: int) -> Data:
        """Pairs of frames with exact flow, of the world that is like the data, of the same size and as far apart."""
        shown = self.test_data.source
        world: DataName = shown.world
        source = Source(world, split, shown.height, shown.width, "video", FLOW, clips, shown.stride)
        return Data(f"flow {world} {split}", source, 2)
