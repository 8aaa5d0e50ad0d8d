"""Claims: the statements on made-up numbers, and the ledger's verdicts on the paper's own tables."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.collect import manifest_of
from experiments.commands.claims import judge
from experiments.costs.latency import LatencyRecord, LatencyRow
from experiments.costs.values import Cell, RowCost
from experiments.grids.multi_task import TABLE1, TABLE2
from experiments.grids.propagation import TABLE6
from experiments.plan import make_plan
from experiments.profiles import SMOKE
from experiments.results import RowResult, Value
from experiments.runs import Runs, embedded_plan
from experiments.store import Store
from mila.cost.conventions import Cost
from mila.cost.latency import Latency, Times
from reports.claims.all_claims import CLAIMS
from reports.claims.sources import counted, measured, published, timed
from reports.claims.statements import (
    Adds,
    At,
    Number,
    Ranks,
    Saves,
    Similar,
    Source,
    Statement,
    Takes,
    Verdict,
    Widens,
    together,
)
from reports.pages.claims import write_claims
from reports.pages.costs import read_costs, write_costs
from reports.provenance import about
from reports.published.numbers import PublishedCell
from tests.support.fake_results import fill

A, B, C, D = (At(2, "cityscapes", row, "miou") for row in "ABCD")
COST_A, COST_B, COST_C = (At(2, "cityscapes", row, "gflops") for row in "ABC")


def exact(numbers: dict[At, float]) -> Source:
    return {cell: Number(value, f"{value:g}") for cell, value in numbers.items()}.get


def seeds(numbers: dict[At, tuple[float, float | None]], n: int = 3) -> Source:
    return {cell: Number(value, f"{value:g}", std, n) for cell, (value, std) in numbers.items()}.get


def verdict(statement: Statement, source: Source) -> Verdict | None:
    finding = statement.judge(source)
    return None if finding is None else finding.verdict


def test_a_saving_is_rounded_as_it_is_said() -> None:
    saves = Saves("", COST_A, (COST_B,), 54)
    finding = saves.judge(exact({COST_A: 70, COST_B: 151}))
    assert finding is not None
    assert finding.text == "1 − 70 / 151 = 53.6 % saved, 46.4 % remain"
    assert finding.verdict == "holds"
    assert verdict(saves, exact({COST_A: 40, COST_B: 151})) == "more than said"
    assert verdict(saves, exact({COST_A: 72, COST_B: 151})) == "less than said"
    assert verdict(Saves("", COST_A, (COST_B,), 46, exact=True), exact({COST_A: 70, COST_B: 151})) == "does not hold"


def test_of_several_savings_the_most_counts() -> None:
    finding = Saves("", COST_A, (COST_B, COST_C), 50).judge(exact({COST_A: 10, COST_B: 20, COST_C: 8}))
    assert finding is not None
    assert finding.verdict == "holds"
    assert finding.text.endswith("(B, the most; the least: C, −25.0 %)")


def test_a_share() -> None:
    assert verdict(Takes("", COST_A, COST_B, 4), exact({COST_A: 0.2, COST_B: 5.4})) == "holds"
    assert verdict(Takes("", COST_A, COST_B, 4), exact({COST_A: 5.4, COST_B: 108})) == "does not hold"


def test_what_is_added_has_a_stated_limit() -> None:
    finding = Adds("", COST_A, COST_B, 10).judge(exact({COST_A: 70, COST_B: 48}))
    assert finding is not None
    assert finding.text == "70 / 48: +45.8 % (read as: 10 % at most)"
    assert finding.verdict == "does not hold"
    assert verdict(Adds("", COST_A, COST_B, 10), exact({COST_A: 11, COST_B: 10})) == "holds"
    assert verdict(Adds("", COST_A, COST_B, 10), exact({COST_A: 9, COST_B: 10})) == "holds"


def test_one_seed_cannot_tell_and_says_so() -> None:
    one = seeds({A: (3.0, None), B: (2.0, None), C: (2.5, None), D: (1.0, None)}, n=1)
    for statement in (Ranks("", A, (B,)), Similar("", A, (B,), 0.5), Widens("", (A, B), (C, D))):
        finding = statement.judge(one)
        assert finding is not None
        assert finding.verdict == "cannot tell"
        assert "n = 1" in finding.text
        assert "one seed has no spread" in finding.text


def test_places_of_exact_numbers() -> None:
    numbers = exact({A: 64.3, B: 64.5, C: 64.2})
    assert verdict(Ranks("", A, (B, C)), numbers) == "does not hold"
    assert verdict(Ranks("", A, (B, C), 2), numbers) == "holds"
    assert verdict(Ranks("", A, (C,)), numbers) == "holds"
    assert verdict(Ranks("", A, (C,)), exact({A: 1.0, C: 1.0})) == "in part"
    assert verdict(Ranks("", COST_A, (COST_B,)), exact({COST_A: 1, COST_B: 2})) == "holds"  # less is better


def test_places_with_spreads() -> None:
    rank = Ranks("", A, (B, C))
    assert verdict(rank, seeds({A: (3.0, 0.2), B: (2.0, 0.2), C: (1.0, 0.2)})) == "holds"
    assert verdict(rank, seeds({A: (2.3, 0.2), B: (2.0, 0.2), C: (1.0, 0.2)})) == "cannot tell"
    assert verdict(rank, seeds({A: (2.0, 0.2), B: (3.0, 0.2), C: (1.0, 0.2)})) == "does not hold"
    # Behind one for certain, so first place is lost whatever the other is.
    assert verdict(rank, seeds({A: (2.0, 0.2), B: (3.0, 0.2), C: (2.0, 0.2)})) == "does not hold"
    assert verdict(rank, seeds({A: (3.0, None), B: (2.0, None), C: (1.0, None)}, n=1)) == "cannot tell"


@given(st.floats(-10, 10), st.floats(-10, 10), st.floats(0, 3), st.floats(0, 3), st.sampled_from(["miou", "depth_abs"]))
def test_two_rows_are_told_apart_as_in_the_tables(a: float, b: float, s: float, t: float, metric: str) -> None:
    first, second = (At(2, "cityscapes", row, metric) for row in "AB")
    found = verdict(Ranks("", first, (second,)), seeds({first: (a, s), second: (b, t)}))
    lead = (a - b) * (-1 if metric == "depth_abs" else 1)
    if s + t > 0:
        assert found == ("cannot tell" if abs(lead) <= s + t else "holds" if lead > 0 else "does not hold")
    else:
        assert found == ("in part" if lead == 0 else "holds" if lead > 0 else "does not hold")


def test_similar_has_a_stated_limit() -> None:
    similar = Similar("", A, (B, C), 0.5)
    finding = similar.judge(exact({A: 64.0, B: 64.2, C: 63.4}))
    assert finding is not None
    assert finding.text == "64; C 63.4: −0.6 (read as: within 0.5)"
    assert finding.verdict == "does not hold"
    assert verdict(similar, exact({A: 64.0, B: 64.2, C: 63.6})) == "holds"
    assert verdict(similar, seeds({A: (64.0, 0.2), B: (64.1, 0.2), C: (63.4, 0.2)})) == "cannot tell"
    assert verdict(similar, seeds({A: (64.0, 0.1), B: (64.1, 0.1), C: (64.0, 0.1)})) == "holds"
    assert verdict(Similar("", COST_A, (COST_B,), 0.0), exact({COST_A: 7.0, COST_B: 7.0})) == "holds"


def test_widening() -> None:
    widens = Widens("", (A, B), (C, D))
    assert verdict(widens, exact({A: 73.2, B: 72.1, C: 72.1, D: 69.8})) == "holds"
    assert verdict(widens, exact({A: 73.2, B: 72.1, C: 70.0, D: 69.8})) == "does not hold"
    small = {A: (73.2, 0.1), B: (72.1, 0.1), C: (72.1, 0.1), D: (69.8, 0.1)}
    assert verdict(widens, seeds(small)) == "holds"
    assert verdict(widens, seeds({**small, D: (69.8, 1.0)})) == "cannot tell"
    ratio = Widens("", (COST_A, COST_B), (COST_C, COST_B), ratio=True)
    finding = ratio.judge(exact({COST_A: 2, COST_B: 8, COST_C: 4}))
    assert finding is not None
    assert (finding.text, finding.verdict) == ("4.0 ×, then 2.0 ×", "does not hold")


def test_a_missing_number_gives_no_finding() -> None:
    assert Ranks("", A, (B,)).judge(exact({A: 1.0})) is None


@pytest.mark.parametrize(
    ("parts", "whole"),
    [
        (["holds", "holds"], "holds"),
        (["holds", "more than said"], "holds"),
        (["holds", "does not hold"], "in part"),
        (["does not hold", "does not hold"], "does not hold"),
        (["holds", "no run yet"], "no run yet"),
        (["holds", "cannot tell"], "cannot tell"),
        (["less than said", "no run yet"], "in part"),
        ([], None),
    ],
)
def test_a_claim_is_the_sum_of_its_parts(parts: list[Verdict], whole: Verdict | None) -> None:
    assert together(parts) == whole


def by_words(words: str) -> list[Verdict | None]:
    """The verdicts of the paper's own tables on the parts of the one claim with these words."""
    (claim,) = [claim for claim in CLAIMS if words in claim.says]
    return [verdict(s, published) for s in claim.statements]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("by up to 70%” on two", ["holds"]),
        ("up to 90% of FLOPs", ["more than said"] * 2 + ["holds"] * 6),
        ("on-par accuracy", ["less than said", "holds"]),
        ("54% reduction", ["holds", "more than said", "holds", "holds"]),
        ("saving 70% of computational", ["holds"]),
        ("saves 46%", ["does not hold"]),
        ("saving 48%", ["holds"] * 4),
        ("reduces 25%", ["less than said", "holds", "holds", "holds"]),
        ("ranking the 2nd for mIOU", ["in part", "holds", "holds", "holds"]),
        ("more evident when the input size is larger", ["does not hold"] * 2),
        ("takes only 4%", ["holds", "does not hold"]),
        ("more evident in the higher keyframe interval", ["holds"] * 3),
        ("is much faster", ["holds", "holds", None, *["holds"] * 6]),
        ("with minimal computations", ["does not hold"] * 4),
        ("is faster than optical flow", ["holds", "does not hold"]),
        ("a small increase in GFLOPs", ["holds", "holds", "does not hold", "does not hold"]),
        ("heavy task-specific layers", ["holds"] * 4),
        ("robust to non-keyframes", [None] * 4),
        ("combining L1 loss", ["holds", "in part"]),
        ("slightly worse performance for normal", ["holds"] * 5),
        ("different weighting strategies", ["holds"] * 2),
        ("originally reported", ["holds"] * 6),
    ],
)
def test_the_paper_s_tables_on_its_claims(words: str, expected: list[Verdict | None]) -> None:
    assert by_words(words) == expected


