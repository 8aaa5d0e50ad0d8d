"""The two MATLAB files of NYUd v2, read array by array, with errors that name the file.

See `mila.data.readers.nyuv2_official`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import h5py
import numpy as np
import numpy.typing as npt
import scipy.io

from mila.data.readers.checks import report_problem
from mila.data.readers.file_names import LABELLED, SPLITS
from mila.data.readers.nyuv2_classes import class_by_name
from mila.errors import UserError
from mila.tasks import VOID

_BROKEN = (OSError, RuntimeError, ValueError, TypeError, KeyError)  # what h5py raises on bad files


def open_labelled(path: Path) -> h5py.File:
    """The labelled file, to be closed by the caller; `UserError` where it is missing, cut off or not HDF5."""
    try:
        return h5py.File(path, "r")
    except FileNotFoundError as error:
        raise UserError(f"{path} does not exist; download it from the data set's page.") from error
    except OSError as error:
        raise UserError(
            f"{path} cannot be read as HDF5 ({error}); it is cut off or another file, so download it again."
        ) from error


def _dataset(path: Path, file: h5py.File, name: str) -> h5py.Dataset:
    try:
        found = file.get(name)
    except _BROKEN as error:
        raise _unreadable(path, name, error) from error
    if not isinstance(found, h5py.Dataset):
        raise UserError(f"{path} has no dataset {name!r}; replace it by the official {LABELLED}.")
    return found


def read_image(path: Path, file: h5py.File, name: str, item: int) -> npt.NDArray[Any]:
    """Entry `item` of dataset `name` as it is stored, width before height; `UserError` where it cannot be read."""
    dataset = _dataset(path, file, name)
    try:
        return np.asarray(dataset[item])
    except _BROKEN as error:
        raise _unreadable(path, f"{name}, image {item + 1},", error) from error


def _unreadable(path: Path, what: str, error: Exception) -> UserError:
    return UserError(f"{path}: {what} cannot be read ({error}); the file is damaged, so download it again.")


def check_shapes(path: Path, file: h5py.File) -> tuple[int, tuple[int, int]]:
    """Number of images, and their (height, width); `UserError` where images, depths and labels do not fit together."""
    images, depths, labels = (_dataset(path, file, name) for name in ("images", "depths", "labels"))
    shape = tuple(images.shape)
    # the camera's images are wider than high: this distinguishes MATLAB's order of the axes from any other
    if images.dtype != np.uint8 or len(shape) != 4 or shape[1] != 3 or not shape[2] >= shape[3] > 0 or not shape[0]:
        raise UserError(
            f"{path} has images of {images.dtype} {list(shape)}, but uint8 [N, 3, width, height] is expected; replace "
            "it by the official file."
        )
    expected = (shape[0], *shape[2:])
    for name, dataset, kinds in (("depths", depths, "f"), ("labels", labels, "ui")):
        if tuple(dataset.shape) != expected or dataset.dtype.kind not in kinds:
            what = "floating-point" if kinds == "f" else "whole"
            raise UserError(
                f"{path} has {name} of {dataset.dtype} {list(dataset.shape)}, but {what} numbers {list(expected)} are "
                "expected beside its images; replace it by the official file."
            )
    return shape[0], (shape[3], shape[2])


def read_strings(path: Path, file: h5py.File, name: str) -> list[str]:
    """A cell array of texts, stored as references to arrays of UTF-16 code units; `UserError` where it is no such."""
    cells = _dataset(path, file, name)
    try:
        units = (np.asarray(file[reference]) for reference in np.asarray(cells).ravel())
        return [array.astype("<u2").tobytes().decode("utf-16-le") for array in units]
    except _BROKEN as error:
        raise _unreadable(path, name, error) from error


def class_table(path: Path, names: list[str], classes: Literal[13, 40]) -> npt.NDArray[np.int64]:
    """Class index by label id, from the names of the labels 1, 2, ...; 0 is `VOID`.

    By name, so that a file with another order of names is read right; `UserError` for a name that is not in the table.
    """
    known = class_by_name(classes)
    unknown = [name for name in names if name not in known]
    if unknown:
        others = f" (and {len(unknown) - 1} others)" if len(unknown) > 1 else ""
        raise UserError(
            f"{path} names the label {unknown[0][:40]!r}{others}, which is none of the {len(known)} of NYUd v2; "
            "replace it by the official file."
        )
    return np.array([VOID, *(known[name] for name in names)], np.int64)


def read_split(path: Path, split: str, count: int, problems: list[str] | None) -> list[int]:
    """Zero-based image numbers of `split`, of `count` images; `UserError` where the file does not hold such a list.

    With `problems`, see `ClipSource`: numbers of no image, and those that were there before, are left out.
    """
    key = f"{split}Ndxs"
    try:
        with path.open("rb") as stream:
            file: Any = stream  # SciPy's stubs know paths alone
            stored = scipy.io.loadmat(file, variable_names=[key])
    except FileNotFoundError as error:
        raise UserError(f"{path} does not exist; download it from the data set's page.") from error
    except Exception as error:  # scipy raises whatever its parser stumbles over
        raise UserError(f"{path} cannot be read as a MATLAB file ({error}); download it again.") from error
    numbers = np.asarray(stored.get(key, [])).ravel()
    if (
        not numbers.size
        or numbers.dtype.kind not in "uif"
        or not np.array_equal(numbers, np.round(numbers))
        or not np.isfinite(numbers).all()
    ):
        raise UserError(f"{path} has no list of image numbers {key}; replace it by the official {SPLITS}.")
    items: dict[int, None] = {}
    for number in map(int, numbers):
        if not 1 <= number <= count:
            report_problem(
                f"{path} names image {number} in {key}, but {LABELLED} has the images 1 to {count}; replace both by "
                "the official files.",
                problems,
            )
        elif number - 1 in items:
            sentence = f"{path} names image {number} twice in {key}; replace it by the official {SPLITS}."
            report_problem(sentence, problems)
        else:
            items[number - 1] = None
    if not items:
        raise UserError(f"{path} names no image in {key} that {LABELLED} has; replace both by the official files.")
    return list(items)
