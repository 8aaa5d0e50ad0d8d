"""Rendering of the two worlds: ray-cast frames with exact ground truth.

A video is a function of (world, split, seed, clip) alone: the annotated frame is the scene at time 0 and earlier frames
have negative times, so it is the same however many frames lead to it. The same scene can be rendered at any resolution.
"""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from mila.common.types import Array
from mila.data.worlds.ray_casting import Camera, View, cast, flow, view_of
from mila.data.worlds.rooms import rooms_scene
from mila.data.worlds.scene import Scene
from mila.data.worlds.shading import shade
from mila.data.worlds.street import street_scene
from mila.errors import UserError
from mila.tasks import CITYSCAPES, VOID

World = Literal["street", "rooms"]
Split = Literal["train", "val", "test", "pretrain"]
"""Splits share no scene. `pretrain` is what encoders are trained on before any of the others is looked at."""

STREET_REACH = 48
"""Time steps before the annotated frame from which the fastest car's camera, 30 m back, still sees built ground."""

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
    check_world(world, split, seed, height, width)
    if clip < 0:
        raise UserError(f"clip must be 0 or more, not {clip}")
    check_length(length)
    scene = scene_of(world, split, seed, clip)
    times = range(1 - length, 2)
    views = [view_at(world, scene, time, height, width) for time in times]
    frames = []
    for time, now, then in zip(times, views, views[1:], strict=False):
        surface, depth = cast(now, height, width)
        normals, clean = shade(scene, now, surface, depth)
        rgb = sensor_image(clean, scene, (world, split, seed, clip, time))
        motion, visible = flow(scene, now, then, surface, depth)
        frames.append(Frame(rgb, clean, labels_of(scene, surface), depth, normals, motion, visible, surface))
    return Video(frames, [view.camera for view in views], frozenset(scene.motions))


def disparity(depth: Array) -> Array:
    """Depth in metres as Cityscapes stores disparity: PNG value / 65535 in 0..1, float32; infinite depth is 0."""
    value = (256 * STREET_BASELINE * STREET_FX / depth.astype(np.float64) + 1) / 65535
    return np.where(np.isfinite(depth), np.minimum(value, 1), 0).astype(np.float32)


def check_world(world: str, split: str, seed: int, height: int, width: int) -> None:
    """`UserError` where there is no such world or split, or the seed or the size makes no sense."""
    for what, value, known in (("world", world, get_args(World)), ("split", split, get_args(Split))):
        if value not in known:
            raise UserError(f"unknown {what} {value!r}: choose one of {', '.join(known)}")
    if seed < 0:
        raise UserError(f"seed must be 0 or more, not {seed}")
    if height < 1 or width < 1:
        raise UserError(f"the resolution must be positive, not {height} x {width}")


def check_length(length: int) -> None:
    """`UserError` where `length` is not positive."""
    if length < 1:
        raise UserError(f"a clip needs at least 1 frame, not {length}")


def check_reach(world: World, steps: int) -> None:
    """`UserError` where a clip would begin `steps` time steps back, where its scene is not built."""
    if world == "street" and steps > STREET_REACH:
        raise UserError(
            f"a clip that begins {steps} time steps before its last frame is too long for a street, which is built for "
            f"{STREET_REACH}; take fewer frames or a smaller stride"
        )


def _digest(*identity: str | int) -> int:
    """A seed that is the same on every platform and in every process."""
    text = "/".join(str(part) for part in ("mila world", VERSION, *identity))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:16], "big")


def scene_of(world: str, split: str, seed: int, clip: int) -> Scene:
    """The scene of a clip, a function of these four alone."""
    build = street_scene if world == "street" else rooms_scene
    return build(random.Random(_digest(world, split, seed, clip)))


def view_at(world: str, scene: Scene, time: int, height: int, width: int) -> View:
    """The scene at a time, seen by the world's camera at a resolution."""
    rotation, position = scene.camera(time)
    if world == "street":
        focal, baseline = (STREET_FX / 2048 * width, STREET_FX / 1024 * height), STREET_BASELINE
    else:
        focal, baseline = (518.86 / 640 * width, 519.47 / 480 * height), 0.0
    centre = ((width - 1) / 2, (height - 1) / 2)
    return view_of(scene, Camera(*focal, *centre, rotation, position, baseline), time)


def labels_of(scene: Scene, surface: Array) -> npt.NDArray[np.int64]:
    """Class index `[H, W]` of what `ray_casting.cast` found.

    Where a ray meets nothing: sky in a street; in a room, whose walls let one in a million through where they meet,
    `VOID`.
    """
    nothing = CITYSCAPES.task("segmentation").classes.index("sky") if scene.sky is not None else VOID
    return np.where(surface < 0, nothing, scene.label[surface]).astype(np.int64)


def sensor_image(clean: Array, scene: Scene, identity: tuple[str | int, ...]) -> npt.NDArray[np.uint8]:
    """Gaussian noise whose variance grows with the light, then 8 bits; a function of the identity alone."""
    rng = np.random.default_rng(_digest("noise", *identity))
    offset, slope = scene.noise
    image = np.empty(clean.shape, np.uint8)
    for channel, light in zip(image, clean, strict=True):
        noise, spread = rng.standard_normal(light.shape, np.float32), light * np.float32(slope)
        spread += np.float32(offset)
        noise *= np.sqrt(spread, out=spread)
        noise += light
        np.clip(noise, 0, 1, out=noise)
        noise *= 255
        noise += 0.5
        channel[:] = noise
    return image
