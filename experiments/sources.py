"""Which data a stage reads: a frozen description, and the clips behind it."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, get_args

from mila.data.cityscapes import Cityscapes
from mila.data.clips import ClipSource
from mila.data.mtan_trees import MTANTree, is_mtan_tree
from mila.data.nyuv2 import open_nyuv2
from mila.data.worlds import WorldClips, WorldFlow
from mila.errors import UserError
from mila.tasks import CITYSCAPES, FLOW, NYUV2, Suite

DataName = Literal["rooms", "street", "nyuv2", "cityscapes"]
ClipMode = Literal["video", "pan", "still"]
Split = Literal["train", "val", "test"]

DATA: tuple[DataName, ...] = get_args(DataName)
EMBEDDED: tuple[DataName, ...] = ("rooms", "street")
"""The procedural worlds; everything else is real and needs a data root."""

MODES: dict[DataName, tuple[ClipMode, ...]] = {
    "rooms": ("video",),
    "street": ("video",),
    "nyuv2": ("pan", "still", "video"),
    "cityscapes": ("video", "pan", "still"),
}
"""Clips by data set, the default first: videos, stills with a moving crop, repeated stills."""

_MODULES: dict[DataName, tuple[str, ...]] = {
    "rooms": ("mila.data.worlds",),
    "street": ("mila.data.worlds",),
    "nyuv2": ("mila.data.nyuv2",),
    "cityscapes": ("mila.data.cityscapes", "mila.data.mtan_trees"),
}


@dataclass(frozen=True)
class Source:
    """One split of one data set at one size.

    Attributes:
        name: which data set.
        split: `train`, `val` (worlds, Cityscapes) or `test`.
        height, width: of the frames, pixels.
        mode: where clips come from.
        clips: how many (worlds), or at most how many (real data); None for all there are.
        root: the data set's folder; not part of what identifies the data.
        flow: pairs of a world's frames with their exact optical flow, instead of clips with the tasks' targets.
    """

    name: DataName
    split: Split
    height: int
    width: int
    mode: ClipMode
    clips: int | None = None
    root: Path | None = field(default=None, compare=False)
    flow: bool = False

    @property
    def suite(self) -> Suite:
        """The tasks the data set has targets for."""
        if self.flow:
            return FLOW
        return NYUV2 if self.name in ("rooms", "nyuv2") else CITYSCAPES

    @property
    def modules(self) -> tuple[str, ...]:
        """The Python modules that read or render it."""
        return _MODULES[self.name]

    def open(self) -> ClipSource:
        """The clips; a real data set is looked through here, so that what is missing is said before anything runs."""
        return _open(self, self.root)

    def manifest(self) -> dict[str, Any]:
        """See `ClipSource.manifest`."""
        return self.open().manifest()


@lru_cache(maxsize=16)
def _open(source: Source, root: Path | None) -> ClipSource:
    if source.name in ("rooms", "street"):
        if source.clips is None:
            raise UserError(f"the world {source.name!r} has no end: say how many clips.")
        world = WorldFlow if source.flow else WorldClips
        return world(source.name, source.split, clips=source.clips, height=source.height, width=source.width)
    if source.flow:
        raise UserError(f"{source.name!r} has no optical flow; only the worlds have: {', '.join(EMBEDDED)}.")
    if root is None:
        raise UserError(f"{source.name!r} is a real data set: say where it lies with --data-root FOLDER.")
    reader: Any = open_nyuv2 if source.name == "nyuv2" else MTANTree if is_mtan_tree(root) else Cityscapes
    split, how = source.split, {"suite": CITYSCAPES} if reader is MTANTree else {}
    if source.name == "cityscapes":
        if split == "val":
            raise UserError("Cityscapes is scored on its official val split (--split test): none is left to choose on.")
        # The labels of the official test split are not public; the field, and the paper, score the official val split.
        split = "val" if split == "test" else split
    # The readers check split and mode themselves, and say which they know.
    clips: ClipSource = reader(
        root, split, height=source.height, width=source.width, mode=source.mode, limit=source.clips, **how
    )
    return clips
