"""One seed: two trained networks may be told apart by their clips, and the pages say no more than that."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest

from experiments.collect import collect_rows
from experiments.records import DamagedRecordError
from experiments.results import KeptClipSums
from experiments.stage_files import describe_files
from experiments.store import Store
from mila.clip_shares import save_clip_shares
from reports.differences import families
from reports.report import build_report
from tests.support.fake_results import fill, plan_of, score_clips


@pytest.mark.slow
def test_pages_of_one_seed_say_that_networks_differ_and_never_more(tmp_path: Path) -> None:
    plan, store = plan_of(0), Store(tmp_path / "store")
    fill(store, plan)
    score_clips(store, plan)
    report = build_report(plan, store, tmp_path / "reports")
    folder = tmp_path / "reports" / report.page.stem
    lines = list(csv.DictReader(io.StringIO((folder / "order.csv").read_text())))
    assert {line["verdict"] for line in lines} == {"networks differ", "cannot tell"}
    for line in lines:
        assert line["n_seeds"] == "1"
        assert line["n_clips"] == "60"
        told = float(line["p_holm"]) < 0.05
        assert (line["verdict"] == "networks differ") == told
        assert (line["detectable_difference"] == "") == told
        assert told or abs(float(line["measured_difference"])) < float(line["detectable_difference"])
    best = [line for line in lines if line["metric"] == "miou" and line["row"] == "MILA (ours)"]
    assert {line["verdict"] for line in best} == {"networks differ"}
    page = report.page.read_text()
    one_seed = "one seed: it tells two trained networks apart, and says nothing of the methods"
    assert page.count(one_seed) == 2  # below the table and at the order of the rows
    assert "these two networks differ" in page
    assert one_seed in report.page.with_suffix(".tex").read_text().replace("\n", " ")
    assert one_seed in report.page.with_suffix(".md").read_text()


@pytest.mark.slow
def test_several_seeds_speak_of_the_rows(tmp_path: Path) -> None:
    plan, store = plan_of(0, 1, 2), Store(tmp_path / "store")
    fill(store, plan)
    score_clips(store, plan)
    page = build_report(plan, store, tmp_path / "reports").page.read_text()
    assert "one seed: it tells" not in page
    assert "networks differ" not in page
    pair = families(collect_rows(plan, store))["miou"].difference("MILA (ours)", "D101-MultiTask")
    assert pair is not None
    assert (pair.n, pair.clips, pair.differ) == (3, 60, True)


@pytest.mark.slow
def test_damaged_sums_of_clips_are_said(tmp_path: Path) -> None:
    plan, store = plan_of(0), Store(tmp_path / "store")
    fill(store, plan)
    score_clips(store, plan)
    stage = plan.rows[0].evaluations[0][0]
    path = store.folder(stage) / "clips.npz"
    content = bytearray(path.read_bytes())
    content[60:200] = bytes(140)
    path.write_bytes(content)
    with pytest.raises(DamagedRecordError, match=f"clips.npz is not what was written there; delete .*{stage.key}"):
        families(collect_rows(plan, store))


@pytest.mark.slow
def test_what_is_passed_on_of_the_clips_tells_the_same(tmp_path: Path) -> None:
    plan, store = plan_of(0, 1), Store(tmp_path / "store")
    fill(store, plan)
    score_clips(store, plan)
    rows = collect_rows(plan, store)
    whole = families(rows)
    for stage in (stage for row in plan.rows for seed in row.evaluations for stage in seed):
        record = store.record(stage)
        kept = KeptClipSums(record.folder / "clips.npz", str(record.files["clips.npz"]["sha256"]))
        with (record.folder / "shares.npz").open("wb") as file:
            save_clip_shares(file, kept.jackknife())
        (record.folder / "clips.npz").unlink()
        about = {"seconds": record.seconds, "finished": record.finished, "environment": record.environment}
        store.finish(stage, record.result, files=describe_files(record.folder), **about)
    passed_on = families(collect_rows(plan, Store(tmp_path / "store")))
    assert set(passed_on) == set(whole)
    for metric, family in whole.items():
        for pair, difference in family.pairs.items():
            other = passed_on[metric].pairs[pair]
            assert other.clips == difference.clips == 60
            assert other.mean == difference.mean
            assert other.error == pytest.approx(difference.error, rel=0.03)
