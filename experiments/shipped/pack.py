"""From a store of finished runs to a file of records that ships."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments.plan import Plan
from experiments.shipped.archive import ABOUT, packed_members
from experiments.stage_files import CLIP_SHARES, CLIP_SUMS
from experiments.stages import Stage, in_order
from experiments.store import FORMAT, Store
from mila.clip_shares import mean_jackknife, save_clip_shares
from mila.clip_sums import load_clip_sums
from mila.common.files import write_atomic
from mila.common.stored_files import checksum, read_bytes, read_object
from mila.errors import UserError


@dataclass(frozen=True)
class Shipped:
    """What was written.

    Attributes:
        stages: how many records.
        left_out: the stages that are not in the file, each with the reason.
        size: bytes of the file.
    """

    stages: int
    left_out: tuple[tuple[Stage, str], ...]
    size: int


def ship(plans: Sequence[Plan], store: Store, path: Path, *, largest: int, partial: bool = False) -> Shipped:
    """Write the records of some plans of one profile and one set of seeds into one file.

    Args:
        plans: which stages.
        store: where they were run.
        path: the file.
        largest: bytes that the file may have.
        partial: leave out what is not finished, instead of refusing.

    Raises:
        UserError: a stage is not finished, or its files are not what was written; or the file would be too large.
    """
    stages = in_order([stage for plan in plans for stage in [plan.train_data, plan.test_data, *plan.stages()]])
    reasons: dict[str, str] = {}
    for stage in stages:
        store.check_arrays(stage)
        if store.state(stage) != "done":
            reasons[stage.key] = store.state(stage)
        elif any(needed.key in reasons for needed in stage.needs):
            reasons[stage.key] = "it needs one that is left out"
    left_out = tuple((stage, reasons[stage.key]) for stage in stages if stage.key in reasons)
    if left_out and not partial:
        first, reason = left_out[0]
        raise UserError(
            f"{len(left_out)} of {len(stages)} stages are not finished, the first of them {first.title!r} ({reason}); "
            "run them first, or write what there is with --partial."
        )
    finished = [stage for stage in stages if stage.key not in reasons]
    if not finished:
        raise UserError(f"{store.root} has none of these stages finished, so there is nothing to write.")
    members = {ABOUT: _json(_about(plans))}
    for stage in finished:
        members |= _members(stage, store)
    content = packed_members(members)
    if len(content) > largest:
        raise UserError(
            f"the records of these {len(finished)} stages have {len(content) / 1e6:.2f} MB, more than the "
            f"{largest / 1e6:g} MB that the suite carries; nothing is written: give fewer --grid."
        )
    write_atomic(path, lambda file: file.write(content))
    return Shipped(len(finished), left_out, len(content))


def _about(plans: Sequence[Plan]) -> dict[str, Any]:
    (profile,), (seeds,) = {plan.profile.name for plan in plans}, {plan.seeds for plan in plans}
    return {"format": FORMAT, "profile": profile, "seeds": seeds, "grids": [plan.grid.name for plan in plans]}


def _members(stage: Stage, store: Store) -> dict[str, bytes]:
    """The files of a finished stage, as they are in the file of records."""
    folder = store.folder(stage)
    place = f"{stage.kind}/{stage.key}"
    record = read_object(folder / "record.json")
    del record["checksum"]
    files, shipped, members = record.pop("files", {}), {}, dict[str, bytes]()
    if CLIP_SUMS in files:
        sums, arrays = load_clip_sums(io.BytesIO(read_bytes(folder / CLIP_SUMS))), io.BytesIO()
        save_clip_shares(arrays, mean_jackknife(sums.values()))
        content = members[f"{place}/{CLIP_SHARES}"] = arrays.getvalue()
        shipped[CLIP_SHARES] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    record |= {"files": shipped, "not_shipped": files}
    members[f"{place}/stage.json"] = _json(read_object(folder / "stage.json"))
    members[f"{place}/record.json"] = _json({**record, "checksum": checksum(record)})
    return members


def _json(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
