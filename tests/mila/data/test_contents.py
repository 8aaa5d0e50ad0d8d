"""Digests of what files contain: another content is always seen, the same files are read once."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from pathlib import Path

import pytest

from mila.data import contents
from mila.data.contents import content_digests
from mila.errors import UserError

OF_A = hashlib.sha256(b"a").hexdigest()


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Three files of an hour ago, and a cache of their own."""
    monkeypatch.setenv("MILA_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(contents, "_SETTLED", -(10**9))  # tests do not wait until files are old
    paths = [tmp_path / "data" / name for name in ("eins", "zwei ü", "drei")]
    paths[0].parent.mkdir()
    for path, text in zip(paths, "abc", strict=True):
        path.write_text(text)
    return paths


def read_afresh(files: list[Path], monkeypatch: pytest.MonkeyPatch) -> tuple[dict[Path, str], list[Path]]:
    """The digests as a new process finds them, and which files it reads for that."""
    read, original = list[Path](), contents._read

    def count(path: Path) -> contents._Seen:
        read.append(path)
        return original(path)

    contents._seen_in.cache_clear()
    monkeypatch.setattr(contents, "_read", count)
    try:
        return content_digests(files), read
    finally:
        monkeypatch.setattr(contents, "_read", original)


def test_files_are_read_once_and_nothing_is_written_among_them(
    files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, read = read_afresh(files, monkeypatch)
    assert sorted(read) == sorted(files)
    assert first[files[0]] == OF_A
    again, read = read_afresh(files, monkeypatch)
    assert (again, read) == (first, [])
    assert sorted(files[0].parent.iterdir()) == sorted(files)


@pytest.mark.parametrize("keep_time", [False, True])
def test_another_content_of_the_same_size_is_seen(
    keep_time: bool, files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    before, _ = read_afresh(files, monkeypatch)
    was = files[1].stat()
    files[1].write_text("x")
    os.utime(files[1], ns=(was.st_atime_ns, was.st_mtime_ns if keep_time else was.st_mtime_ns + 1))
    after, read = read_afresh(files, monkeypatch)
    assert read == [files[1]]
    assert after[files[1]] != before[files[1]]


def test_another_file_in_its_place_is_seen(files: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    before, _ = read_afresh(files, monkeypatch)
    was = files[0].stat()
    other = files[0].with_name("other")
    other.write_text("x")
    os.utime(other, ns=(was.st_atime_ns, was.st_mtime_ns))
    other.replace(files[0])
    after, _ = read_afresh(files, monkeypatch)
    assert after[files[0]] != before[files[0]]


def test_what_has_just_changed_is_not_remembered(files: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Within one tick of a file system's clock it may change again, at the same time and size."""
    monkeypatch.setattr(contents, "_SETTLED", 10**12)
    read_afresh(files, monkeypatch)
    _, read = read_afresh(files, monkeypatch)
    assert sorted(read) == sorted(files)


@pytest.mark.parametrize("damage", ["", "[]", '{"files": {"eins": [1]}}', '{"files": []}', "[" * 100_000])
def test_a_damaged_cache_is_read_anew(damage: str, files: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    first, _ = read_afresh(files, monkeypatch)
    (cached,) = Path(os.environ["MILA_CACHE"]).rglob("*.json")
    assert set(json.loads(cached.read_text())["files"]) == {path.name for path in files}
    cached.write_text(damage)
    again, read = read_afresh(files, monkeypatch)
    assert again == first
    assert len(read) == 3


def test_two_processes_keep_what_each_has_read(files: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    contents._seen_in.cache_clear()
    contents._seen_in(os.path.realpath(files[0].parent))  # looked at while the cache was empty ...
    read_afresh(files[:2], monkeypatch)  # ... which another process fills
    read_afresh(files[2:], monkeypatch)
    assert read_afresh(files, monkeypatch)[1] == []


def test_a_cache_that_cannot_be_written_costs_time_alone_and_is_said(
    files: list[Path], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    in_the_way = files[0].with_name("file")
    in_the_way.write_text("")
    monkeypatch.setenv("MILA_CACHE", str(in_the_way))
    with caplog.at_level(logging.WARNING):
        digests = content_digests(files)
    assert digests[files[0]] == OF_A
    assert "the next run reads all files of the data set again; set MILA_CACHE to a folder" in caplog.text
    monkeypatch.setattr(contents, "_read", None)
    assert content_digests(files) == digests  # in this process they are known


def test_long_reading_says_how_far_it_is(
    files: list[Path], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(contents, "_SAY_EVERY", -1.0)
    content_digests(files)
    assert "reading what the files of the data set contain (once): 3 of 3" in caplog.text


def test_what_cannot_be_read_is_said(files: list[Path]) -> None:
    with pytest.raises(FileNotFoundError):
        content_digests([*files, files[0].with_name("missing")])


def test_a_file_that_grows_meanwhile_is_refused(files: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    found = os.fstat

    def grow(number: int) -> os.stat_result:
        before = found(number)
        with files[0].open("a") as file:
            file.write("more")
        return before

    monkeypatch.setattr(os, "fstat", grow)
    with pytest.raises(UserError, match="eins changes while it is read; run again once it is complete"):
        content_digests(files[:1])
