"""Embedded videos: two procedural worlds, ray-cast with exact ground truth.

*street* has the 7 categories of Cityscapes with depth and disparity, *rooms* the 13 classes of NYUv2 with depth in
metres and unit normals; both have exact optical flow between consecutive frames. A video is a function of
(world, split, seed, clip) alone: the annotated frame is the scene at time 0 and earlier frames have negative
times, so it is the same however many frames lead up to it. The same scene can be rendered at any resolution.
"""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple, get_args

import numpy as np
import numpy.typing as npt

from mila.common.types import Array
from mila.data.clips import Clip
from mila.data.worlds.ray_casting import Camera, View, cast, flow, view
from mila.data.worlds.rooms import rooms_scene
from mila.data.worlds.scene import Scene
from mila.data.worlds.shading import shade
from mila.data.worlds.street import street_scene
from mila.errors import UserError
from mila.tasks import CITYSCAPES, CITYSCAPES7, CITYSCAPES_METRES, FLOW, NYUV2, Suite

World = Literal["street", "rooms"]
Split = Literal["train", "val", "test"]

VERSION = 1
"""Raise it with every change of what is rendered: it tells the stages that read a world that the data differs."""

STREET_FX = 2262.52
"""Focal length of Cityscapes in pixels of its 2048 x 1024 images; disparity is measured in these pixels."""
STREET_BASELINE = 0.209313
"""Baseline of Cityscapes' stereo camera in metres."""


@dataclass(frozen=True)
class Frame:
    """One frame and everything that is known about it.

    Attributes:
        rgb: uint8 `[3, H, W]`, with sensor noise.
        clean: float32 `[3, H, W]` in 0..1, before noise and quantisation.
        segmentation: int64 `[H, W]`, class index of the world's suite.
        depth: float32 `[H, W]`, metres along the optical axis; +inf in the sky.
        normals: float32 `[3, H, W]`, unit, camera frame (x right, y down, z forward), facing the camera; 0 in the sky.
        flow: float32 `[2, H, W]`, (dx, dy) in pixels to the next frame, of every pixel's surface point (sky: rotation).
        visible: bool `[H, W]`, the point lies between the outermost pixel centres of the next frame, not occluded.
        surface: int32 `[H, W]`, which primitive of the scene is seen; -1 in the sky.
    """

    rgb: npt.NDArray[np.uint8]
    clean: npt.NDArray[np.float32]
    segmentation: npt.NDArray[np.int64]
    depth: npt.NDArray[np.float32]
    normals: npt.NDArray[np.float32]
    flow: npt.NDArray[np.float32]
    visible: npt.NDArray[np.bool_]
    surface: npt.NDArray[np.int32]


@dataclass(frozen=True)
class Video:
    """Rendered frames with their cameras.

    Attributes:
        frames: `T` consecutive frames, the annotated one last.
        cameras: `T + 1` cameras, of the frames and of the frame after the last, to which its flow leads.
        moving: the surfaces that move on their own.
    """

    frames: list[Frame]
    cameras: list[Camera]
    moving: frozenset[int]


def render(world: World, split: Split, seed: int, clip: int, length: int, height: int, width: int) -> list[Frame]:
    """`render_video`, the frames alone."""
    return render_video(world, split, seed, clip, length, height, width).frames


def render_video(world: World, split: Split, seed: int, clip: int, length: int, height: int, width: int) -> Video:
    """Render a video with all its ground truth.

    Args:
        world: which world.
        split: which split; splits share no scene.
        seed: which set of scenes.
        clip: which scene of the set, from 0.
        length: frames, of which the last is the annotated one.
        height: of the frames in pixels; the image shows the same part of the scene at any resolution.
        width: likewise.

    Raises:
        UserError: an unknown world or split, a negative seed or clip, or a size that is not positive.
    """
    _check(world, split, seed, height, width)
    if clip < 0:
        raise UserError(f"clip must be 0 or more, not {clip}")
    _check_length(length)
    scene = _scene(world, split, seed, clip)
    times = range(1 - length, 2)
    views = [_look(world, scene, time, height, width) for time in times]
    frames = []
    for time, now, then in zip(times, views, views[1:], strict=False):
        surface, depth = cast(now, height, width)
        normals, clean = shade(scene, now, surface, depth)
        rgb = _sensor(clean, scene, (world, split, seed, clip, time))
        motion, visible = flow(scene, now, then, surface, depth)
        frames.append(Frame(rgb, clean, _labels(scene, surface), depth, normals, motion, visible, surface))
    return Video(frames, [seen.camera for seen in views], frozenset(scene.motions))


def disparity(depth: Array) -> Array:
    """Depth in metres as Cityscapes stores disparity: PNG value / 65535 in 0..1, float32; infinite depth is 0."""
    value = (256 * STREET_BASELINE * STREET_FX / depth.astype(np.float64) + 1) / 65535
    return np.where(np.isfinite(depth), np.minimum(value, 1), 0).astype(np.float32)


