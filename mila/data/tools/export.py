"""The embedded worlds in the official layouts: *street* as Cityscapes, *rooms* as NYUd v2, for any program."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt
import scipy.io
from PIL import Image

from mila.common.files import write_atomic, write_json
from mila.common.types import FloatArray, Progress
from mila.data.readers.cityscapes_files import FRAMES_TO_ANNOTATION
from mila.data.readers.cityscapes_labels import label_ids
from mila.data.readers.file_names import LABELLED, SPLITS
from mila.data.readers.nyuv2_camera import CAMERA_FILE, NYUD_V2, ColourCamera
from mila.data.readers.nyuv2_classes import class_by_name
from mila.data.readers.nyuv2_raw import LONGEST_CLIP
from mila.data.tools.nyuv2_mat_writer import LabelledWriter
from mila.data.worlds.clips import WorldClips
from mila.data.worlds.rendering import STREET_BASELINE, STREET_FX, Split
from mila.errors import UserError
from mila.tasks import NYUV2

_CITY = "street"
_ANNOTATED = FRAMES_TO_ANNOTATION - 1
_FULL_HEIGHT, _FULL_WIDTH = 1024, 2048
_CAMERA = {
    "extrinsic": {"baseline": STREET_BASELINE},
    "intrinsic": {"fx": STREET_FX, "fy": STREET_FX, "u0": (_FULL_WIDTH - 1) / 2, "v0": (_FULL_HEIGHT - 1) / 2},
}


def export_street(
    root: str | Path,
    split: Split,
    clips: int,
    seed: int = 0,
    height: int = _FULL_HEIGHT,
    width: int = _FULL_WIDTH,
    progress: Progress | None = None,
) -> None:
    """Write clips of the *street* world as a split of Cityscapes that `readers.cityscapes.Cityscapes` reads back.

    The city is `street`, the sequence number is the clip's, the annotated frame is number 19. Written are
    `leftImg8bit_sequence` (frames 0 to 19: the ten that follow in the official snippets are never read),
    `leftImg8bit`, `gtFine` (`labelIds`: one label a category, see `label_ids`), `disparity` (16 bits, p = 256 d + 1,
    0 in the sky) and `camera`. Disparity and camera are in pixels of a 2048 x 1024 image at every size, as in images
    of Cityscapes that were resized; of the extrinsic parameters the camera file has the baseline alone.

    Labels, without which there is no annotated frame, are written last, every file appears whole or not at all: what
    an interrupted export leaves is readable, only shorter.

    Args:
        root: the Cityscapes folder to write into; may hold other splits.
        split: which split of the world; the name of the split to write.
        clips: how many snippets.
        seed: which set of scenes.
        height: of all images, pixels.
        width: of all images, pixels.
        progress: see `Progress`; counts the frames that are rendered.

    Raises:
        UserError: `root` holds labels of the split already, a file cannot be written, or an argument makes no sense.
    """
    root = Path(root)
    world = WorldClips("street", split, clips=clips, height=height, width=width, seed=seed)
    labels = root / "gtFine" / split
    with _writing_into(root):
        if labels.is_dir() and any(labels.iterdir()):
            raise UserError(f"{labels} holds labels already; export to an empty folder, or delete that split first.")
        for index in range(clips):
            _export_snippet(root, split, world, index, _of_all(progress, index, clips))


def _of_all(progress: Progress | None, clip: int, clips: int) -> Progress | None:
    """The progress in the frames of one clip as that in the frames of all."""
    if progress is None:
        return None
    return lambda done, length: progress(clip * length + done, clips * length)


def _export_snippet(root: Path, split: str, world: WorldClips, index: int, progress: Progress | None) -> None:
    clip = world.clip(index, FRAMES_TO_ANNOTATION, progress)

    def path(folder: str, frame: int, ending: str) -> Path:
        return root / folder / split / _CITY / f"{_CITY}_{index:06d}_{frame:06d}_{ending}"

    for frame, pixels in enumerate(clip.frames):
        _write_image(path("leftImg8bit_sequence", frame, "leftImg8bit.png"), pixels.transpose(1, 2, 0))
    _write_image(path("leftImg8bit", _ANNOTATED, "leftImg8bit.png"), clip.frames[-1].transpose(1, 2, 0))
    stored = np.rint(clip.targets["depth"][0].astype(np.float64) * 65535)  # [H, W]
    stored = np.minimum(stored, 65534).astype(np.uint16)  # 65535 is refused: many data sets mark missing depth by it
    _write_image(path("disparity", _ANNOTATED, "disparity.png"), stored)
    write_json(path("camera", _ANNOTATED, "camera.json"), _CAMERA)
    ids = label_ids(world.suite)[clip.targets["segmentation"]]  # [H, W]
    _write_image(path("gtFine", _ANNOTATED, "gtFine_labelIds.png"), ids)


def export_rooms(
    root: str | Path,
    train: int,
    test: int,
    seed: int = 0,
    height: int = NYUD_V2.height,
    width: int = NYUD_V2.width,
    length: int = 20,
    progress: Progress | None = None,
) -> None:
    """Write clips of the *rooms* world as NYUd v2's official files, which `NYUv2Official` reads back.

    Both splits at once, for one file holds the labelled images of both: the clips of the world's split `train` come
    first, then those of `test`. Written are `raw/SCENE/r-TIME-STAMP.ppm` (the frames of a clip, at 30 a second, each
    clip a scene of its own; no raw depth), `splits.mat`, `camera.json` (the world's camera is a pinhole without lens
    distortion and its images have no border, see `readers.nyuv2_camera`) and `nyu_depth_v2_labeled.mat` with images,
    depths, labels, names, rawRgbFilenames and scenes. It names all 894 labels, but uses one a class (`LABEL_OF_CLASS`).

    The .mat, without which nothing is recognised, gets its name last, and every file appears whole or not at all.

    Args:
        root: the NYUd v2 folder to write: a new one, or an empty one.
        train: how many clips of the split `train`.
        test: how many clips of the split `test`.
        seed: which set of scenes.
        height: of all images, pixels; at most `width`, as in the official files.
        width: of all images, pixels.
        length: frames of each clip, the labelled one included; at most `LONGEST_CLIP`.
        progress: see `Progress`; counts the frames that are rendered.

    Raises:
        UserError: `root` is not empty, a file cannot be written, or an argument makes no sense.
    """
    root = Path(root)
    worlds: dict[Split, WorldClips] = {
        "train": WorldClips("rooms", "train", clips=train, height=height, width=width, seed=seed),
        "test": WorldClips("rooms", "test", clips=test, height=height, width=width, seed=seed),
    }
    if not 1 <= length <= LONGEST_CLIP:
        raise UserError(f"Clips of {length} frames are not read from NYUd v2; choose 1 to {LONGEST_CLIP}.")
    if width < height:
        raise UserError(f"Images of {width} x {height} are higher than wide; NYUd v2 has none such.")

    with _writing_into(root):
        if root.exists() and any(root.iterdir()):
            raise UserError(
                f"{root} is not empty; export to a new folder, or delete what it holds, such as an export that was "
                "interrupted."
            )
        write_atomic(root / LABELLED, lambda file: _export_labelled(file, root, worlds, length, progress))


def _export_labelled(
    file: IO[bytes], root: Path, worlds: Mapping[Split, WorldClips], length: int, progress: Progress | None
) -> None:
    """Write the labelled images into `file`, and meanwhile all other files of the data set below `root`."""
    height, width = worlds["train"].height, worlds["train"].width
    scenes = [f"rooms_{split}_{index:04d}" for split, world in worlds.items() for index in range(len(world))]
    names = list(class_by_name(13))
    ids = _ids_of_classes(names)
    raw = [f"{scene}/{_raw_name(length - 1)}" for scene in scenes]
    texts = {"names": names, "rawRgbFilenames": raw, "scenes": scenes}
    labelled = LabelledWriter(file, len(scenes), height, width, texts)
    wanted = [(world, index) for world in worlds.values() for index in range(len(world))]
    for item, (scene, (world, index)) in enumerate(zip(scenes, wanted, strict=True)):
        clip = world.clip(index, length, _of_all(progress, item, len(scenes)))
        for frame, pixels in enumerate(clip.frames):
            _write_image(root / "raw" / scene / _raw_name(frame), pixels.transpose(1, 2, 0), "PPM")
        labels = ids[clip.targets["segmentation"]]  # [H, W]
        labelled.put(item, clip.frames[-1], clip.targets["depth"][0], labels)
    numbers = np.arange(1, len(scenes) + 1, dtype=np.float64)[:, None]  # [N, 1]
    train = len(worlds["train"])
    _write_splits(root / SPLITS, {"trainNdxs": numbers[:train], "testNdxs": numbers[train:]})
    write_json(root / CAMERA_FILE, _rooms_camera(height, width).as_json())


def _write_splits(path: Path, splits: Mapping[str, FloatArray]) -> None:
    def save(file: Any) -> None:  # SciPy's stubs know paths alone
        scipy.io.savemat(file, splits)

    write_atomic(path, save)


LABEL_OF_CLASS = {
    **{name: name for name in ("bed", "books", "ceiling", "chair", "floor", "furniture", "picture", "sofa", "table")},
    **{"wall": "wall", "window": "window", "objects": "box", "tv": "television"},
}
"""NYUd v2's name of a label of each of the 13 classes."""


