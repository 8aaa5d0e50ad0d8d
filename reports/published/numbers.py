"""The paper's own numbers, as printed, from `published/published.csv`."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

from experiments.grids.grid import Grid
from mila.tasks import NYUV2

_FILE = Path(__file__).with_name("published.csv")
_NAMES = ("model", "backbone", "k", "variant", "input")


@dataclass(frozen=True)
class PublishedCell:
    """One printed number.

    Attributes:
        text: as printed, with its decimals; its unit is the metric's printed unit (`mila.tasks.Metric`).
    """

    text: str

    @property
    def value(self) -> float:
        """The number, in the printed unit."""
        return float(self.text)

    @property
    def decimals(self) -> int:
        """Digits behind the point."""
        return len(self.text.partition(".")[2])


def read_published(table: int, dataset: str, path: Path = _FILE) -> dict[str, dict[str, PublishedCell]]:
    """The cells of one table by row and metric.

    A row is named by its model; where a table tells rows apart by backbone, K, variant or input size as well, these
    follow after ` / `.

    Raises:
        ValueError: the file holds the same cell twice.
    """
    cells: dict[str, dict[str, PublishedCell]] = {}
    with path.open(newline="", encoding="utf-8") as file:
        for line in csv.DictReader(file):
            if line["table"] != str(table) or line["dataset"] != dataset:
                continue
            row = cells.setdefault(" / ".join(line[name] for name in _NAMES if line[name]), {})
            if line["metric"] in row:
                raise ValueError(f"{path}: table {table} has {line['metric']} of {line['model']!r} twice")
            row[line["metric"]] = PublishedCell(line["value"])
    return cells


def dataset_of(grid: Grid) -> str:
    """A grid's data set as `published.csv` names it."""
    return "nyuv2" if grid.suite == NYUV2 else "cityscapes"


def module_name(row: str) -> str:
    """What a propagation is called in print, of its name in `published.csv`."""
    return row.upper() if row in ("svc", "ila") else row
