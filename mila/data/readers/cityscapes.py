"""Cityscapes (Cordts et al., CVPR 2016) in the official folder layout: 7 or 19 classes, and disparity as depth.

    ROOT/gtFine/SPLIT/CITY/CITY_SSSSSS_FFFFFF_gtFine_labelIds.png
    ROOT/leftImg8bit_sequence/SPLIT/CITY/CITY_SSSSSS_FFFFFF_leftImg8bit.png (or .jpg)
    ROOT/leftImg8bit/SPLIT/CITY/CITY_SSSSSS_FFFFFF_leftImg8bit.png (or .jpg)
    ROOT/disparity/SPLIT/CITY/CITY_SSSSSS_FFFFFF_disparity.png       optional; 16 bits, 0 invalid
    ROOT/camera/SPLIT/CITY/CITY_SSSSSS_FFFFFF_camera.json            for depth in metres

A snippet of the video package has 30 frames, of which the one with index 19 is annotated: 19 frames come before it.
Depth is sampled from the stored disparity and never rescaled with the image size; an item without a disparity file has
depth 0 throughout, that is, not annotated.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from mila.data.clips import Clip
from mila.data.readers.checks import check_folder, check_length, check_options
from mila.data.readers.cityscapes_files import FRAMES_TO_ANNOTATION, Item, SplitFiles, metres_times_pixels
from mila.data.readers.cityscapes_labels import HIGHEST_TRAIN_ID, HIGHEST_UNTRAINED_ID, UNKNOWN, class_table
from mila.data.readers.images import check_size, fingerprint, nearest, read_depth, read_labels, read_rgb, resize_rgb
from mila.data.readers.stills import clip_from_still
from mila.errors import UserError
from mila.tasks import CITYSCAPES, CITYSCAPES19, CITYSCAPES_METRES, Suite

__all__ = ["FRAMES_TO_ANNOTATION", "Cityscapes", "ClipMode", "DepthUnit"]

ClipMode = Literal["video", "pan", "still"]
DepthUnit = Literal["disparity", "metres"]


class Cityscapes:
    """One split of Cityscapes as a `ClipSource`.

    Args:
        root: the folder that holds `gtFine` and `leftImg8bit_sequence` (all that mode `video` needs) or `leftImg8bit`.
        split: `train`, `val` or `test`.
        height: height of frames and targets, pixels.
        width: width of frames and targets, pixels.
        mode: `video` takes the real frames before the annotated one; `pan` and `still` make a clip of the annotated
            image alone (`mila.data.readers.stills`), which may lie in either of the two folders.
        limit: use the first so many items only, in the order of their names.
        classes: 7 label categories and depth, or the 19 classes of the benchmark without depth (Tables 5 and 11).
        depth: with 7 classes, `disparity` is the stored value p / 65535, as in the published numbers (note 2.3);
            `metres` is baseline x fx / d with d = (p - 1) / 256 pixels (note 3.1), 0 where d is not positive.
        problems: see `ClipSource`.

    Raises:
        UserError: a folder or image is missing or unreadable, or an argument makes no sense.
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
        classes: Literal[7, 19] = 7,
        depth: DepthUnit = "disparity",
        problems: list[str] | None = None,
    ) -> None:
        check_options(mode, get_args(ClipMode), height, width, limit)
        if split not in ("train", "val", "test"):
            raise UserError(f"Cityscapes has no split {split!r}; choose train, val or test.")
        self._suite = _suite(classes, depth)
        self.root = Path(root)
        self.split, self.height, self.width, self.mode = split, height, width, mode
        self._table = class_table(self._suite)
        self._files = SplitFiles(
            self.root,
            split,
            video=mode == "video",
            disparity=self._suite != CITYSCAPES19,
            camera=self._suite == CITYSCAPES_METRES,
        )
        try:
            check_folder(self.root, "the Cityscapes folder")
            check_folder(self.root / "gtFine" / split, f"the Cityscapes labels (gtFine) of split {split}")
            images = "leftImg8bit_sequence"
            if mode != "video" and not (self.root / images / split).is_dir():
                images = "leftImg8bit"  # either will do
            check_folder(self.root / images / split, f"the images that mode {mode} takes, of split {split},")
            self._items = self._files.items(limit, problems)
        except OSError as error:
            raise UserError(
                f"{error.filename or self.root} cannot be read ({error.strerror or error}); give this user the right "
                "to read it."
            ) from error

    @property
    def suite(self) -> Suite:
        """`mila.tasks.CITYSCAPES`, `CITYSCAPES_METRES` or `CITYSCAPES19`."""
        return self._suite

    def __len__(self) -> int:
        return len(self._items)

    def clip(self, index: int, length: int) -> Clip:
        """`length` frames that end at annotated frame `index`, and its targets; the same for every call.

        Raises:
            IndexError: there is no item `index`.
            UserError: a file is unreadable, of a wrong size or with unknown labels; in mode `video`, `length` exceeds
                the frames that are there (`FRAMES_TO_ANNOTATION` at most).
        """
        item = self._item(index)
        check_length(length)
        if self.mode == "video":
            self._files.check_length(item, length)
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
        targets: dict[str, npt.NDArray[Any]] = {"segmentation": self._labels(item, size)}
        if self._suite != CITYSCAPES19:
            targets["depth"] = self._depth(item, size)
        return Clip(clip, targets)

    def check(self, length: int, problems: list[str] | None = None) -> None:
        """`UserError` naming a file that a clip of `length` frames lacks, or where `length` is not possible.

        With `problems`, one sentence for every item that lacks one is appended there instead.
        """
        check_length(length)
        for item in self._items if self.mode == "video" else ():
            try:
                self._files.check_length(item, length)
            except UserError as error:
                if problems is None:
                    raise
                problems.append(str(error))

    def files(self, index: int) -> list[Path]:
        """The frames of item `index`, the annotated one last, its labels, and its disparity and camera if wanted.

        Raises:
            IndexError: there is no item `index`.
        """
        return self._item(index).files

    def manifest(self) -> dict[str, Any]:
        """Data set, suite, split, mode, size, items, targets, notes, warnings if any, fingerprint of the files."""
        count, with_depth = len(self), sum(item.disparity is not None for item in self._items)
        notes, targets = [], {"segmentation": count}
        if self._suite != CITYSCAPES19:
            notes.append("depth is metres" if self._suite == CITYSCAPES_METRES else "depth is disparity / 65535")
            targets["depth"] = with_depth
            if with_depth < count:
                notes.append(f"{count - with_depth} items without disparity")
        if any(path.suffix == ".jpg" for item in self._items for path in item.frames):
            notes.append("JPEG images")
        return {
            "dataset": "cityscapes",
            "suite": self._suite.name,
            "split": self.split,
            "mode": self.mode,
            "height": self.height,
            "width": self.width,
            "items": count,
            "targets": targets,
            "note": ", ".join(notes),
            **({"warnings": self._warnings} if self._warnings else {}),
            "fingerprint": fingerprint(self.root, [path for item in self._items for path in item.files]),
        }

    def _item(self, index: int) -> Item:
        if not 0 <= index < len(self):
            raise IndexError(f"item {index} of {len(self)}")
        return self._items[index]

    @cached_property
    def _warnings(self) -> list[str]:
        """What a whole split shows: where the labels are right, the first of them already ends the search."""
        highest = -1
        for item in self._items:
            try:
                highest = max(highest, int(read_labels(item.labels).max()))
            except UserError:  # `clip` says it
                continue
            if highest > HIGHEST_TRAIN_ID:
                return []
        if highest < 0:
            return []
        if highest <= HIGHEST_UNTRAINED_ID:
            return [f"split {self.split} has no labels but void ones, as the test split, whose labels are not public"]
        return [
            f"no label id above {HIGHEST_TRAIN_ID} occurs in split {self.split}: these are no complete labelIds "
            "(trainIds look so)"
        ]

    def _frame(self, path: Path, last: Path, size: tuple[int, int]) -> npt.NDArray[np.uint8]:
        image = read_rgb(path)
        check_size(path, (image.height, image.width), last, size)
        return resize_rgb(image, self.height, self.width)

    def _labels(self, item: Item, size: tuple[int, int]) -> npt.NDArray[np.int64]:
        ids = read_labels(item.labels)
        check_size(item.labels, (ids.shape[0], ids.shape[1]), item.frames[-1], size)
        # out-of-range ids anywhere make the file suspect, so the whole of it is checked
        if int(ids.max()) > 255 or int((classes := self._table[ids]).min()) == UNKNOWN:
            unknown = int(ids.max()) if int(ids.max()) > 255 else int(ids[classes == UNKNOWN][0])
            train_ids = ", and 255 is the mark of trainIds" if unknown == 255 else ""
            raise UserError(
                f"{item.labels} holds the label id {unknown}, but Cityscapes has the ids 0 to 33{train_ids}; replace "
                "it by the official labelIds image."
            )
        return nearest(classes, self.height, self.width)

    def _depth(self, item: Item, size: tuple[int, int]) -> npt.NDArray[np.float32]:
        if item.disparity is None:
            return np.zeros((1, self.height, self.width), np.float32)
        stored, bits = read_depth(item.disparity)
        if bits != 16:
            raise UserError(
                f"{item.disparity} has 8 bits a pixel, but disparity has 16; "
                "replace it by the official disparity image."
            )
        check_size(item.disparity, (stored.shape[0], stored.shape[1]), item.frames[-1], size)
        if not stored.any():
            raise UserError(f"{item.disparity} is 0 everywhere, so it holds no disparity; restore the official image.")
        values = nearest(stored[None], self.height, self.width)  # [1, H, W]
        if item.camera is None:
            return (values / 65535).astype(np.float32)
        pixels = (values.astype(np.float64) - 1) / 256
        metres = metres_times_pixels(item.camera) / np.where(pixels > 0, pixels, np.inf)
        return metres.astype(np.float32)


def _suite(classes: int, depth: str) -> Suite:
    if classes not in (7, 19):
        raise UserError(f"Cityscapes has no set of {classes} classes here; choose 7 or 19.")
    if depth not in get_args(DepthUnit):
        raise UserError(f"There is no depth in {depth!r} for Cityscapes; choose disparity or metres.")
    if classes == 7:
        return CITYSCAPES if depth == "disparity" else CITYSCAPES_METRES
    if depth == "metres":
        raise UserError("The 19 classes of Cityscapes come without depth; choose 7 classes for depth in metres.")
    return CITYSCAPES19
