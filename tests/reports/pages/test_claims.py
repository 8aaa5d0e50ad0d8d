"""The page of claims."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import replace
from pathlib import Path

import pytest

from experiments.collect import manifest_of
from experiments.commands.claims import judge
from experiments.grids.multi_task import TABLE1, TABLE2
from experiments.plan import make_plan
from experiments.profiles import SMOKE
from experiments.runs import embedded_plan
from experiments.store import Store
from reports.claims.all_claims import CLAIMS
from reports.pages.claims import write_claims
from reports.pages.costs import write_costs
from reports.provenance import about
from tests.support.fake_claims import CELLS, runs
from tests.support.fake_results import fill


@pytest.fixture
def out(tmp_path: Path) -> Path:
    write_costs(CELLS, [], [], [], tmp_path)
    run = runs(MILA=(0.29, 0.31, 0.33), MTAN=(0.25, 0.24, 0.26))
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
    measured = {r["measured"] for r in rows}
    assert {r["measured_verdict"] for r in rows} == {"no run yet"}
    assert "no run yet: nox -s reproduce-costs" in measured
    assert "no run yet: nox -s reproduce-table2" in measured
    assert 'href="costs.html' not in page.read_text()  # there is no such page


@pytest.mark.slow
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
    measured = {r["measured"] for r in rows}
    assert "about Cityscapes, not about NYUd v2" in measured
    assert "no run yet: nox -s reproduce-table6 -- --data nyuv2 --data-root FOLDER" in measured
    judge(embedded_plan(TABLE2, SMOKE), store, tmp_path)
    names = {path.name for path in (tmp_path / "reports").glob("claims*.html")}
    assert names == {page.name, "claims-smoke.html"}


def test_the_claims_are_about_the_usual_runs(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    validation = make_plan(TABLE2, SMOKE, "street", mode="video", split="val")
    augmented = embedded_plan(TABLE2, replace(SMOKE, augmentation="mtan"))
    assert judge(validation, store, tmp_path) is judge(augmented, store, tmp_path) is None
    assert not (tmp_path / "reports").exists()
