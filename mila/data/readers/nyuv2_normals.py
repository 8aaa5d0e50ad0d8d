"""Surface normals that come with NYUd v2 as images, which are taken before any that are computed from depth.

    ROOT/normals/NNNN.png            NNNN as of `rgb/NNNN`: the official number - 1
    ROOT/normals/norm_gt_NNNNNN.png  the files of the field, by the official number: where images have NYUd v2's four
                                     digits that of `rgb/NNNN` + 1, else that of `rgb/NNNNNN`

8-bit RGB, v / 255 * 2 - 1 a channel; unknown where all three are near 127. In the first form R, G, B are x right, y
down, z forward, and the vector points towards the camera; in the second they are (x, z, -y) of that. With a folder
`normals`, every image of the split needs its own.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mila.data.readers.images import read_rgb
from mila.data.readers.numbered_images import NumberedImages
from mila.errors import UserError

FOLDER = "normals"

_SHORTEST, _LONGEST = 0.1, 1.1  # unknown is shorter; rounding to 8 bits makes no vector longer
_FIELD = "norm_gt_"
_DIGITS = 4  # of images that are named by the official number - 1
_AWAY = 0.1  # share of the known pixels that may point away from the camera: noise at slanted surfaces


class GivenNormals:
    """The folder `normals` of a data set.

    Args:
        root: the data set's folder.
    """

    def __init__(self, root: Path) -> None:
        self._folder = root / FOLDER
        self._images = NumberedImages(self._folder, (".png",))
        self.exist = self._folder.is_dir()

    @property
    def note(self) -> str:
        """Where the normals come from, for a manifest."""
        return "normals as given" if self.exist else "normals computed from depth"

    def path(self, item: int) -> Path | None:
        """The image of item `item` (the official number - 1), there or not; None where there is no such folder."""
        if not self.exist:
            return None
        plain, field = self._folder / f"{item:04d}.png", self._folder / f"{_FIELD}{item + 1:06d}.png"
        return field if not plain.is_file() and field.is_file() else plain

    def find(self, name: str) -> Path | None:
        """The image of `rgb/NAME`, there or not: of the same name or number, or the field's; None without a folder."""
        if not self.exist:
            return None
        image = self._images.find(name)
        clip, _, number = name.rpartition("/")
        official = int(number) + (len(number) == _DIGITS and not clip)
        field = self._folder / clip / f"{_FIELD}{official:06d}.png"
        return field if not image.is_file() and field.is_file() else image


def read_normals(path: Path, rays: tuple[npt.NDArray[Any], npt.NDArray[Any]]) -> npt.NDArray[np.float32]:
    """Unit vectors `[3, H, W]` as `mila.tasks` lays down, 0 where there is none.

    Args:
        path: the image.
        rays: x / z `[W]` and y / z `[H]` of the camera's rays, to tell whether the vectors point towards it.

    Raises:
        UserError: it is no RGB image, has another size, or holds no unit vectors that point towards the camera.
    """
    stored = np.asarray(read_rgb(path), np.float32).transpose(2, 0, 1) / 255 * 2 - 1  # [3, H, W]
    vectors = np.stack([stored[0], -stored[2], stored[1]]) if path.name.startswith(_FIELD) else stored
    u, v = rays
    if vectors.shape[1:] != (len(v), len(u)):
        height, width = vectors.shape[1:]
        raise UserError(
            f"{path} is {width} x {height} pixels, but its image is {len(u)} x {len(v)}; give both one size."
        )
    length = np.sqrt((vectors * vectors).sum(0))
    known = length > _SHORTEST
    away = known & (vectors[0] * u[None, :] + vectors[1] * v[:, None] + vectors[2] > 0)
    if not known.any() or length.max() > _LONGEST or away.sum() > _AWAY * known.sum():
        raise UserError(
            f"{path} holds no unit vectors that point towards the camera; write x right, y down, z forward as "
            "(1 + value) / 2 * 255 into red, green and blue, and 127 where a normal is unknown."
        )
    return np.where(known, vectors / np.where(known, length, 1), 0).astype(np.float32)