def test_every_part_names_printed_cells_or_says_why_not() -> None:
    for claim in CLAIMS:
        for statement in claim.statements:
            for cell in statement.cells:
                unprinted = (
                    cell.metric == "latency"
                    or "@" in cell.metric
                    or cell.row in ("Concatenation", "Optical flow, warping")
                    or (cell.metric == "gflops" and cell.table in (3, 4, 6))
                )
                assert (published(cell) is None) == unprinted, cell


def test_every_claim_with_a_number_that_was_asked_for_is_there() -> None:
    said = " ".join(claim.says for claim in CLAIMS)
    for number in ("54%", "46%", "70%", "90%", "48%", "25%", "4%"):
        assert number in said


def cell(row: str, text: str, measured: float, complete: float) -> Cell:
    return Cell(2, row, "GFLOPs", "256x512", PublishedCell(text), measured, complete)


CELLS = [
    cell("D101-MultiTask", "93", 93.26, 134.0),
    cell("MTAN*", "161", 150.5, 191.0),
    cell("MILA", "70", 70.2, 79.0),
    Cell(7, "ila", "GFLOPs", "256x512", PublishedCell("0.2"), 0.34, 0.39),
]


def row_cost(label: str, row: str, average: float) -> RowCost:
    published, complete = (Cost(x, x, x, 1, 1, {}) for x in (average * 1e9, 2e9 * average))
    return RowCost("table3", label, row, 5, published, complete)


