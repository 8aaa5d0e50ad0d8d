"""The raw videos of NYUd v2: which colour frames come just before a labelled one.

    ROOT/SCENE/r-TIME-STAMP.ppm, or ROOT/raw/SCENE/r-TIME-STAMP.ppm

TIME is in seconds, STAMP is the camera's own counter, which overflows: frames are ordered by TIME. Depth (`d-`) and
acceleration (`a-`) are not synchronised with colour and are not needed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from mila.errors import UserError

LONGEST_CLIP = 64
"""Frames of a clip at most, the labelled one included: two seconds of video at 30 frames a second."""

_LABELLED = re.compile(r"(?P<scene>[^/\\]+)/(?P<file>r-\d+(\.\d+)?-\d+\.ppm)")
_FRAME = re.compile(r"r-(?P<time>\d+(\.\d+)?)-(?P<stamp>\d+)\.ppm")


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
            self._scenes[scene] = _list_scene(self._root, scene)
        listed = self._scenes[scene]
        return listed.before(match["file"], self._max_gap) if listed is not None else None


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
        return RawVideo(self.folder, self.names[first:last], own)


def _list_scene(root: Path, scene: str) -> _Scene | None:
    folder = next((where for where in (root / scene, root / "raw" / scene) if where.exists()), None)
    if folder is None:
        return None
    try:
        matches = [match for path in folder.iterdir() if (match := _FRAME.fullmatch(path.name))]
    except OSError as error:
        raise UserError(
            f"{folder} cannot be read ({error.strerror or error}); allow reading it, unpack the raw scene again, or "
            "remove it."
        ) from error
    ordered = sorted((float(match["time"]), int(match["stamp"]), match.string) for match in matches)
    names = tuple(name for _, _, name in ordered)
    return _Scene(folder, names, tuple(time for time, _, _ in ordered), {name: i for i, name in enumerate(names)})
