"""Writing `nyu_depth_v2_labeled.mat` in MATLAB's own form: HDF5 behind MATLAB's header (version 7.3).

Every array says its MATLAB class in the attribute `MATLAB_class`; axes come in MATLAB's order, the first one last. A
cell array holds references to its cells, which lie in the group `#refs#`; a text is a row of UTF-16 code units.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import IO

import h5py
import numpy as np
import numpy.typing as npt

_USER_BLOCK = 512  # bytes before HDF5's own, of which MATLAB's header takes 128
_TEXT = b"MATLAB 7.3 MAT-file, Platform: mila-suite, HDF5 schema 1.00 ."
_HEADER = _TEXT.ljust(116) + bytes(8) + b"\x00\x02IM"  # text, no subsystem data, version 2.0 in little endian
_TEXT_BYTES = 2048  # more than HDF5 takes for a short text with its attributes
_ARRAYS = {"images": ("<u1", "uint8"), "depths": ("<f4", "single"), "labels": ("<u2", "uint16")}


class LabelledWriter:
    """A labelled file that is written image by image, uncompressed.

    HDF5 lays out the file at the start, and the images are written to their places by Python: where the disk is full,
    HDF5 loses data without an error, or crashes.

    The official file holds more (instances, raw depth, the accelerometer), which no reader here needs.

    Args:
        file: open for writing, empty, and with a name in the file system; the caller closes it.
        count: how many images.
        height: of the images, pixels.
        width: of the images, pixels.
        texts: cell arrays of texts by name, each one row or column; no text is empty.

    Raises:
        OSError: the file cannot be written.
    """

    def __init__(
        self, file: IO[bytes], count: int, height: int, width: int, texts: Mapping[str, Sequence[str]]
    ) -> None:
        self._file = file
        file.write(bytes(_TEXT_BYTES * (100 + sum(map(len, texts.values())))))  # is there room for what HDF5 writes?
        file.flush()
        os.fsync(file.fileno())
        self._places: dict[str, int] = {}
        with h5py.File(file.name, "w", userblock_size=_USER_BLOCK) as layout:
            for name, cells in texts.items():
                _put_texts(layout, name, cells)
            for name, (kind, matlab) in _ARRAYS.items():
                shape = (count, 3, width, height) if name == "images" else (count, width, height)
                how = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
                how.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
                how.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
                array = layout.create_dataset(name, shape, kind, dcpl=how)
                array.attrs["MATLAB_class"] = np.bytes_(matlab)
                self._places[name] = array.id.get_offset()
        file.seek(0)
        file.write(_HEADER)

    def put(
        self,
        item: int,
        image: npt.NDArray[np.uint8],
        depth: npt.NDArray[np.float32],
        ids: npt.NDArray[np.uint16],
    ) -> None:
        """Write image `item` `[3, H, W]`, its depth `[H, W]` in metres, 0 missing, and its label ids `[H, W]`.

        Raises:
            OSError: the file cannot be written.
        """
        for name, array in (("images", image.transpose(0, 2, 1)), ("depths", depth.T), ("labels", ids.T)):
            stored = array.astype(_ARRAYS[name][0]).tobytes()
            self._file.seek(self._places[name] + item * len(stored))
            self._file.write(stored)


def _put_texts(layout: h5py.File, name: str, texts: Sequence[str]) -> None:
    cells = layout.create_dataset(name, (1, len(texts)), h5py.ref_dtype)
    cells.attrs["MATLAB_class"] = np.bytes_("cell")
    for place, text in enumerate(texts):
        units = np.frombuffer(text.encode("utf-16-le"), "<u2")[:, None]
        cell = layout.create_dataset(f"#refs#/{name}{place}", data=units)
        cell.attrs["MATLAB_class"] = np.bytes_("char")
        cell.attrs["MATLAB_int_decode"] = np.int32(2)
        cells[0, place] = cell.ref