def test_counted_costs_are_found_by_published_names(tmp_path: Path) -> None:
    variant = "MILA ablation of losses / D101-18 / ila"
    costs = [row_cost("ILA", variant, 47.9)]
    write_costs(CELLS, costs, [], [], tmp_path)
    as_published, complete = (counted(read_costs(tmp_path), complete=whole) for whole in (False, True))
    found = as_published(At(2, "cityscapes", "MILA", "gflops"))
    assert found is not None
    assert (found.value, found.text, found.n) == (70.2, "70.2", 0)
    module = complete(At(7, "", "feature propagation module / ila / 256x512", "gflops"))
    assert module is not None
    assert module.value == 0.39
    extra = complete(At(3, "cityscapes", variant, "gflops"))
    assert extra is not None
    assert extra.value == pytest.approx(95.8)
    assert as_published(At(1, "nyuv2", "MILA", "gflops")) is None


def runs(**values: tuple[float, float | None]) -> Runs:
    """Table 2 with made-up mIoU of some rows, by published name without its star."""
    plan = embedded_plan(TABLE2, SMOKE)
    results = []
    for row in plan.rows:
        known = values.get((row.published or "").replace("*", ""))
        value = None if known is None else Value(known[0], known[1], 3 if known[1] else 1, (known[0],), None)
        results.append(RowResult(row, {} if value is None else {"miou": value}, "", None, (), (), None))
    return Runs(plan, tuple(results))


