"""What a table is: rows of models as the paper has them, and the published cells that they answer."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

from experiments.models import DepthName, accepted, file_of
from experiments.stages import Arguments, arguments
from mila.names import WeightingName
from mila.tasks import Suite


@dataclass(frozen=True)
class InitialWeights:
    """Initial weights from a network that is trained first.

    Attributes:
        ours: which part of the row's model takes them.
        network: what is trained first: one network for all tasks, one a task, or FlowNet-S.
        theirs: which part of it gives them.
        depth: the row's argument that says how deep that network is; None for FlowNet-S.
    """

    ours: str
    network: Literal["multi_task", "single_task", "flownet"]
    theirs: str
    depth: DepthName | None = None


PAIR = (
    InitialWeights("slow", "multi_task", "encoder", "slow"),
    InitialWeights("fast", "multi_task", "encoder", "fast"),
    InitialWeights("decoders", "multi_task", "decoders", "fast"),  # they read as many channels
)
"""How the SlowFast models start: from multi-task-trained encoders (appendix A)."""


ALONE: dict[str, Any] = {"multi_frame": False, "task_specific": False}
"""Propagation from keyframes to non-keyframes alone, once for all tasks: Table 2's "MILA w/o MF&TS" ("for fair
comparison", appendix C). Table 3's last row has its numbers, its first those of MultiNet++'s concatenation."""


@dataclass(frozen=True)
class Row:
    """One line of a table.

    Attributes:
        label: as the table prints it.
        published: the row's name in `published.csv`; None for a row that the paper does not have.
        model: name in `experiments.models`.
        arguments: of its constructor, with the paper's depths; a profile replaces these by its own.
        starts: initial weights. A row with any is trained by the profile's schedule for methods, one without by that
            for encoders.
        weighting: of the task losses.
    """

    label: str
    published: str | None
    model: str
    arguments: Arguments = ()
    starts: tuple[InitialWeights, ...] = ()
    weighting: WeightingName = "equal"


def frame_row(
    label: str, published: str | None, model: str, depth: int = 101, starts: tuple[InitialWeights, ...] = ()
) -> Row:
    """A frame-by-frame model on one DeepLab-ResNet."""
    return Row(label, published, model, arguments(depth=depth), starts)


def pair_row(
    label: str,
    published: str | None,
    model: str = "mila",
    *,
    fast: int = 18,
    starts: tuple[InitialWeights, ...] = PAIR,
    weighting: WeightingName = "equal",
    **switches: Any,
) -> Row:
    """A model on the slow-fast pair D101-18, or D101-`fast`."""
    return Row(label, published, model, arguments(slow=101, fast=fast, **switches), starts, weighting)


PAPER_INTERVAL = 5
"""K of the paper's rows that do not say otherwise."""

VisualKind = Literal["attention", "film", "motion"]
"""What can be kept of trained models to be looked at: attention weights and features, predictions along a video, and
how what they carry follows the exact motion (worlds alone)."""


@dataclass(frozen=True)
class Grid:
    """A published table, or a figure of rows of one, as a grid of runs.

    Attributes:
        name: on the command line.
        table: number of the table in the paper whose rows these are.
        title: its heading.
        suite: the paper's tasks.
        rows: in the paper's order.
        keyframe_interval: K of the rows that do not say otherwise.
        stand_in: tasks on an embedded world, where no world has those of `suite`.
        figure: number of the paper's figure that it answers; None for a table.
        visuals: what is kept of its models to be looked at, of those that have it.
        beyond: whether the paper has no such table: rows of this suite's own around a question of table `table`, whose
            printed numbers are not shown.
        split: what is scored where nobody says otherwise: `val` where settings are chosen.
    """

    name: str
    table: int
    title: str
    suite: Suite
    rows: tuple[Row, ...]
    keyframe_interval: int = PAPER_INTERVAL
    stand_in: Suite | None = None
    figure: int | None = None
    visuals: tuple[VisualKind, ...] = ()
    beyond: bool = False
    split: Literal["test", "val"] = "test"

    @property
    def heading(self) -> str:
        """Its place in the paper and its title, and what a user added."""
        place = f"Table {self.table}" if self.figure is None else f"Figure {self.figure}"
        place = f"Beyond {place}" if self.beyond else place
        own = [row.label for row in self.own_rows]
        added = f", with {', '.join(own)}" if own else ""
        if self.has_own_interval:
            added += f", at K = {self.keyframe_interval} (in print: K = {PAPER_INTERVAL})"
        return f"{place}. {self.title}{added}"

    @property
    def own_rows(self) -> tuple[Row, ...]:
        """Those of methods that a user brought in files; see docs/your_own_method.md."""
        return tuple(row for row in self.rows if file_of(row.model) is not None)

    @property
    def longest_interval(self) -> int:
        """The largest K of its rows."""
        own = (dict(row.arguments).get("keyframe_interval", self.keyframe_interval) for row in self.rows)
        return max(self.keyframe_interval, *map(int, own))

    @property
    def has_own_interval(self) -> bool:
        """Whether K of any row is another than the paper's."""
        return self.keyframe_interval != PAPER_INTERVAL and any(map(_takes_interval, self.rows))

    def at(self, interval: int) -> Grid:
        """The grid with another K for the rows that do not say otherwise.

        The same one where all do and it would not make clips shorter either, as in Table 5.
        """
        changed = replace(self, keyframe_interval=interval)
        if changed.longest_interval < self.longest_interval or any(map(_takes_interval, self.rows)):
            return changed
        return self


def _takes_interval(row: Row) -> bool:
    """Whether a row's K is its grid's: its model has one, and the row does not say which."""
    return "keyframe_interval" in accepted(row.model) and "keyframe_interval" not in dict(row.arguments)
