"""Images that are named by numbers of any number of digits, in a folder or in folders of it, one a clip.

FOLDER/00012.jpg            flat: frames with consecutive numbers are consecutive
FOLDER/CLIP/003.jpg         a folder a clip: its frames in the order of their numbers
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from mila.data.readers.checks import is_hidden
from mila.errors import UserError

LONGEST_CLIP = 64
"""Frames of a clip at most, the annotated one included."""

_REGULAR = 0.6
"""Share of steps between frames that have to be alike for one of twice the length to be a gap."""
_OTHERS = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".ppm")
"""Endings of images, which have no business in a folder of a clip unless they are read."""
_DIGITS = 4  # of NYUd v2's own numbers: how what is missing is called


def is_number(text: str) -> bool:
    """Whether `text` is made of the digits 0 to 9 alone."""
    return text.isascii() and text.isdigit()


def gap_in(frames: Sequence[Path]) -> tuple[Path, Path] | None:
    """Two frames between which some seem to be missing: all but a few of the numbers are equally far apart."""
    numbers = [int(frame.stem) for frame in frames]
    steps = [after - before for before, after in pairwise(numbers)]
    if not steps:
        return None
    step, times = Counter(steps).most_common(1)[0]
    if times < _REGULAR * len(steps):
        return None
    return next((pair for pair, each in zip(pairwise(frames), steps, strict=True) if each >= 2 * step), None)


class NumberedImages:
    """The images of one folder; what is in it is listed once, when it is needed.

    Args:
        folder: which.
        suffixes: their endings; of files that are alike in all else the first counts.
    """

    def __init__(self, folder: Path, suffixes: tuple[str, ...]) -> None:
        self.folder, self._suffixes = folder, suffixes
        self._listed: dict[Path, dict[int, dict[str, Path]]] = {}

    def find(self, name: str) -> Path:
        """The image `NNN` or `CLIP/NNN`, there or not: of exactly that name, or else with that number.

        Raises:
            UserError: several have that number.
        """
        clip, _, stem = name.rpartition("/")
        folder = self.folder / clip
        for suffix in self._suffixes:
            if (folder / f"{stem}{suffix}").is_file():
                return folder / f"{stem}{suffix}"
        found = self._numbers(folder).get(int(stem), {})
        missing = stem if clip else stem.zfill(_DIGITS)
        return self._only(found) if found else folder / f"{missing}{self._suffixes[0]}"

    def last(self, clip: str) -> Path | None:
        """The last image of the folder `CLIP`; None where it has none.

        Raises:
            UserError: two are the last.
        """
        numbers = self._numbers(self.folder / clip)
        return self._only(numbers[max(numbers)]) if numbers else None

    def before(self, image: Path) -> tuple[Path, ...]:
        """The frames of the same video before `image`, the oldest first, at most `LONGEST_CLIP` - 1.

        In a folder of a clip these are all with smaller numbers, else those with consecutive ones.

        Raises:
            UserError: two images have the same number.
        """
        numbers, found, own = self._numbers(image.parent), list[Path](), int(image.stem)
        order = list(numbers)  # sorted
        place = bisect_left(order, own)
        for age, number in enumerate(reversed(order[max(0, place - LONGEST_CLIP + 1) : place]), start=1):
            if image.parent == self.folder and number != own - age:
                break
            found.insert(0, self._only(numbers[number]))
        return tuple(found)

    def name_of(self, image: Path) -> str:
        """What `find` finds it by."""
        return image.relative_to(self.folder).with_suffix("").as_posix()

    def is_clip(self, name: str) -> bool:
        """Whether there is a folder of this name."""
        return bool(name) and not is_hidden(name) and "/" not in name and (self.folder / name).is_dir()

    def _only(self, found: dict[str, Path]) -> Path:
        if len(found) > 1:
            one, other = sorted(path.name for path in found.values())[:2]
            raise UserError(
                f"{next(iter(found.values())).parent} holds {one} and {other}, which are the same number; rename one."
            )
        return next(iter(found.values()))

    def _numbers(self, folder: Path) -> dict[int, dict[str, Path]]:
        """The images of a folder by number, in their order, and name; none where it is no folder."""
        if folder not in self._listed:
            found: dict[int, dict[str, Path]] = {}
            for path in sorted(folder.iterdir(), key=self._rank) if folder.is_dir() else ():
                is_other = path.suffix.lower() in _OTHERS and path.suffix not in self._suffixes
                if folder != self.folder and is_other and not is_hidden(path.name):
                    raise UserError(
                        f"{path} would be left out, as images here end in {' or '.join(self._suffixes)}; rename or "
                        "convert it, or move it elsewhere."
                    )
                if path.suffix in self._suffixes and is_number(path.stem):
                    found.setdefault(int(path.stem), {}).setdefault(path.stem, path)
            self._listed[folder] = dict(sorted(found.items()))
        return self._listed[folder]

    def _rank(self, path: Path) -> int:
        return self._suffixes.index(path.suffix) if path.suffix in self._suffixes else len(self._suffixes)
