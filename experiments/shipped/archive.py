"""One compressed file of thousands of small ones, which are alike: packed together they take a fifth of the room.

store.json                          what the file is of: the store's format, profile, seeds, grids
<kind>/<hash>/stage.json            what the stage is, as it was written
<kind>/<hash>/record.json           what came out; of its files, those that are here
<kind>/<hash>/shares.npz            of a score: what each clip contributes, see `mila.clip_shares`
"""

from __future__ import annotations

import io
import lzma
import re
import tarfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from experiments.stage_files import CLIP_SHARES
from mila.common.files import not_opened
from mila.errors import UserError

ABOUT = "store.json"
"""Member that says what the file is of."""

_NAME = re.compile(rf"{re.escape(ABOUT)}|[a-z]+/[0-9a-f]{{16}}/(?:stage\.json|record\.json|{re.escape(CLIP_SHARES)})")
_FILTERS = [{"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME}]
_PLAIN = (tarfile.REGTYPE, tarfile.AREGTYPE)
"""A file as it is; a sparse one may claim any size."""
_LARGEST = 256 * 2**20
"""Bytes of all members; what claims to hold more is not unpacked."""


def packed_members(members: Mapping[str, bytes]) -> bytes:
    """What a file with these members holds; the same members give the same bytes."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name in sorted(members, key=lambda name: (PurePosixPath(name).name, name)):  # like beside like
            member = tarfile.TarInfo(name)
            member.size = len(members[name])
            archive.addfile(member, io.BytesIO(members[name]))
    return lzma.compress(packed.getvalue(), check=lzma.CHECK_SHA256, filters=_FILTERS)


def read_archive(path: Path) -> dict[str, bytes]:
    """The members of a file by name; nothing is unpacked to disk, and nothing in the file is run.

    Raises:
        UserError: it is not there, or not what `packed_members` gave.
    """
    members: dict[str, bytes] = {}
    try:
        with lzma.open(path) as packed:
            content = packed.read(_LARGEST + 1)
        if len(content) > _LARGEST:
            raise not_records(path, "it is too large")
        with tarfile.open(fileobj=io.BytesIO(content), mode="r:") as archive:
            for member in archive:
                found = archive.extractfile(member) if member.type in _PLAIN and _NAME.fullmatch(member.name) else None
                if found is None or member.name in members:
                    raise not_records(path, f"what is {member.name!r} in it?")
                members[member.name] = found.read()
    except FileNotFoundError as error:
        raise UserError(
            f"{path} is not there: this copy of the suite ships no such records; give --from-records another file, or "
            "leave it out to run the table here."
        ) from error
    except OSError as error:
        raise not_opened(path, error) from error
    except (lzma.LZMAError, EOFError, tarfile.TarError, ValueError) as error:
        raise not_records(path, str(error)) from error
    return members


def not_records(path: Path, reason: str) -> UserError:
    """The error for a file that is damaged, or another one than a file of records."""
    return UserError(
        f"{path} is damaged or no file of records ({reason}); restore it from the repository, or give another file."
    )