def test_scores_are_in_the_printed_units() -> None:
    source = measured([runs(MILA=(0.31, 0.02))])
    found = source(At(2, "cityscapes", "MILA", "miou"))
    assert found is not None
    assert (found.value, found.std, found.n) == (pytest.approx(31), pytest.approx(2), 3)
    assert str(found) == "31 ± 2 (n = 3)"
    assert source(At(2, "cityscapes", "MILA", "miou@last")) is None  # of one offset
    assert source(At(2, "cityscapes", "MTAN*", "miou")) is None


def test_scores_at_the_ends_of_an_interval_and_of_rows_that_are_not_printed() -> None:
    plan = embedded_plan(TABLE6[0], SMOKE)
    value = Value(0.25, 0.02, 3, (0.3, 0.24, 0.21), (0.01, 0.02, 0.03))
    results = tuple(RowResult(row, {"miou": value}, "", None, (), (), None) for row in plan.rows)
    source = measured([Runs(plan, results)])
    first, last = (source(At(6, "cityscapes", "Optical flow, warping", f"miou@{end}")) for end in ("first", "last"))
    assert str(first) == "30 ± 1 (n = 3)"
    assert str(last) == "21 ± 3 (n = 3)"
    assert At(2, "cityscapes", "MILA", "depth_abs@last").lower
    assert At(2, "cityscapes", "MILA", "miou@last").name == "MILA (offset K − 1)"


def test_times_are_told_apart_by_their_quartiles() -> None:
    def row(name: str, median: float, upper: float) -> LatencyRow:
        times = Times(median, 0.9 * median, upper, 9)
        return LatencyRow(
            "table4", name, f"MILA window / D101-18 / {name}", 64, 128, 5, 1, 1, Latency(times, None, times, None)
        )

    rows = (row("3x3", 0.010, 0.011), row("5x5", 0.0125, 0.013), row("7x7", 0.020, 0.030))
    source = timed(LatencyRecord("quick", "cpu", 9, 1, 10, "", None, "", {}, rows))
    small, middle, large = (
        At(4, "cityscapes", f"MILA window / D101-18 / {w}", "latency") for w in ("3x3", "5x5", "7x7")
    )
    assert str(source(small)) == "10 ms ± 1"
    assert verdict(Ranks("", small, (middle,)), source) == "holds"  # 10 ± 1 and 12.5 ± 1.25
    assert verdict(Ranks("", middle, (large,)), source) == "cannot tell"  # 20 ± 10
    assert source(At(2, "cityscapes", "MILA", "latency")) is None
    assert source(At(4, "cityscapes", "MILA window / D101-18 / 3x3", "miou")) is None


@pytest.fixture
def out(tmp_path: Path) -> Path:
    write_costs(CELLS, [], [], [], tmp_path)
    run = runs(MILA=(0.31, 0.02), MTAN=(0.25, 0.01))
    write_claims([run], [], about(run.plan, manifest_of(run.plan.test_data, Store(tmp_path / "store"))), tmp_path)
    return tmp_path


