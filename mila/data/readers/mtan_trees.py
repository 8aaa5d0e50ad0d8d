"""The ready-made arrays of MTAN (Liu et al., *End-to-End Multi-Task Learning with Attention*, CVPR 2019).

    ROOT/train|val/image/N.npy      [H, W, 3], 0..1 in floating point (or uint8); N from 0
    ROOT/train|val/label/N.npy      [H, W], class index, -1 not annotated (NYUd v2, 13 classes)
    ROOT/train|val/label_7/N.npy    the same for Cityscapes with 7 classes, and label_19 with 19
    ROOT/train|val/depth/N.npy      [H, W, 1]: metres (NYUd v2), disparity / 65535 (Cityscapes); 0 missing
    ROOT/train|val/normal/N.npy     [H, W, 3] in -1..1, 0 missing (NYUd v2 alone)

NYUd v2 is 288 x 384, Cityscapes 128 x 256 or 256 x 512 (note 3.3). The images are single frames, so a clip is a pan
over the image or its repetition (`mila.data.readers.stills`). MTAN's authors cropped the white border of NYUd v2.

The normals are those that Eigen and Fergus (ICCV 2015) used, by MTAN's authors' word. Channel 0 lies along the image's
rows (MTAN's successors negate it when they flip), but which way each axis points is written nowhere that could be
found. It is therefore measured: normals computed from the tree's own depth say whether an axis points as in
`mila.tasks` (x right, y down, z forward; the vector towards the camera) or against it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from PIL import Image

from mila.common.files import BROKEN_ARRAY
from mila.common.types import Array
from mila.data.clips import Clip
from mila.data.normals import normals_from_depth
from mila.data.readers.checks import check_folder, check_length, check_options, is_hidden
from mila.data.readers.file_names import MTAN_LABELS
from mila.data.readers.images import fingerprint, nearest
from mila.data.readers.nyuv2_camera import camera_at
from mila.data.readers.stills import StillMode, clip_from_still
from mila.errors import UserError
from mila.tasks import VOID, Suite

Signs = tuple[int, int, int]

SIGN_IMAGES = 8
"""Images, spread over the split, that say which way the stored normals' axes point."""

SIGN_AGREEMENT = 0.2
"""Least correlation, by size, of a stored axis with the one from depth to tell its sign; equal axes come near 1."""

_SHORTEST = 0.1  # a zero vector that went through an 8-bit image, (128, 128, 128), has length 0.007
_LONGEST = 1.1


