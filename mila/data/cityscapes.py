"""Cityscapes (Cordts et al., CVPR 2016) in the official folder layout: 7 label categories, and disparity as depth.

    ROOT/gtFine/SPLIT/CITY/CITY_SSSSSS_FFFFFF_gtFine_labelIds.png
    ROOT/leftImg8bit_sequence/SPLIT/CITY/CITY_SSSSSS_FFFFFF_leftImg8bit.png (or .jpg)
    ROOT/leftImg8bit/SPLIT/CITY/CITY_SSSSSS_FFFFFF_leftImg8bit.png (or .jpg)
    ROOT/disparity/SPLIT/CITY/CITY_SSSSSS_FFFFFF_disparity.png       optional; 16 bits, 0 invalid

A snippet of the video package has 30 frames, of which the one with index 19 is annotated: 19 frames come before it.
Depth is the stored disparity value / 65535, sampled and never rescaled with the image size; an item without a
disparity file has depth 0 throughout, that is, not annotated.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from mila.data.clips import Clip
from mila.data.images import (
    check_folder,
    check_options,
    check_size,
    fingerprint,
    nearest,
    read_grey,
    read_rgb,
    resize_rgb,
)
from mila.data.stills import check_length, clip_from_still
from mila.errors import UserError
from mila.tasks import CITYSCAPES, VOID, Suite

ClipMode = Literal["video", "pan", "still"]

FRAMES_TO_ANNOTATION = 20
"""Frames of a snippet up to and with the annotated one (indices 0 to 19)."""

ID_CATEGORY: dict[int, str] = {
    -1: "vehicle",
    **dict.fromkeys(range(0, 7), "void"),
    **dict.fromkeys(range(7, 11), "flat"),
    **dict.fromkeys(range(11, 17), "construction"),
    **dict.fromkeys(range(17, 21), "object"),
    **dict.fromkeys(range(21, 23), "nature"),
    23: "sky",
    **dict.fromkeys(range(24, 26), "human"),
    **dict.fromkeys(range(26, 34), "vehicle"),
}
"""Category of each label id: the table of `cityscapesscripts.helpers.labels` (package cityscapesscripts). -1 (licence
plate) is 255 in an 8-bit image, though the official tool never draws it."""

_UNKNOWN = -2
_LABELS_NAME = re.compile(r"(?P<snippet>.+_\d{6})_(?P<frame>\d{6})_gtFine_labelIds\.png")


@dataclass(frozen=True)
class _Item:
    """Files of one annotated frame; `frames` ends at that frame and holds what is there of the snippet before it."""

    name: str
    labels: Path
    frames: tuple[Path, ...]
    disparity: Path | None


class Cityscapes:
    """One split of Cityscapes as a `ClipSource`.

    Args:
        root: the folder that holds `gtFine` and `leftImg8bit_sequence` (mode `video`) or `leftImg8bit`.
        split: `train`, `val` or `test`.
        height: height of frames and targets, pixels.
        width: width of frames and targets, pixels.
        mode: `video` takes the real frames before the annotated one; `pan` and `still` make a clip of the annotated
            image alone (`mila.data.stills`).
        limit: use the first so many items only, in the order of their names.

    Raises:
        UserError: a folder or image is missing, or an argument makes no sense.
    """

    def __init__(
        self,
        root: str | Path,
        split: Literal["train", "val", "test"],
        *,
        height: int,
        width: int,
        mode: ClipMode = "video",
        limit: int | None = None,
    ) -> None:
        check_options(mode, ("video", "pan", "still"), height, width, limit)
        if split not in ("train", "val", "test"):
            raise UserError(f"Cityscapes has no split {split!r}; choose train, val or test.")
        self.root = Path(root)
        self.split, self.height, self.width, self.mode = split, height, width, mode
        check_folder(self.root, "the Cityscapes folder")
        check_folder(self.root / "gtFine" / split, f"the Cityscapes labels (gtFine) of split {split}")
        images = "leftImg8bit_sequence" if mode == "video" else "leftImg8bit"
        check_folder(self.root / images / split, f"the images that mode {mode} takes, of split {split},")
        self._category = _category_table(CITYSCAPES)
        self._items = self._find_items(limit)

    @property
    def suite(self) -> Suite:
        """`mila.tasks.CITYSCAPES`: 7 categories, and disparity / 65535 as depth."""
        return CITYSCAPES

    def __len__(self) -> int:
        return len(self._items)

    def clip(self, index: int, length: int) -> Clip:
        """`length` frames that end at annotated frame `index`, and its targets; the same for every call.

        Raises:
            IndexError: there is no item `index`.
            UserError: a file is unreadable, of a wrong size or with unknown labels; in mode `video`, `length` exceeds
                the frames that are there (`FRAMES_TO_ANNOTATION` at most).
        """
        if not 0 <= index < len(self):
            raise IndexError(f"item {index} of {len(self)}")
        check_length(length)
        item = self._items[index]
        self._check_frames(item, length)
        image = read_rgb(item.frames[-1])
        size = (image.height, image.width)
        if self.mode == "video":
            frames = [self._frame(path, item.frames[-1], size) for path in item.frames[len(item.frames) - length : -1]]
            frames.append(resize_rgb(image, self.height, self.width))
            clip = np.stack(frames)
        else:
            clip = clip_from_still(
                image, length, self.height, self.width, mode=self.mode, identity=f"cityscapes/{item.name}"
            )
        return Clip(clip, {"segmentation": self._labels(item, size), "depth": self._disparity(item, size)})

    def manifest(self) -> dict[str, Any]:
        """Data set, split, mode, size, number of items and of each target, notes, and a fingerprint of the files."""
        count, with_depth = len(self), sum(item.disparity is not None for item in self._items)
        notes = ["depth is disparity / 65535"]
        if with_depth < count:
            notes.append(f"{count - with_depth} items without disparity")
        if any(path.suffix == ".jpg" for item in self._items for path in item.frames):
            notes.append("JPEG images")
        files: list[Path] = []
        for item in self._items:
            files += [*item.frames, item.labels, *([item.disparity] if item.disparity else [])]
        return {
            "dataset": "cityscapes",
            "split": self.split,
            "mode": self.mode,
            "height": self.height,
            "width": self.width,
            "items": count,
            "targets": {"segmentation": count, "depth": with_depth},
            "note": ", ".join(notes),
            "fingerprint": fingerprint(self.root, files),
        }

    def _find_items(self, limit: int | None) -> list[_Item]:
        labels_root = self.root / "gtFine" / self.split
        labels = sorted(labels_root.glob("*/*_gtFine_labelIds.png"), key=lambda path: path.name)
        if not labels:
            raise UserError(
                f"{labels_root} holds no CITY/*_gtFine_labelIds.png; unpack gtFine there, or choose another split."
            )
        listings: dict[Path, frozenset[str]] = {}
        return [self._item(path, listings) for path in labels[:limit]]

    def _item(self, labels: Path, listings: dict[Path, frozenset[str]]) -> _Item:
        match = _LABELS_NAME.fullmatch(labels.name)
        if match is None:
            raise UserError(
                f"{labels} is not named CITY_SSSSSS_FFFFFF_gtFine_labelIds.png with six digits each; restore its name."
            )
        snippet, last, city = match["snippet"], int(match["frame"]), labels.parent.name

        def find(folder: str, frame: int) -> Path | None:
            where = self.root / folder / self.split / city
            if where not in listings:
                listings[where] = frozenset(os.listdir(where) if where.is_dir() else ())  # noqa: PTH208
            names = (f"{snippet}_{frame:06d}_leftImg8bit{suffix}" for suffix in (".png", ".jpg"))
            return next((where / name for name in names if name in listings[where]), None)

        annotated = find("leftImg8bit", last)
        frames: list[Path] = []
        if self.mode == "video":
            annotated = annotated or find("leftImg8bit_sequence", last)
            for frame in range(last - 1, max(last - FRAMES_TO_ANNOTATION, -1), -1):
                path = find("leftImg8bit_sequence", frame)
                if path is None:
                    break
                frames.insert(0, path)
        if annotated is None:
            folder = "leftImg8bit_sequence" if self.mode == "video" else "leftImg8bit"
            name = f"{snippet}_{last:06d}_leftImg8bit.png"
            raise UserError(
                f"{self.root / folder / self.split / city / name} does not exist (nor as .jpg), but {labels.name} "
                "annotates it; restore the image or remove its labels."
            )
        item = _Item(f"{snippet}_{last:06d}", labels, (*frames, annotated), None)
        if self.mode == "video" and not frames:
            self._check_frames(item, 2)
        disparity = self.root / "disparity" / self.split / city / f"{item.name}_disparity.png"
        return replace(item, disparity=disparity) if disparity.is_file() else item

    def _check_frames(self, item: _Item, length: int) -> None:
        if self.mode != "video" or length <= len(item.frames):
            return
        if len(item.frames) == FRAMES_TO_ANNOTATION:
            raise UserError(
                f"A clip of {length} frames is longer than the {FRAMES_TO_ANNOTATION} frames that the snippet of "
                f"{item.name} has up to its annotated one; ask for a shorter clip: a smaller keyframe interval or less "
                "history."
            )
        snippet, frame = item.name.rsplit("_", 1)
        name = f"{snippet}_{int(frame) - len(item.frames):06d}_leftImg8bit.png"
        missing = self.root / "leftImg8bit_sequence" / self.split / item.labels.parent.name / name
        raise UserError(
            f"{missing} does not exist (nor as .jpg), but a clip of {length} frames to {item.name} needs it; unpack "
            "leftImg8bit_sequence in full, ask for a shorter clip, or choose mode pan or still."
        )

    def _frame(self, path: Path, last: Path, size: tuple[int, int]) -> npt.NDArray[np.uint8]:
        image = read_rgb(path)
        check_size(path, (image.height, image.width), last, size)
        return resize_rgb(image, self.height, self.width)

    def _labels(self, item: _Item, size: tuple[int, int]) -> npt.NDArray[np.int64]:
        ids, _ = read_grey(item.labels)
        check_size(item.labels, (ids.shape[0], ids.shape[1]), item.frames[-1], size)
        # out-of-range ids anywhere make the file suspect, so the whole of it is checked
        if int(ids.max()) > 255 or int((categories := self._category[ids]).min()) == _UNKNOWN:
            unknown = int(ids.max()) if int(ids.max()) > 255 else int(ids[categories == _UNKNOWN][0])
            raise UserError(
                f"{item.labels} holds the label id {unknown}, but Cityscapes has the ids 0 to 33; replace it by the "
                "official labelIds image."
            )
        return nearest(categories, self.height, self.width)

    def _disparity(self, item: _Item, size: tuple[int, int]) -> npt.NDArray[np.float32]:
        if item.disparity is None:
            return np.zeros((1, self.height, self.width), np.float32)
        values, bits = read_grey(item.disparity)
        if bits != 16:
            raise UserError(
                f"{item.disparity} has 8 bits a pixel, but disparity has 16; "
                "replace it by the official disparity image."
            )
        check_size(item.disparity, (values.shape[0], values.shape[1]), item.frames[-1], size)
        return (nearest(values[None], self.height, self.width) / 65535).astype(np.float32)


def _category_table(suite: Suite) -> npt.NDArray[np.int64]:
    """Class index by stored 8-bit value; `VOID` for void and `_UNKNOWN` for what is no label id."""
    classes = suite.task("segmentation").classes
    table = np.full(256, _UNKNOWN, np.int64)
    for label, category in ID_CATEGORY.items():
        table[label % 256] = VOID if category == "void" else classes.index(category)
    return table
