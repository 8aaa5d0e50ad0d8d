"""What a table is: rows of models, and the published cells that they answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from experiments.stages import Arguments
from mila.tasks import Suite


@dataclass(frozen=True)
class Row:
    """One line of a published table.

    Attributes:
        label: as the table prints it.
        published: the row's `model` in `published.csv`.
        model: name in `experiments.models`; None while the suite does not have it.
        encoders: what the model is built on: one slow network trained from the start, or the slow-fast pair that
            starts from multi-task-trained encoders.
        switches: further constructor arguments.
    """

    label: str
    published: str
    model: str | None = None
    encoders: Literal["slow", "pair"] = "slow"
    switches: Arguments = ()


@dataclass(frozen=True)
class Grid:
    """A published table as a grid of runs.

    Attributes:
        name: on the command line.
        table: its number in the paper.
        title: its heading.
        suite: tasks; their metrics are the columns.
        rows: in the paper's order.
        keyframe_interval: K.
    """

    name: str
    table: int
    title: str
    suite: Suite
    rows: tuple[Row, ...]
    keyframe_interval: int = 5
