"""NYUd v2 (Silberman et al., ECCV 2012) in plain folders, which anyone can write for data of their own.

    ROOT/train.txt, test.txt        image numbers of the split, zero-based (official number - 1), one a line
    ROOT/rgb/NNNN.jpg (or .png)     colour
    ROOT/depth/NNNN.png             8 bits: metres = (q + 0.5) / 25.5; 16 bits: millimetres; 0 is missing in both
    ROOT/labels13/NNNN.png          0 unlabelled; 1..13 in the order of `mila.tasks.NYUV2`
    ROOT/labels40/NNNN.png          0 unlabelled; 1..40 in the order of `mila.tasks.NYUV2_40`
    ROOT/normals/NNNN.png           optional: normals, see `mila.data.readers.nyuv2_normals`
    ROOT/camera.json                optional: another camera than NYUd v2's, see `mila.data.readers.nyuv2_camera`

Of the two folders of labels, the one with the wanted classes is read. The images are single frames, so a clip is a pan
over the image or its repetition (`mila.data.readers.stills`). Without a folder
of normals they are computed from depth.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from mila.common.files import read_text
from mila.data.clips import Clip
from mila.data.readers.checks import check_folder, check_length, check_options, report_problem
from mila.data.readers.images import check_size, depth_bits, fingerprint, read_depth, read_labels, read_rgb
from mila.data.readers.nyuv2_camera import check_split, read_camera, targets_of
from mila.data.readers.nyuv2_classes import suite_of
from mila.data.readers.nyuv2_normals import GivenNormals
from mila.data.readers.stills import StillMode, clip_from_still
from mila.errors import UserError
from mila.tasks import Suite

DEPTH_STEP_8BIT = 1 / 25.5
"""Metres between two values of the 8-bit depth images."""


class NYUv2Folders:
    """One split of NYUd v2 in the plain folder layout as a `ClipSource`.

    Args:
        root: the folder that holds `rgb`, `depth`, `labels13` or `labels40`, `train.txt` and `test.txt`.
        split: `train` or `test`.
        height: height of frames and targets, pixels.
        width: width of frames and targets, pixels.
        mode: how a single image becomes a clip, see `mila.data.readers.stills`.
        limit: use the first so many items only.
        classes: the set of classes to read: 13, or 40.
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
        split: Literal["train", "test"],
        *,
        height: int,
        width: int,
        mode: StillMode = "pan",
        limit: int | None = None,
        classes: Literal[13, 40] = 13,
        border: int | None = None,
        problems: list[str] | None = None,
    ) -> None:
        check_options(mode, ("pan", "still"), height, width, limit)
        check_split(split)
        self._suite, self._classes = suite_of(classes), classes
        self.root = Path(root)
        self.split, self.height, self.width, self.mode = split, height, width, mode
        check_folder(self.root, "the NYUd v2 folder")
        self._camera = read_camera(self.root, border)
        self._list = self.root / f"{split}.txt"
        names = _read_split(self._list, problems)[:limit]
        labels = f"labels{classes}"
        for folder in ("rgb", "depth", labels):
            check_folder(self.root / folder, f"the NYUd v2 folder {folder}")
        self._normals = GivenNormals(self.root)
        self._items = _complete_items(self.root, self._list, names, labels, self._normals, problems)

    @property
    def suite(self) -> Suite:
        """`mila.tasks.NYUV2` or `NYUV2_40`: segmentation, depth, normals."""
        return self._suite

    def __len__(self) -> int:
        return len(self._items)

    def clip(self, index: int, length: int) -> Clip:
        """`length` frames that end at item `index`, and its targets; the same for every call.

        Depth is metres; the white border is void in the labels, and 0 in depth and normals.

        Raises:
            IndexError: there is no item `index`.
            UserError: a file is unreadable, has a wrong size, labels beyond the classes, or no depth at all; or
                `length` is below 1.
        """
        item = self._item(index)
        check_length(length)
        image = read_rgb(item.rgb)
        size = (image.height, image.width)
        self._camera.check_size(item.rgb, size)
        labels = self._read_labels(item.labels)
        depth, step = _read_depth(item.depth)
        for path, shape in ((item.labels, labels.shape), (item.depth, depth.shape)):
            check_size(path, (shape[0], shape[1]), item.rgb, size)
        if not depth.any():
            raise UserError(
                f"{item.depth} has no depth at any pixel; restore it, or remove its number from {self._list.name}."
            )
        frames = clip_from_still(image, length, self.height, self.width, mode=self.mode, identity=f"nyuv2/{item.name}")
        targets = targets_of(
            labels,
            depth,
            depth_step=step,
            camera=self._camera,
            height=self.height,
            width=self.width,
            given=item.normals,
        )
        return Clip(frames, targets)

    def check(self, length: int, problems: list[str] | None = None) -> None:  # noqa: ARG002
        """`UserError` where `length` is below 1: a still is made into a clip of any length."""
        check_length(length)

    def files(self, index: int) -> list[Path]:
        """The split file, the camera file if there is one, and all images of item `index`.

        Raises:
            IndexError: there is no item `index`.
        """
        item = self._item(index)
        return [self._list, *self._camera.files, *item.files]

    def manifest(self) -> dict[str, Any]:
        """Data set, suite, split, mode, size, number of items and of each target, notes, fingerprint of the files."""
        notes = [f"{'- and '.join(map(str, sorted(self._depths)))}-bit depth"]
        if any(item.rgb.suffix == ".jpg" for item in self._items):
            notes.append("JPEG images")
        notes += [self._normals.note, *self._camera.notes]
        count = len(self)
        files = [item.rgb for item in self._items]
        files += [item.depth for item in self._items]
        files += [item.labels for item in self._items]
        files += [item.normals for item in self._items if item.normals is not None]
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
            "targets": {"segmentation": count, "depth": count, "normals": count},
            "note": ", ".join(notes),
            **({"warnings": self._warnings} if self._warnings else {}),
            "fingerprint": fingerprint(self.root, files),
        }

    @cached_property
    def _depths(self) -> Mapping[int, int]:
        """How many depth images there are by their bits."""
        bits = Counter([depth_bits(self._items[0].depth)])
        for item in self._items[1:]:
            with suppress(UserError):  # `clip` says it
                bits[depth_bits(item.depth)] += 1
        return bits

    @property
    def _warnings(self) -> list[str]:
        if len(self._depths) < 2:
            return []
        return [
            f"split {self.split} has depth images of 8 bits ({self._depths[8]}; metres = (q + 0.5) / 25.5) and of 16 "
            f"({self._depths[16]}; millimetres): each is read by its own"
        ]

    def _item(self, index: int) -> _Item:
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


