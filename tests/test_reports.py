"""Reports: numbers, marks, what is missing, escaping, self-containedness; on records that are written by hand."""

from __future__ import annotations

import csv
import io
import json
import re
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from rich.console import Console

from experiments.grids.table1 import TABLE1
from experiments.plan import Plan, make_plan
from experiments.profiles import SMOKE
from experiments.stages import Data, Evaluate, Measure, Stage, Train, in_order
from experiments.store import Store
from mila.tasks import NYUV2
from reports.build import Report, build_report
from reports.figures import spread
from reports.provenance import about
from reports.published_numbers import read_published

NASTY = "<script>alert('x')</script>"
ENVIRONMENT = {"python": "3.11.0", "processor": NASTY, "device": "cpu", "commit": "0123456789ab"}
HEIGHT, WIDTH = SMOKE.size(NYUV2)
BUILT = ["D101-SingleTask", "D101-MultiTask", "MultiNet++*", "MILA w/o MF&TS", "MILA w/o TS", "MILA (ours)"]
METRICS = [m for task in NYUV2.tasks for m in task.metrics]


def plan_of(*seeds: int) -> Plan:
    return make_plan(TABLE1, SMOKE, "rooms", mode="video", seeds=seeds)


def scores(label: str, seed: int, offset: int) -> dict[str, float]:
    """MILA leads in mIoU by far, in depth by less than the spreads."""
    if label == "Constant predictor":
        return {m.name: {"miou": 0.05, "depth_abs": 0.92, "normal_mean": 50.0}.get(m.name, 0.25) for m in METRICS}
    row = BUILT.index(label)
    known = {
        "miou": 0.20 + 0.02 * row + 0.01 * seed + 0.001 * offset,
        "depth_abs": 0.50 - 0.01 * row + 0.02 * seed,
        "normal_mean": 45.0 - row,
    }
    return {m.name: known.get(m.name, 0.5) for m in METRICS}


def fill(store: Store, plan: Plan) -> None:
    """Finish every stage of a plan with made-up results."""
    rows = {e.key: (row.label, e) for row in plan.rows for seed in row.evaluations for e in seed}
    for stage in in_order(plan.stages()):
        store.begin(stage)
        store.finish(
            stage,
            result(stage, rows, store),
            seconds=1.5,
            finished="2026-01-02T03:04:05+00:00",
            environment=ENVIRONMENT,
        )


def result(stage: Stage, rows: dict[str, tuple[str, Evaluate]], store: Store) -> dict[str, object]:
    if isinstance(stage, Data):
        pack(store.folder(stage) / "clips")
        return {"clips": 2, "frames": 6, "manifest": {"world": "rooms", "note": NASTY}}
    if isinstance(stage, Measure):
        return {"gflops": 42.25, "height": 288, "width": 384}
    if isinstance(stage, Train):
        return {"curve": [], "steps": 4, "clips": 2, "parameters": 10}
    assert isinstance(stage, Evaluate)
    pictures = {
        "segmentation": np.full((2, HEIGHT, WIDTH), 3, np.int8),
        "depth": np.full((2, 1, HEIGHT, WIDTH), 2.0, np.float32),
        "normals": np.full((2, 3, HEIGHT, WIDTH), -0.5, np.float32),
    }
    np.savez_compressed(store.folder(stage) / "pictures.npz", **pictures)  # type: ignore[arg-type]
    label, _ = rows[stage.key]
    return {"metrics": scores(label, stage.train.seed, stage.offset), "offset": stage.offset, "pictures": [0, 1]}


def pack(folder: Path) -> None:
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    np.save(folder / "frames.npy", rng.integers(0, 256, (2, 6, 3, HEIGHT, WIDTH), np.uint8))
    np.save(folder / "segmentation.npy", rng.integers(-1, 13, (2, HEIGHT, WIDTH)).astype(np.int8))
    np.save(folder / "depth.npy", rng.uniform(1, 5, (2, 1, HEIGHT, WIDTH)).astype(np.float32))
    np.save(folder / "normals.npy", np.zeros((2, 3, HEIGHT, WIDTH), np.float32))
    (folder / "manifest.json").write_text(json.dumps({"suite": "nyuv2", "length": 6}))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    store = Store(tmp_path_factory.mktemp("store"))
    fill(store, plan_of(0, 1))
    return store


