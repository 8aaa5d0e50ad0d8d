"""Beside a report's page: stage pages, index, LaTeX, Markdown, the frame; and every link leads somewhere."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest
from matplotlib.backends.backend_svg import FigureCanvasSVG

from experiments.collect import collect_stages
from experiments.grids.ablations import TABLE4, TABLE10
from experiments.grids.grid import Grid
from experiments.grids.multi_task import TABLE1
from experiments.grids.propagation import TABLE5, TABLE6
from experiments.stages import Evaluate, Train, in_order
from experiments.store import Store
from mila.common.files import write_json
from reports.pages.index import Card, read_index, refresh_index, write_card
from reports.pages.stage_pages import digests_of, write_stage_pages
from reports.report import Report, build_report, frame
from reports.tables.latex_markdown import latex, markdown
from tests.support.fake_results import NASTY, fill, plan_of


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    store = Store(tmp_path_factory.mktemp("store"))
    fill(store, plan_of(0, 1))
    fill(store, plan_of(0, 1, grid=TABLE6[0]))
    return store


@pytest.fixture(scope="module")
def reports(store: Store, tmp_path_factory: pytest.TempPathFactory) -> list[Report]:
    out = tmp_path_factory.mktemp("out")
    return [build_report(plan_of(0, 1, grid=grid), store, out) for grid in (TABLE1, TABLE6[0])]


class Page(HTMLParser):
    """The links and the places of a page, and which images say nothing of themselves."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.places: list[str] = []
        self.silent: list[str] = []
        self.feed(path.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.places += [given["id"]] if given.get("id") else []  # type: ignore[list-item]
        self.links += [given["href"] or ""] if tag == "a" else []
        if tag == "img" and "alt" not in given:
            self.silent.append(str(given.get("src"))[:60])


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
    behind = page[page.index(f'<details id="{anchor[1]}"') :]
    behind = behind[: behind.index("</details>")]
    keys = [stage.key for seed in plan.rows[9].evaluations for stage in seed]
    assert re.findall(r'<th[^>]*><a href="stages/(\w+).html">', behind) == keys
    # The number of one stage alone links to it at once.
    constant = plan.rows[-1].evaluations[0][0]
    assert f'<a href="stages/{constant.key}.html">5.0</a>' in table


def test_stage_pages_say_what_the_records_say(reports: list[Report]) -> None:
    plan = plan_of(0, 1)
    score = plan.rows[9].evaluations[1][3]
    page = (reports[0].page.parent / "stages" / f"{score.key}.html").read_text()
    text = " ".join(re.sub(r"<[^>]+>", " ", page).split())
    # 0.13 + 9 × 0.02 + 0.01 + 3 × 0.001
    assert "Segmentation: mIoU 32.3 % ↑ 0.323" in text
    assert "Depth: Abs. 47 m × 100 ↓ 0.47" in text
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


def test_index_lists_what_is_there(reports: list[Report], tmp_path: Path) -> None:
    out = tmp_path / "reports"
    shutil.copytree(reports[0].page.parent, out)
    index = read_index(out)
    assert [entry.page for entry in index.embedded] == ["table1-smoke.html", "table6a-smoke.html"]
    assert index.real == []
    card = index.embedded[0].card
    assert (card.rows, card.rows_done, card.state) == (10, 10, "complete")
    assert (card.published, card.measured) == (90, 90)  # the cost apart
    assert card.machines == [NASTY]  # the processor
    assert card.stages == card.stages_done > 60
    # Table 6 is about two data sets; the other one has no number yet. Figures have pages of their own.
    names = [item.name for item in index.items]
    tables = [1, 2, 3, 4, 5, 6, 6, 7, 8, 9, 10, 11]
    assert names == [*(f"Table {n}" for n in tables), *(f"Figure {n}" for n in (1, 4, 5, 7, 8))]
    found = {item.shows: [entry.page for entry in item.entries] for item in index.items if item.entries}
    assert found == {TABLE1.title: ["table1-smoke.html"], TABLE6[0].title: ["table6a-smoke.html"]}
    assert {item.session for item in index.items if item.name == "Table 6"} == {"reproduce-table6"}
    page = (out / "index.html").read_text()
    (out / "index.html").unlink()
    assert refresh_index(out).read_text() == page
    # Real data have a section of their own, other pages as well; names are escaped.
    for name, other in {
        "real": replace(card, embedded=False, data="real images: NYUd v2"),
        "costs": Card(f"Costs {NASTY}", about="All of them.", answers=("Table 7", "Figure 1")),
        "gone": Card("Its page is not there"),
    }.items():
        if name != "gone":
            (out / f"{name}.html").write_text("<html></html>")
        write_card(out / f"{name}.html", other)
    (out / "broken.html").write_text("<html></html>")
    (out / "old.html").write_text("<html><head><title>An old &lt;page&gt;</title></head></html>")
    (out / "broken.json").write_text("[")
    index = read_index(out)
    assert [entry.page for entry in index.real] == ["real.html"]
    assert [entry.page for entry in index.others] == ["broken.html", "costs.html", "old.html"]
    assert "cannot be read" in index.others[0].card.about
    assert [i.name for i in index.items if "costs.html" in [e.page for e in i.entries]] == ["Table 7", "Figure 1"]
    assert index.others[2].card == Card("An old <page>")  # without a JSON file a page is known by its title
    page = refresh_index(out).read_text()
    assert "Costs &lt;script&gt;" in page
    assert "Its page is not there" not in page
    real, embedded = (
        page.index("Tables and figures measured on real data"),
        page.index("Tables and figures measured on procedural videos"),
    )
    assert real < page.index('href="real.html"') < embedded < page.index('href="table1-smoke.html"')


def test_cards_of_unfinished_tables(tmp_path: Path) -> None:
    build_report(plan_of(0), Store(tmp_path / "store"), tmp_path)
    index = read_index(tmp_path)
    assert index.embedded[0].card.state == "not run"
    assert not any(item.entries for item in index.items)
    assert "nox -s reproduce-table1</code>" in (tmp_path / "index.html").read_text()
    assert json.loads((tmp_path / "table1-smoke.json").read_text())["rows_done"] == 0


def test_a_card_may_say_no_more_than_its_title(tmp_path: Path) -> None:
    (tmp_path / "claims.html").write_text("<html></html>")
    write_json(tmp_path / "claims.json", {"title": "Claims", "more": [1, 2]})
    assert read_index(tmp_path).others[0].card == Card("Claims")


def test_frame_has_the_numbers_of_the_csv_file(reports: list[Report], store: Store) -> None:
    plan = plan_of(0, 1, grid=TABLE6[0])
    ours = frame(plan, store)
    with reports[1].csv.open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert list(ours.columns) == list(lines[0])
    assert len(ours) == len(lines)
    mila = ours[(ours.row == "ILA (ours)") & (ours.metric == "miou")].iloc[0]
    assert mila.measured_mean == pytest.approx(25 + 0.5 + 0.2)  # 0.13 + 6 × 0.02, seeds 0 and 1, offsets 0 to 4
    assert mila.interval95_high - mila.interval95_low == pytest.approx(2 * 12.7062 * 0.5, rel=1e-4)  # t(1) · s / √2
    assert mila.n_seeds == 2
    assert ours[ours.row == "FlowNet-S"].measured_mean.tolist() == pytest.approx([0.7, 2.0, 0.35])
    assert ours[ours.row == "None"].published.isna().all()
    numbers = [float(line["measured_mean"] or "nan") for line in lines]
    assert ours.measured_mean.fillna(-1).tolist() == pytest.approx([-1 if x != x else x for x in numbers])


def test_latex_is_balanced_and_keeps_blocks_apart(reports: list[Report]) -> None:
    text = reports[0].page.with_suffix(".tex").read_text()
    assert text.count("{") - text.count(r"\{") == text.count("}") - text.count(r"\}")
    tables = text.split(r"\begin{table*}")[1:]
    assert len(tables) == 2
    for table, columns in zip(tables, (10, 10), strict=True):
        assert table.count(r"\begin{tabular}") == table.count(r"\end{tabular}") == 1
        assert rf"{{l{'r' * columns}}}" in table
        body = table[table.index(r"\toprule") : table.index(r"\bottomrule")]
        rows = [line for line in body.splitlines() if line.endswith(r"\\")]
        assert {line.count(" & ") for line in rows} == {columns}
    assert r"MILA (ours) & \textbf{38.1} & \underline{75.1} & \textbf{38.6} & \textbf{16.1} & 23.2" in tables[0]
    assert r"MILA (ours) & \textbf{31.7} $\pm$0.7 & 50.0 $\pm$0.0 & 46.0 $\pm$1.4" in tables[1]
    assert "procedural" not in tables[0]
    assert "measured on procedural videos (rooms)" in tables[1]
    assert r"m $\times$ 100 $\downarrow$" in tables[0]


def test_markdown_has_two_tables(reports: list[Report]) -> None:
    text = reports[0].page.with_suffix(".md").read_text()
    published, measured = text.split("**Measured.**")
    for block in (published, measured):
        lines = [line for line in block.splitlines() if line.startswith("|")]
        assert {line.count("|") for line in lines} == {1 + 1 + 10}
    assert "| MILA (ours) | **38.1** | <u>75.1</u> | **38.6** |" in published
    assert "| MILA (ours) | **31.7** ±0.7 | 50.0 ±0.0 | 46.0 ±1.4 |" in measured
    assert "| Constant predictor |" not in published


def test_names_are_escaped_for_papers() -> None:
    assert latex(r"50 % & a_b \x{~^<|") == (
        r"50 \% \& a\_b \textbackslash{}x\{\textasciitilde{}\textasciicircum{}\textless{}\textbar{}"
    )
    assert markdown("a|b *c* <script> & `") == r"a\|b \*c\* \<script\> &amp; \`"


def test_plots_have_files(reports: list[Report]) -> None:
    folder = reports[0].page.with_suffix("")
    metrics = ("depth-abs", "miou", "normal-mean")
    assert {path.stem for path in folder.glob("*.svg")} == {
        "cost",
        *(f"offset-{m}" for m in metrics),
        *(f"tradeoff-{m}-{what}" for m in metrics for what in ("measured", "published")),
    }
    assert {path.stem for path in folder.glob("*.csv")} == {path.stem for path in folder.glob("*.svg")} | {"order"}
    lines = list(csv.DictReader(io.StringIO((folder / "offset-miou.csv").read_text())))
    mila = [line for line in lines if line["row"] == "MILA (ours)"]
    assert [line["offset"] for line in mila] == ["0", "1", "2", "3", "4"]
    assert [float(line["miou (%)"]) for line in mila] == pytest.approx([31.5, 31.6, 31.7, 31.8, 31.9])
    assert "Constant predictor" not in {line["row"] for line in lines}
    cost = list(csv.DictReader(io.StringIO((folder / "cost.csv").read_text())))
    assert cost[9] == {"row": "MILA (ours)", "published GFLOPs": "70", "measured GFLOPs": "42.25"}


@pytest.mark.parametrize(("grid", "over"), [(TABLE4, "window"), (TABLE5, "keyframe interval")])
def test_plots_of_what_the_rows_vary(grid: Grid, over: str, tmp_path: Path) -> None:
    plan, store = plan_of(0, 1, grid=grid), Store(tmp_path / "store")
    fill(store, plan)
    report = build_report(plan, store, tmp_path)
    path = report.page.with_suffix("") / f"{over.replace(' ', '-')}-miou.csv"
    lines = {line["row"]: line for line in csv.DictReader(io.StringIO(path.read_text()))}
    assert set(lines) == {row.label for row in grid.rows}
    for i, row in enumerate(grid.rows):
        k = dict(row.arguments).get("keyframe_interval", 5)
        assert float(lines[row.label]["miou (%)"]) == pytest.approx(13 + 2 * i + 0.5 + 0.1 * (k - 1) / 2)
        assert lines[row.label][over] == (row.label if over == "window" else str(k))
    page = report.page.read_text()
    section = page[page.index('id="ablation"') : page.index('id="cost"')]
    if over == "window":
        assert all(f">{row.label}</text>" in section for row in grid.rows)
    else:
        assert all(section.count(f">D101-{fast}, {name}</text>") for fast in (18, 34) for name in ("ILA (ours)",))


def test_trainings_of_a_plan_have_pages(reports: list[Report]) -> None:
    out = reports[0].page.parent / "stages"
    for stage in in_order(plan_of(0, 1).stages()):
        assert (out / f"{stage.key}.html").is_file()
        assert isinstance(stage, Train) <= ("Training" in (out / f"{stage.key}.html").read_text())


def test_plots_that_did_not_change_are_not_drawn_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan, store, out = plan_of(0, 1), Store(tmp_path / "store"), tmp_path / "out"
    fill(store, plan)
    page = build_report(plan, store, out).page

    def files() -> dict[str, bytes]:
        return {str(path.relative_to(out)): path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()}

    drawn = []
    draw = FigureCanvasSVG.print_svg
    monkeypatch.setattr(FigureCanvasSVG, "print_svg", lambda *args, **words: (drawn.append(1), draw(*args, **words))[1])
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