def _ids_of_classes(names: list[str]) -> npt.NDArray[np.uint16]:
    """Label id by class index, from the names of the labels 1, 2, ...; `VOID`, the last entry, has 0."""
    classes = NYUV2.task("segmentation").classes
    return np.array([*(names.index(LABEL_OF_CLASS[name]) + 1 for name in classes), 0], np.uint16)


def _raw_name(frame: int) -> str:
    return f"r-{frame / 30:.6f}-{frame}.ppm"


def _rooms_camera(height: int, width: int) -> ColourCamera:
    fx, fy, _, _ = NYUD_V2.at(height, width)
    return ColourCamera(width, height, fx, fy, (width - 1) / 2, (height - 1) / 2, undistorted=True, border=0)


@contextmanager
def _writing_into(root: Path) -> Iterator[None]:
    """Turns what the file system refuses into a `UserError`."""
    try:
        yield
    except OSError as error:
        raise UserError(
            f"{error.filename or root} cannot be written ({error.strerror or error}); free space there, or choose a "
            "folder that this user may write to."
        ) from error


def _write_image(path: Path, pixels: npt.NDArray[Any], kind: str = "PNG") -> None:
    image = Image.fromarray(np.ascontiguousarray(pixels))

    def save(file: IO[bytes]) -> None:
        image.save(file, format=kind)

    write_atomic(path, save)
