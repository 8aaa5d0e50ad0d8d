"""Plain folders in the manner of NYUd v2 (Silberman et al., ECCV 2012), which anyone can write for data of their own.

    ROOT/train.txt, test.txt, val.txt   the annotated images of each split, one a line; val.txt is optional
    ROOT/rgb/NNN.jpg (or .png)          colour: annotated images and, for mode `video`, the frames before them
    ROOT/rgb/CLIP/NNN.jpg               or a folder a clip
    ROOT/depth/NNN.png                  8 bits: metres = (q + 0.5) / 25.5; 16 bits: millimetres; 0 is missing in both
    ROOT/labels13/NNN.png               0 unlabelled; 1..13 in the order of `mila.tasks.NYUV2`
    ROOT/labels40/NNN.png               0 unlabelled; 1..40 in the order of `mila.tasks.NYUV2_40`
    ROOT/normals/NNN.png                normals, see `mila.data.readers.nyuv2_normals`
    ROOT/camera.json                    optional: another camera than NYUd v2's, see `mila.data.readers.nyuv2_camera`

NNN is a number of any number of digits (of NYUd v2: official number - 1, four digits). A split lists `NNN`, or of a
folder a clip `CLIP/NNN`, or `CLIP` for its last frame; a file of exactly that name counts, or else the one of that
number.

Labels, depth and normals are each optional: the tasks are those that have a folder. Of the two folders of labels, the
one with the wanted classes is read; without a folder of normals they are computed from depth. Without frames before an
image, its clip is a pan over it or its repetition (`mila.data.readers.stills`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from statistics import median
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from PIL import Image

from mila.data.clips import Clip
from mila.data.readers.checks import check_folder, check_length, check_options, shared_by_splits
from mila.data.readers.images import (
    check_size,
    depth_bits,
    fingerprint,
    read_depth,
    read_labels,
    read_rgb,
    resize_rgb,
)
from mila.data.readers.numbered_images import LONGEST_CLIP, gap_in
from mila.data.readers.nyuv2_camera import NYUD_V2, check_split, read_camera, targets_of
from mila.data.readers.nyuv2_classes import suite_of
from mila.data.readers.nyuv2_normals import GivenNormals
from mila.data.readers.plain_files import SPLITS, Item, PlainFiles, has_video
from mila.data.readers.stills import StillMode, clip_from_still
from mila.errors import UserError
from mila.tasks import Suite, subset

DEPTH_STEP_8BIT = 1 / 25.5
"""Metres between two values of the 8-bit depth images."""

_TARGETS = ("segmentation", "depth", "normals")


class NYUv2Folders:
    """One split of a plain folder as a `ClipSource`.

    Args:
        root: the folder that holds `rgb`, the targets, `train.txt` and `test.txt`.
        split: `train`, `test`, or `val` where the folder has a `val.txt`.
        height: height of frames and targets, pixels.
        width: width of frames and targets, pixels.
        mode: `video` takes the frames before the annotated image, where there are any (`plain_files.has_video`), and
            for an image without enough of them a `pan`, which the manifest counts; `pan` and `still` make every clip of
            the annotated image alone (`mila.data.readers.stills`).
        limit: use the first so many items only.
        classes: the set of classes to read: 13, or 40.
        tasks: those that are read; the folders of their targets must be there.
        border: width in native pixels of the frame without targets, 0 for images without one; None takes that of
            `camera.json`, or without such a file that of NYUd v2's images.
        problems: see `ClipSource`.

    Raises:
        UserError: a folder, split file or image is missing, the camera file or an argument makes no sense, or no item
            is complete.
    """

    def __init__(
        self,
        root: str | Path,
        split: Literal["train", "val", "test"],
        *,
        height: int,
        width: int,
        mode: Literal["video"] | StillMode = "pan",
        limit: int | None = None,
        classes: Literal[13, 40] = 13,
        tasks: Collection[str] = _TARGETS,
        border: int | None = None,
        problems: list[str] | None = None,
    ) -> None:
        self.root = Path(root)
        there = tuple(name for name in SPLITS if name != "val" or (self.root / "val.txt").is_file())
        modes = ("pan", "still") if mode != "video" or not has_video(self.root, there) else ("video", "pan", "still")
        check_options(mode, modes, height, width, limit)
        check_split(split, there)
        self._suite, self._classes = subset(suite_of(classes), tasks), classes
        self._tasks = {task.name for task in self._suite.tasks}
        self.split, self.height, self.width, self.mode = split, height, width, mode
        check_folder(self.root, "the NYUd v2 folder")
        self._camera = read_camera(self.root, border)
        self._normals = GivenNormals(self.root)
        labels = f"labels{classes}" if "segmentation" in self._tasks else None
        depth = "depth" in self._tasks or ("normals" in self._tasks and not self._normals.exist)
        self._list = self.root / f"{split}.txt"
        self._items: list[Item] = []
        files = PlainFiles(self.root, labels=labels, depth=depth, normals=self._normals, video=mode == "video")
        if self._list.is_file():
            for folder in filter(None, ("rgb", "depth" if depth else None, labels)):
                check_folder(self.root / folder, f"the NYUd v2 folder {folder}")
        self._plain, self._items = files, files.items(split, limit, problems)

    @property
    def suite(self) -> Suite:
        """`mila.tasks.NYUV2` or `NYUV2_40`, or those of their tasks that were asked for."""
        return self._suite

    def __len__(self) -> int:
        return len(self._items)

    def clip(self, index: int, length: int) -> Clip:
        """`length` frames that end at item `index`, and its targets; the same for every call.

        Depth is metres; the white border is void in the labels, and 0 in depth and normals.

        Raises:
            IndexError: there is no item `index`.
            UserError: a file is unreadable, has a wrong size, labels beyond the classes, or no depth at all; or
                `length` is below 1, or above `LONGEST_CLIP` in mode `video`.
        """
        item = self._item(index)
        self._check_length(length)
        image = read_rgb(item.rgb)
        size = (image.height, image.width)
        self._camera.check_size(item.rgb, size)
        labels = None if item.labels is None else self._read_labels(item.labels)
        depth, step = (None, 0.0) if item.depth is None else _read_depth(item.depth)
        for path, array in ((item.labels, labels), (item.depth, depth)):
            if path is not None and array is not None:
                check_size(path, (array.shape[0], array.shape[1]), item.rgb, size)
        if depth is not None and not depth.any():
            raise UserError(
                f"{item.depth} has no depth at any pixel; restore it, or remove its number from {self._list.name}."
            )
        frames = self._frames(item, image, length)
        targets = targets_of(
            labels,
            depth,
            size=size,
            depth_step=step,
            camera=self._camera,
            height=self.height,
            width=self.width,
            given=item.normals,
        )
        return Clip(frames, {name: target for name, target in targets.items() if name in self._tasks})

    def _frames(self, item: Item, image: Image.Image, length: int) -> npt.NDArray[np.uint8]:
        """The frames of a clip, `[T, 3, H, W]`: of the video where it has as many, else made of the image."""
        if self.mode != "video" or not 1 < length <= len(item.before) + 1:
            still: StillMode = "still" if self.mode == "still" else "pan"
            identity = f"nyuv2/{item.name}"
            return clip_from_still(image, length, self.height, self.width, mode=still, identity=identity)
        frames = []
        for path in item.before[1 - length :]:
            earlier = read_rgb(path)
            check_size(path, (earlier.height, earlier.width), item.rgb, (image.height, image.width))
            frames.append(resize_rgb(earlier, self.height, self.width))
        return np.stack([*frames, resize_rgb(image, self.height, self.width)])

    def check(self, length: int, problems: list[str] | None = None) -> None:  # noqa: ARG002
        """`UserError` where `length` is below 1, or in mode `video` no image has as many frames.

        A still is made into a clip of any length; so is an image with fewer frames before it: the manifest counts them.
        """
        self._check_length(length)
        longest = max(len(item.before) for item in self._items) + 1
        if self.mode == "video" and longest < length:
            raise UserError(
                f"{self.root} has clips of {longest} frames at most in split {self.split}, but clips of {length} are "
                "wanted; add the frames before, choose a shorter keyframe interval, or mode pan."
            )

    def _check_length(self, length: int) -> None:
        check_length(length)
        if self.mode == "video" and length > LONGEST_CLIP:
            raise UserError(
                f"A clip of {length} frames is longer than the {LONGEST_CLIP} that are taken of a video; choose mode "
                "pan or still, which make clips of any length."
            )

    def files(self, index: int) -> list[Path]:
        """The split file, the camera file if there is one, and all images of item `index`.

        Raises:
            IndexError: there is no item `index`.
        """
        item = self._item(index)
        return [self._list, *self._camera.files, *item.before, item.rgb, *item.targets]

    def videos(self) -> int:
        """How many items have frames before them."""
        return sum(bool(item.before) for item in self._items)

    def manifest(self) -> dict[str, Any]:
        """Data set, suite, split, mode, size, number of items and of each target, notes, fingerprint of the files.

        In mode `video` also `video`: how many items have frames before them (`matched`), how many have none
        (`unmatched`), and how many frames those have (`fewest_before`, `median_before`; counted up to
        `LONGEST_CLIP` - 1).
        """
        count = len(self)
        notes = [f"{'- and '.join(map(str, sorted(self._depths)))}-bit depth"] if self._depths else []
        lacking = [name for name in _TARGETS if name not in self._tasks]
        if lacking:
            alone = " and ".join(task.name for task in self._suite.tasks)
            lacks = " and no ".join({"segmentation": "labels"}.get(name, name) for name in lacking)
            notes.insert(0, f"no {lacks}: {alone} alone")
        if any(item.rgb.suffix == ".jpg" for item in self._items):
            notes.append("JPEG images")
        notes += [self._normals.note] if "normals" in self._tasks else []
        video: dict[str, Any] = {}
        if self.mode == "video":
            before = sorted(len(item.before) for item in self._items if item.before)
            notes.append(f"{len(before)} of {count} items have frames of a video before them")
            notes.append("items without enough of them are pans over the annotated image")
            video["video"] = {
                "matched": len(before),
                "unmatched": count - len(before),
                "fewest_before": before[0] if before else 0,
                "median_before": median(before) if before else 0,
            }
        notes += self._camera.notes
        return {
            "dataset": "nyuv2",
            "suite": self._suite.name,
            "layout": "folders",
            "split": self.split,
            "mode": self.mode,
            "height": self.height,
            "width": self.width,
            "border": self._camera.border,
            "camera": self._camera.name,
            "items": count,
            "targets": {task.name: count for task in self._suite.tasks},
            **video,
            "note": ", ".join(notes),
            **({"warnings": self._warnings} if self._warnings else {}),
            "fingerprint": fingerprint(self.root, self._files()),
        }

    def _files(self) -> list[Path]:
        """All images, kind by kind."""
        files = [item.rgb for item in self._items]
        files += [item.depth for item in self._items if item.depth is not None]
        files += [item.labels for item in self._items if item.labels is not None]
        files += [item.normals for item in self._items if item.normals is not None]
        return files + sorted({path for item in self._items for path in item.before} - set(files))

    @cached_property
    def _depths(self) -> Mapping[int, int]:
        """How many depth images there are by their bits."""
        paths = [item.depth for item in self._items if item.depth is not None]
        bits = Counter([depth_bits(path) for path in paths[:1]])
        for path in paths[1:]:
            with suppress(UserError):  # `clip` says it
                bits[depth_bits(path)] += 1
        return bits

    @cached_property
    def _warnings(self) -> list[str]:
        found = [
            shared_by_splits(self.split, other, names, len(self._items))
            for other, names in self._plain.shared(self.split, self._items).items()
        ]
        gaps = [pair for item in self._items if (pair := gap_in([*item.before, item.rgb])) is not None]
        if gaps:
            one, other = gaps[0]
            found.append(
                f"split {self.split}: frames seem to be missing in {len(gaps)} of {len(self._items)} clips, the first "
                f"time between {one.relative_to(self.root)} and {other.name}: what is left would seem to jump"
            )
        found += self._shape
        if len(self._depths) < 2:
            return found
        return [
            *found,
            f"split {self.split} has depth images of 8 bits ({self._depths[8]}; metres = (q + 0.5) / 25.5) and of 16 "
            f"({self._depths[16]}; millimetres): each is read by its own",
        ]

    @property
    def _shape(self) -> list[str]:
        """A warning where normals are computed with NYUd v2's camera, for want of another, and images are not its."""
        if "normals" not in self._tasks or self._normals.exist or self._camera is not NYUD_V2:
            return []
        try:
            width, height = read_rgb(self._items[0].rgb).size
        except UserError:  # `clip` says it
            return []
        if 0.95 < width / height * NYUD_V2.height / NYUD_V2.width < 1.05:
            return []
        return [
            f"split {self.split}: images of {width} x {height} pixels are no shape of NYUd v2's camera, but there is "
            "no camera.json, so that normals are computed with that camera, stretched"
        ]

    def _item(self, index: int) -> Item:
        if not 0 <= index < len(self):
            raise IndexError(f"item {index} of {len(self)}")
        return self._items[index]

    def _read_labels(self, path: Path) -> npt.NDArray[np.int64]:
        values = read_labels(path)
        if values.size and int(values.max()) > self._classes:
            raise UserError(
                f"{path} holds the label {int(values.max())}, but the labels here are 0 (unlabelled) to "
                f"{self._classes}; replace it by the {self._classes}-class label image."
            )
        return values.astype(np.int64) - 1


def _read_depth(path: Path) -> tuple[npt.NDArray[np.float32], float]:
    """Metres `[H, W]`, 0 missing, and the quantisation step in metres."""
    values, bits = read_depth(path)
    if bits == 8:
        metres, step = (values.astype(np.float32) + 0.5) / 25.5, DEPTH_STEP_8BIT
    else:
        metres, step = values.astype(np.float32) / 1000, 0.001
    return np.where(values > 0, metres, 0.0).astype(np.float32), step
