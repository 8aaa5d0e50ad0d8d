"""Frames of a video, a folder or a camera, as a model and a viewer take them: upright RGB with square pixels, in order.

`mila.video.source.open_frames` opens them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from types import TracebackType

import numpy as np
from PIL import Image

from mila.data.colours import Pixels
from mila.errors import UserError


@dataclass(frozen=True, eq=False)
class Frame:
    """One frame.

    Attributes:
        pixels: RGB uint8 `[H, W, 3]`, upright, with square pixels; of one size throughout a source.
        time: seconds after the first frame, exactly; strictly increasing.
        name: of the files that are written of it: its number of six digits, or what its image file is called.
    """

    pixels: Pixels
    time: Fraction
    name: str


class Frames(ABC):
    """A source of frames, which is gone through once. A context manager, which closes it.

    Attributes:
        title: where they come from, for people.
        count: how many there are, about; None where that is not known.
        step: seconds from a frame to the next, on average.
        tick: what all times are multiples of, where the source says so.
        read: how many were given.
        broken: how many were left out, as they could not be decoded whole.
        first_broken: what the first of these was, and why.
        ends_early: how a source that was cut off is described; else empty.
    """

    def __init__(self, title: str, count: int | None, step: Fraction, tick: Fraction) -> None:
        self.title, self.count, self.step, self.tick = title, count, step, tick
        self.read = self.broken = self._resized = self._jumps = 0
        self.first_broken = self.ends_early = ""
        self.size: tuple[int, int] | None = None
        self._last: Fraction | None = None
        self._intervals: tuple[Fraction, Fraction] | None = None
        self._shift = Fraction(0)

    @abstractmethod
    def __iter__(self) -> Iterator[Frame]:
        """The frames; what cannot be decoded is left out and counted.

        Raises:
            UserError: there is none.
        """

    def close(self) -> None:  # noqa: B027  (images have nothing to let go of)
        """Let go of the file or the camera."""

    def __enter__(self) -> Frames:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    @property
    def is_variable(self) -> bool:
        """Whether the time from a frame to the next varies, by more than what times are rounded to."""
        if self._intervals is None:
            return False
        shortest, longest = self._intervals
        return longest - shortest > max(self.step / 4, 2 * self.tick)

    @property
    def problems(self) -> list[str]:
        """What of the source is not among the frames, so far: a sentence each."""
        sentences = []
        if self.broken:
            frames = "1 frame is" if self.broken == 1 else f"{self.broken} frames are"
            sentences.append(f"{frames} broken and left out: {self.first_broken}.")
        if self.ends_early:
            sentences.append(f"{self.title} {self.ends_early}.")
        return sentences

    @property
    def notes(self) -> list[str]:
        """What was evened out, so far: a sentence each."""
        sentences = []
        if self._resized and self.size is not None:
            frames = "1 frame has" if self._resized == 1 else f"{self._resized} frames have"
            sentences.append(
                f"{frames} another size than the first and {'is' if self._resized == 1 else 'are'} resized to it "
                f"({self.size[1]} x {self.size[0]} pixels)."
            )
        if self._jumps:
            times = "once" if self._jumps == 1 else f"{self._jumps} times"
            sentences.append(f"The clock of {self.title} goes back {times}; there, a frame follows the one before it.")
        return sentences

    def lose(self, why: str) -> None:
        """Count a frame that cannot be decoded."""
        self.broken += 1
        self.first_broken = self.first_broken or why

    def make(self, image: Image.Image, stamp: Fraction | None, name: str | None = None) -> Frame:
        """The next frame, in the size of the first.

        Args:
            image: RGB, upright, with square pixels.
            stamp: its time by the source's clock, in seconds; None where it has none.
            name: see `Frame`.
        """
        if self.size is None:
            self.size = (image.height, image.width)
        if (image.height, image.width) != self.size:
            self._resized += 1
            image = image.resize((self.size[1], self.size[0]), Image.Resampling.BILINEAR)
        frame = Frame(np.asarray(image, np.uint8), self._time(stamp), name or f"{self.read:06d}")
        self.read += 1
        return frame

    def check_any(self) -> None:
        """`UserError` where no frame was given."""
        if not self.read:
            why = f" ({self.broken} are broken: {self.first_broken})" if self.broken else ""
            raise UserError(f"{self.title} has no frame that can be decoded{why}; give another video.")

    def _time(self, stamp: Fraction | None) -> Fraction:
        """Time after the first frame: the clock's, made to go on where it goes back or is missing."""
        if self._last is None:
            self._shift, self._last = stamp or Fraction(0), Fraction(0)
        elif stamp is None:
            self._last += self.step
        else:
            time = stamp - self._shift
            if time < self._last - self.step:
                self._shift = stamp - self._last - self.step
                self._jumps += 1
                time = self._last + self.step
            time = max(time, self._last + self.tick)
            shortest, longest = self._intervals or (time - self._last, time - self._last)
            self._intervals = (min(shortest, time - self._last), max(longest, time - self._last))
            self._last = time
        return self._last
