"""NYUd v2 (Silberman et al., ECCV 2012) as its authors publish it: the labelled .mat file, the split, the raw videos.

    ROOT/nyu_depth_v2_labeled.mat   HDF5 (MATLAB 7.3), axes in MATLAB's order, width before height:
                                    images [N, 3, W, H] uint8, depths [N, W, H] metres, labels [N, W, H] (0 unlabelled),
                                    names (of the labels 1, 2, ...), rawRgbFilenames
    ROOT/splits.mat                 MATLAB 5: trainNdxs, testNdxs, image numbers from 1
    ROOT/normals/                   optional: normals, see `mila.data.readers.nyuv2_normals`
    ROOT/camera.json                optional: another camera than NYUd v2's, see `mila.data.readers.nyuv2_camera`
    ROOT/SCENE/ or ROOT/raw/SCENE/  raw video, optional: see `mila.data.readers.nyuv2_raw`

N is 1449 of 640 x 480 pixels (note 3.2). Images are read one by one; the 2.8 GB are never in memory. Labels become 13
or 40 classes by name. The data set has no normals: without a folder of them they are computed from depth.

The labelled images are raw colour frames without their lens distortion; so that a clip does not jump at its last frame,
the raw frames before it are undistorted by the same camera model (`mila.data.readers.nyuv2_camera.undistort`).
"""

from __future__ import annotations

from contextlib import suppress
from functools import cached_property
from pathlib import Path
from statistics import median
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from PIL import Image

from mila.data.clips import Clip
from mila.data.readers.checks import check_folder, check_length, check_options, report_problem, shared_by_splits
from mila.data.readers.file_names import LABELLED, SPLITS
from mila.data.readers.images import check_size, fingerprint, read_rgb, resize_rgb
from mila.data.readers.nyuv2_camera import check_split, read_camera, targets_of, undistort
from mila.data.readers.nyuv2_classes import suite_of
from mila.data.readers.nyuv2_mat import (
    check_shapes,
    class_table,
    open_labelled,
    read_image,
    read_split,
    read_strings,
)
from mila.data.readers.nyuv2_normals import GivenNormals
from mila.data.readers.nyuv2_raw import LONGEST_CLIP, PLACES, RawVideo, RawVideos, has_raw_video
from mila.data.readers.stills import clip_from_still
from mila.errors import UserError
from mila.tasks import Suite