class MTANTree:
    """One split of an MTAN tree as a `ClipSource`.

    Args:
        root: the folder that holds `train` and `val`.
        split: `train`; `val` and `test` are both MTAN's `val/`, which is the official test set of NYUd v2 and the
            official validation set of Cityscapes.
        suite: one of those in `MTAN_LABELS`; its tasks say which folders are read.
        height: height of frames and targets, pixels; images are resized to it, targets sampled.
        width: width of frames and targets, pixels.
        mode: how a single image becomes a clip, see `mila.data.readers.stills`.
        limit: use the first so many items only.
        normal_signs: by what to multiply the stored x, y and z of normals, 1 or -1 each, so that they are those of
            `mila.tasks`; None measures it on `SIGN_IMAGES` images. What is given here is checked on them too.
        problems: see `ClipSource`.

    Raises:
        UserError: a folder or array is missing, an argument makes no sense, or the normals' directions cannot be
            told from the depth, or contradict `normal_signs`.
        ValueError: `normal_signs` are not three times 1 or -1.
    """

    def __init__(
        self,
        root: str | Path,
        split: Literal["train", "val", "test"],
        *,
        suite: Suite,
        height: int,
        width: int,
        mode: StillMode = "pan",
        limit: int | None = None,
        normal_signs: Signs | None = None,
        problems: list[str] | None = None,
    ) -> None:
        check_options(mode, ("pan", "still"), height, width, limit)
        if split not in ("train", "val", "test"):
            raise UserError(f"An MTAN tree has no split {split!r}; choose train, val or test.")
        if normal_signs is not None and (len(normal_signs) != 3 or not set(normal_signs) <= {1, -1}):
            raise ValueError(f"normal_signs are {normal_signs}; expected three times 1 or -1")
        self.root = Path(root)
        self.split, self.height, self.width, self.mode = split, height, width, mode
        if suite.name not in MTAN_LABELS:
            raise UserError(f"An MTAN tree has no targets for {suite.name!r}; choose one of {', '.join(MTAN_LABELS)}.")
        self._suite = suite
        self._classes = len(suite.task("segmentation").classes)
        check_folder(self.root, "the MTAN tree")
        part = self.root / ("train" if split == "train" else "val")
        kinds = {"image": "image", "segmentation": MTAN_LABELS[suite.name], "depth": "depth", "normals": "normal"}
        names = ("image", *(task.name for task in suite.tasks))
        self._folders = {name: part / kinds[name] for name in names}
        for folder in self._folders.values():
            check_folder(folder, f"MTAN's folder {folder.name}")
        self._numbers = _numbers(self._folders["image"], problems)
        self._leave_out_incomplete(problems)
        self._signs: Signs = (1, 1, 1)
        if "normals" in self._folders:
            self._signs = self._find_signs(normal_signs, problems)
            self._how_signs = "as measured from the depth" if normal_signs is None else "as given"
        self._numbers = self._numbers[:limit]

    @property
    def suite(self) -> Suite:
        """The suite that was asked for."""
        return self._suite

    def __len__(self) -> int:
        return len(self._numbers)

    def clip(self, index: int, length: int) -> Clip:
        """`length` frames that end at item `index`, and its targets; the same for every call.

        Raises:
            IndexError: there is no item `index`.
            UserError: an array is unreadable, of a wrong shape, type or range; or `length` is below 1.
        """
        if not 0 <= index < len(self):
            raise IndexError(f"item {index} of {len(self)}")
        check_length(length)
        number = self._numbers[index]
        image = self._image(number)
        size = (image.shape[0], image.shape[1])
        frames = clip_from_still(
            Image.fromarray(image),
            length,
            self.height,
            self.width,
            mode=self.mode,
            identity=f"mtan/{self._suite.name}/{self.split == 'train'}/{number}",
        )
        targets: dict[str, Array] = {"segmentation": self._labels(number, size)}
        if "depth" in self._folders:
            targets["depth"] = self._depth(number, size)
        if "normals" in self._folders:
            signs = np.array(self._signs, np.float32)[:, None, None]
            targets["normals"] = self._normals(number, size) * signs
        return Clip(frames, {name: nearest(target, self.height, self.width) for name, target in targets.items()})

    def check(self, length: int, problems: list[str] | None = None) -> None:  # noqa: ARG002
        """`UserError` where `length` is below 1: a still is made into a clip of any length."""
        check_length(length)

    def files(self, index: int) -> list[Path]:
        """The arrays of item `index`, the image first.

        Raises:
            IndexError: there is no item `index`.
        """
        if not 0 <= index < len(self):
            raise IndexError(f"item {index} of {len(self)}")
        return [folder / f"{self._numbers[index]}.npy" for folder in self._folders.values()]

    def manifest(self) -> dict[str, Any]:
        """Data set, split, mode, size, number of items and of each target, notes, and a fingerprint of the files."""
        count = len(self)
        notes = ["single frames resized by MTAN's authors"]
        if "normals" in self._folders:
            signs = " ".join(f"{sign:+d}" for sign in self._signs)
            notes.append(f"stored normals times {signs} (x, y, z) {self._how_signs}")
        files = [path for index in range(count) for path in self.files(index)]
        return {
            "dataset": self._suite.name,
            "layout": "mtan",
            "split": self.split,
            "mode": self.mode,
            "height": self.height,
            "width": self.width,
            "items": count,
            "targets": {task.name: count for task in self._suite.tasks},
            "note": ", ".join(notes),
            "fingerprint": fingerprint(self.root, files),
        }

    def _leave_out_incomplete(self, problems: list[str] | None) -> None:
        incomplete: set[int] = set()
        for folder in self._folders.values():
            missing = [number for number in self._numbers if not (folder / f"{number}.npy").is_file()]
            if missing and problems is None:
                others = f" (and {len(missing) - 1} others)" if len(missing) > 1 else ""
                raise UserError(_missing(folder, missing[0], others))
            incomplete.update(missing)
            if problems is not None:
                problems += [_missing(folder, number) for number in missing]
        self._numbers = [number for number in self._numbers if number not in incomplete]
        if not self._numbers:
            raise UserError(f"{self._folders['image'].parent} holds no complete item; unpack the archive in full.")

    def _image(self, number: int) -> npt.NDArray[np.uint8]:
        path = self._folders["image"] / f"{number}.npy"
        array = _load(path, "[H, W, 3]", lambda shape: len(shape) == 3 and shape[2] == 3, "fu")
        if array.dtype == np.uint8:
            stored: npt.NDArray[np.uint8] = array
            return stored
        if not (array.min() >= -1e-3 and array.max() <= 1 + 1e-3):  # also where it holds NaN
            raise _wrong(path, f"values from {array.min():g} to {array.max():g}, but colour lies in 0..1")
        scaled: npt.NDArray[np.uint8] = np.rint(array.clip(0, 1) * 255).astype(np.uint8)
        return scaled

    def _labels(self, number: int, size: tuple[int, int]) -> npt.NDArray[np.int64]:
        path = self._folders["segmentation"] / f"{number}.npy"
        array = _load(path, f"[{size[0]}, {size[1]}]", lambda shape: shape == size, "fiu")
        strange = array[~np.isin(array, np.arange(VOID, self._classes))]
        if strange.size:
            raise _wrong(path, f"the label {strange[0]:g}, but labels here are {VOID} to {self._classes - 1}")
        return array.astype(np.int64)

    def _depth(self, number: int, size: tuple[int, int]) -> npt.NDArray[np.float32]:
        """`[1, H, W]`."""
        path = self._folders["depth"] / f"{number}.npy"
        array = _load(path, f"[{size[0]}, {size[1]}, 1]", lambda shape: shape == (*size, 1), "f")
        if not np.isfinite(array).all():
            raise _wrong(path, "depth that is not finite")
        if array.min() < 0:
            raise _wrong(path, f"the negative depth {array.min():g}")
        if not array.any():
            raise _wrong(path, "no depth at any pixel")
        return array.transpose(2, 0, 1).astype(np.float32)

    def _normals(self, number: int, size: tuple[int, int]) -> npt.NDArray[np.float32]:
        """Unit vectors `[3, H, W]` as they are stored, 0 where there is none."""
        path = self._folders["normals"] / f"{number}.npy"
        array = _load(path, f"[{size[0]}, {size[1]}, 3]", lambda shape: shape == (*size, 3), "f")
        vectors = array.transpose(2, 0, 1).astype(np.float32)
        length = np.sqrt((vectors * vectors).sum(0))
        if not length.max() <= _LONGEST:  # also where it holds NaN
            raise _wrong(path, f"a normal of length {length.max():g}, but normals are unit vectors")
        known = length > _SHORTEST
        return np.where(known, vectors / np.where(known, length, 1), 0).astype(np.float32)

    def _find_signs(self, given: Signs | None, problems: list[str] | None) -> Signs:
        chosen = np.linspace(0, len(self._numbers) - 1, min(SIGN_IMAGES, len(self._numbers))).round().astype(int)
        agreement = self._agreement([self._numbers[i] for i in chosen], passing_over=problems is not None)
        folder = self._folders["normals"]
        for axis, value in enumerate(agreement):
            is_clear = abs(value) >= SIGN_AGREEMENT
            if given is None and not is_clear:
                raise UserError(
                    f"{folder} holds normals whose {'xyz'[axis]} agrees too little with the depth to tell its "
                    f"direction (correlation {value:.2f}); check that depth and normals belong together (from "
                    "Python, normal_signs may say it)."
                )
            if given is not None and is_clear and given[axis] * value < 0:
                raise UserError(
                    f"{folder} holds normals whose {'xyz'[axis]} times {given[axis]:+d} points against what the depth "
                    f"says (correlation {given[axis] * value:.2f}); correct normal_signs or leave them out."
                )
        if given is not None:
            return given
        x, y, z = (1 if value > 0 else -1 for value in agreement)
        return x, y, z

    def _agreement(self, numbers: list[int], *, passing_over: bool) -> list[float]:
        """Correlation of the stored x, y and z with those from depth, round zero, over `numbers`; 0 for no evidence."""
        sums = np.zeros((3, 3))  # of stored * computed, stored^2, computed^2 by axis
        for number in numbers:
            try:
                image = self._image(number)
                size = (image.shape[0], image.shape[1])
                stored, depth = self._normals(number, size), self._depth(number, size)[0]
            except UserError:
                if passing_over:  # `clip` reports it again
                    continue
                raise
            # the crop is small enough for the whole image's camera to give the right signs
            computed = normals_from_depth(depth, *camera_at(*size))
            both = stored.any(0) & computed.any(0)
            pairs = ((stored, computed), (stored, stored), (computed, computed))
            sums += [[float((a[axis] * b[axis])[both].sum()) for axis in range(3)] for a, b in pairs]
        scale = np.sqrt(sums[1] * sums[2])
        return [float(product / s) if s > 0 else 0.0 for product, s in zip(sums[0], scale, strict=True)]


