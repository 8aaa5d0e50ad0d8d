"""The page of a table: numbers, marks, what is missing, escaping, links; on records that are written by hand."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote

import pytest

from experiments.grids.ablations import TABLE10
from experiments.grids.grid import Grid
from experiments.grids.multi_task import TABLE8
from experiments.store import Store
from reports.published.numbers import read_published
from reports.report import Report, build_report
from tests.support.fake_results import NASTY, fill, plan_of
from tests.support.report_pages import Cells, Page, lines_of, report_of


def test_published_and_measured_share_no_column(page: str) -> None:
    cells = Cells(page)
    widths = {len(row) for row in cells.rows}
    assert widths == {1 + 10 + 10 + 1 + 3}  # nine metrics and the average over tasks
    for column in zip(*cells.rows[1:], strict=True):
        in_body = {kind for kind, _ in column[1:]}
        assert len(in_body) == 1, column
    mila = cells.row("MILA (ours)")
    published = [text.replace("BOLD ", "") for kind, text in mila if kind == "published"]
    *metrics, cost = (cell.text for cell in read_published(1, "nyuv2")["MILA"].values())
    assert published == [*metrics, "+0.7", cost]
    measured = [text for kind, text in mila if kind == "measured"]
    assert measured[:3] == ["BOLD 31.7±0.7", "50.0±0.0", "46.0±1.4"]
    assert measured[-2:] == ["2", "42.2"]
    assert [text for kind, text in mila if kind == "difference"] == ["−27.8"]  # 42.25 − 70, of GFLOPs alone


def test_measured_best_is_told_apart_from_all_others(page: str) -> None:
    cells = Cells(page)
    bold = {
        (row[0][1], i)
        for row in cells.rows
        for i, (kind, text) in enumerate(row)
        if kind == "measured" and "BOLD" in text
    }
    # mIoU, mean normal: ahead by as much at every seed. Depth: by less than the seeds differ. The average over tasks.
    assert bold == {("MILA (ours)", 11), ("MILA (ours)", 15), ("MILA (ours)", 20)}


def test_published_best_is_bold_and_second_underlined(page: str) -> None:
    table = page[: page.index("</table>")]
    assert re.findall(r"<u>(.*?)</u>", table)[:2] == ["22.8", "16.6"]  # D101-SingleTask, after Cross-Stitch*
    best = [text for kind, text in Cells(page).row("MILA (ours)") if kind == "published" and "BOLD" in text]
    assert best == ["BOLD 38.1", "BOLD 38.6", "BOLD 16.1", "BOLD +0.7"]


def test_one_seed_has_no_spread_and_no_best(store: Store, tmp_path: Path) -> None:
    report = build_report(plan_of(0), store, tmp_path)
    page = report.page.read_text()
    assert "n = 1, no spread" in page
    assert "±" not in page
    measured = [text for row in Cells(page).rows for kind, text in row if kind == "measured"]
    assert not any("BOLD" in text for text in measured)
    line = lines_of(report.csv)["MILA (ours)", "miou"]
    assert (line["n_seeds"], line["measured_std"]) == ("1", "")


def test_rows_are_held_against_the_constant_predictor(page: str) -> None:
    section = page[page.index("Against the constant predictor") :]
    row = section[section.index("MILA (ours)") :]
    text = re.sub(r"<[^>]+>|\s+", " ", row[: row.index("</tr>")]).split()
    # 31.7 / 5, 46 / 92, 40 / 50; below 13.5 / 5 (offset 0 alone), 55 / 92, 49 / 50
    assert text[2:] == ["6.34", "✓", "0.50", "✓", "0.80", "✓"]
    first = re.sub(r"<[^>]+>|\s+", " ", section[section.index("D101-SingleTask") : section.index("D101-MultiTask")])
    assert first.split()[1:] == ["2.70", "✓", "0.60", "✓", "0.98", "✗"]


def test_records_are_escaped(page: str) -> None:
    assert "<script>alert" not in page
    assert page.count("<script") == 1  # the page's own
    assert page.count("&lt;script&gt;alert(") >= 3  # the processor and two manifests


def test_page_needs_no_network_and_no_other_file(page: str) -> None:
    targets = re.findall(r"""(?:src|href)\s*=\s*["']([^"']*)["']|url\(([^)]*)\)""", page)
    loaded = {a or b for a, b in targets if not (a or b).startswith(("data:image/png;base64,", "#"))}
    assert not any(re.match(r"[a-z]+:|/", address) for address in loaded)
    assert not re.search(r"<(link|iframe)|@import|<script [^>]*src|<img src=\"(?!data:)", page)
    assert not re.findall(r'id="([^"]+)"(?=.*id="\1")', page, re.DOTALL)


def test_same_records_give_the_same_bytes(store: Store, report: Report, tmp_path: Path) -> None:
    again = build_report(plan_of(0, 1), store, tmp_path)
    assert again.page.read_bytes() == report.page.read_bytes()
    assert again.csv.read_bytes() == report.csv.read_bytes()


def test_nothing_run_yet(tmp_path: Path) -> None:
    report = build_report(plan_of(0), Store(tmp_path / "store"), tmp_path)
    lines = lines_of(report.csv)
    assert {line["missing"] for line in lines.values()} == {"not run", "not measured"}
    assert {line["measured_mean"] for line in lines.values()} == {""}
    page = report.page.read_text()
    assert "No video method is finished yet." in page
    assert "No predictions have been kept yet." in page
    assert "0 of" in page


def test_failed_stage_and_lost_pictures_are_told(tmp_path: Path) -> None:
    plan, store = plan_of(0), Store(tmp_path / "store")
    fill(store, plan)
    mila, without = plan.rows[9].evaluations[0], plan.rows[8].evaluations[0]
    (store.folder(mila[2]) / "record.json").unlink()
    store.fail(mila[2], f"Traceback\nValueError: {NASTY}")
    (store.folder(without[0]) / "pictures.npz").unlink()
    report = build_report(plan, store, tmp_path)
    assert lines_of(report.csv)["MILA (ours)", "miou"]["missing"] == "a stage failed"
    page = report.page.read_text()
    assert "ValueError: &lt;script&gt;" in page
    assert "<script>alert" not in page
    assert "Without pictures: MILA w/o TS." in page


def test_a_row_whose_start_failed_says_so(tmp_path: Path) -> None:
    plan, store = plan_of(0, grid=TABLE10), Store(tmp_path / "store")
    start = plan.rows[1].evaluations[0][0].train.starts[0].stage
    store.begin(start)
    store.fail(start, "ValueError: no")
    lines = lines_of(build_report(plan, store, tmp_path).csv)
    assert start.key == plan.rows[0].evaluations[0][0].train.key  # the row above it
    found = [lines[row.label, "miou"]["missing"] for row in TABLE10.rows[:4]]
    assert found == ["a stage failed", "a stage failed", "not run", "not run"]


@pytest.mark.parametrize("grid", [TABLE8, TABLE10], ids=lambda grid: grid.name)
def test_tables_without_offsets(grid: Grid, tmp_path: Path) -> None:
    page = report_of(grid, tmp_path, 0).page.read_text()
    assert "By keyframe offset" not in page
    assert "every frame is treated alike" in " ".join(page.split())
    pictures = page[page.index('id="pictures"') : page.index('id="scores"')]
    assert pictures.count('class="method"') == 2 * len(grid.rows)  # one column each, so all rows fit; two tasks
    assert "Offset" not in pictures


def test_stars_are_explained_where_there_are_any(page: str, tmp_path: Path) -> None:
    assert "A row marked with *" in page
    plain = build_report(plan_of(0, grid=TABLE8), Store(tmp_path / "store"), tmp_path)
    assert "A row marked with *" not in plain.page.read_text()


def test_every_link_leads_somewhere(reports: list[Report]) -> None:
    out = reports[0].index.parent
    pages = {path: Page(path) for path in out.rglob("*.html")}
    assert len(pages) > 100
    for path, page in pages.items():
        assert len(set(page.places)) == len(page.places), path
        assert not page.silent
        for link in page.links:
            address, _, place = link.partition("#")
            target = (path.parent / unquote(address)).resolve() if address else path
            assert target.is_file(), (path, link)
            assert not place or place in pages[target].places, (path, link)
    # Everything that was written is linked from somewhere.
    linked = {
        (path.parent / unquote(link.partition("#")[0])).resolve() for path, p in pages.items() for link in p.links
    }
    written = {path for path in out.rglob("*") if path.is_file() and path.suffix != ".json"}
    assert written - linked == set()


def test_measured_numbers_link_to_their_stages(reports: list[Report]) -> None:
    page = reports[0].page.read_text()
    plan = plan_of(0, 1)
    table = page[: page.index("</table>")]
    row = table[table.index(">MILA (ours)<") :]
    row = row[: row.index("</tr>")]
    anchor = re.search(r'data-c="m-miou" data-v="31.7[^"]*"><a href="#(row-\d+)"><b>31.7</b></a>', row)
    assert anchor, row
    assert plan.rows[9].measure is not None
    assert f'<a href="stages/{plan.rows[9].measure.key}.html">42.2</a>' in row
    scores = page[page.index(f'<details id="{anchor[1]}"') :]
    scores = scores[: scores.index("</details>")]
    keys = [stage.key for seed in plan.rows[9].evaluations for stage in seed]
    assert re.findall(r'<th[^>]*><a href="stages/(\w+).html">', scores) == keys
    # The number of one stage alone links to it at once.
    constant = plan.rows[-1].evaluations[0][0]
    assert f'<a href="stages/{constant.key}.html">5.0</a>' in table
