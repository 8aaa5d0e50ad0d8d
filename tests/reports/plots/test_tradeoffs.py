"""The Pareto front against its definition; labels of points keep clear of each other."""

from __future__ import annotations

from dataclasses import replace
from html import escape
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.grids.multi_task import TABLE2
from experiments.profiles import SMOKE
from experiments.results import RowResult, Value
from experiments.runs import embedded_plan
from reports.plots.drawing import DrawnPlots
from reports.plots.scatter import Point, pareto, place_labels
from reports.plots.tradeoffs import tradeoff_figures
from reports.tables.build_table import make_table
from reports.tables.table import COST, Cell

POINTS = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=9)


@given(POINTS, st.booleans())
def test_the_front_is_what_no_other_row_beats(numbers: list[tuple[int, int]], higher: bool) -> None:
    points = [Point(str(i), accuracy, cost) for i, (cost, accuracy) in enumerate(numbers)]
    sign = 1 if higher else -1

    def beats(a: Point, b: Point) -> bool:
        better, cheaper = sign * (a.y - b.y), b.cost - a.cost
        return better >= 0 and cheaper >= 0 and (better > 0 or cheaper > 0)

    wanted = {p.label for p in points if not any(beats(other, p) for other in points)}  # of equal ones, all
    front = pareto(points, higher=higher)
    assert {p.label for p in front} == wanted
    assert [p.cost for p in front] == sorted(p.cost for p in front)


PLACES = st.tuples(st.floats(100, 130), st.floats(60, 90))


@given(st.lists(PLACES, min_size=11, max_size=11))
def test_labels_of_eleven_close_points_do_not_overlap(points: list[tuple[float, float]]) -> None:
    size = (282.0, 168.0)
    dots = [(x - 4, y - 4, x + 4, y + 4) for x, y in points]
    boxes = place_labels(points, [11.0] * 11, dots, size)
    for a, b in combinations(boxes, 2):
        assert a[2] <= b[0] + 1e-9 or b[2] <= a[0] + 1e-9 or a[3] <= b[1] + 1e-9 or b[3] <= a[1] + 1e-9
    for left, low, right, high in boxes:
        assert left >= 0
        assert low >= 0
        assert right <= size[0]
        assert high <= size[1]


def test_a_lone_label_stands_beside_its_point() -> None:
    ((left, low, right, high),) = place_labels([(50.0, 50.0)], [20.0], [(46, 46, 54, 54)], (100.0, 100.0))
    assert not (left < 54 and right > 46 and low < 54 and high > 46)  # not upon it
    assert np.hypot((left + right) / 2 - 50, (low + high) / 2 - 50) < 25


def test_a_point_needs_a_cost() -> None:
    with pytest.raises(ValueError, match="A has no cost"):
        _ = Point("A", 1.0).cost


def test_rows_of_a_large_table_have_one_number_in_all_plots() -> None:
    plan = embedded_plan(TABLE2, SMOKE)
    value = Value(0.3, None, 1, (0.3,), None)
    known = ("MTAN*", "MILA")
    results = [
        RowResult(row, {"miou": value} if row.published in known else {}, "", None, (), (), None) for row in plan.rows
    ]
    table = make_table(plan, results)
    lines = (replace(line, measured={**line.measured, COST: Cell(50.0 + i)}) for i, line in enumerate(table.lines))
    figures = {figure.name: figure for figure in tradeoff_figures(replace(table, lines=tuple(lines)), DrawnPlots())}
    of_paper = {f"tradeoff-{what}-published" for what in ("miou", "depth-abs", "delta-mtl")}
    assert set(figures) == {"tradeoff-miou-measured", *of_paper}
    for name, figure in figures.items():
        shown = [row for row in plan.rows if f">{escape(row.label)}<" in figure.svg]
        assert [row.published for row in shown] == (
            ["MTAN*", "MILA"] if name.endswith("measured") else [row.published for row in plan.rows if row.published]
        )
        assert figure.svg.count(">4</text>") >= 2  # MTAN*: at its point and in the list
        assert figure.svg.count(">9</text>") >= 2  # MILA