def _missing(folder: Path, number: int, others: str = "") -> str:
    path = folder / f"{number}.npy"
    return f"{path}{others} does not exist, but image/{number}.npy does; unpack the archive in full."


def _numbers(folder: Path, problems: list[str] | None) -> list[int]:
    try:
        stems = [path.stem for path in folder.iterdir() if path.suffix == ".npy" and not is_hidden(path.name)]
    except OSError as error:
        raise UserError(f"{folder} cannot be read ({error}); allow reading it, or unpack the archive again.") from error
    strange = [stem for stem in stems if not (stem.isascii() and stem.isdigit() and str(int(stem)) == stem)]
    sentences = [f"{folder / stem}.npy is not named by a number, N.npy; rename or remove it." for stem in strange]
    if sentences and problems is None:
        raise UserError(sentences[0])
    if problems is not None:
        problems += sentences
    if len(strange) == len(stems):
        raise UserError(f"{folder} holds no array N.npy; unpack the archive in full.")
    return sorted(int(stem) for stem in stems if stem not in strange)


def _load(path: Path, expected: str, fits: Any, kinds: str) -> Array:
    try:
        with path.open("rb") as stream:
            array = np.load(stream, allow_pickle=False)
    except BROKEN_ARRAY as error:
        raise UserError(f"{path} cannot be read ({error}); unpack it again from the archive.") from error
    if not isinstance(array, np.ndarray) or array.dtype.kind not in kinds or not fits(array.shape) or not array.size:
        found = f"{array.dtype} {list(array.shape)}" if isinstance(array, np.ndarray) else "several arrays"
        raise UserError(
            f"{path} holds {found}, but {' or '.join(_KINDS[kind] for kind in kinds)} numbers {expected} are expected "
            "there; unpack it again from the archive."
        )
    return array


_KINDS = {"f": "floating-point", "i": "whole", "u": "unsigned"}


def _wrong(path: Path, what: str) -> UserError:
    return UserError(f"{path} holds {what}; unpack it again from the archive.")
