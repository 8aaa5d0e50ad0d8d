"""The page of each stage."""

from __future__ import annotations

import csv
import io
import re
from html import unescape
from pathlib import Path
from typing import Any

from experiments.collect import collect_stages
from experiments.grids.ablations import TABLE10
from experiments.stage_files import describe_files
from experiments.stages import Evaluate, Train, in_order
from experiments.store import Store
from reports.pages.index import read_index
from reports.pages.stage_pages import digests_of, write_stage_pages
from reports.report import Report, build_report
from tests.support.fake_results import NASTY, fill, plan_of


def test_stage_pages_say_what_the_records_say(reports: list[Report]) -> None:
    plan = plan_of(0, 1)
    score = plan.rows[9].evaluations[1][3]
    page = (reports[0].page.parent / "stages" / f"{score.key}.html").read_text()
    text = " ".join(re.sub(r"<[^>]+>", " ", page).split())
    # 0.13 + 9 × 0.02 + 0.01 + 3 × 0.001
    assert "Segmentation: mIoU 32.3 % ↑ 0.323" in text
    assert "Depth: Abs. 45 m × 100 ↓ 0.45" in text
    assert f"Evaluate/{score.key}".lower() in text
    assert "Keyframe offset 3" in text
    assert "Seed 1" in text
    assert "Measured on procedural videos (rooms)" in text
    assert page.count("&lt;script&gt;alert(") == 1  # the processor
    assert "<script>alert" not in page
    assert [score.train.key, score.data.key] == re.findall(r'<a href="(\w+).html">', page)
    cost = plan.rows[9].measure
    assert cost is not None
    text = (reports[0].page.parent / "stages" / f"{cost.key}.html").read_text()
    assert "Counted, of no data" in text
    assert "procedural" not in text


def test_the_page_of_a_training_says_how_to_load_it(tmp_path: Path) -> None:
    plan, store = plan_of(0, grid=TABLE10), Store(tmp_path / "my results" / "store")
    train = plan.rows[0].evaluations[0][0].train
    about: dict[str, Any] = {"seconds": 1.0, "finished": "2026-01-02", "environment": {}}

    def page() -> str:
        write_stage_pages(digests_of(collect_stages([train], store)), tmp_path / "out")
        return unescape((tmp_path / "out" / "stages" / f"{train.key}.html").read_text())

    folder = store.begin(train)
    store.finish(train, {"curve": []}, **about)
    assert "mila.load" not in page()  # it was trained before trainings said what they are of
    (folder / "model.json").write_text("{}")
    store.finish(train, {"curve": []}, files=describe_files(folder), **about)
    assert f'mila.load("my results", "{train.key}")' in page()


def test_training_curves_and_their_data(tmp_path: Path) -> None:
    plan, store = plan_of(0, grid=TABLE10), Store(tmp_path / "store")
    train = plan.rows[0].evaluations[0][0].train
    curve = [{"step": step, "depth": 1 / step, "segmentation": 2.0} for step in (1, 2, 4)]
    store.begin(train)
    (store.folder(train) / "log.txt").write_text("\n".join(f"line {i}" for i in range(100)) + f"\n{NASTY}\n")
    store.finish(train, {"curve": curve, "steps": 4}, seconds=1.0, finished="2026-01-02", environment={})
    write_stage_pages(digests_of(collect_stages([train], store)), tmp_path / "out")
    page = (tmp_path / "out" / "stages" / f"{train.key}.html").read_text()
    assert "Depth loss" in page
    assert "line 99" in page
    assert "line 60\n" not in page  # the last 40 lines are shown
    assert "<script>alert" not in page
    lines = list(csv.reader(io.StringIO((tmp_path / "out" / "stages" / f"{train.key}.csv").read_text())))
    assert lines == [["step", "depth", "segmentation"], ["1", "1", "2"], ["2", "0.5", "2"], ["4", "0.25", "2"]]
    svg = (tmp_path / "out" / "stages" / f"{train.key}.svg").read_text()
    assert "var(--" not in svg  # programs that draw SVG files know no variables of a page


def test_only_pages_of_changed_stages_are_written_anew(tmp_path: Path) -> None:
    plan, store, out = plan_of(0, grid=TABLE10), Store(tmp_path / "store"), tmp_path / "out"
    fill(store, plan)
    stages = in_order(plan.stages())
    assert write_stage_pages(digests_of(collect_stages(plan.stages(), store)), out) == len(stages)
    assert write_stage_pages(digests_of(collect_stages(plan.stages(), store)), out) == 0
    score = next(stage for stage in stages if isinstance(stage, Evaluate))
    (store.folder(score) / "record.json").unlink()
    store.fail(score, "Traceback\nValueError: no")
    assert write_stage_pages(digests_of(collect_stages(plan.stages(), store)), out) == 1
    page = (out / "stages" / f"{score.key}.html").read_text()
    assert "This stage failed" in page
    assert "ValueError: no" in page
    again = tmp_path / "again"
    write_stage_pages(digests_of(collect_stages(plan.stages(), store)), again)
    for path in (out / "stages").iterdir():
        assert path.read_bytes() == (again / "stages" / path.name).read_bytes()


def test_damaged_records_are_told_and_give_no_number(tmp_path: Path) -> None:
    plan, store = plan_of(0, grid=TABLE10), Store(tmp_path / "store")
    fill(store, plan)
    score = plan.rows[1].evaluations[0][0]
    path = store.folder(score) / "record.json"
    path.write_text(path.read_text().replace('"miou": 0.15', '"miou": 0.95'))
    report = build_report(plan, store, tmp_path / "out")
    page = report.page.read_text()
    assert "a record was changed" in page
    assert "95.0" not in page
    assert f'<a href="stages/{score.key}.html">{score.title}</a>' in page
    stage = (tmp_path / "out" / "stages" / f"{score.key}.html").read_text()
    assert "This record is damaged" in stage
    assert "0.95" not in stage
    (entry,) = read_index(tmp_path / "out").embedded
    assert (entry.card.state, entry.card.damaged) == ("has damaged records", 1)


def test_trainings_of_a_plan_have_pages(reports: list[Report]) -> None:
    out = reports[0].page.parent / "stages"
    for stage in in_order(plan_of(0, 1).stages()):
        assert (out / f"{stage.key}.html").is_file()
        assert isinstance(stage, Train) <= ("Training" in (out / f"{stage.key}.html").read_text())
