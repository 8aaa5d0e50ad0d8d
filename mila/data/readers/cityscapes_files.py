"""Files of a Cityscapes split: found by the official names, with errors that say which one is missing."""

from __future__ import annotations

import json
import math
import os
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mila.common.files import read_text
from mila.data.readers.checks import is_hidden
from mila.errors import UserError

FRAMES_TO_ANNOTATION = 20
"""Frames of a snippet up to and with the annotated one (indices 0 to 19)."""

_LABELS = "_gtFine_labelIds.png"
_LABELS_NAME = re.compile(r"(?P<snippet>.+_\d{6})_(?P<frame>\d{6})" + re.escape(_LABELS))


@dataclass(frozen=True)
class Item:
    """Files of one annotated frame.

    Attributes:
        name: CITY_SSSSSS_FFFFFF of the annotated frame.
        labels: its `labelIds` image.
        frames: what is there of the snippet before it, without a gap, and itself, of either image package.
        disparity: its disparity image, if wanted and there.
        camera: its camera file, if wanted and there is disparity.
    """

    name: str
    labels: Path
    frames: tuple[Path, ...]
    disparity: Path | None = None
    camera: Path | None = None

    @property
    def files(self) -> list[Path]:
        """All of them."""
        return [path for path in (*self.frames, self.labels, self.disparity, self.camera) if path is not None]


class SplitFiles:
    """The files of one split; every folder is listed once.

    Args:
        root: the Cityscapes folder.
        split: `train`, `val` or `test`.
        video: whether `Item.frames` holds the frames of the video package, or the annotated one alone.
        disparity: whether disparity is wanted.
        camera: whether the camera file of each disparity image is wanted.
    """

    def __init__(self, root: Path, split: str, *, video: bool, disparity: bool, camera: bool) -> None:
        self._root, self._split = root, split
        self._video, self._disparity, self._camera = video, disparity, camera
        self._listings: dict[Path, frozenset[str]] = {}

    def items(self, limit: int | None, problems: list[str] | None = None) -> list[Item]:
        """The annotated frames in the order of their names, `limit` at most.

        With `problems`, see `ClipSource`.

        Raises:
            UserError: there are none, a name is not the official one, or a file that an item needs is missing.
            OSError: a folder cannot be read.
        """
        top = self._root / "gtFine" / self._split
        cities = [top / name for name in self._names(top)]
        labels = [city / name for city in cities for name in self._names(city) if name.endswith(_LABELS)]
        if not labels:
            raise UserError(f"{top} holds no CITY/*{_LABELS}; unpack gtFine there, or choose another split.")
        items = []
        for path in sorted(labels, key=lambda path: path.name)[:limit]:
            try:
                items.append(self._item(path))
            except UserError as error:
                if problems is None:
                    raise
                problems.append(str(error))
        if not items:
            raise UserError(f"{top} annotates no frame that is complete; unpack the data set in full.")
        return items

    def check_length(self, item: Item, length: int) -> None:
        """`UserError` where a clip of `length` frames needs more of the snippet than there is."""
        if length <= len(item.frames):
            return
        if len(item.frames) == FRAMES_TO_ANNOTATION:
            raise UserError(
                f"A clip of {length} frames is longer than the {FRAMES_TO_ANNOTATION} frames that the snippet of "
                f"{item.name} has up to its annotated one; choose mode pan or still, which make clips of any length."
            )
        snippet, frame = item.name.rsplit("_", 1)
        name = f"{snippet}_{int(frame) - len(item.frames):06d}_leftImg8bit.png"
        raise UserError(
            f"{self._folder('leftImg8bit_sequence', item.labels.parent.name) / name} does not exist (nor as .jpg), but "
            f"a clip of {length} frames to {item.name} needs it; unpack leftImg8bit_sequence in full, or choose mode "
            "pan or still."
        )

    def _item(self, labels: Path) -> Item:
        match = _LABELS_NAME.fullmatch(labels.name)
        if match is None:
            raise UserError(
                f"{labels} is not named CITY_SSSSSS_FFFFFF{_LABELS} with six digits each; restore its name."
            )
        snippet, last, city = match["snippet"], int(match["frame"]), labels.parent.name
        folders = ("leftImg8bit", "leftImg8bit_sequence")
        found = (self._image(folder, city, snippet, last) for folder in folders)
        annotated = next((path for path in found if path is not None), None)
        frames: list[Path] = []
        if self._video:
            for frame in range(last - 1, max(last - FRAMES_TO_ANNOTATION, -1), -1):
                path = self._image("leftImg8bit_sequence", city, snippet, frame)
                if path is None:
                    break
                frames.insert(0, path)
        if annotated is None:
            folder, other = reversed(folders) if self._video else folders
            name = f"{snippet}_{last:06d}_leftImg8bit.png"
            raise UserError(
                f"{self._folder(folder, city) / name} does not exist (nor as .jpg, nor in {other}), but {labels.name} "
                "annotates it; restore the image or remove its labels."
            )
        item = Item(f"{snippet}_{last:06d}", labels, (*frames, annotated))
        if self._video and not frames:
            self.check_length(item, 2)
        return self._with_depth(item, city)

    def _with_depth(self, item: Item, city: str) -> Item:
        disparity = self._find("disparity", city, f"{item.name}_disparity.png") if self._disparity else None
        if disparity is None or not self._camera:
            return replace(item, disparity=disparity)
        name = f"{item.name}_camera.json"
        camera = self._find("camera", city, name)
        if camera is None:
            raise UserError(
                f"{self._folder('camera', city) / name} does not exist, but depth in metres needs it for "
                f"{disparity.name}; unpack the camera files, or take disparity as depth."
            )
        return replace(item, disparity=disparity, camera=camera)

    def _image(self, folder: str, city: str, snippet: str, frame: int) -> Path | None:
        stem = f"{snippet}_{frame:06d}_leftImg8bit"
        return self._find(folder, city, f"{stem}.png") or self._find(folder, city, f"{stem}.jpg")

    def _find(self, folder: str, city: str, name: str) -> Path | None:
        where = self._folder(folder, city)
        return where / name if name in self._names(where) else None

    def _folder(self, folder: str, city: str) -> Path:
        return self._root / folder / self._split / city

    def _names(self, folder: Path) -> frozenset[str]:
        """What `folder` holds, without hidden files; nothing where there is no such folder, or a file of that name."""
        if folder not in self._listings:
            names = os.listdir(folder) if folder.is_dir() else ()  # noqa: PTH208
            self._listings[folder] = frozenset(name for name in names if not is_hidden(name))
        return self._listings[folder]