@dataclass(frozen=True)
class _Item:
    name: str
    rgb: Path
    labels: Path
    depth: Path
    normals: Path | None = None

    @property
    def files(self) -> list[Path]:
        return [path for path in (self.rgb, self.labels, self.depth, self.normals) if path is not None]


def _complete_items(
    root: Path, split: Path, names: list[str], labels: str, normals: GivenNormals, problems: list[str] | None
) -> list[_Item]:
    """The items of `names` whose images are all there, the labels in the folder `labels`."""
    items = []
    missing = []
    for name in names:
        label, depth = (root / folder / f"{name}.png" for folder in (labels, "depth"))
        item = _Item(name, _rgb_path(root, name), label, depth, normals.path(int(name)))
        lacks = [path for path in item.files if not path.is_file()]
        missing += lacks
        if not lacks:
            items.append(item)
    why = f"does not exist, but {split.name} lists it; restore the file or remove its number."
    if missing and problems is None:
        others = f" (and {len(missing) - 1} others)" if len(missing) > 1 else ""
        raise UserError(f"{missing[0]}{others} {why}")
    for path in missing:
        report_problem(f"{path} {why}", problems)
    if not items:
        raise UserError(f"{split} lists no image that is complete; unpack the data set in full.")
    return items


def _read_split(path: Path, problems: list[str] | None) -> list[str]:
    try:
        lines = read_text(path).splitlines()
    except FileNotFoundError as error:
        raise UserError(f"{path} does not exist; it must list the split's image numbers, one a line.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read ({error}); it must list image numbers, one a line.") from error
    names: list[str] = []
    seen: set[str] = set()
    for number, line in enumerate(lines, 1):
        text, where = line.strip(), f"{path}, line {number}"
        if not text:
            continue
        if not (text.isascii() and text.isdigit()):
            report_problem(f"{where}: {text[:40]!r} is no image number; write one number a line.", problems)
            continue
        name = f"{int(text):04d}"
        if name in seen:
            report_problem(f"{where}: image {text} is listed twice; remove one of the two lines.", problems)
            continue
        seen.add(name)
        names.append(name)
    if not names:
        raise UserError(f"{path} lists no image; it must list the split's image numbers, one a line.")
    return names


def _rgb_path(root: Path, name: str) -> Path:
    jpeg = root / "rgb" / f"{name}.jpg"
    png = jpeg.with_suffix(".png")
    return png if not jpeg.is_file() and png.is_file() else jpeg


def _read_depth(path: Path) -> tuple[npt.NDArray[np.float32], float]:
    """Metres `[H, W]`, 0 missing, and the quantisation step in metres."""
    values, bits = read_depth(path)
    if bits == 8:
        metres, step = (values.astype(np.float32) + 0.5) / 25.5, DEPTH_STEP_8BIT
    else:
        metres, step = values.astype(np.float32) / 1000, 0.001
    return np.where(values > 0, metres, 0.0).astype(np.float32), step
