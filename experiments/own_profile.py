"""Profiles that users write in a TOML file: one of the suite's, and what differs; see docs/your_own_profile.md.

The keys are the fields of `Profile` and of the parts of its schedules. Everything that matters of a profile enters the
stages that are made with it, so a file that changes makes other stages.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

from experiments.profiles import PROFILES, SMALLEST_SIDE, Profile
from experiments.reference.sizes import find_sized
from experiments.sources import EMBEDDED
from mila.carried import find_weights
from mila.common.files import read_text
from mila.common.toml_files import (
    FLAG,
    SECTION,
    TEXT,
    Kind,
    as_toml,
    check_key,
    number,
    one_of,
    pair,
    read_section,
    read_toml,
    share,
    whole,
)
from mila.errors import UserError
from mila.names import AugmentationName, Norm, Precision
from mila.schedule import EncoderState, Part, Schedule

PAGE = "docs/your_own_profile.md"
ENDING = ".toml"
LARGEST_INTERVAL = 64
"""K, of a file and of `--keyframe-interval`."""
SCHEDULES = ("encoder", "scratch", "method", "flow")
"""The schedules of a profile, and the sections that change them."""

_ALL = "training"  # the section that changes all of them
_DEPTHS = (18, 34, 50, 101)
_CLIPS = whole(1, 10**7)
_NETWORK_WIDTH = number(4)
_SIDE = whole(SMALLEST_SIDE, 4096)
_WEIGHTS = Kind("a text: a name, a file, a folder, or none", TEXT.fits)
_EPOCHS = number(10**5, lambda value: int(value) if value == int(value) else value)

_PLAIN: dict[str, Kind] = {
    "scale": number(4),
    "frame_size": pair(f"[height, width], each {_SIDE.allowed}", _SIDE.fits, int),
    "width": _NETWORK_WIDTH,
    "zero_init_residual": FLAG,
    "decoder_norm": one_of(get_args(Norm)),
    "stride": whole(1, 64),
    "train_clips": _CLIPS,
    "test_clips": _CLIPS,
    "real_train_clips": _CLIPS,
    "real_test_clips": _CLIPS,
    "flow_clips": _CLIPS,
    "flow_width": _NETWORK_WIDTH,
    "half_resolution": FLAG,
    "augmentation": one_of(get_args(AugmentationName)),
    "last_epochs": whole(1, 10**5),
    "precision": one_of(get_args(Precision)),
    "keyframe_interval": whole(1, LARGEST_INTERVAL),
}
"""Fields of `Profile` that a line of the file replaces as they are."""

_KEYS: dict[str, Kind] = {
    "base": one_of(PROFILES),
    "about": TEXT,
    **_PLAIN,
    "folder": Kind("the absolute path of a folder", lambda value: isinstance(value, str) and Path(value).is_absolute()),
    "flow_weights": _WEIGHTS,
    "weights": Kind("a folder, none, or a section [weights]", lambda v: isinstance(v, dict) or TEXT.fits(v)),
    "depths": SECTION,
    **dict.fromkeys((_ALL, *SCHEDULES), SECTION),
}

_OF_ALL_PARTS: dict[str, Kind] = {
    "epochs": _EPOCHS,
    "batch": whole(1, 65536),
    "lr": number(100),
    "betas": pair("two numbers from 0 to below 1", share, float),
    "decay": one_of(("none", "cosine", "step")),
    "decay_at": Kind("a number from 0 to below 1", share, float),
}
_OF_A_PART: dict[str, Kind] = {
    **_OF_ALL_PARTS,
    "name": TEXT,
    "encoders": one_of(get_args(EncoderState)),
    "keyframes": FLAG,
}


def find_profile(name: str) -> Profile:
    """The profile of a name, also of a size of one such as `reference-40`, or of the TOML file with this path.

    Raises:
        UserError: there is none, or its file is wrong.
    """
    if name.endswith(ENDING):
        return read_profile(Path(name))
    found = PROFILES.get(name) or find_sized(name)
    if found is None:
        raise UserError(
            f"there is no profile {name!r}; choose one of: {', '.join(PROFILES)}; or give a TOML file of your own, "
            f"such as my{ENDING} ({PAGE})."
        )
    return found


def read_profile(path: Path) -> Profile:
    """The profile that a file describes; it is called as the file, without its ending.

    Raises:
        UserError: the file cannot be read; a key is not known, or its value is not allowed.
    """
    values = read_toml(path, "--profile", PAGE)
    name = _name_of(path)
    if "base" not in values:
        raise UserError(f'{path} has no base; begin it with base = "quick", or another of: {", ".join(PROFILES)}.')
    for key in _OF_A_PART.keys() & values.keys():
        raise UserError(f"{path}: {key} is said of schedules; write it under [{_ALL}], or under [method] and the like.")
    given = read_section(values, _KEYS, str(path))
    if {"scale", "frame_size"} <= given.keys():
        raise UserError(f"{path}: scale and frame_size both say how large frames are; leave one of them out.")
    base, folder = PROFILES[given["base"]], Path(given.get("folder", path.absolute().parent))
    differs: dict[str, Any] = {key: value for key, value in given.items() if key in _PLAIN}
    for of in SCHEDULES:
        differs[of] = _schedule(getattr(base, of), given.get(_ALL, {}), given.get(of, {}), of, path)
    return replace(
        base,
        name=name,
        about=given.get("about", f"A user's own profile, made from {base.name}."),
        depths={**base.depths, **_depths(given.get("depths", {}), f"{path}, [depths]")},
        weights=_weights(base.weights, given.get("weights", {}), folder, path),
        flow_weights=_flow_weights(base.flow_weights, given.get("flow_weights"), folder, path),
        base=base.name,
        changes=tuple(_changes(values)),
        **differs,
    )


def copied_text(path: Path) -> bytes:
    """The file, so that it says the same wherever it is copied to: relative paths begin where it lies now.

    Raises:
        UserError: it cannot be read.
    """
    said = "folder" in read_toml(path, "--profile", PAGE)
    begin = "" if said else f"folder = {json.dumps(str(path.absolute().parent), ensure_ascii=False)}\n"
    return (begin + read_text(path)).encode()


def _name_of(path: Path) -> str:
    name = path.stem
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,59}", name):
        raise UserError(
            f"{path}: a profile is called as its file, so give it a name of at most 60 letters, digits, - and _."
        )
    if name in PROFILES or find_sized(name) is not None:
        raise UserError(f"{path}: the suite has a profile {name!r} itself; give the file another name.")
    return name


def _depths(section: Mapping[str, Any], where: str) -> dict[int, int]:
    """The section `[depths]`: by the paper's depth, that of the network in its place."""
    kind = Kind(f"one of: {', '.join(map(str, _DEPTHS))}", lambda value: type(value) is int and value in _DEPTHS)
    found = read_section(section, dict.fromkeys(map(str, _DEPTHS), kind), where)
    return {int(key): value for key, value in found.items()}