_WIDEST, _LONGEST = 10.0, 1e5
"""Metres between two cameras of a car (Cityscapes: 0.2), and pixels of a focal length (2262)."""


def metres_times_pixels(camera: Path) -> float:
    """Baseline x focal length of a Cityscapes camera file: depth in metres x disparity in pixels.

    Raises:
        UserError: the file cannot be read, is no JSON, or lacks `extrinsic.baseline` (metres) or `intrinsic.fx`
            (pixels) as a positive number.
    """
    try:
        content = json.loads(read_text(camera), parse_int=float)
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(
            f"{camera} cannot be read as JSON ({error}); restore it from the data set's archive of camera files."
        ) from error
    baseline, fx = _positive(camera, content, "extrinsic", "baseline"), _positive(camera, content, "intrinsic", "fx")
    if baseline > _WIDEST or fx > _LONGEST:
        raise UserError(
            f"{camera} has a baseline of {baseline:g} metres and a focal length of {fx:g} pixels, which no car has; "
            "restore it from the data set's archive of camera files."
        )
    return baseline * fx


def _positive(camera: Path, content: Any, group: str, key: str) -> float:
    inner = content.get(group) if isinstance(content, dict) else None
    value = inner.get(key) if isinstance(inner, dict) else None
    if not isinstance(value, float) or not 0 < value < math.inf:
        raise UserError(
            f"{camera} has no positive number {group}.{key}, which depth in metres needs; restore it from the data "
            "set's archive of camera files."
        )
    return value
