"""Several files of records made one: other seeds, other parts; what both have, and what must not be mixed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

import experiments.stages
from experiments.collect import collect_rows
from experiments.commands import merge as command
from experiments.grids import find_grids
from experiments.plan import Plan
from experiments.profiles import SMOKE
from experiments.reference.sizes import sized
from experiments.runs import embedded_plan
from experiments.shipped.archive import ABOUT, packed_members, read_archive
from experiments.shipped.merge import merge
from experiments.shipped.store import open_records
from experiments.store import Store
from mila.common.stored_files import checksum
from mila.errors import UserError
from tests.support.fake_records import shipped
from tests.support.fake_results import fill, score_clips

PROFILE = sized(SMOKE, 50)


def part(number: int, *seeds: int, profile: str = "") -> Plan:
    """The first and the last row of a part."""
    grid = find_grids("reference")[number - 1]
    few = replace(grid, rows=(grid.rows[0], grid.rows[-1]))
    return embedded_plan(few, replace(PROFILE, name=profile or PROFILE.name), seeds)


def file_of(plan: Plan, folder: Path) -> Path:
    """The file of a plan all of whose stages are finished."""
    path = folder / f"{plan.grid.name}-{'-'.join(map(str, plan.seeds))}.tar.xz"
    store = Store(folder / "stores" / path.stem)
    fill(store, plan)
    score_clips(store, plan, 4)
    shipped(plan, store, path)
    return path


def numbers(plan: Plan, store: Store) -> list[tuple[str, int, str]]:
    """Of every row: how many seeds it has, and what is missing."""
    return [(row.plan.label, len(row.evaluations), row.missing) for row in collect_rows(plan, store)]


@pytest.mark.slow
def test_parts_and_seeds_come_together(tmp_path: Path) -> None:
    plans = [part(1, 0), part(1, 1), part(2, 0)]
    files = [file_of(plan, tmp_path) for plan in plans]
    out = tmp_path / "all.tar.xz"
    merged = merge(files, out)
    assert (merged.profile, merged.seeds, merged.size) == (PROFILE.name, (0, 1), out.stat().st_size)
    shared = {"clips street train", "clips street test", "street constant predictor", "street D101-MultiTask, seed 0"}
    assert shared <= set(merged.several)
    with open_records(out) as store:
        assert (store.profile, store.seeds) == (PROFILE.name, (0, 1))
        assert json.loads(read_archive(out)[ABOUT])["grids"] == ["reference1", "reference2"]
        assert all(found[1:] == (2, "") for found in numbers(part(1, 0, 1), store)[:-1])
        assert all(found[1:] == (1, "") for found in numbers(part(2, 0), store))
        assert numbers(part(2, 0, 1), store)[0] == ("Concatenation", 1, "1 of 2 seeds run")
        assert len(store.identities) == merged.stages


@pytest.mark.slow
def test_a_score_comes_from_the_file_of_its_training(tmp_path: Path) -> None:
    """The first file was cut off after a training: the second has another one of the same name, and its score."""
    plan = part(1, 0)
    files = [file_of(plan, tmp_path / name) for name in ("a", "b")]
    train = plan.rows[0].evaluations[0][0].train
    for place, path in enumerate(files):
        members = read_archive(path)
        if place == 0:
            members = {name: text for name, text in members.items() if not name.startswith("evaluate/")}
        path.write_bytes(packed_members(with_seconds(members, f"train/{train.key}/record.json", place + 10.0)))
    merge(files, tmp_path / "out.tar.xz")
    with open_records(tmp_path / "out.tar.xz") as store:
        assert store.record(train).seconds == 11
        assert store.state(plan.rows[0].evaluations[0][0]) == "done"
    merge([files[1], files[0]], tmp_path / "out.tar.xz")
    with open_records(tmp_path / "out.tar.xz") as store:
        assert store.record(train).seconds == 11


def with_seconds(members: dict[str, bytes], name: str, seconds: float) -> dict[str, bytes]:
    """The members with another time in a record."""
    record = json.loads(members[name]) | {"seconds": seconds}
    del record["checksum"]
    text = json.dumps({**record, "checksum": checksum(record)})
    return {**members, name: text.encode()}


@pytest.mark.slow
def test_order_and_repetition_change_nothing(tmp_path: Path) -> None:
    files = [file_of(part(1, seed), tmp_path) for seed in (0, 1)]
    first, second, third = (tmp_path / f"{name}.tar.xz" for name in "xyz")
    merge(files, first)
    merge([first, files[1]], second)
    assert second.read_bytes() == first.read_bytes()
    assert merge([first, second], third).stages == merge(files, first).stages


@pytest.mark.slow
def test_what_must_not_be_mixed_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here, out = file_of(part(1, 0), tmp_path), tmp_path / "out.tar.xz"
    other = file_of(part(1, 1, profile="smoke-60"), tmp_path / "other")
    with pytest.raises(UserError, match=r"profile 'smoke-50', .* those of 'smoke-60', which are never mixed"):
        merge([here, other], out)
    monkeypatch.setattr(experiments.stages, "code_digest", lambda *_: "another code")
    newer = file_of(part(1, 1), tmp_path / "newer")
    with pytest.raises(
        UserError, match=r"both have 'clips street t\w+', computed by different code; merge runs of one"
    ):
        merge([here, newer], out)
    (tmp_path / "none.tar.xz").write_bytes(b"none")
    with pytest.raises(UserError, match="damaged or no file of records"):
        merge([here, tmp_path / "none.tar.xz"], out)
    assert not out.exists()


def test_the_command_says_what_it_wrote(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = [str(file_of(part(1, seed), tmp_path)) for seed in (0, 1)]
    out = str(tmp_path / "out.tar.xz")
    assert command.main([*files, "--out", out]) == 0
    printed = capsys.readouterr().out
    assert "in several files, taken from one: clips street train" in printed
    assert f"{out}: profile smoke-50, seeds 0 1: " in printed
    assert command.main([files[0], files[0], "--out", out]) == 2
    assert "at least two different files" in capsys.readouterr().err
