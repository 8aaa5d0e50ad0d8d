"""Records that ship, from the command that writes the file to the pages that are rendered of it elsewhere."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest

import experiments.stages
from experiments.collect import collect_rows
from experiments.commands import run_grid, ship
from experiments.commands.options import Options
from experiments.commands.plans import plans_of
from experiments.commands.run import main
from mila.data.worlds.clips import WorldClips
from reports.report import build_report
from tests.support.fake_records import filled_store
from tests.support.fake_results import plan_of
from tests.support.pages import blocks
from tests.support.paths import ROOT

WORDS = ("--grid", "table1", "--profile", "smoke")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of results with a report, and the file of their records."""
    results = tmp_path_factory.mktemp("made")
    plan = plan_of(0, 1)
    build_report(plan, filled_store(plan, results / "store"), results / "reports")
    words = (*WORDS, "--seeds", "0", "1", "--results", str(results), "--out", str(results / "some.tar.xz"))
    assert ship.main([*words]) == 0
    return results


def section(page: str, name: str) -> str:
    """A part of a page."""
    return page.split(f'<section aria-labelledby="{name}">')[1].split("</section>")[0]


@pytest.mark.slow
def test_pages_are_those_of_the_runs_and_say_whose_they_are(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def forbidden(*_: object) -> None:
        raise AssertionError("nothing is rendered or run")

    monkeypatch.setattr(experiments.stages, "code_digest", lambda *_: "another code")
    monkeypatch.setattr(WorldClips, "clip", forbidden)
    monkeypatch.setattr(run_grid, "launch", forbidden)
    assert main([*WORDS, "--from-records", str(made / "some.tar.xz"), "--results", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert "not run here: records made by the authors of the suite" in " ".join(printed.split())

    theirs, ours = made / "reports", tmp_path / "from-records" / "reports"
    assert [path.name for path in tmp_path.iterdir()] == ["from-records"]
    assert [path.name for path in (tmp_path / "from-records").iterdir()] == ["reports"]
    same = [path.relative_to(theirs) for path in theirs.rglob("*.csv")]
    assert len(same) > 10
    for path in same:
        assert (ours / path).read_bytes() == (theirs / path).read_bytes(), path
    whose = "Not run here: records made by the authors of the suite, profile smoke, at commit 0123456789ab"
    for ending in ("md", "tex"):
        there, here = ((folder / f"table1-smoke.{ending}").read_text() for folder in (theirs, ours))
        assert re.sub(r" Not run here: .*(?<=script>)\.", "", here).count("\n") == there.count("\n")
        assert whose in here
        assert whose not in there
    there, here = ((folder / "table1-smoke.html").read_text() for folder in (theirs, ours))
    for name in ("results", "order"):
        assert section(here, name) == section(there, name)
    assert whose in here
    assert whose not in there
    assert "Predictions do not ship with the records." in here
    for href in set(re.findall(r'href="(stages/[^"]+)"', here)):
        assert whose in (ours / href).read_text()
    assert whose in (ours / "claims-smoke.html").read_text()
    assert whose.lower() in (ours / "index.html").read_text().lower()


def measured(row: dict[str, str]) -> list[str]:
    """What a line of a table's CSV says was measured, apart from what stands beside it."""
    return [row[name] for name in ("row", "metric", "measured_mean", "measured_std", "n_seeds", "missing")]


@pytest.mark.slow
def test_a_method_of_ones_own_stands_beside_the_records(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    example, _ = blocks(ROOT / "docs" / "your_own_method.md", "python")
    file, results = tmp_path / "mine.py", tmp_path / "results"
    file.write_text(example, encoding="utf-8")
    words = [*WORDS, "--method", str(file), "--from-records", str(made / "some.tar.xz"), "--results", str(results)]
    assert main(words) == 0
    (page,) = (results / "from-records" / "reports").glob("table1-mine-smoke.html")
    assert "not run yet: run it without --from-records" in page.read_text()
    assert "run here: Gated" not in page.read_text()

    (plan,) = plans_of(Options(grid="table1", profile="smoke", seeds=(0, 1), method=(file,)))
    store = filled_store(plan, results / "store")  # of rows that the records have, too, which do otherwise
    assert main(words) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "not run here: records made by the authors of the suite" in printed
    assert "run here: Gated keyframe" in printed

    (score, *_), *_ = collect_rows(plan, store)[-2].evaluations
    assert score.stage["title"] == "score rooms Gated keyframe, seed 0, offset 0"
    rows = list(csv.DictReader(page.with_suffix(".csv").read_text().splitlines()))
    theirs = list(csv.DictReader((made / "reports" / "table1-smoke.csv").read_text().splitlines()))
    mine = [row for row in rows if row["row"] == "Gated keyframe"]
    assert [measured(row) for row in rows if row not in mine] == [measured(row) for row in theirs]
    assert {row["n_seeds"] for row in mine if row["metric"] in ("miou", "depth_abs", "normal_mean")} == {"2"}
    own = (page.parent / "stages" / f"{score.key}.html").read_text()
    assert "Run here, and so was all that it needs" in own
    assert "made by the authors" not in own
    assert "Gated keyframe" not in (page.parent / "claims-smoke.html").read_text()


def test_ship_says_what_it_wrote_and_what_it_left_out(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [*WORDS, "--seeds", "0", "1", "2", "--results", str(made), "--out", str(tmp_path / "some.tar.xz")]
    assert ship.main(words) == 2
    assert "run them first, or write what there is with --partial" in capsys.readouterr().err
    assert not (tmp_path / "some.tar.xz").exists()
    assert ship.main([*words, "--partial"]) == 0
    printed = capsys.readouterr().out
    assert "left out: rooms D101-SingleTask, seed 2 (waiting)" in printed
    assert re.search(r"left out: \d+ more", printed)
    size = (tmp_path / "some.tar.xz").stat().st_size
    assert re.search(rf"some.tar.xz: \d+ records, {size / 1e6:.2f} MB", printed.replace("\n", ""))


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "say what to render with --grid NAME"),
        (["--grid", "table7"], "Table 7 is counted in a minute"),
        (["--grid", "table99"], "there is no grid 'table99'"),
        (["--grid", "table1", "--data", "nyuv2"], "the records are of the embedded videos"),
        (["--grid", "table1", "--data", "nyuv2", "--mode", "pan"], "leave --data, --mode out, or --from-records"),
        (["--grid", "table1", "--split", "val"], "leave --split out"),
        (["--grid", "table1", "--dry-run"], "leave --dry-run out"),
        (["--grid", "table1", "--seeds", "1", "7"], "has the records of seeds 0 1, not of all of 1 7: give some of"),
        (["--grid", "table1", "--profile", "quick"], "has the records of profile 'smoke', not 'quick'"),
        (["--grid", "table1", "--profile", ""], "not ''"),
    ],
)
def test_what_does_not_go_with_records_is_one_sentence(
    words: list[str], sentence: str, made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = words if "--profile" in words else [*words, "--profile", "smoke"]
    assert main([*words, "--from-records", str(made / "some.tar.xz"), "--results", str(tmp_path / "r")]) == 2
    error = capsys.readouterr().err
    assert sentence in error
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize("content", [None, b"no records"])
def test_a_file_that_is_not_there_or_another_one_is_one_sentence(
    content: bytes | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "some.tar.xz"
    if content is not None:
        path.write_bytes(content)
    assert main([*WORDS, "--from-records", str(path), "--results", str(tmp_path / "r")]) == 2
    error = capsys.readouterr().err
    assert ("is not there" if content is None else "damaged or no file of records") in error
    assert error.count("\n") == 1
    assert not (tmp_path / "r").exists()