def test_page_and_sheet(out: Path) -> None:
    rows = list(csv.DictReader(io.StringIO((out / "claims-smoke.csv").read_text())))
    parts = {(r["claim"], r["part"], r["measured_by"]): r for r in rows}
    (mtan,) = [r for (claim, part, _), r in parts.items() if "attention-based" in claim and part == "mIoU, Cityscapes"]
    assert mtan["tables_give"] == "64.3; MTAN* 64.2"
    assert mtan["measured_by"] == "procedural videos, profile smoke"
    assert mtan["measured"] == "31 ± 2 (n = 3); MTAN* 25 ± 1 (n = 3)"
    assert mtan["measured_verdict"] == "holds"
    costs = [r for (claim, part, _), r in parts.items() if "attention-based" in claim and part == "Cityscapes: MTAN*"]
    assert [(r["measured_by"], r["measured_verdict"]) for r in costs] == [
        ("counted as published", "less than said"),
        ("counted complete", "more than said"),
    ]
    assert any(r["measured_verdict"] == "no run yet" and "reproduce-table5" in r["measured"] for r in rows)
    assert sum(len(claim.statements) for claim in CLAIMS) <= len(rows)
    page = (out / "claims-smoke.html").read_text()
    assert "not on NYUd v2 or Cityscapes" in page
    assert 'href="costs.html#t2-mila"' in page


def test_page_needs_no_network_and_no_other_file(out: Path) -> None:
    page = (out / "claims-smoke.html").read_text()
    targets = re.findall(r"""(?:src|href)\s*=\s*["']([^"'#]*)""", page)
    assert set(targets) <= {"", "index.html", "costs.html", "latency.html", "claims-smoke.csv"}
    assert not re.search(r"<(link|iframe|img)|@import|https?://", page)
    assert 'href="claims-smoke.html"' in (out / "index.html").read_text()


def test_what_is_not_counted_or_run_says_how(tmp_path: Path) -> None:
    plan = embedded_plan(TABLE2, SMOKE)
    page = judge(plan, Store(tmp_path / "store"), tmp_path)
    assert page == tmp_path / "reports" / "claims-smoke.html"
    rows = list(csv.DictReader(io.StringIO(page.with_suffix(".csv").read_text())))
    said = {r["measured"] for r in rows}
    assert {r["measured_verdict"] for r in rows} == {"no run yet"}
    assert "no run yet: nox -s reproduce-costs" in said
    assert "no run yet: nox -s reproduce-table2" in said
    assert 'href="costs.html' not in page.read_text()  # there is no such page


def test_claims_on_real_data_stand_apart(nyu: Path, tmp_path: Path) -> None:
    plan = make_plan(TABLE1, SMOKE, "nyuv2", mode="still", root=nyu, seeds=(0, 1))
    store = Store(tmp_path / "store")
    fill(store, plan)
    page = judge(plan, store, tmp_path)
    assert page == tmp_path / "reports" / "claims-nyuv2-still-smoke.html"
    text = page.read_text()
    assert "Accuracy is measured on real images: NYUd v2" in text
    assert "procedural" not in text
    rows = list(csv.DictReader(io.StringIO(page.with_suffix(".csv").read_text())))
    ours = [r for r in rows if r["measured_by"] == "NYUd v2, real images, profile smoke"]
    assert any("(n = 2)" in r["measured"] for r in ours)
    said = {r["measured"] for r in rows}
    assert "about Cityscapes, not about NYUd v2" in said
    assert "no run yet: nox -s reproduce-table6 -- --data nyuv2 --data-root FOLDER" in said
    judge(embedded_plan(TABLE2, SMOKE), store, tmp_path)
    names = {path.name for path in (tmp_path / "reports").glob("claims*.html")}
    assert names == {page.name, "claims-smoke.html"}


def test_the_claims_are_about_the_usual_runs(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    validation = make_plan(TABLE2, SMOKE, "street", mode="video", split="val")
    augmented = embedded_plan(TABLE2, replace(SMOKE, augmentation="mtan"))
    assert judge(validation, store, tmp_path) is judge(augmented, store, tmp_path) is None
    assert not (tmp_path / "reports").exists()
