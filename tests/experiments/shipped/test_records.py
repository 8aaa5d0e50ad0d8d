"""What ships of a store, and that it is found again by what was computed, whatever code computed it."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import experiments.stages
from experiments.collect import collect, collect_rows
from experiments.plan import Plan
from experiments.profiles import SMOKE
from experiments.shipped.archive import ABOUT, packed_members, read_archive
from experiments.shipped.pack import ship
from experiments.shipped.store import open_records
from experiments.stages import Evaluate, in_order
from experiments.store import Store
from mila.common.stored_files import checksum
from mila.errors import UserError
from tests.support.fake_records import filled_store, shipped
from tests.support.fake_results import plan_of
from tests.support.smoke_plans import smoke_plan


@pytest.fixture(scope="module")
def plan() -> Plan:
    return plan_of(0, 1)


@pytest.fixture(scope="module")
def store(plan: Plan, tmp_path_factory: pytest.TempPathFactory) -> Store:
    return filled_store(plan, tmp_path_factory.mktemp("made") / "store")


@pytest.fixture(scope="module")
def file(plan: Plan, store: Store, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("shipped") / "some.tar.xz"
    done = shipped(plan, store, path)
    assert (done.left_out, done.size) == ((), path.stat().st_size)
    return path


def other_code(monkeypatch: pytest.MonkeyPatch) -> Plan:
    """The same plan where all code is another."""
    monkeypatch.setattr(experiments.stages, "code_digest", lambda *modules: f"{len(modules)} others")
    return plan_of(0, 1)


def test_numbers_and_curves_ship_and_neither_weights_nor_pictures(plan: Plan, store: Store, file: Path) -> None:
    members = read_archive(file)
    names = {name.rpartition("/")[2] for name in members}
    assert names == {ABOUT, "stage.json", "record.json", "shares.npz"}
    score = plan.rows[0].evaluations[0][0]
    record = json.loads(members[f"evaluate/{score.key}/record.json"])
    assert record["result"] == store.record(score).result
    assert record["not_shipped"] == store.record(score).files
    assert set(record["files"]) == {"shares.npz"}


def test_the_same_store_gives_the_same_bytes(plan: Plan, store: Store, file: Path, tmp_path: Path) -> None:
    shipped(plan, store, tmp_path / "again.tar.xz")
    assert (tmp_path / "again.tar.xz").read_bytes() == file.read_bytes()


def test_stages_are_found_where_all_code_is_another(
    plan: Plan, store: Store, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = other_code(monkeypatch)
    assert {stage.key for stage in now.stages()}.isdisjoint(stage.key for stage in plan.stages())
    with open_records(file) as records:
        assert (records.profile, records.seeds) == ("smoke", (0, 1))
        for then, stage in zip(in_order(plan.stages()), in_order(now.stages()), strict=True):
            assert stage.identity == then.identity
            assert records.state(stage) == "done"
            assert records.record(stage).result == store.record(then).result
            assert records.record(stage).key == then.key


def test_rows_are_those_of_the_runs_and_so_is_what_each_clip_contributes(
    plan: Plan, store: Store, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = collect_rows(plan, store)
    with open_records(file) as records:
        found = collect_rows(other_code(monkeypatch), records)
        for row, other in zip(expected, found, strict=True):
            assert (row.values, row.missing, row.gflops) == (other.values, other.missing, other.gflops)
            for kept, shipped_ in zip(sum(row.clips, ()), sum(other.clips, ()), strict=True):
                there, here = kept.jackknife(), shipped_.jackknife()
                assert there.keys() == here.keys()
                for name in there:
                    np.testing.assert_array_equal(there[name], here[name])


def test_pages_learn_whose_records_they_are(plan: Plan, store: Store, file: Path) -> None:
    with open_records(file) as records:
        results = collect(plan, records)
        assert "made by the authors of the suite, profile smoke, at commit 0123456789ab" in results.whose
        assert "finished 2026-01-02 03:04, on <script>" in results.whose
        assert results.clips is None
        assert {stage.whose for stage in results.stages} == {results.whose}
    assert collect(plan, store).whose == ""


def test_a_row_that_is_configured_otherwise_now_says_what_changed(file: Path) -> None:
    changed = smoke_plan(seeds=(0, 1), profile=replace(SMOKE, method=SMOKE.method.__class__(SMOKE.method.parts * 2)))
    with open_records(file) as records:
        rows = {row.plan.label: row for row in collect_rows(changed, records)}
    starts = [row for row in changed.rows if not row.is_constant and row.evaluations[0][0].train.starts]
    assert starts
    for plan in changed.rows:
        row, train = rows[plan.label], plan.evaluations[0][0].train
        if plan in starts:
            assert row.missing == f"not in the records: they have {train.title!r} with other settings (schedule)"
            assert not row.values
        else:
            assert row.missing == ""


def test_other_data_and_other_seeds_are_told_apart(file: Path) -> None:
    with open_records(file) as records:
        (row, *_) = collect_rows(smoke_plan(seeds=(0,), profile=replace(SMOKE, test_clips=5)), records)
        assert row.missing == "not in the records: they have 'clips rooms test' with other settings (manifest.clips)"
        (row, *_) = collect_rows(plan_of(7), records)
        assert row.missing == "not in the records"
        (row, *_) = collect_rows(plan_of(0, 1, 7), records)
        assert row.missing == "2 of 3 seeds run"


def test_what_is_not_finished_ships_only_when_it_may_be_left_out(plan: Plan, store: Store, tmp_path: Path) -> None:
    shutil.copytree(store.root, tmp_path / "store")
    store, path = Store(tmp_path / "store"), tmp_path / "some.tar.xz"
    train = plan.rows[0].evaluations[0][0].train
    (store.folder(train) / "record.json").unlink()
    scores = [stage for stage in plan.stages() if isinstance(stage, Evaluate)]
    score = next(stage for stage in scores if train not in (stage.train, *stage.train.needs))
    (store.folder(score) / "clips.npz").write_bytes(b"x")
    with pytest.raises(UserError, match=rf"stages are not finished, the first of them '{train.title}' \(waiting\)"):
        shipped(plan, store, path)
    assert not path.exists()
    done = shipped(plan, store, path, partial=True)
    reasons = {stage.key: reason for stage, reason in done.left_out}
    assert (reasons[train.key], reasons[score.key]) == ("waiting", "damaged")
    assert {reasons[s.key] for seed in plan.rows[0].evaluations[:1] for s in seed} == {"it needs one that is left out"}
    with open_records(path) as records:
        assert len(records.identities) == done.stages
        assert records.state(train) == "waiting"


def test_too_large_a_file_is_not_written(plan: Plan, store: Store, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="more than the 0.001 MB that the suite carries; nothing is written"):
        ship([plan], store, tmp_path / "some.tar.xz", largest=1000)
    assert not (tmp_path / "some.tar.xz").exists()


def test_an_empty_store_ships_nothing(plan: Plan, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="none of these stages finished"):
        shipped(plan, Store(tmp_path / "store"), tmp_path / "some.tar.xz", partial=True)


@pytest.mark.parametrize(
    "what", ["edited", "without its record", "without what it needs", "without a heading", "other clips"]
)
def test_a_file_that_somebody_changed_is_one_sentence(what: str, plan: Plan, file: Path, tmp_path: Path) -> None:
    members, train = read_archive(file), plan.rows[0].evaluations[0][0].train
    name = f"train/{train.key}/record.json"
    if what == "edited":
        members[name] = members[name].replace(b'"seconds":1.5', b'"seconds":2.5')
    elif what == "without its record":
        del members[name]
    elif what == "without what it needs":
        for file_name in ("stage.json", "record.json"):
            del members[f"train/{train.key}/{file_name}"]
    elif what == "other clips":
        first, second, *_ = (name for name in members if name.endswith("shares.npz"))
        members[first] = members[second]
    else:
        members[ABOUT] = b"[]"
    changed = tmp_path / "changed.tar.xz"
    changed.write_bytes(packed_members(members))
    with pytest.raises(UserError, match=r"changed.tar.xz is damaged or no file of records \(.+\); restore it"):
        open_records(changed).__enter__()


@pytest.mark.parametrize("seeds", [[], [0, 0], [-1], [2**64], [True], "01"])
def test_seeds_that_nobody_trained_with_are_one_sentence(seeds: object, file: Path, tmp_path: Path) -> None:
    members = read_archive(file)
    members[ABOUT] = json.dumps({**json.loads(members[ABOUT]), "seeds": seeds}).encode()
    (tmp_path / "changed.tar.xz").write_bytes(packed_members(members))
    with pytest.raises(UserError, match="store.json is not what was written there"):
        open_records(tmp_path / "changed.tar.xz").__enter__()


def test_a_file_without_records_is_one_sentence(file: Path, tmp_path: Path) -> None:
    (tmp_path / "empty.tar.xz").write_bytes(packed_members({ABOUT: read_archive(file)[ABOUT]}))
    with pytest.raises(UserError, match=r"no file of records \(it has none\)"):
        open_records(tmp_path / "empty.tar.xz").__enter__()


@pytest.mark.parametrize(
    "change", [{"files": []}, {"files": {"shares.npz": "x"}}, {"result": {}}, {"result": {"metrics": {"miou": "x"}}}]
)
def test_a_record_of_another_shape_is_one_sentence(
    change: dict[str, object], plan: Plan, file: Path, tmp_path: Path
) -> None:
    """Also where its checksum was made anew."""
    members = read_archive(file)
    name = f"evaluate/{plan.rows[0].evaluations[0][0].key}/record.json"
    record = {**json.loads(members[name]), **change}
    del record["checksum"]
    members[name] = json.dumps({**record, "checksum": checksum(record)}).encode()
    (tmp_path / "changed.tar.xz").write_bytes(packed_members(members))
    with pytest.raises(UserError, match="a record in it is not what was written there"):
        open_records(tmp_path / "changed.tar.xz").__enter__()


def test_a_file_of_another_format_is_told_from_a_damaged_one(file: Path, tmp_path: Path) -> None:
    members = read_archive(file)
    members[ABOUT] = json.dumps({**json.loads(members[ABOUT]), "format": 99}).encode()
    (tmp_path / "later.tar.xz").write_bytes(packed_members(members))
    with pytest.raises(UserError, match=r"written by another version of the suite \(format 99, this one has 2\)"):
        open_records(tmp_path / "later.tar.xz").__enter__()


def test_records_of_the_file_carry_sound_checksums(file: Path) -> None:
    for name, content in read_archive(file).items():
        if name.endswith("record.json"):
            record = json.loads(content)
            assert record.pop("checksum") == checksum(record)
