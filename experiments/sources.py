"""Which data a stage reads: a frozen description, and the clips behind it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from mila.errors import UserError
from mila.tasks import CITYSCAPES, CITYSCAPES7, CITYSCAPES19, CITYSCAPES_METRES, FLOW, NYUV2, NYUV2_40, SUITES, Suite

if TYPE_CHECKING:  # the readers need PyTorch; to say which data there are does not
    from mila.data.clips import ClipSource
    from mila.data.own import DataSet
    from mila.data.readers.layouts import ClipMode, Layout

DataName = Literal["rooms", "street", "nyuv2", "cityscapes"]
Split = Literal["train", "val", "test", "pretrain"]

DATA: tuple[DataName, ...] = get_args(DataName)
EMBEDDED: tuple[DataName, ...] = ("rooms", "street")
"""The procedural worlds; everything else is real and needs a data root."""

SUITES_OF: Mapping[str, tuple[Suite, ...]] = {
    "rooms": (NYUV2,),
    "street": (CITYSCAPES, CITYSCAPES_METRES, CITYSCAPES7),
    "nyuv2": (NYUV2, NYUV2_40),
    "cityscapes": (CITYSCAPES, CITYSCAPES_METRES, CITYSCAPES19),
}
"""The sets of tasks that a data set has targets for, the default first."""

MODES: Mapping[str, tuple[ClipMode, ...]] = {
    "rooms": ("video",),
    "street": ("video",),
    "nyuv2": ("video", "pan", "still"),
    "cityscapes": ("video", "pan", "still"),
}
"""Where clips can come from; by default the first for which the folder has the files."""


def world_of(suite: Suite) -> DataName:
    """The world whose scenes are like those of a suite's data set: rooms for NYUd v2, a street for Cityscapes."""
    return "rooms" if suite.name.startswith("nyuv2") else "street"


@dataclass(frozen=True)
class Source:
    """One split of one data set at one size.

    Attributes:
        name: which data set: one of `DATA`, or what a user's file calls its own.
        split: `train`, `val` (where there is one) or `test`, which is what the field scores: of Cityscapes its official
            val; `pretrain` (worlds alone) for encoders that other trainings start from.
        height, width: of the frames, pixels.
        mode: where clips come from.
        clips: how many (worlds), or at most how many (real data); None for all there are.
        stride: time steps a frame of a world's clips; real videos are taken as they are.
        root: the data set's folder; not part of what identifies the data.
        suite: the tasks; for `FLOW`, pairs of a world's frames with their exact optical flow.
        file: the user's file that reads it; None for data of the suite. What it says counts, not where it lies.
    """

    name: str
    split: Split
    height: int
    width: int
    mode: ClipMode
    suite: Suite
    clips: int | None = None
    stride: int = 1
    root: Path | None = field(default=None, compare=False)
    file: Path | None = field(default=None, compare=False)

    @property
    def is_own(self) -> bool:
        """Whether the data are the user's own: in a file of theirs, or in folders that lack some of the tasks."""
        return self.file is not None or self.suite.name not in SUITES

    @property
    def world(self) -> DataName:
        """The world whose scenes are most like these."""
        return world_of(self.suite) if self.file is None else data_set_of(self.file).like

    @property
    def is_packed(self) -> bool:
        """Whether `root` is a packed store, which training reads as it is."""
        from mila.data.packed import is_packed_store

        return self.root is not None and is_packed_store(self.root)

    @property
    def modules(self) -> tuple[str, ...]:
        """The Python modules that read or render it."""
        from mila.data.clips import modules_of

        return modules_of(self.open())

    def open(self) -> ClipSource:
        """The clips; a real data set is looked through here, so that what is missing is said before anything runs."""
        return _open(self, self.root, self.file)

    def manifest(self) -> dict[str, Any]:
        """See `ClipSource.manifest`."""
        return self.open().manifest()


def data_set_of(file: Path) -> DataSet:
    """The data set that a user's file defines; see docs/add_a_data_set.md.

    Raises:
        UserError: there is no such file, or it defines none that makes sense.
    """
    from mila.data.own import load_data_set

    return load_data_set(file)


def find_layout(name: str, root: Path | None, file: Path | None = None) -> Layout:
    """What the folder of the real data set `name` holds, or of the one that a user's file defines.

    Raises:
        UserError: there is no folder, or it holds nothing known, or another data set.
    """
    if file is not None:
        from mila.data.own import own_layout

        return own_layout(file, file.parent if root is None else root)
    from mila.data.readers.layouts import recognise

    if root is None:
        raise UserError(f"{name!r} is a real data set: say where it lies with --data-root FOLDER.")
    layout = recognise(root)
    if layout.dataset != name:
        raise UserError(f"{root} holds {layout.title}, but --data is {name!r}; correct one of the two.")
    return layout


@lru_cache(maxsize=16)
def _open(source: Source, root: Path | None, file: Path | None) -> ClipSource:
    size: dict[str, Any] = {"height": source.height, "width": source.width}
    if source.name in EMBEDDED:
        world: Any = source.name
        from mila.data.worlds.clips import WorldClips, WorldFlow

        if source.clips is None:
            raise UserError(f"the world {source.name!r} has no end: say how many clips.")
        size["stride"] = source.stride
        if source.suite == FLOW:
            return WorldFlow(world, source.split, clips=source.clips, **size)
        return WorldClips(world, source.split, clips=source.clips, suite=source.suite, **size)
    if source.suite == FLOW:
        raise UserError(f"{source.name!r} has no optical flow; only the worlds have: {', '.join(EMBEDDED)}.")
    layout = find_layout(source.name, root, file)
    choosing = "val" if file is None else data_set_of(file).chosen_on
    if source.split == "val" and choosing in (None, layout.scored):
        raise UserError(
            f"{layout.title}: its {layout.scored} split is the one that is scored (--split test); none is left to "
            "choose on."
        )
    split = {"test": layout.scored, "val": str(choosing)}.get(source.split, source.split)
    return layout.open(split, suite=source.suite, mode=source.mode, limit=source.clips, **size)
