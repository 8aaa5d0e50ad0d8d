"""A data set of one's own, in one Python file that defines `DATA_SET`; see docs/add_a_data_set.md."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from mila.common.user_code import load_file
from mila.data.clips import ClipSource
from mila.data.own_clips import OwnClips
from mila.data.packed import is_packed_store
from mila.data.readers.layouts import ClipMode, Layout, recognise
from mila.errors import UserError
from mila.tasks import Suite, Task, is_known

SPLITS = ("train", "val", "test")

_PAGE = "docs/add_a_data_set.md"
_NAME = re.compile(r"[a-z][a-z0-9_]*")
_TAKEN = ("rooms", "street", "nyuv2", "cityscapes")
_MODES: tuple[ClipMode, ...] = ("video", "pan", "still")


@dataclass(frozen=True)
class DataSet:
    """What a user's file says of its data.

    Attributes:
        name: in lower case, for the pages and their files: letters, digits and `_`.
        suite: the tasks, and the size at which the profiles take it for the paper's (`mila.tasks`:
            `segmentation_task`, `depth_task`, `normals_task`); any classes, any of the three tasks.
        open: `open(root, split, *, mode, height, width, limit, problems)` gives a split as a
            `mila.data.clips.ClipSource`.
        splits: those that there are, of `train`, `val` and `test`.
        scored: the split that is scored.
        chosen_on: the split that settings are chosen on (`--split val`); None where there is none.
        modes: where clips can come from, the default first: frames of a `video`, or single images made into clips
            (`pan`, `still`; `mila.data.readers.stills`).
        like: the world whose scenes are most like these: small profiles start from encoders trained on it, and
            FlowNet-S is trained on its flow.
    """

    name: str
    suite: Suite
    open: Callable[..., ClipSource]
    splits: tuple[str, ...] = ("train", "test")
    scored: str = "test"
    chosen_on: str | None = None
    modes: tuple[ClipMode, ...] = ("video",)
    like: Literal["street", "rooms"] = "street"


def load_data_set(file: Path) -> DataSet:
    """The `DATA_SET` that a file defines, looked through.

    Raises:
        UserError: there is no such file, it cannot be run, or what it defines makes no sense.
    """
    if file.suffix != ".py" or not file.is_file():
        raise UserError(f"--data {file}: there is no such Python file; give the path of one ({_PAGE}).")
    found = getattr(load_file(file.resolve()), "DATA_SET", None)
    if not isinstance(found, DataSet):
        raise UserError(f"{file} defines no DATA_SET that is a mila.data.own.DataSet; add one, as {_PAGE} shows.")
    wrong = _wrong(found)
    if wrong:
        raise UserError(f"{file}: {wrong} ({_PAGE}).")
    return found


def own_layout(file: Path, root: Path) -> Layout:
    """The data set of a user's file in the folder `root`, or its packed store if that is one.

    Raises:
        UserError: see `load_data_set`; or `root` is a packed store of something else.
    """
    data, file = load_data_set(file), file.resolve()
    if not is_packed_store(root):
        read = partial(_open, file)
        title = f"{data.name} ({file.name})"
        return Layout(root, title, data.name, (data.suite,), data.modes, data.splits, data.scored, False, reader=read)
    layout = recognise(root)
    if layout.dataset != data.name:
        raise UserError(f"{root} is a {layout.title}, but {file} is of {data.name!r}; correct one of the two.")
    if layout.suites != (data.suite,):
        raise UserError(
            f"{root} was prepared with other tasks, classes or colours than {file} has now; prepare the data set again."
        )
    return layout


def _open(file: Path, root: Path, split: str, *, suite: Suite, **options: Any) -> OwnClips:  # noqa: ARG001
    data = load_data_set(file)
    about = {"dataset": data.name, "scored": data.scored, "like": data.like}
    return OwnClips(file, data.open, data.suite, about, root, split, **options)


def _wrong(data: DataSet) -> str:
    """What makes no sense in a data set, and what to do; empty where nothing does."""
    if not isinstance(data.name, str) or not _NAME.fullmatch(data.name) or data.name in _TAKEN:
        return (
            f"the name {data.name!r} cannot be used; take lower-case letters, digits and _, and none of "
            f"{', '.join(_TAKEN)}"
        )
    if not callable(data.open):
        return "open is no function; give one that opens a split"
    return _wrong_suite(data.suite) or _wrong_choice(data)


def _wrong_suite(suite: object) -> str:
    if not isinstance(suite, Suite) or not isinstance(suite.name, str):
        return f"suite is {type(suite).__name__}, not a mila.tasks.Suite"
    tasks: object = suite.tasks
    if not isinstance(tasks, tuple) or not tasks or not all(isinstance(task, Task) for task in tasks):
        return "its suite needs a tuple of tasks: segmentation_task, depth_task, normals_task of mila.tasks"
    if not is_known(suite) and (suite.name.startswith(("nyuv2", "cityscapes")) or not _NAME.fullmatch(suite.name)):
        return f"its suite cannot be called {suite.name!r}; call it as the data set is called"
    names = [task.name for task in suite.tasks]
    if len(set(names)) < len(names) or not set(names) <= {"segmentation", "depth", "normals"}:
        return f"its suite has the tasks {', '.join(names)}; take each of segmentation, depth and normals once at most"
    if any(type(side) is not int or not 16 <= side <= 8192 for side in (suite.height, suite.width)):
        return f"its suite is {suite.height} x {suite.width} pixels (height x width); give numbers from 16 to 8192"
    try:
        hash(suite)
    except TypeError:
        return "its suite holds lists; write tuples"
    return ""


def _wrong_choice(data: DataSet) -> str:
    for what, values, known in (("splits", data.splits, SPLITS), ("modes", data.modes, _MODES)):
        if not isinstance(values, tuple) or not values or not set(values) <= set(known):
            return f"{what} is {values!r}; give a tuple of some of {', '.join(known)}"
    if "train" not in data.splits or data.scored not in data.splits or data.scored == "train":
        return f"splits is {data.splits!r} and scored {data.scored!r}; there must be train, and another that is scored"
    if data.chosen_on is not None and (data.chosen_on not in data.splits or data.chosen_on in ("train", data.scored)):
        return f"chosen_on is {data.chosen_on!r}; give another of its splits than train and {data.scored}, or None"
    return "" if data.like in ("street", "rooms") else f"like is {data.like!r}; choose street or rooms"
