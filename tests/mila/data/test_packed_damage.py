"""Damaged packed clips: never handed out, told with what to delete; what the system refuses is no damage."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mila.data import packed as packed_module
from mila.data.packed import PackedClips
from mila.data.prepare import pack
from mila.errors import UserError
from tests.support.fake_clips import FakeClips

Read = Callable[[PackedClips], Any]

READS: dict[str, Read] = {
    "clip": lambda clips: [clips.clip(index, 2) for index in range(len(clips))],
    "batch": lambda clips: clips.read([5, 2], 2),
    "another length": lambda clips: clips.read([2], 1),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Six packed clips of 4 frames."""
    pack(FakeClips(), 4, tmp_path / "packed")
    return tmp_path / "packed"


def flip(path: Path, clip: int, clips: int = 6) -> None:
    """Turn over one bit of a clip's part of an array."""
    content = bytearray(path.read_bytes())
    start = np.load(path, mmap_mode="r").offset
    content[start + (len(content) - start) // clips * clip + 3] ^= 4
    path.write_bytes(content)


@pytest.mark.parametrize("name", ["frames", "segmentation", "depth", "normals"])
@pytest.mark.parametrize("read", READS.values(), ids=READS)
def test_one_bit_is_noticed_by_whatever_reads_the_clip(name: str, read: Read, folder: Path) -> None:
    flip(folder / f"{name}.npy", clip=2)
    clips = PackedClips(folder)
    clips.clip(1, 4)  # the others are sound
    for _ in range(2):
        with pytest.raises(UserError, match=rf"{name}\.npy is damaged at clip 2; delete .*packed and prepare it again"):
            read(clips)


def test_statistics_over_the_targets_notice_it_too(folder: Path) -> None:
    flip(folder / "depth.npy", clip=2)
    with pytest.raises(UserError, match=r"depth\.npy is damaged at clip 2"):
        list(PackedClips(folder).targets())


def test_a_clip_is_compared_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compared, checksum = list[int](), packed_module.checksum

    def count(part: Any) -> int:
        compared.append(1)
        return checksum(part)

    monkeypatch.setattr(packed_module, "checksum", count)
    clips = PackedClips(folder)
    for _ in range(3):
        clips.read([0, 3], 2)
        clips.clip(3, 4)
    assert len(compared) == 2 * 4  # two clips of four arrays


def edit(folder: Path, **values: Any) -> None:
    path = folder / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda folder: edit(folder, length=3), "clips have 4 frames, the manifest says 3"),
        (lambda folder: edit(folder, encodings={"segmentation": ["uint8", 2]}), "packed data set"),
        (lambda folder: edit(folder, checksum="0" * 16), r"checksums\.npy is not what the manifest is about"),
        (lambda folder: flip(folder / "checksums.npy", 1), r"checksums\.npy is not what the manifest is about"),
        (lambda folder: os.truncate(folder / "frames.npy", 200), "packed data set"),
        (lambda folder: (folder / "frames.npy").unlink(), r"frames\.npy"),
    ],
)
def test_arrays_and_manifest_belong_together(damage: Callable[[Path], Any], words: str, folder: Path) -> None:
    damage(folder)
    with pytest.raises(UserError, match=words + ".*delete it and prepare it again"):
        PackedClips(folder)
    with pytest.raises(UserError, match="; ask the cat"):
        PackedClips(folder, remedy="ask the cat")
    with pytest.raises(UserError, match="; delete it"):
        pack(FakeClips(), 4, folder)  # it is not ready


@pytest.mark.parametrize("name", ["frames.npy", "manifest.json"])
@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.EMFILE, r"cannot be opened, for too many files are open; allow more \(`ulimit -n 4096`\)"),
        (errno.EACCES, r"cannot be read \(Permission denied\); make it readable for this user"),
    ],
)
def test_what_the_system_refuses_is_no_damage(
    name: str, number: int, words: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(original: Any) -> Any:
        def opened(path: Any, *args: Any, **options: Any) -> Any:
            if Path(path).name == name:
                raise OSError(number, os.strerror(number), str(path))
            return original(path, *args, **options)

        return opened

    monkeypatch.setattr(np, "load", refuse(np.load))
    monkeypatch.setattr(Path, "read_text", refuse(Path.read_text))
    with pytest.raises(UserError, match=rf"{name} {words}") as caught:
        PackedClips(folder)
    assert "delete" not in str(caught.value)