class NYUv2Official:
    """One split of NYUd v2 from its official files as a `ClipSource`.

    Args:
        root: the folder that holds `nyu_depth_v2_labeled.mat` and `splits.mat`, and the raw scenes for mode `video`.
        split: `train` or `test`.
        height: height of frames and targets, pixels.
        width: width of frames and targets, pixels.
        mode: `video` takes the real raw frames before the labelled one, and for a labelled frame without enough of
            them a `pan`, which the manifest counts; `pan` and `still` make every clip of the labelled image alone
            (`mila.data.readers.stills`).
        limit: use the first so many items only.
        classes: the set of classes that labels become: 13, or 40.
        border: width in native pixels of the frame without targets, 0 for images without one; None takes that of
            `camera.json`, or without such a file that of NYUd v2's images.
        max_gap: seconds between raw frames beyond which those before are not taken for the same video. The sensor
            gives up to 30 frames a second and drops some; half a second is neither.
        problems: see `ClipSource`.

    Raises:
        UserError: a file or dataset is missing, unreadable or of a wrong shape, a label's name is unknown, the split
            names images that are not there, mode `video` finds no raw file at all, the camera file or an argument
            makes no sense, or no item is left.
    """

    def __init__(
        self,
        root: str | Path,
        split: Literal["train", "test"],
        *,
        height: int,
        width: int,
        mode: Literal["video", "pan", "still"] = "video",
        limit: int | None = None,
        classes: Literal[13, 40] = 13,
        border: int | None = None,
        max_gap: float = 0.5,
        problems: list[str] | None = None,
    ) -> None:
        check_options(mode, ("video", "pan", "still"), height, width, limit)
        check_split(split)
        self._suite = suite_of(classes)
        self.root = Path(root)
        self.split, self.height, self.width, self.mode = split, height, width, mode
        check_folder(self.root, "the NYUd v2 folder")
        self._camera = read_camera(self.root, border)
        self._mat, self._splits = self.root / LABELLED, self.root / SPLITS
        with open_labelled(self._mat) as file:
            count, self._size = check_shapes(self._mat, file)
            self._count = count
            self._camera.check_size(self._mat, self._size)
            self._class_of = class_table(self._mat, read_strings(self._mat, file, "names"), classes)
            listed = read_split(self._splits, split, count, problems)
            videos: dict[int, RawVideo | None] = dict.fromkeys(listed)
            if mode == "video":
                videos = self._match(read_strings(self._mat, file, "rawRgbFilenames"), count, listed, max_gap, problems)
        self._items = [item for item in listed[:limit] if item in videos]
        if not self._items:
            raise UserError(
                f"{self._mat} names the raw file of no image of split {split} rightly; replace it by the official file."
            )
        self._normals = GivenNormals(self.root)
        self._items = self._with_normals(problems)
        self._videos = [videos[item] for item in self._items]

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
            UserError: the file or a raw frame is unreadable or of a wrong size; a label id has no name; depth is not
                finite, negative or 0 throughout; `length` is below 1, or above `LONGEST_CLIP` in mode `video`.
        """
        self._check_index(index)
        check_length(length)
        self._check_length(length)
        item = self._items[index]
        with open_labelled(self._mat) as file:
            # [C, W, H] to [H, W, C], [W, H] to [H, W]
            image = Image.fromarray(
                np.ascontiguousarray(read_image(self._mat, file, "images", item).transpose(2, 1, 0))
            )
            depth = read_image(self._mat, file, "depths", item).T
            ids = read_image(self._mat, file, "labels", item).T
        targets = targets_of(
            self._labels(ids, item),
            self._depth(depth, item),
            size=(image.height, image.width),
            depth_step=0.0,
            camera=self._camera,
            height=self.height,
            width=self.width,
            given=self._normals.path(item),
        )
        if length > 1 and self._is_video(index, length):
            return Clip(np.stack([*self._earlier(index, length), resize_rgb(image, self.height, self.width)]), targets)
        still: Literal["pan", "still"] = "still" if self.mode == "still" else "pan"
        identity = f"nyuv2/{item:04d}"
        return Clip(clip_from_still(image, length, self.height, self.width, mode=still, identity=identity), targets)

    def check(self, length: int, problems: list[str] | None = None) -> None:  # noqa: ARG002
        """`UserError` where `length` is below 1, or above `LONGEST_CLIP` in mode `video`.

        An item without that many raw frames is none: it becomes a pan, which `videos` and the manifest count.
        """
        check_length(length)
        self._check_length(length)

    def files(self, index: int) -> list[Path]:
        """The labelled file, the splits, the camera file and the normals if any, and the raw files of the video.

        The last of these is the labelled frame's own, which only says that there is a video.

        Raises:
            IndexError: there is no item `index`.
        """
        self._check_index(index)
        video = self._videos[index]
        normals = self._normals.path(self._items[index])
        given = [] if normals is None else [normals]
        return [self._mat, self._splits, *self._camera.files, *given, *(video.files if video is not None else ())]

    def videos(self, length: int) -> int:
        """How many items have a clip of `length` frames that is real video, and no pan."""
        self._check_length(length)
        return sum(self._is_video(index, length) for index in range(len(self)))

    def manifest(self) -> dict[str, Any]:
        """Data set, suite, split, mode, size, number of items and of each target, notes, fingerprint of the files.

        In mode `video` also `video`: how many labelled frames have their raw file (`matched`) and how many have not
        (`unmatched`), and how many raw frames the matched ones have before them (`fewest_before`, `median_before`;
        counted up to `LONGEST_CLIP` - 1).
        """
        count = len(self)
        notes = ["float depth in metres", self._normals.note]
        video: dict[str, Any] = {}
        files = [self._mat, self._splits]
        files += [path for item in self._items if (path := self._normals.path(item)) is not None]
        if self.mode == "video":
            matched = [video for video in self._videos if video is not None]
            before = sorted(len(video.names) for video in matched)
            files += [file for video in matched for file in video.files]
            state = "taken as they are" if self._camera.undistorted else "undistorted by the toolbox's camera model"
            notes.append(f"raw frames {state}")
            if any(file.suffix == ".jpg" for video in matched for file in video.files):
                notes.append("JPEG images")
            notes.append(f"{len(matched)} of {count} items matched to raw video")
            notes.append("items without enough raw frames are pans over the labelled image")
            video["video"] = {
                "matched": len(matched),
                "unmatched": count - len(matched),
                "fewest_before": before[0] if before else 0,
                "median_before": median(before) if before else 0,
            }
        warnings = [self._shared] if self._shared else []
        if self.mode == "pan" and not has_raw_video(self.root):
            warnings.append(f"no raw video was found ({PLACES}): clips are pans over the labelled images")
        notes += self._camera.notes
        return {
            "dataset": "nyuv2",
            "suite": self._suite.name,
            "layout": "official",
            "split": self.split,
            "mode": self.mode,
            "height": self.height,
            "width": self.width,
            "border": self._camera.border,
            "camera": self._camera.name,
            "items": count,
            "targets": {"segmentation": count, "depth": count, "normals": count},
            **video,
            "note": ", ".join(notes),
            **({"warnings": warnings} if warnings else {}),
            "fingerprint": fingerprint(self.root, files),
        }

    @cached_property
    def _shared(self) -> str:
        """A warning where the other split lists images of this one, too; empty where it does not."""
        other, there = "test" if self.split == "train" else "train", set[int]()
        with suppress(UserError):
            there.update(read_split(self._splits, other, self._count, []))
        names = [f"image {item + 1}" for item in self._items if item in there]
        return shared_by_splits(self.split, other, names, len(self._items)) if names else ""

    def _check_index(self, index: int) -> None:
        if not 0 <= index < len(self):
            raise IndexError(f"item {index} of {len(self)}")

    def _with_normals(self, problems: list[str] | None) -> list[int]:
        """The items, with a folder of normals those that have their own."""
        found = []
        for item in self._items:
            path = self._normals.path(item)
            if path is None or path.is_file():
                found.append(item)
            else:
                report_problem(f"{path} does not exist, but the other normals do; restore the file.", problems)
        if not found:
            raise UserError(f"{self.root} has normals of no image of split {self.split}; complete or remove them.")
        return found

    def _match(
        self, raw_names: list[str], count: int, items: list[int], max_gap: float, problems: list[str] | None
    ) -> dict[int, RawVideo | None]:
        """The raw video of each of `items`; with `problems`, without those whose raw file cannot be determined."""
        if len(raw_names) != count:
            raise UserError(
                f"{self._mat} has {count} images, but {len(raw_names)} rawRgbFilenames; replace it by the official "
                "file, or choose mode pan or still."
            )
        raw = RawVideos(self.root, max_gap)
        videos: dict[int, RawVideo | None] = {}
        for item in items:
            try:
                videos[item] = raw.before(raw_names[item])
            except UserError as error:
                if problems is None:
                    raise
                if str(error) not in problems:  # a scene that cannot be read has many items
                    problems.append(str(error))
        if not any(videos.values()):
            raise UserError(
                f"{self.root} holds no raw file of any labelled frame of split {self.split}, but mode video takes them "
                f"({PLACES}); unpack the raw scenes, or choose mode pan or still."
            )
        return videos

    def _check_length(self, length: int) -> None:
        if self.mode == "video" and length > LONGEST_CLIP:
            raise UserError(
                f"A clip of {length} frames is longer than the {LONGEST_CLIP} that are taken of a raw video; choose "
                "mode pan or still, which make clips of any length."
            )

    def _is_video(self, index: int, length: int) -> bool:
        video = self._videos[index]
        return video is not None and len(video.names) >= length - 1

    def _earlier(self, index: int, length: int) -> list[npt.NDArray[np.uint8]]:
        """The `length` - 1 raw frames before item `index`, each `[3, height, width]`."""
        video = self._videos[index]
        assert video is not None
        frames = []
        for path in video.files[-length:-1]:
            image = read_rgb(path)
            check_size(path, (image.height, image.width), self._mat, self._size)
            if not self._camera.undistorted:
                image = Image.fromarray(undistort(np.asarray(image), self._camera))
            frames.append(resize_rgb(image, self.height, self.width))
        return frames

    def _labels(self, ids: npt.NDArray[Any], item: int) -> npt.NDArray[np.int64]:
        highest = int(ids.max())
        if highest >= len(self._class_of) or int(ids.min()) < 0:
            wrong = highest if highest >= len(self._class_of) else int(ids.min())
            raise UserError(
                f"{self._mat}, image {item + 1}, holds the label id {wrong}, but the file names the labels 1 to "
                f"{len(self._class_of) - 1}; replace it by the official file."
            )
        classes: npt.NDArray[np.int64] = self._class_of[ids]
        return classes

    def _depth(self, depth: npt.NDArray[Any], item: int) -> npt.NDArray[np.float32]:
        what = None
        if not np.isfinite(depth).all():
            what = "depth that is not finite"
        elif depth.min() < 0:
            what = f"the negative depth {depth.min():g}"
        elif not depth.any():
            what = "no depth at any pixel"
        if what is not None:
            raise UserError(f"{self._mat}, image {item + 1}, holds {what}; replace it by the official file.")
        return depth.astype(np.float32)
