"""A file of records: the same members give the same bytes; what is no such file is said in one sentence."""

from __future__ import annotations

import io
import lzma
import tarfile
from pathlib import Path

import pytest

from experiments.shipped import archive
from experiments.shipped.archive import ABOUT, packed_members, read_archive
from mila.errors import UserError

STAGE = "evaluate/0123456789abcdef/stage.json"
MEMBERS = {ABOUT: b"{}", STAGE: b'{"kind":"evaluate"}' * 50, "train/0123456789abcdef/record.json": b""}


def foreign(name: str, kind: bytes = tarfile.REGTYPE) -> bytes:
    """A compressed archive of one member that nobody of the suite packed."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as file:
        member = tarfile.TarInfo(name)
        member.type, member.linkname = kind, "/etc/hostname"
        file.addfile(member, io.BytesIO(b""))
    return lzma.compress(packed.getvalue())


def test_members_come_back_whatever_their_order(tmp_path: Path) -> None:
    path = tmp_path / "some.tar.xz"
    path.write_bytes(packed_members(MEMBERS))
    assert read_archive(path) == MEMBERS
    assert packed_members(dict(reversed(MEMBERS.items()))) == path.read_bytes()


def flipped(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


@pytest.mark.parametrize(
    "content",
    [
        packed_members(MEMBERS)[:-20],
        flipped(packed_members(MEMBERS)),
        b"",
        b"PK\x03\x04 something else",
        lzma.compress(b"no archive" * 100),
        foreign("../outside/stage.json"),
        foreign("/evaluate/0123456789abcdef/stage.json"),
        foreign("evaluate/0123456789abcdef/model.pt"),
        foreign(STAGE, tarfile.SYMTYPE),
        foreign(STAGE, tarfile.GNUTYPE_SPARSE),
        foreign(STAGE, tarfile.DIRTYPE),
    ],
)
def test_another_file_or_a_damaged_one_is_one_sentence(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "some.tar.xz"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"some.tar.xz is damaged or no file of records \(.+\); restore it") as error:
        read_archive(path)
    assert "\n" not in str(error.value)


def test_what_grows_without_bound_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "_LARGEST", 10_000)
    path = tmp_path / "some.tar.xz"
    path.write_bytes(packed_members({ABOUT: b" " * 20_000}))
    with pytest.raises(UserError, match="it is too large"):
        read_archive(path)


def test_no_file_and_no_readable_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere.tar.xz is not there: .* leave it out to run the table here"):
        read_archive(tmp_path / "nowhere.tar.xz")
    with pytest.raises(UserError, match="cannot be read"):
        read_archive(tmp_path)
