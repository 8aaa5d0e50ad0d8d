"""The names that each layout gives its files: what a file holds for a clip, and which files have no such name."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mila.data.readers.checks import is_hidden
from mila.errors import UserError

LABELLED = "nyu_depth_v2_labeled.mat"
"""The labelled images of NYUd v2."""

SPLITS = "splits.mat"
"""Which of them are for training and for testing."""

MTAN_LABELS = {"nyuv2": "label", "cityscapes": "label_7", "cityscapes19": "label_19"}
"""Folder of the labels in MTAN's trees by name of the suite; depth of Cityscapes in metres is in no tree."""

Content = Literal["frame", "segmentation", "depth", "normals"]

_SPLIT = "(train|train_extra|val|test)"
_STEM = r"[^/]+/[^/]+_\d{6}_\d{6}"  # CITY/CITY_SSSSSS_FFFFFF
_NORMALS = r"normals/(\d{4}|norm_gt_\d{6})\.png"
_NUMBERED = r"([^/]+/)?\d+"  # in a folder, or in one a clip
_TIME = r"\d+(\.\d+)?-\d+"  # TIME-STAMP


_LAST = re.compile(r"\d+$")


class FileNames:
    """The names of one layout.

    Args:
        folders: in which files must be named so, as patterns of `Path.glob` below the data set's folder. A pattern
            with an ending is one of files, and stands for the folders that hold such a file.
        patterns: what files of a name hold, by a regular expression for the path below the data set's folder. Its
            group `item`, if any, is what the annotated image and its labels have in common.
    """

    def __init__(self, folders: tuple[str, ...], patterns: dict[str, tuple[Content, ...]]) -> None:
        self._folders = folders
        self._patterns = [(re.compile(pattern), frozenset(holds)) for pattern, holds in patterns.items()]

    def holds(self, root: Path, path: Path) -> frozenset[Content]:
        """What the file `path` of the data set in `root` holds for a clip."""
        return self._match(path.relative_to(root).as_posix())[0]

    def survey(self, root: Path) -> Survey:
        """Look at every name in the folders of the layout.

        Raises:
            UserError: a folder cannot be read.
        """
        strays: list[str] = []
        images: set[str] = set()
        labelled: set[str] = set()
        for path in self._files(root):
            holds, item, known = self._match(path)
            if not known:
                strays.append(path)
            if item is not None:
                item = _LAST.sub(lambda digits: str(int(digits[0])), item)  # zeros in front may differ
                (labelled if "segmentation" in holds else images).add(item)
        return Survey(tuple(sorted(strays)), len(images - labelled))

    def _match(self, path: str) -> tuple[frozenset[Content], str | None, bool]:
        for pattern, holds in self._patterns:
            match = pattern.fullmatch(path)
            if match is not None:
                return holds, match.groupdict().get("item"), True
        return frozenset(), None, False

    def _files(self, root: Path) -> Iterator[str]:
        """Paths below `root` of all files below the layout's folders but hidden ones."""

        def refuse(error: OSError) -> None:
            raise UserError(
                f"{error.filename} cannot be read ({error.strerror}); give this user the right to read it."
            ) from error

        tops: set[Path] = set()
        for pattern in self._folders:
            found = root.glob(pattern)
            tops.update((path.parent for path in found) if "." in pattern else filter(Path.is_dir, found))
        seen = {top.resolve() for top in tops}

        def is_new(folder: Path) -> bool:
            """Whether it is not there under another name already: a link may lead around in a circle."""
            target = folder.resolve()
            is_there = target in seen
            seen.add(target)
            return not is_there

        for top in tops:
            for folder, below, names in os.walk(top, onerror=refuse, followlinks=True):
                below[:] = [name for name in below if not is_hidden(name) and is_new(Path(folder, name))]
                where = Path(folder).relative_to(root).as_posix()
                yield from (f"{where}/{name}" for name in names if not is_hidden(name))


@dataclass(frozen=True)
class Survey:
    """What the names in a data set's folder show.

    Attributes:
        strays: files without an official name, by their path below the data set's folder.
        unlabelled: how many images that could be annotated have no labels.
    """

    strays: tuple[str, ...]
    unlabelled: int


_CITYSCAPES = FileNames(
    ("gtFine", "leftImg8bit", "leftImg8bit_sequence", "disparity", "camera"),
    {
        rf"leftImg8bit/(?P<item>(train|val|test)/{_STEM})_leftImg8bit\.(png|jpg)": ("frame",),
        rf"(leftImg8bit|leftImg8bit_sequence)/{_SPLIT}/{_STEM}_leftImg8bit\.(png|jpg)": ("frame",),
        rf"gtFine/(?P<item>(train|val|test)/{_STEM})_gtFine_labelIds\.png": ("segmentation",),
        rf"gtFine/{_SPLIT}/{_STEM}_gtFine_(color|instanceIds|instanceTrainIds|labelTrainIds)\.png": (),
        rf"gtFine/{_SPLIT}/{_STEM}_gtFine_polygons\.json": (),
        rf"disparity/{_SPLIT}/{_STEM}_disparity\.png": ("depth",),
        rf"camera/{_SPLIT}/{_STEM}_camera\.json": (),
    },
)
_PLAIN = FileNames(
    ("rgb", "labels13", "labels40", "depth", "normals"),
    {
        rf"rgb/(?P<item>{_NUMBERED})\.(png|jpg)": ("frame",),
        rf"labels(13|40)/(?P<item>{_NUMBERED})\.png": ("segmentation",),
        rf"depth/{_NUMBERED}\.png": ("depth", "normals"),
        rf"normals/({_NUMBERED}|([^/]+/)?norm_gt_\d{{6}})\.png": ("normals",),
    },
)
_MTAN = FileNames(
    tuple(f"{part}/{kind}" for part in ("train", "val") for kind in ("image", "label", "label_*", "depth", "normal")),
    {
        r"(train|val)/image/\d+\.npy": ("frame",),
        r"(train|val)/label(_\d+)?/\d+\.npy": ("segmentation",),
        r"(train|val)/depth/\d+\.npy": ("depth",),
        r"(train|val)/normal/\d+\.npy": ("normals",),
    },
)
_OFFICIAL = FileNames(
    ("normals", "*/r-*.*", "*/*/r-*.*", "raw/*/*/r-*.*"),
    {
        _NORMALS: ("normals",),
        r"nyu_depth_v2_labeled\.mat": ("segmentation", "depth", "normals"),
        rf"(raw/)?([^/]+/)?[^/]+/r-{_TIME}\.(ppm|png|jpg)": ("frame",),
        rf"(raw/)?([^/]+/)?[^/]+/(d-{_TIME}\.(pgm|png)|a-{_TIME}\.dump|INDEX\.txt)": (),
    },
)

BY_TITLE = {
    "Cityscapes, official folders": _CITYSCAPES,
    "MTAN's arrays of Cityscapes": _MTAN,
    "MTAN's arrays of NYUd v2": _MTAN,
    "NYUd v2, official file": _OFFICIAL,
    "NYUd v2, plain folders": _PLAIN,
}
"""By the title of the layout (`mila.data.readers.layouts.Layout`)."""
