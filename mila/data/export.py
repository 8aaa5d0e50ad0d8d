"""The *street* world in the official Cityscapes layout, for any program that reads Cityscapes."""

from __future__ import annotations

from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from mila.data.cityscapes_files import FRAMES_TO_ANNOTATION
from mila.data.cityscapes_labels import label_ids
from mila.data.worlds import STREET_BASELINE, STREET_FX, Split, WorldClips
from mila.errors import UserError
from mila.files import write_atomic, write_json

_CITY = "street"
_ANNOTATED = FRAMES_TO_ANNOTATION - 1
_FULL_HEIGHT, _FULL_WIDTH = 1024, 2048
_CAMERA = {
    "extrinsic": {"baseline": STREET_BASELINE},
    "intrinsic": {"fx": STREET_FX, "fy": STREET_FX, "u0": (_FULL_WIDTH - 1) / 2, "v0": (_FULL_HEIGHT - 1) / 2},
}


def export_street(
    root: str | Path, split: Split, clips: int, seed: int = 0, height: int = _FULL_HEIGHT, width: int = _FULL_WIDTH
) -> None:
    """Write clips of the *street* world as a split of Cityscapes that `mila.data.cityscapes.Cityscapes` reads back.

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

    Raises:
        UserError: `root` holds labels of the split already, a file cannot be written, or an argument makes no sense.
    """
    root = Path(root)
    world = WorldClips("street", split, clips=clips, height=height, width=width, seed=seed)
    labels = root / "gtFine" / split
    try:
        if labels.is_dir() and any(labels.iterdir()):
            raise UserError(f"{labels} holds labels already; export to an empty folder, or delete that split first.")
        for index in range(clips):
            _export_clip(root, split, world, index)
    except OSError as error:
        raise UserError(
            f"{error.filename or root} cannot be written ({error.strerror or error}); free space there, or choose a "
            "folder that this user may write to."
        ) from error


def _export_clip(root: Path, split: str, world: WorldClips, index: int) -> None:
    clip = world.clip(index, FRAMES_TO_ANNOTATION)

    def path(folder: str, frame: int, ending: str) -> Path:
        return root / folder / split / _CITY / f"{_CITY}_{index:06d}_{frame:06d}_{ending}"

    for frame, pixels in enumerate(clip.frames):
        _write_png(path("leftImg8bit_sequence", frame, "leftImg8bit.png"), pixels.transpose(1, 2, 0))
    _write_png(path("leftImg8bit", _ANNOTATED, "leftImg8bit.png"), clip.frames[-1].transpose(1, 2, 0))
    stored = np.rint(clip.targets["depth"][0].astype(np.float64) * 65535).astype(np.uint16)  # [H, W]
    _write_png(path("disparity", _ANNOTATED, "disparity.png"), stored)
    write_json(path("camera", _ANNOTATED, "camera.json"), _CAMERA)
    ids = label_ids(world.suite)[clip.targets["segmentation"]]  # [H, W]
    _write_png(path("gtFine", _ANNOTATED, "gtFine_labelIds.png"), ids)


def _write_png(path: Path, pixels: npt.NDArray[Any]) -> None:
    image = Image.fromarray(np.ascontiguousarray(pixels))

    def save(file: IO[bytes]) -> None:
        image.save(file, format="PNG")

    write_atomic(path, save)
