"""The raw videos of NYUd v2: which colour frames come just before a labelled one.

    ROOT/SCENE/r-TIME-STAMP.ppm, or ROOT/raw/SCENE/r-TIME-STAMP.ppm

or one folder deeper, above the scenes (ROOT/raw/PART/SCENE) or below them, and also as .png or .jpg.
TIME is in seconds, STAMP is the camera's own counter, which overflows: frames are ordered by TIME. Depth (`d-`) and
acceleration (`a-`) are not synchronised with colour and are not needed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mila.data.readers.checks import is_hidden
from mila.errors import UserError

LONGEST_CLIP = 64
"""Frames of a clip at most, the labelled one included: two seconds of video at 30 frames a second."""

PLACES = "SCENE/r-TIME-STAMP.ppm, .png or .jpg in the data set's folder, in raw/, or one folder deeper"
"""Where raw video is looked for, in words."""

_LABELLED = re.compile(r"(?P<scene>[^/\\]+)/(?P<file>r-\d+(\.\d+)?-\d+)\.ppm")
_FRAME = re.compile(r"(?P<stem>r-(?P<time>\d+(\.\d+)?)-(?P<stamp>\d+))(?P<suffix>\.(ppm|png|jpg))")
_SUFFIXES = (".ppm", ".png", ".jpg")  # of files of one frame, the first counts


def has_raw_video(root: Path) -> bool:
    """Whether `root` holds a raw colour frame in any of the `PLACES`.

    Raises:
        OSError: a folder cannot be read.
    """

    def holds_frames(folder: Path) -> bool:
        return any(_FRAME.fullmatch(path.name) for path in folder.iterdir())

    tops = list(_tops(root))
    return any(map(holds_frames, tops)) or any(holds_frames(folder) for top in tops for folder in _folders(top))


def _tops(root: Path) -> Iterator[Path]:
    """The folders in `root` and in `root/raw`: scenes, or what holds scenes."""
    for folder in (root, root / "raw"):
        yield from _folders(folder)


def _folders(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if not is_hidden(path.name) and path.is_dir())


@dataclass(frozen=True)
class RawVideo:
    """The video that ends at one labelled frame.

    Attributes:
        folder: the scene's folder.
        names: colour files before the labelled frame's own, in the order of time, the last just before it; at most
            `LONGEST_CLIP` - 1.
        own: the labelled frame's own colour file.
    """

    folder: Path
    names: tuple[str, ...]
    own: str

    @property
    def files(self) -> list[Path]:
        """Every file of the video, the labelled frame's own last."""
        return [self.folder / name for name in (*self.names, self.own)]


class RawVideos:
    """Finds the raw video before a labelled frame; each scene's folder is listed once.

    Args:
        root: the folder that holds the scenes, or `raw` with the scenes.
        max_gap: seconds between neighbours beyond which they are not one video.
    """

    def __init__(self, root: Path, max_gap: float) -> None:
        self._root, self._max_gap = root, max_gap
        self._deeper: list[Path] | None = None
        self._scenes: dict[str, _Scene | None] = {}

    def before(self, raw_name: str) -> RawVideo | None:
        """The video before the labelled frame `SCENE/r-TIME-STAMP.ppm`; None where its raw file is not there.

        Raises:
            UserError: the name has another form, or the scene's folder cannot be read.
        """
        match = _LABELLED.fullmatch(raw_name)
        if match is None or match["scene"] in (".", ".."):
            raise UserError(
                f"{self._root} names the raw file {raw_name[:80]!r} in rawRgbFilenames, but SCENE/r-TIME-STAMP.ppm is "
                "expected; replace the .mat file by the official one, or choose mode pan or still."
            )
        scene = match["scene"]
        if scene not in self._scenes:
            self._scenes[scene] = self._find(scene)
        listed = self._scenes[scene]
        return listed.before(match["file"], self._max_gap) if listed is not None else None

    def _find(self, scene: str) -> _Scene | None:
        """The first folder of that name, or below one, that holds frames."""
        for where in self._candidates(scene):
            if where.exists():
                try:
                    found = _list_scene(where)
                except OSError as error:
                    raise UserError(
                        f"{where} cannot be read ({error.strerror or error}); allow reading it, unpack the raw scene "
                        "again, or remove it."
                    ) from error
                if found is not None:
                    return found
        return None

    def _candidates(self, scene: str) -> Iterator[Path]:
        usual = [self._root / scene, self._root / "raw" / scene]
        yield from usual
        if self._deeper is None:
            self._deeper = list(_tops(self._root))
        yield from (folder / scene for folder in self._deeper)
        yield from (below for folder in usual for below in _folders(folder))


@dataclass(frozen=True)
class _Scene:
    folder: Path
    names: tuple[str, ...]
    times: tuple[float, ...]
    place: dict[str, int]

    def before(self, own: str, max_gap: float) -> RawVideo | None:
        last = self.place.get(own)
        if last is None:
            return None
        first = last
        while first > 0 and last - first < LONGEST_CLIP - 1 and self.times[first] - self.times[first - 1] <= max_gap:
            first -= 1
        return RawVideo(self.folder, self.names[first:last], self.names[last])


def _list_scene(folder: Path) -> _Scene | None:
    """The frames in `folder`; None where there are none. `OSError` where it cannot be read."""
    frames: dict[str, re.Match[str]] = {}
    for match in filter(None, (_FRAME.fullmatch(path.name) for path in folder.iterdir())):
        known = frames.setdefault(match["stem"], match)
        if _SUFFIXES.index(match["suffix"]) < _SUFFIXES.index(known["suffix"]):
            frames[match["stem"]] = match
    if not frames:
        return None
    ordered = sorted((float(match["time"]), int(match["stamp"]), stem) for stem, match in frames.items())
    names = tuple(frames[stem].string for _, _, stem in ordered)
    times = tuple(time for time, _, _ in ordered)
    return _Scene(folder, names, times, {stem: place for place, (_, _, stem) in enumerate(ordered)})
