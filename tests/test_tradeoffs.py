"""The Pareto front against its definition."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from reports.tradeoffs import Point, pareto

POINTS = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=9)


@given(POINTS, st.booleans())
def test_the_front_is_what_no_other_row_beats(numbers: list[tuple[int, int]], higher: bool) -> None:
    points = [Point(str(i), cost, accuracy, None) for i, (cost, accuracy) in enumerate(numbers)]
    sign = 1 if higher else -1

    def beats(a: Point, b: Point) -> bool:
        better, cheaper = sign * (a.accuracy - b.accuracy), b.cost - a.cost
        return better >= 0 and cheaper >= 0 and (better > 0 or cheaper > 0)

    wanted = {(p.cost, p.accuracy) for p in points if not any(beats(other, p) for other in points)}
    front = pareto(points, higher=higher)
    assert {(p.cost, p.accuracy) for p in front} == wanted
    assert [p.cost for p in front] == sorted(p.cost for p in front)
