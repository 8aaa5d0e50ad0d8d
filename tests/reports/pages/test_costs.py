"""The page of costs, on numbers that nobody counted."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path

import pytest

from experiments.costs.rows import row_cost, row_memory, row_split
from experiments.costs.values import CONVENTIONS, COSTED, REMEMBERED
from experiments.grids.ablations import TABLE4
from experiments.grids.multi_task import TABLE2
from reports.pages.costs import anchor, read_counted, write_costs
from tests.support.fake_costs import CELLS, COSTS, MEMORIES, NASTY, SPLITS


@pytest.fixture
def out(tmp_path: Path) -> Path:
    assert write_costs(CELLS, COSTS, SPLITS, MEMORIES, tmp_path) == tmp_path / "costs.html"
    return tmp_path


def text_of(html: str) -> str:
    return " ".join(re.sub(r"<[^>]*>", " ", html).split())


def row_of(page: str, place: str) -> str:
    found = re.search(rf'<tr id="{place}">(.*?)</tr>', page, re.DOTALL)
    assert found, place
    return text_of(found[1])


def test_an_audited_cell(out: Path) -> None:
    page = (out / "costs.html").read_text()
    assert row_of(page, anchor(2, "D101-MultiTask")) == "D101-MultiTask 93 93.26 +0.26 yes 134.00 –"
    assert row_of(page, anchor(2, "MTAN*")).startswith("MTAN* 161 150.49 −10.51 no 191.00 10.5 lacking.")
    assert row_of(page, anchor(7, "ila", "convolutions", "256x512")) == "ILA, 256 × 512 1 1 +0 yes 1 –"
    assert "3 of 5 published costs agree within rounding" in page
    assert text_of(page).count(f"How it is counted: {CONVENTIONS[7, 'GFLOPs']}".replace("'", "&#39;")) == 1
    assert NASTY not in page


def test_parts_add_up_and_kinds_of_frames_stand_apart(out: Path) -> None:
    rows = list(csv.DictReader(io.StringIO((out / "costs" / "split-table2.csv").read_text())))
    assert [(r["row"], r["frames"], r["whole (GFLOPs)"]) for r in rows] == [
        ("D101-MultiTask", "average", "130.5"),
        (f"MILA {NASTY}", "average", "79"),  # (138 + 4 x 64.25) / 5
        (f"MILA {NASTY}", "keyframe", "138"),
        (f"MILA {NASTY}", "other frames", "64.25"),
    ]
    for row in rows:
        parts = [float(row[f"{part} (GFLOPs)"]) for part in ("encoder", "propagation", "decoders")]
        assert sum(parts) == pytest.approx(float(row["whole (GFLOPs)"]))
    page = (out / "costs.html").read_text()
    assert page.count('href="costs/split-table2.svg"') == 1
    assert "fusion" not in rows[0]  # no row has any


def test_anchors_differ() -> None:
    cells = [("MTAN*", ""), ("MTAN", ""), ("MultiNet++", ""), ("MultiNet", ""), ("MILA", ""), ("MILA w/o TS", "")]
    assert len({anchor(1, row, "GFLOPs", size) for row, size in cells}) == len(cells)
    sizes = {
        anchor(7, "ila", column, size) for column in ("GFLOPs", "convolutions") for size in ("256x512", "1024x2048")
    }
    assert len(sizes) == 4
    assert all(re.fullmatch(r"[a-z0-9-]+", place) for place in sizes)


def test_unprinted_costs_and_memory(out: Path) -> None:
    page = text_of((out / "costs.html").read_text())
    assert "Global 5 140.38 52.64 70.19 176.02 66.01 88.01 83.8" in page
    assert "MILA (ours) 335.3 81.9 79.8 18.8" in page


def test_sheet_holds_every_number(out: Path) -> None:
    rows = list(csv.DictReader(io.StringIO((out / "costs.csv").read_text())))
    assert len(rows) == len(CELLS) + 4 + 4
    assert rows[1]["published"] == "161"
    assert rows[1]["within_rounding"] == "no"
    assert float(rows[1]["difference"]) == pytest.approx(-10.51)
    assert rows[1]["how"] == CONVENTIONS[2, "GFLOPs"]
    averages = [r for r in rows if r["quantity"] == "GFLOPs, average"]
    assert [(r["row"], r["measured_as_published"], r["measured_complete"]) for r in averages] == [
        ("Global", "70.19", "88.01")
    ]
    state = [r for r in rows if r["quantity"] == "memory (MB), state"]
    assert [(r["row"], float(r["measured_complete"])) for r in state] == [("MILA (ours)", 18.8)]


def test_counted_costs_are_read_back(out: Path, tmp_path: Path) -> None:
    assert read_counted(out, 2) == {"D101-MultiTask": 93.26, "MTAN*": 150.49}
    assert read_counted(tmp_path / "nothing", 2) == {}


def test_same_numbers_give_the_same_bytes(out: Path, tmp_path: Path) -> None:
    write_costs(CELLS, COSTS, SPLITS, MEMORIES, tmp_path / "again")
    for name in ("costs.html", "costs.csv", "costs.json"):
        assert (tmp_path / "again" / name).read_bytes() == (out / name).read_bytes()


def test_the_ablations_that_are_counted() -> None:
    intervals = {dict(row.arguments).get("keyframe_interval", 5) for grid in COSTED for row in grid.rows}
    assert {5, 10} <= intervals
    assert {row.label for row in TABLE4.rows} >= {"3 × 3", "Global"}
    assert TABLE4 in COSTED
    assert TABLE2 in REMEMBERED


@pytest.mark.slow
def test_a_row_is_counted_at_the_paper_s_size() -> None:
    row = next(row for row in TABLE2.rows if row.label == "D101-MultiTask")
    found = row_cost(TABLE2, row)
    assert found.published.gflops == pytest.approx(93.26, abs=0.006)
    assert found.complete.gflops > found.published.gflops
    assert (found.interval, found.published_row) == (1, "D101-MultiTask")
    parts = row_split(TABLE2, row).cost.parts
    assert sum(share.average for share in parts.values()) == pytest.approx(found.complete.average)
    kept = row_memory(TABLE2, row).memory
    assert kept.state == 0
    assert kept.parameters == pytest.approx(4e-6 * found.complete.parameters, rel=0.01)  # and the buffers
