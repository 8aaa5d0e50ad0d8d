"""Packed clips: what is read is what was packed, through interruptions, faults, versions and two processes at once."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mila.common import processes
from mila.data import prepare
from mila.data.clips import MEAN, STD
from mila.data.packed import Encoding, PackedClips, decode, encode, encoding, is_packed_store
from mila.data.prepare import pack, space_needed
from mila.data.worlds.clips import WorldClips
from mila.errors import UserError
from mila.tasks import CITYSCAPES, CITYSCAPES19, CITYSCAPES_METRES, FLOW, NYUV2, VOID, Suite
from tests.support.fake_clips import FakeClips
from tests.support.paths import ROOT

LENGTH = 4
SUITES: tuple[Suite, ...] = (NYUV2, CITYSCAPES, CITYSCAPES_METRES, CITYSCAPES19, FLOW)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != ".lock"}


@pytest.mark.parametrize("suite", SUITES, ids=lambda suite: suite.name)
def test_what_is_read_is_what_was_packed(suite: Suite, tmp_path: Path) -> None:
    source = FakeClips(3, suite)
    pack(source, LENGTH, tmp_path)
    packed = PackedClips(tmp_path)
    assert (len(packed), packed.length, packed.suite) == (3, LENGTH, suite)
    assert (packed.height, packed.width) == (4, 6)
    for index in range(3):
        for length in (1, LENGTH):
            theirs, ours = source.clip(index, length), packed.clip(index, length)
            assert np.array_equal(ours.frames, theirs.frames)
            for name, target in theirs.targets.items():
                # half a millimetre; half a unit of a disparity PNG; 11 significant bits
                atol = {"nyuv2": 0.00051, "cityscapes": 0.51 / 65535}.get(suite.name, 0) if name == "depth" else 1e-7
                rtol = 0 if name == "segmentation" else 2**-11
                np.testing.assert_allclose(ours.targets[name], target, rtol=rtol, atol=atol)
                assert ours.targets[name].dtype == (np.int64 if name == "segmentation" else np.float32)


def test_a_batch_is_normalised_clips(tmp_path: Path) -> None:
    source = WorldClips("rooms", "train", clips=5, height=24, width=32)
    pack(source, LENGTH, tmp_path)
    clips = PackedClips(tmp_path)
    frames, targets = clips.batch([4, 1], offset=1, history=1)
    assert frames.shape == (2, 3, 3, 24, 32)
    for row, index in enumerate([4, 1]):
        clip = source.clip(index, LENGTH)
        pixels = torch.from_numpy(clip.frames[-3:]).double() / 255
        mean, std = (torch.tensor(v, dtype=torch.float64)[:, None, None] for v in (MEAN, STD))
        torch.testing.assert_close(frames[row].double(), (pixels - mean) / std, rtol=0, atol=1e-5)
        for name, target in clips.clip(index, 1).targets.items():
            assert np.array_equal(targets[name][row].numpy(), target)
            np.testing.assert_allclose(target, clip.targets[name], rtol=2**-11, atol=0.00051)
    assert targets["segmentation"].dtype == torch.int64
    with pytest.raises(ValueError, match="have 4 frames, 5 are needed"):
        clips.batch([0], offset=3, history=1)
    with pytest.raises(
        UserError, match=r"clips of 4 frames, but clips of 5 are wanted; prepare it again with --length 5"
    ):
        clips.check(5)
    with pytest.raises(IndexError):
        clips.clip(5, 1)


@given(st.integers(0, 65535))
def test_every_disparity_of_a_png_comes_back_exactly(stored: int) -> None:
    task = CITYSCAPES.task("depth")
    value = np.full((1, 1, 1), stored / 65535, np.float32)
    how = encoding(CITYSCAPES, task)
    assert np.array_equal(decode(task, encode(task, value, how), how), value)


@given(st.integers(0, 65535))
def test_every_millimetre_of_a_depth_png_comes_back_exactly(stored: int) -> None:
    task = NYUV2.task("depth")
    value = np.full((1, 1, 1), np.float32(stored) / 1000, np.float32)
    how = encoding(NYUV2, task)
    assert np.array_equal(decode(task, encode(task, value, how), how), value)


def test_what_is_not_annotated_stays_so_and_what_is_valid_too() -> None:
    seg, depth, flow = NYUV2.task("segmentation"), NYUV2.task("depth"), FLOW.task("flow")
    assert encode(seg, np.array([[VOID, 12]]), Encoding("uint8")).tolist() == [[255, 12]]
    tiny = np.array([[[0, 1e-6, 0.0004]]], np.float32)
    assert encode(depth, tiny, Encoding("uint16", 1000)).tolist() == [[[0, 1, 1]]]
    undefined = encode(flow, np.array([np.nan, 1.5], np.float32), Encoding("float16"))
    assert np.isnan(undefined[0])
    assert undefined[1] == 1.5
    far = encode(CITYSCAPES_METRES.task("depth"), np.array([121000.0, 0.0], np.float32), Encoding("float16"))
    assert far.tolist() == [65504.0, 0.0]
    with pytest.raises(UserError, match=r"depth 70 is beyond the 65\.535 that can be stored"):
        encode(depth, np.array([[[70.0]]], np.float32), Encoding("uint16", 1000))


def test_packing_continues_where_it_stopped(tmp_path: Path) -> None:
    whole, folder = tmp_path / "whole", tmp_path / "with space and ü"
    pack(FakeClips(40), 2, whole)
    with pytest.raises(KeyboardInterrupt):
        pack(FakeClips(40, stops_at=30), 2, folder)
    assert is_packed_store(folder.parent) is False
    with pytest.raises(UserError, match=r"is not a finished packed data set .*an interrupted one is continued"):
        PackedClips(folder)
    with (folder / "unfinished.jsonl").open("a") as file:
        file.write('{"clip": 39, "fil')  # torn by a power cut
    with pytest.raises(KeyboardInterrupt):
        pack(FakeClips(40, stops_at=38), 2, folder)
    rest = FakeClips(40)
    pack(rest, 2, folder)
    assert rest.asked
    assert rest.asked == list(range(rest.asked[0], 40))
    assert rest.asked[0] >= 33
    assert contents(folder) == contents(whole)
    again = FakeClips(40)
    pack(again, 2, folder)
    assert again.asked == []


def test_other_data_in_a_half_packed_folder_are_not_mixed(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        pack(FakeClips(40, stops_at=30), 2, tmp_path)
    other = FakeClips(39)
    pack(other, 2, tmp_path)
    assert other.asked == list(range(39))
    with pytest.raises(UserError, match="holds another data set already"):
        pack(FakeClips(40), 2, tmp_path)
    with pytest.raises(UserError, match="with shorter clips"):
        pack(FakeClips(39), 3, tmp_path)


def test_broken_clips_are_told_all_at_once_and_the_others_are_kept(tmp_path: Path) -> None:
    files = tmp_path / "files"
    files.mkdir()
    for index in range(30):
        (files / str(index)).write_bytes(bytes(index))
    folder = tmp_path / "packed"
    with pytest.raises(UserError, match=r"^2 clips cannot be read, the first: clip 3 is broken; mend it \("):
        pack(FakeClips(30, broken=(3, 20), folder=files), 2, folder)
    with pytest.raises(UserError, match=r"^clip 20 is broken; mend it$"):
        pack(FakeClips(30, broken=(20,), folder=files), 2, folder)
    assert not (folder / "manifest.json").exists()
    (files / "7").write_bytes(b"another size")
    mended = FakeClips(30, folder=files)
    pack(mended, 2, folder)
    assert mended.asked == [7, 20]
    assert len(PackedClips(folder)) == 30
    with pytest.raises(UserError, match=r"^\d\d or more clips cannot be read"):
        pack(FakeClips(60, broken=tuple(range(60))), 2, tmp_path / "hopeless")


@pytest.mark.slow
def test_workers_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reported: list[tuple[int, int]] = []
    pack(FakeClips(30), 2, tmp_path / "alone", workers=1)
    monkeypatch.setattr(processes, "POOL_FROM", 0.0)
    pack(FakeClips(30), 2, tmp_path / "together", lambda done, total: reported.append((done, total)), workers=2)
    assert contents(tmp_path / "alone") == contents(tmp_path / "together")
    assert reported[-1] == (30, 30)
    assert [done for done, _ in reported] == sorted(done for done, _ in reported)
    with pytest.raises(UserError, match="clip 29 is broken; mend it"):
        pack(FakeClips(30, broken=(29,)), 2, tmp_path / "broken", workers=2)
    assert not multiprocessing.active_children()


PACK = """
from pathlib import Path
from tests.support.fake_clips import FakeClips
from mila.data.prepare import pack
source = FakeClips(400, height=32, width=32)
pack(source, 4, Path({folder!r}), on_wait=lambda: print("waits", flush=True), workers=1)
print("made", len(source.asked))
"""


@pytest.mark.slow
def test_two_processes_share_the_work(tmp_path: Path) -> None:
    script = PACK.format(folder=str(tmp_path / "packed"))
    both = [
        subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, cwd=ROOT) for _ in range(2)
    ]
    printed = [process.communicate(timeout=120)[0].split() for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert sorted(int(words[-1]) for words in printed) == [0, 400]
    assert PackedClips(tmp_path / "packed").verify() == []


@pytest.mark.slow
def test_killed_while_packing_is_continued(tmp_path: Path) -> None:
    folder = tmp_path / "packed"
    script = PACK.format(folder=str(folder)).replace("400", "4000")
    process = subprocess.Popen([sys.executable, "-c", script], cwd=ROOT)
    journal = folder / "unfinished.jsonl"
    while process.poll() is None and not (journal.exists() and journal.read_text().count("\n") > 100):
        pass
    process.kill()
    process.wait()
    assert not (folder / "manifest.json").exists()
    done = journal.read_text().count("\n") - 1
    rest = FakeClips(4000, height=32, width=32)
    pack(rest, 4, folder, workers=1)
    assert 4000 - done - 16 <= len(rest.asked) <= 4000 - done + 16
    assert PackedClips(folder).verify() == []


def test_space_is_known_before_and_a_full_disk_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = FakeClips(10)
    needed = space_needed(source, LENGTH)
    assert needed == {
        "frames": 10 * LENGTH * 3 * 24,
        "segmentation": 10 * 24,
        "depth": 10 * 24 * 2,
        "normals": 10 * 3 * 24 * 2,
    }
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=sum(needed.values()) - 1))
    with pytest.raises(UserError, match=r"packed needs 5\.0 kB, but the disk has 5\.0 kB free; free some space"):
        pack(source, LENGTH, tmp_path / "packed")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(UserError, match="packed needs"):
        pack(source, LENGTH, tmp_path / "packed")
    assert not list((tmp_path / "packed").glob("*.npy"))
    monkeypatch.undo()
    monkeypatch.setattr(prepare.Maker, "make", full)
    with pytest.raises(UserError, match=r"the disk of .*packed is full; free some space and run again"):
        pack(source, LENGTH, tmp_path / "packed")
    monkeypatch.undo()
    assert source.asked == []
    pack(source, LENGTH, tmp_path / "packed")
    assert PackedClips(tmp_path / "packed").verify() == []


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match=r"file.* cannot be written .*choose a folder that this user may write to"):
        pack(FakeClips(), 2, tmp_path / "file" / "packed")


def edit(folder: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    about = json.loads((folder / "manifest.json").read_text())
    change(about)
    (folder / "manifest.json").write_text(json.dumps(about))


def test_damage_is_found(tmp_path: Path) -> None:
    folder = tmp_path / "packed"
    pack(FakeClips(), LENGTH, folder)
    with (folder / "depth.npy").open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"\x7f")
    (damage,) = PackedClips(folder).verify()
    assert "depth.npy is damaged at clip 5; delete" in damage
    with (folder / "depth.npy").open("r+b") as file:
        file.truncate(150)
    with pytest.raises(UserError, match="not a finished packed data set"):
        PackedClips(folder)
    (folder / "depth.npy").unlink()
    with pytest.raises(UserError, match=r"not a finished packed data set .*depth\.npy"):
        PackedClips(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda about: about.update(format=1), r"written by another version of the suite \(format 1, this one has 2\)"),
        (lambda about: about.pop("format"), "written by another version of the suite"),
        (lambda about: about.update(format=99), r"format 99, this one has 2\); delete .* and prepare it again"),
        (lambda about: about.update(suite="kitti"), "not a finished packed data set"),
        (lambda about: about.update(clips=7), "an array has 6 clips, the manifest says 7"),
        (lambda about: about.pop("encodings"), "not a finished packed data set"),
    ],
)
def test_a_manifest_of_another_version_or_of_none_is_refused(
    change: Callable[[dict[str, Any]], Any], message: str, tmp_path: Path
) -> None:
    pack(FakeClips(), LENGTH, tmp_path)
    edit(tmp_path, change)
    with pytest.raises(UserError, match=message):
        PackedClips(tmp_path)


@pytest.mark.parametrize("text", ["", "[]", "{", "null"])
def test_a_manifest_that_is_no_object_is_refused(text: str, tmp_path: Path) -> None:
    pack(FakeClips(), LENGTH, tmp_path)
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(UserError, match=r"not a finished packed data set .*delete it and prepare it again"):
        PackedClips(tmp_path)


def test_the_manifest_says_what_it_is_and_a_limit_is_part_of_it(tmp_path: Path) -> None:
    source = FakeClips()
    pack(source, LENGTH, tmp_path)
    packed = PackedClips(tmp_path)
    manifest = packed.manifest()
    assert json.loads(json.dumps(manifest)) == manifest
    assert source.manifest().items() <= manifest.items()
    assert manifest["packed"]["length"] == LENGTH
    assert len(manifest["packed"]["code"]) == len(manifest["packed"]["checksum"]) == 16
    few = PackedClips(tmp_path, limit=2)
    assert len(few) == len(list(few.targets())) == 2
    assert few.manifest() != manifest
    assert [path.name for path in few.files(0)] == ["frames.npy", "segmentation.npy", "depth.npy", "normals.npy"]
