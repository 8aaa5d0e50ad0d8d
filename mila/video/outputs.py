"""What is written of predictions along a video: pictures, as videos or as files, and raw values.

Nothing is in its place before it is whole; of an input that was cut off, it is whole as far as the input goes.
"""

from __future__ import annotations

import csv
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from PIL import Image

from mila.common.files import check_place, write_json
from mila.data.colours import Pixels
from mila.errors import UserError
from mila.tasks import Suite
from mila.video.composer import Composer
from mila.video.depth_range import DepthRange
from mila.video.frames import Frames
from mila.video.panels import TITLES
from mila.video.places import DESCRIPTION, MADE_BY, Place, check_apart, check_free
from mila.video.predict import Prediction
from mila.video.raw import RawKind, RawWriter, describe_raw
from mila.video.video_writer import SUFFIXES, VideoWriter, find_encoder

Layout = Literal["side-by-side", "apart", "none"]
"""All in one picture, one picture a task, or no pictures."""

FRAMES = "frames.csv"
"""In every folder of predictions: which frame is when, and how far its keyframe lies back."""

_OTHER_VIDEOS = (".mpg", ".mpeg", ".ts", ".wmv", ".flv", ".gif", ".ogv", ".3gp", ".h264", ".y4m")
_OTHER_FILES = (".png", ".jpg", ".jpeg", ".npz", ".csv", ".json", ".zip")


@dataclass(frozen=True)
class Wanted:
    """What is to be written.

    Attributes:
        out: a video (one of `SUFFIXES`), or a folder.
        layout: see `Layout`.
        raw: how raw predictions are written; None for not at all.
        depth_range: what the colours of depth cover; None to find it.
        force: replace what is there.
    """

    out: Path
    layout: Layout = "side-by-side"
    raw: RawKind | None = None
    depth_range: tuple[float, float] | None = None
    force: bool = False

    @property
    def is_video(self) -> bool:
        """Whether pictures become videos."""
        return self.out.suffix.lower() in SUFFIXES

    def videos(self, suite: Suite) -> dict[str, Path]:
        """The videos, by task; all of them in one has the name ""."""
        if not self.is_video or self.layout == "none":
            return {}
        if self.layout == "side-by-side":
            return {"": self.out}
        return {task.name: self.out.with_name(f"{self.out.stem}-{task.name}{self.out.suffix}") for task in suite.tasks}

    @property
    def folder(self) -> Path | None:
        """The folder, if there is one: of pictures and raw predictions, or beside a video of the latter alone."""
        if not self.is_video:
            return self.out
        return self.out.with_name(f"{self.out.stem}-raw") if self.raw is not None else None

    def check(self, suite: Suite, source: Path) -> None:
        """`UserError` where it cannot be written, or would replace what must stay.

        Args:
            suite: what is predicted.
            source: the input, where it is a file or a folder.
        """
        ending = self.out.suffix.lower()
        if ending in _OTHER_VIDEOS or ending in _OTHER_FILES:
            raise UserError(f"--out {self.out}: videos end in {', '.join(SUFFIXES)}; anything else is a folder's name.")
        if self.layout == "none" and self.raw is None:
            raise UserError("--layout none leaves nothing to write; add --raw png or --raw npz.")
        if strange := [task.name for task in suite.tasks if task.name not in TITLES]:
            raise UserError(f"a model of {', '.join(strange)} has no pictures; predict shows {', '.join(TITLES)}.")
        if self.is_video and self.layout != "none":
            find_encoder(ending)
        places = [(path, False) for path in self.videos(suite).values()]
        places += [(self.folder, True)] if self.folder is not None else []
        for path, is_folder in places:
            check_place(path)
            check_apart(path, source)
            check_free(path, is_folder, self.force)


@dataclass(frozen=True, eq=False)
class Drawn:
    """A frame's prediction, and its pictures: by task, or under "" all in one."""

    prediction: Prediction
    pictures: dict[str, Pixels]