class _WorldSource:
    """What the clip sources of a world share: the frames, and what identifies them."""

    _source: ClassVar[str]

    def __init__(self, world: World, split: Split, *, clips: int, height: int, width: int, seed: int = 0) -> None:
        _check(world, split, seed, height, width)
        if clips < 1:
            raise UserError(f"a world needs at least 1 clip, not {clips}")
        self._world, self._split, self._seed = world, split, seed
        self._clips, self.height, self.width = clips, height, width

    def __len__(self) -> int:
        return self._clips

    def check(self, length: int, problems: list[str] | None = None) -> None:  # noqa: ARG002
        """`UserError` where `length` is not positive: a world's videos are as long as one wants."""
        _check_length(length)

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

    def _shoot(self, index: int, length: int) -> _Shot:
        self._check_index(index)
        _check_length(length)
        scene = _scene(self._world, self._split, self._seed, index)
        frames = np.empty((length, 3, self.height, self.width), np.uint8)
        for place, time in enumerate(range(1 - length, 1)):
            seen = _look(self._world, scene, time, self.height, self.width)
            surface, depth = cast(seen, self.height, self.width)
            normals, clean = shade(scene, seen, surface, depth)
            frames[place] = _sensor(clean, scene, (self._world, self._split, self._seed, index, time))
        return _Shot(frames, scene, seen, surface, depth, normals)

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
        }


class _Shot(NamedTuple):
    """Frames uint8 `[T, 3, H, W]`, their scene, and what the last one sees."""

    frames: npt.NDArray[np.uint8]
    scene: Scene
    seen: View
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
        suite: Suite | None = None,
    ) -> None:
        super().__init__(world, split, clips=clips, height=height, width=width, seed=seed)
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

    def clip(self, index: int, length: int) -> Clip:
        """`length` frames that end at annotated frame `index`, which is the same for every length.

        Raises:
            IndexError: `index` is not in 0..len - 1.
            UserError: `length` is not positive.
        """
        shot = self._shoot(index, length)
        targets: dict[str, Array] = {"segmentation": _labels(shot.scene, shot.surface)}
        if self._suite == CITYSCAPES:
            targets["depth"] = disparity(shot.depth)[None]
        elif self._suite == CITYSCAPES_METRES:
            targets["depth"] = np.where(np.isfinite(shot.depth), shot.depth, 0)[None].astype(np.float32)
        elif self._suite == NYUV2:
            targets |= {"depth": shot.depth[None], "normals": shot.normals}
        return Clip(shot.frames, targets)


class WorldFlow(_WorldSource):
    """The clips of `WorldClips` with another target: the exact optical flow to the frame before.

    Points that the frame before does not show, hidden or outside, have their flow as well.

    Args:
        world, split, clips, height, width, seed: as in `WorldClips`; the frames are the same.

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
            UserError: `length` is not positive.
        """
        shot = self._shoot(index, length)
        before = _look(self._world, shot.scene, -1, self.height, self.width)
        motion, _ = flow(shot.scene, shot.seen, before, shot.surface, shot.depth)
        return Clip(shot.frames, {"flow": motion})


def _check(world: str, split: str, seed: int, height: int, width: int) -> None:
    for what, value, known in (("world", world, get_args(World)), ("split", split, get_args(Split))):
        if value not in known:
            raise UserError(f"unknown {what} {value!r}: choose one of {', '.join(known)}")
    if seed < 0:
        raise UserError(f"seed must be 0 or more, not {seed}")
    if height < 1 or width < 1:
        raise UserError(f"the resolution must be positive, not {height} x {width}")


def _check_length(length: int) -> None:
    if length < 1:
        raise UserError(f"a clip needs at least 1 frame, not {length}")


def _digest(*identity: str | int) -> int:
    """A seed that is the same on every platform and in every process."""
    text = "/".join(str(part) for part in ("mila world", VERSION, *identity))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:16], "big")


def _scene(world: str, split: str, seed: int, clip: int) -> Scene:
    build = street_scene if world == "street" else rooms_scene
    return build(random.Random(_digest(world, split, seed, clip)))


def _look(world: str, scene: Scene, time: int, height: int, width: int) -> View:
    """The scene at a time, seen by the world's camera at a resolution."""
    rotation, position = scene.camera(time)
    if world == "street":
        focal, baseline = (STREET_FX / 2048 * width, STREET_FX / 1024 * height), STREET_BASELINE
    else:
        focal, baseline = (518.86 / 640 * width, 519.47 / 480 * height), 0.0
    centre = ((width - 1) / 2, (height - 1) / 2)
    return view(scene, Camera(*focal, *centre, rotation, position, baseline), time)


def _labels(scene: Scene, surface: Array) -> npt.NDArray[np.int64]:
    sky = CITYSCAPES.task("segmentation").classes.index("sky")
    return np.where(surface < 0, sky, scene.label[surface]).astype(np.int64)


def _sensor(clean: Array, scene: Scene, identity: tuple[str | int, ...]) -> npt.NDArray[np.uint8]:
    """Gaussian noise whose variance grows with the light, then 8 bits; a function of the identity alone."""
    rng = np.random.default_rng(_digest("noise", *identity))
    offset, slope = scene.noise
    noise = rng.standard_normal(clean.shape, np.float32)
    noise *= np.sqrt(clean * np.float32(slope) + np.float32(offset))
    noise += clean
    return (np.clip(noise, 0, 1) * 255 + 0.5).astype(np.uint8)
