"""Embedded videos: the two procedural worlds as clip sources.

*street* has the 7 categories of Cityscapes with depth and disparity, *rooms* the 13 classes of NYUv2 with depth in
metres and unit normals; both have exact optical flow between consecutive frames (`mila.data.worlds.rendering`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt

from mila.common.types import Array, Progress
from mila.data.clips import Clip
from mila.data.worlds.ray_casting import View, cast, flow, motion
from mila.data.worlds.rendering import (
    VERSION,
    Split,
    World,
    check_length,
    check_reach,
    check_world,
    disparity,
    labels_of,
    scene_of,
    sensor_image,
    view_at,
)
from mila.data.worlds.scene import Scene
from mila.data.worlds.shading import shade
from mila.errors import UserError
from mila.tasks import CITYSCAPES, CITYSCAPES7, CITYSCAPES_METRES, FLOW, NYUV2, Suite


class _WorldSource:
    """What the clip sources of a world share: the frames, and what identifies them."""

    _source: ClassVar[str]

    def __init__(
        self, world: World, split: Split, *, clips: int, height: int, width: int, seed: int = 0, stride: int = 1
    ) -> None:
        check_world(world, split, seed, height, width)
        for what, value in (("clip", clips), ("time step a frame", stride)):
            if value < 1:
                raise UserError(f"a world needs at least 1 {what}, not {value}")
        self._world, self._split, self._seed, self._stride = world, split, seed, stride
        self._clips, self.height, self.width = clips, height, width

    def __len__(self) -> int:
        return self._clips

    def check(self, length: int, problems: list[str] | None = None) -> None:  # noqa: ARG002
        """`UserError` where `length` is not positive, or a clip of it would begin before the scene does."""
        check_length(length)
        check_reach(self._world, (length - 1) * self._stride)

    def files(self, index: int) -> tuple[Path, ...]:
        """None: clips are rendered.

        Raises:
            IndexError: `index` is not in 0..len - 1.
        """
        self._check_index(index)
        return ()

    def _check_index(self, index: int) -> None:
        if not 0 <= index < self._clips:
            raise IndexError(f"clip {index} of a world with {self._clips} clips")

    def _render(self, index: int, length: int, progress: Progress | None = None) -> _Rendered:
        self._check_index(index)
        self.check(length)
        scene = scene_of(self._world, self._split, self._seed, index)
        frames = np.empty((length, 3, self.height, self.width), np.uint8)
        for place, time in enumerate(range((1 - length) * self._stride, 1, self._stride)):
            view = view_at(self._world, scene, time, self.height, self.width)
            surface, depth = cast(view, self.height, self.width)
            normals, clean = shade(scene, view, surface, depth)
            frames[place] = sensor_image(clean, scene, (self._world, self._split, self._seed, index, time))
            if progress is not None:
                progress(place + 1, length)
        return _Rendered(frames, scene, view, surface, depth, normals)

    def manifest(self) -> dict[str, Any]:
        """What identifies the data."""
        return {
            "source": self._source,
            "version": VERSION,
            "world": self._world,
            "split": self._split,
            "seed": self._seed,
            "clips": self._clips,
            "height": self.height,
            "width": self.width,
            "stride": self._stride,
        }


class _Rendered(NamedTuple):
    """Frames uint8 `[T, 3, H, W]`, their scene, and what the last one sees."""

    frames: npt.NDArray[np.uint8]
    scene: Scene
    view: View
    surface: Array
    depth: Array
    normals: Array


class WorldClips(_WorldSource):
    """A split of a world as a `mila.data.clips.ClipSource`; clips are rendered when asked for.

    Args:
        world: which world.
        split: which split; splits share no scene.
        clips: how many clips it has.
        height, width: resolution.
        seed: which set of scenes.
        stride: n, a clip takes every n-th time step of its scene, so that frames of a smaller size move as many
            feature cells as the paper's do.
        suite: of *street*, `CITYSCAPES` (depth is disparity), `CITYSCAPES_METRES` or `CITYSCAPES7`; of *rooms*,
            `NYUV2`. None for the first.

    Raises:
        UserError: an unknown world or split, a negative seed, a size or count that is not positive, or a suite that
            the world has no targets for.
    """

    _source = "world"

    def __init__(
        self,
        world: World,
        split: Split,
        *,
        clips: int,
        height: int,
        width: int,
        seed: int = 0,
        stride: int = 1,
        suite: Suite | None = None,
    ) -> None:
        super().__init__(world, split, clips=clips, height=height, width=width, seed=seed, stride=stride)
        known = (CITYSCAPES, CITYSCAPES_METRES, CITYSCAPES7) if world == "street" else (NYUV2,)
        self._suite = known[0] if suite is None else suite
        if self._suite not in known:
            raise UserError(
                f"the world {world!r} has no tasks {self._suite.name!r}; choose {' or '.join(s.name for s in known)}"
            )

    @property
    def suite(self) -> Suite:
        """The tasks that the clips have targets for."""
        return self._suite

    def manifest(self) -> dict[str, Any]:
        """What identifies the data."""
        return super().manifest() | {"suite": self._suite.name}

    def clip(self, index: int, length: int, progress: Progress | None = None) -> Clip:
        """`length` frames that end at annotated frame `index`, which is the same for every length.

        `progress` is called with (frames rendered, `length`).

        Raises:
            IndexError: `index` is not in 0..len - 1.
            UserError: see `check`.
        """
        rendered = self._render(index, length, progress)
        targets: dict[str, Array] = {"segmentation": labels_of(rendered.scene, rendered.surface)}
        if self._suite == CITYSCAPES:
            targets["depth"] = disparity(rendered.depth)[None]
        elif self._suite in (CITYSCAPES_METRES, NYUV2):  # 0, undefined, where a ray meets nothing
            targets["depth"] = np.where(np.isfinite(rendered.depth), rendered.depth, 0)[None].astype(np.float32)
        if self._suite == NYUV2:
            targets["normals"] = rendered.normals
        return Clip(rendered.frames, targets)

    def motion(self, index: int, frames: int) -> tuple[Array, Array]:
        """Exact motion of annotated frame `index` to each of the `frames` frames before it, the nearest first.

        Returns:
            Flow float32 `[frames, 2, H, W]` in pixels, and bool `[frames, H, W]`: the frame before shows the point. See
            `ray_casting.flow`.

        Raises:
            IndexError: `index` is not in 0..len - 1.
            UserError: see `check`.
        """
        self._check_index(index)
        self.check(frames + 1)
        scene = scene_of(self._world, self._split, self._seed, index)
        now, *before = (
            view_at(self._world, scene, -back * self._stride, self.height, self.width) for back in range(frames + 1)
        )
        surface, depth = cast(now, self.height, self.width)
        flows = [flow(scene, now, then, surface, depth) for then in before]
        return np.stack([shift for shift, _ in flows]), np.stack([visible for _, visible in flows])


class WorldFlow(_WorldSource):
    """The clips of `WorldClips` with another target: the exact optical flow to the frame before.

    Points that the frame before does not show, hidden or outside, have their flow as well.

    Args:
        world, split, clips, height, width, seed, stride: as in `WorldClips`; the frames are the same.

    Raises:
        UserError: as in `WorldClips`.
    """

    _source = "world flow"

    @property
    def suite(self) -> Suite:
        """Optical flow alone."""
        return FLOW

    def clip(self, index: int, length: int) -> Clip:
        """`length` frames, and `flow` float32 `[2, H, W]` in pixels from the last one to the frame before it.

        The target is the same for every length, 1 included.

        Raises:
            IndexError: `index` is not in 0..len - 1.
            UserError: see `check`.
        """
        rendered = self._render(index, length)
        before = view_at(self._world, rendered.scene, -self._stride, self.height, self.width)
        return Clip(
            rendered.frames,
            {"flow": motion(rendered.scene, rendered.view, before, rendered.surface, rendered.depth)},
        )
