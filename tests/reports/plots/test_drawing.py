"""Files of plots, and plots that are not drawn again."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from matplotlib.backends.backend_svg import FigureCanvasSVG

from experiments.store import Store
from reports.report import Report, build_report
from tests.support.fake_results import fill, plan_of


def test_plots_have_files(reports: list[Report]) -> None:
    folder = reports[0].page.with_suffix("")
    metrics = ("depth-abs", "miou", "normal-mean")
    over_cost = (*metrics, "delta-mtl")
    assert {path.stem for path in folder.glob("*.svg")} == {
        "cost",
        *(f"offset-{m}" for m in metrics),
        *(f"tradeoff-{m}-{what}" for m in over_cost for what in ("measured", "published")),
    }
    assert {path.stem for path in folder.glob("*.csv")} == {path.stem for path in folder.glob("*.svg")} | {"order"}
    lines = list(csv.DictReader(io.StringIO((folder / "offset-miou.csv").read_text())))
    mila = [line for line in lines if line["row"] == "MILA (ours)"]
    assert [line["offset"] for line in mila] == ["0", "1", "2", "3", "4"]
    assert [float(line["miou (%)"]) for line in mila] == pytest.approx([31.5, 31.6, 31.7, 31.8, 31.9])
    assert "Constant predictor" not in {line["row"] for line in lines}
    cost = list(csv.DictReader(io.StringIO((folder / "cost.csv").read_text())))
    assert cost[9] == {"row": "MILA (ours)", "published GFLOPs": "70", "measured GFLOPs": "42.25"}


@pytest.mark.slow
def test_plots_that_did_not_change_are_not_drawn_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan, store, out = plan_of(0, 1), Store(tmp_path / "store"), tmp_path / "out"
    fill(store, plan)
    page = build_report(plan, store, out).page

    def files() -> dict[str, bytes]:
        return {str(path.relative_to(out)): path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()}

    drawn = []
    draw: Callable[..., None] = FigureCanvasSVG.print_svg

    def counted(*args: Any, **words: Any) -> None:
        drawn.append(1)
        draw(*args, **words)

    monkeypatch.setattr(FigureCanvasSVG, "print_svg", counted)
    before = files()
    page.unlink()
    build_report(plan, store, out)
    assert not drawn
    assert files() == before
    # One score less: its row leaves the plots; with it back, all is as it was.
    record = store.folder(plan.rows[-2].evaluations[0][0]) / "record.json"
    away = record.rename(record.with_suffix(".away"))
    build_report(plan, store, out)
    without = files()
    assert drawn
    changed = {Path(name).name for name in before if before[name] != without[name] and name.endswith(".svg")}
    assert "offset-miou.svg" in changed
    assert "cost.svg" not in changed
    assert "tradeoff-miou-published.svg" not in changed
    away.rename(record)
    build_report(plan, store, out)
    assert files() == before
    # A plot that was damaged is drawn anew.
    (out / page.stem / "cost.svg").write_text("<!-- made from nothing -->")
    page.unlink()
    build_report(plan, store, out)
    assert files() == before