def _schedule(base: Schedule, to_all: Mapping[str, Any], own: Mapping[str, Any], of: str, path: Path) -> Schedule:
    """A schedule of the base, or one of the parts that the file lists, with what `[training]` and its section say."""
    where = f"{path}, [{of}]"
    everywhere = read_section(to_all, _OF_ALL_PARTS, f"{path}, [{_ALL}]")
    if "part" not in own:
        changed = everywhere | read_section(own, _OF_ALL_PARTS | {"part": SECTION}, where)
        return Schedule(tuple(replace(part, **changed) for part in base.parts))
    for key in own:
        check_key(key, (*_OF_ALL_PARTS, "part"), where)
        if key != "part":
            raise UserError(f"{where}: {key} is of all parts of {of}, but the file lists these itself; write it there.")
    parts = own["part"]
    if not (isinstance(parts, list) and parts and all(isinstance(part, dict) for part in parts)):
        raise UserError(f"{path}: a part of a schedule is a section of its own; begin each with [[{of}.part]].")
    return Schedule(tuple(_part(part, everywhere, f"{path}, [[{of}.part]] {n}") for n, part in enumerate(parts, 1)))


def _part(section: Mapping[str, Any], everywhere: Mapping[str, Any], where: str) -> Part:
    values = {**everywhere, **read_section(section, _OF_A_PART, where)}
    if "epochs" not in values:
        raise UserError(f"{where} does not say how many epochs it has; add epochs = 1, or another number.")
    return Part(**values)


def _weights(base: Mapping[int, str], given: Any, folder: Path, path: Path) -> dict[int, str]:
    """Weights of the encoders by the paper's depth: those of the base but where the file says otherwise."""
    if isinstance(given, str):
        if given != "none" and not os.path.isdir(folder / given):  # noqa: PTH112  # which bears any text
            raise UserError(
                f"{path}: weights must be a folder that is there, none, or a section [weights] with a line a depth; "
                f"there is no folder {folder / given}."
            )
        return {} if given == "none" else dict.fromkeys(_DEPTHS, str(folder / given))
    where = f"{path}, [weights]"
    found = read_section(given, dict.fromkeys(map(str, _DEPTHS), _WEIGHTS), where)
    own = {int(depth): _place(value, folder, f"{where}: {depth}") for depth, value in found.items()}
    return {depth: value for depth, value in {**base, **own}.items() if value != "none"}


def _flow_weights(base: str | None, given: str | None, folder: Path, path: Path) -> str | None:
    if given is None:
        return base
    return None if given == "none" else _place(given, folder, f"{path}: flow_weights")


def _place(value: str, folder: Path, where: str) -> str:
    """A name as it is, a path from `folder`; `{world}` may stand in both."""
    if value == "none" or re.fullmatch(r"ResNet\d+_Weights\.\w+", value):
        return value
    for world in EMBEDDED:
        meant = value.replace("{world}", world)
        with suppress(OSError):  # of a name that no file can have
            if (folder / meant).exists():
                return str(folder / value)
            if find_weights(meant) is not None and "/" not in meant:
                return value
    raise UserError(
        f"{where} is {value!r}, which is neither a file or a folder in {folder}, nor the name of weights that "
        "torchvision has (such as ResNet101_Weights.IMAGENET1K_V1) or this suite carries (mila/carried); give one of "
        "these, or none."
    )


def _changes(values: Mapping[str, Any], inside: str = "") -> list[str]:
    """What the file says otherwise than its base, a line each."""
    lines = []
    for key, value in values.items():
        if key in ("base", "about", "folder") and not inside:
            continue
        name = f"{inside}{key}"
        if isinstance(value, dict):
            lines += _changes(value, f"{name}.")
        else:
            lines.append(f"{name}: {len(value)}" if key == "part" else f"{name} = {as_toml(value)}")
    return lines