@pytest.fixture(scope="module")
def report(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Report:
    return build_report(plan_of(0, 1), store, tmp_path_factory.mktemp("out"))


@pytest.fixture(scope="module")
def page(report: Report) -> str:
    return report.page.read_text()


def lines_of(path: Path) -> dict[tuple[str, str], dict[str, str]]:
    with path.open(newline="") as file:
        return {(line["row"], line["metric"]): line for line in csv.DictReader(file)}


class Cells(HTMLParser):
    """The first table of a page: by row its cells as (kind, text), a cell over several columns once a column."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.rows: list[list[tuple[str, str]]] = []
        self._span = 0
        self.feed(page[: page.index("</table>")])

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            classes = (given.get("class") or "").split()
            kind = "name" if "name" in classes else "measured" if "measured" in classes else "published"
            self._span = int(given.get("colspan") or 1)
            self.rows[-1] += [(kind, "")] * self._span
        elif tag == "b" and self._span:
            self.handle_data("BOLD ")

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th"):
            self._span = 0

    def handle_data(self, data: str) -> None:
        for i in range(1, self._span + 1):
            kind, text = self.rows[-1][-i]
            self.rows[-1][-i] = (kind, text + data)

    def row(self, label: str) -> list[tuple[str, str]]:
        """Cells of the row, without line breaks."""
        cells = next(row for row in self.rows if row[0][1].startswith(label))
        return [(kind, " ".join(text.split())) for kind, text in cells]


def test_csv_has_means_and_spreads(report: Report) -> None:
    assert report.csv.name == "table1-smoke.csv"
    mila = lines_of(report.csv)["MILA (ours)", "miou"]
    # Seed 0: 0.30 + mean of 0..4 thousandths = 0.302; seed 1: 0.312.
    assert float(mila["measured_mean"]) == pytest.approx(30.7)
    assert float(mila["measured_std"]) == pytest.approx(1 / 2**0.5, rel=1e-6)
    assert (mila["n_seeds"], mila["published"], mila["unit"], mila["better"]) == ("2", "38.1", "%", "higher")
    assert (mila["data"], mila["profile"], mila["split"]) == ("procedural videos (rooms)", "smoke", "test")
    depth = lines_of(report.csv)["D101-MultiTask", "depth_abs"]
    assert float(depth["measured_mean"]) == pytest.approx(50.0)
    assert (depth["published"], depth["unit"]) == ("39.0", "m × 100")
    cost = lines_of(report.csv)["MILA (ours)", "gflops"]
    assert (cost["published"], cost["measured_mean"], cost["data"], cost["n_seeds"]) == ("70", "42.25", "", "")
    constant = lines_of(report.csv)["Constant predictor", "miou"]
    assert (constant["published"], constant["n_seeds"], constant["measured_std"]) == ("", "1", "")


def test_published_numbers_are_the_papers() -> None:
    table = read_published(1, "nyuv2")
    assert len(table) == 10
    assert [cell.text for cell in table["MILA"].values()] == [
        *("38.1", "75.1", "38.6", "16.1", "23.2", "17.0", "35.4", "61.8", "72.5", "70")
    ]
    # Rows that share a model's name are told apart; a cell keeps its trailing zeros.
    assert read_published(4, "cityscapes")["MILA window / D101-18 / global(64)"]["depth_abs"].text == "1.10"


def test_a_cell_given_twice_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "twice.csv"
    head = "table,dataset,model,backbone,k,variant,input,metric,value\n"
    file.write_text(head + "1,nyuv2,A,,,,,miou,1\n" + "1,nyuv2,A,,,,,miou,2\n")
    with pytest.raises(ValueError, match="miou of 'A' twice"):
        read_published(1, "nyuv2", file)


def test_rows_that_are_not_built_say_so(report: Report, page: str) -> None:
    lines = lines_of(report.csv)
    for label, published in (("MTAN*", "37.1"), ("Cross-Stitch-SegNet", "14.7")):
        line = lines[label, "miou"]
        assert (line["missing"], line["measured_mean"], line["published"]) == ("not built yet", "", published)
        measured = {text for kind, text in Cells(page).row(label)[1:-2] if kind == "measured"}
        assert measured == {"not built yet"}


def test_published_and_measured_share_no_column(page: str) -> None:
    cells = Cells(page)
    widths = {len(row) for row in cells.rows}
    assert widths == {1 + 9 + 9 + 1 + 2}
    for column in zip(*cells.rows[1:], strict=True):
        in_body = {kind for kind, _ in column[1:]}
        assert len(in_body) == 1, column
    mila = cells.row("MILA (ours)")
    published = [text.replace("BOLD ", "") for kind, text in mila if kind == "published"]
    assert published == [cell.text for cell in read_published(1, "nyuv2")["MILA"].values()]
    measured = [text for kind, text in mila if kind == "measured"]
    assert measured[:3] == ["BOLD 30.7±0.7", "50.0±0.0", "46.0±1.4"]
    assert measured[-2:] == ["2", "42.2"]


def test_measured_best_needs_more_than_the_spreads(page: str) -> None:
    cells = Cells(page)
    bold = {
        (row[0][1], i)
        for row in cells.rows
        for i, (kind, text) in enumerate(row)
        if kind == "measured" and "BOLD" in text
    }
    # mIoU: ahead by 2.0 with spreads of 0.7 each. Depth: by 1.0 with spreads of 1.4. Mean normal: without any spread.
    assert bold == {("MILA (ours)", 10), ("MILA (ours)", 14)}


def test_published_best_is_bold_and_second_underlined(page: str) -> None:
    table = page[: page.index("</table>")]
    assert re.findall(r"<u>(.*?)</u>", table)[:2] == ["22.8", "16.6"]  # D101-SingleTask, after Cross-Stitch*
    best = [text for kind, text in Cells(page).row("MILA (ours)") if kind == "published" and "BOLD" in text]
    assert best == ["BOLD 38.1", "BOLD 38.6", "BOLD 16.1"]


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
    # 30.7 / 5, 46 / 92, 40 / 50; below 20.5 / 5 (offset 0 alone), 51 / 92, 45 / 50
    assert text[2:] == ["6.14", "✓", "0.50", "✓", "0.80", "✓"]
    first = re.sub(r"<[^>]+>|\s+", " ", section[section.index("D101-SingleTask") : section.index("D101-MultiTask")])
    assert first.split()[1:] == ["4.10", "✓", "0.55", "✓", "0.90", "✗"]


def test_records_are_escaped(page: str) -> None:
    assert "<script" not in page
    assert page.count("&lt;script&gt;alert(") >= 3  # the processor and two manifests


def test_page_needs_no_network_and_no_other_file(page: str) -> None:
    targets = re.findall(r"""(?:src|href)\s*=\s*["']([^"']*)["']|url\(([^)]*)\)""", page)
    others = {a or b for a, b in targets if not (a or b).startswith(("data:image/png;base64,", "#"))}
    assert others == {"table1-smoke.csv"}
    assert not re.search(r"<(script|link|iframe)|@import", page)
    assert not re.findall(r'id="([^"]+)"(?=.*id="\1")', page, re.DOTALL)


def test_same_records_give_the_same_bytes(store: Store, report: Report, tmp_path: Path) -> None:
    again = build_report(plan_of(0, 1), store, tmp_path)
    assert again.page.read_bytes() == report.page.read_bytes()
    assert again.csv.read_bytes() == report.csv.read_bytes()


def test_pictures_of_every_method_at_first_and_last_offset(page: str) -> None:
    section = page[page.index('id="pictures"') : page.index('id="made"')]
    # Frame, truth, two frame-by-frame networks, four video methods at offsets 0 and 4; two clips; three tasks.
    assert section.count("<td") == (2 + 2 + 4 * 2) * 2 * 3
    assert section.count(">offset 4<") == 4 * 3


def test_curves_name_every_method(page: str) -> None:
    section = page[page.index('id="offsets"') : page.index('id="cost"')]
    assert section.count("<svg") == 3
    for label in BUILT:
        assert section.count(f">{label.replace('&', '&amp;')}</text>") == 3


def test_nothing_run_yet(tmp_path: Path) -> None:
    report = build_report(plan_of(0), Store(tmp_path / "store"), tmp_path)
    lines = lines_of(report.csv)
    assert {line["missing"] for line in lines.values()} == {"not run", "not built yet"}
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
    assert "<script" not in page
    assert "Without pictures: MILA w/o TS." in page


@pytest.mark.parametrize("width", [80, 100, 140])
def test_terminal_table_is_legible(report: Report, width: int) -> None:
    console = Console(width=width, file=io.StringIO(), soft_wrap=True)
    console.print(report.terminal)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= width
    assert text.index("PUBLISHED by the paper on NYUd v2") < text.index("MEASURED on procedural videos (rooms)")
    for row in TABLE1.rows:
        assert text.count(row.label) >= 3
    assert re.search(r"MILA \(ours\) +30\.7 ", text)
    assert re.search(r"MILA \(ours\) +70 +42\.2 +6\.14 ✓ +0\.50 ✓ +0\.80 ✓", text)


def test_real_data_are_named_and_kept_apart(tmp_path: Path) -> None:
    root = tmp_path / "nyu"
    for folder in ("rgb", "depth", "labels13"):
        (root / folder).mkdir(parents=True)
    Image.new("RGB", (64, 48), (90, 120, 30)).save(root / "rgb" / "0003.jpg")
    Image.new("L", (64, 48), 60).save(root / "depth" / "0003.png")
    Image.new("L", (64, 48), 5).save(root / "labels13" / "0003.png")
    for split in ("train", "test"):
        (root / f"{split}.txt").write_text("3\n")
    plan = make_plan(TABLE1, SMOKE, "nyuv2", mode="still", root=root)
    report = build_report(plan, Store(tmp_path / "store"), tmp_path)
    assert report.page.name == "table1-nyuv2-still-smoke.html"
    data = about(plan, Store(tmp_path / "store")).data
    assert data.startswith("real images: NYUd v2, 8-bit depth, JPEG images")
    assert data in report.page.read_text()
    assert "procedural" not in report.page.read_text()
    assert {line["data"] for line in lines_of(report.csv).values()} == {data, ""}


def test_validation_split_has_its_own_files(tmp_path: Path) -> None:
    plan = make_plan(TABLE1, SMOKE, "rooms", mode="video", split="val")
    assert about(plan, Store(tmp_path)).file_name == "table1-smoke-val"


@given(st.lists(st.floats(-3, 3), max_size=12), st.floats(0.01, 0.5))
def test_labels_are_pushed_apart_in_order(values: list[float], gap: float) -> None:
    places = spread(values, gap)
    order = sorted(range(len(values)), key=lambda i: values[i])
    for lower, upper in pairwise(order):
        assert places[upper] - places[lower] >= gap - 1e-9
    assert sum(places) == pytest.approx(sum(values), abs=1e-6)