class Outputs:
    """Draws and writes predictions of a video; `finish` puts what is there in its place, `drop` removes it.

    Args:
        wanted: checked.
        suite: the tasks.
        frames: where the predictions come from.
        interval: the model's K.
        title: what the model is, over the pictures.
        about: of the model, for the folder's description.

    Attributes:
        depth_range: that of the colours; None without depth.
    """

    def __init__(
        self, wanted: Wanted, suite: Suite, frames: Frames, interval: int, title: str, about: dict[str, Any]
    ) -> None:
        self._wanted, self._suite, self._frames = wanted, suite, frames
        self._interval, self._title, self._about = interval, title, about
        self._places: list[Place] = []
        self._composers: dict[str, Composer] = {}
        self._sinks: list[_Sink] = []
        depth = next((task for task in suite.tasks if task.name == "depth"), None)
        self.depth_range = None if depth is None else DepthRange(depth, wanted.depth_range)
        self._raw: RawWriter | None = None

    @property
    def clipped(self) -> int:
        """Pixels whose depth was too large for a PNG."""
        return 0 if self._raw is None else self._raw.clipped

    def draw(self, prediction: Prediction) -> Drawn:
        """The pictures that are wanted of the next frame; frames come in order."""
        if not self._sinks:
            self._begin(prediction)
        scale = None
        if self.depth_range is not None and self._composers:
            scale = self.depth_range.scale(prediction.tasks["depth"])
        return Drawn(prediction, {key: each.compose(prediction, scale) for key, each in self._composers.items()})

    def write(self, drawn: Drawn) -> None:
        """Write what `draw` gave; another frame may be drawn at the same time."""
        for sink in self._sinks:
            sink.write(drawn)

    def finish(self) -> list[Path]:
        """Close everything and put it in its place; returns what is there now."""
        for sink in self._sinks:
            sink.close()
        for place in self._places:
            place.finish()
        return [place.path for place in self._places]

    def drop(self) -> None:
        """Remove what is not in its place."""
        for place in self._places:
            place.drop()

    def _begin(self, prediction: Prediction) -> None:
        """Open all files, now that the size is known."""
        wanted, height, width = self._wanted, *prediction.frame.pixels.shape[:2]
        names = [task.name for task in self._suite.tasks]
        shown = {"": ["input", *names]} if wanted.layout == "side-by-side" else {name: [name] for name in names}
        for key, panels in shown.items() if wanted.layout != "none" else ():
            self._composers[key] = Composer(self._suite, panels, (height, width), self._interval, self._title)
        for key, path in wanted.videos(self._suite).items():
            place = self._place(path)
            size, kind = self._composers[key].size, path.suffix
            writer = VideoWriter(place.unfinished, size, self._frames.step, self._frames.tick, kind)
            self._sinks.append(_VideoSink(key, writer))
        if wanted.folder is None:
            return
        folder = self._place(wanted.folder).unfinished
        folder.mkdir()
        for key in self._composers if not wanted.is_video else ():
            self._sinks.append(_PictureSink(key, folder / key))
        if wanted.raw is not None:
            self._raw = RawWriter(folder if wanted.is_video else folder / "raw", self._suite, wanted.raw)
            self._sinks.append(_RawSink(self._raw))
        self._sinks.append(_ListSink(folder / FRAMES))
        write_json(folder / DESCRIPTION, self._description(height, width))

    def _place(self, path: Path) -> Place:
        self._places.append(Place(path))
        return self._places[-1]

    def _description(self, height: int, width: int) -> dict[str, Any]:
        about: dict[str, Any] = {
            "made_by": MADE_BY,
            "model": self._about,
            "input": self._frames.title,
            "height": height,
            "width": width,
            "keyframe_interval": self._interval,
        }
        if self._wanted.raw is not None:
            about["raw"] = describe_raw(self._suite, self._wanted.raw, "" if self._wanted.is_video else "raw/")
        return about


class _Sink(ABC):
    """Takes one frame after the other."""

    @abstractmethod
    def write(self, drawn: Drawn) -> None: ...

    def close(self) -> None:  # noqa: B027  (most have nothing to close)
        pass


class _VideoSink(_Sink):
    def __init__(self, key: str, writer: VideoWriter) -> None:
        self._key, self._writer = key, writer

    def write(self, drawn: Drawn) -> None:
        self._writer.write(drawn.pictures[self._key], drawn.prediction.frame.time)

    def close(self) -> None:
        self._writer.close()


class _PictureSink(_Sink):
    def __init__(self, key: str, folder: Path) -> None:
        self._key, self._folder = key, folder
        folder.mkdir(exist_ok=True)

    def write(self, drawn: Drawn) -> None:
        image = Image.fromarray(drawn.pictures[self._key])
        image.save(self._folder / f"{drawn.prediction.frame.name}.png", compress_level=3)


class _RawSink(_Sink):
    def __init__(self, writer: RawWriter) -> None:
        self._writer = writer

    def write(self, drawn: Drawn) -> None:
        self._writer.write(drawn.prediction)


class _ListSink(_Sink):
    """The list of frames, with their times rounded to a microsecond."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("w", encoding="utf-8", newline="")
        self._rows = csv.writer(self._file, lineterminator="\n")
        self._rows.writerow(("frame", "seconds", "offset"))

    def write(self, drawn: Drawn) -> None:
        frame = drawn.prediction.frame
        self._rows.writerow((frame.name, f"{float(frame.time):.6f}", drawn.prediction.offset))

    def close(self) -> None:
        self._file.close()
