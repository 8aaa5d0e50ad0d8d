"""The pictures: what is where, how keyframes are marked, and that nothing is cut off."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from PIL import Image

from mila.data.colours import Pixels, paint_normals
from mila.data.depth_scale import DepthScale
from mila.tasks import CITYSCAPES, CITYSCAPES19, NYUV2, NYUV2_40, Suite
from mila.video.composer import BORDER, KEYFRAME, LARGEST, NARROWEST, Composer
from mila.video.frames import Frame
from mila.video.panels import OPACITY
from mila.video.predict import Prediction
from tests.support.fake_videos import fake_frames

SCALE = DepthScale(1.0, 5.0, logarithmic=False)


def _prediction(height: int, width: int, offset: int = 0) -> Prediction:
    """Class 2 on the left and 0 on the right, depth of 1 to 5, and normals that face the camera."""
    classes = np.zeros((height, width), np.uint8)
    classes[:, : width // 2] = 2
    depth = np.broadcast_to(np.linspace(1, 5, width, dtype=np.float32), (1, height, width))
    normals = np.zeros((3, height, width), np.float32)
    normals[2] = -1
    frame = Frame(fake_frames(1, height, width)[0], Fraction(13, 25), "000013")
    return Prediction(frame, 13, offset, {"segmentation": classes, "depth": depth, "normals": normals}, 0.1)


def _compose(suite: Suite, shown: list[str], prediction: Prediction, interval: int = 5) -> Pixels:
    height, width = prediction.frame.pixels.shape[:2]
    return Composer(suite, shown, (height, width), interval, "a model").compose(prediction, SCALE)


def _all(suite: Suite) -> list[str]:
    return ["input", *(task.name for task in suite.tasks)]


def _holds(picture: Pixels, part: Pixels) -> bool:
    """Whether `part` is somewhere in the picture, pixel by pixel."""
    windows = np.lib.stride_tricks.sliding_window_view(picture[..., 0], part.shape[:2])
    for y, x in np.argwhere((windows[..., 0, 0] == part[0, 0, 0]) & (windows[..., -1, -1] == part[-1, -1, 0])):
        if np.array_equal(picture[y : y + part.shape[0], x : x + part.shape[1]], part):
            return True
    return False


def test_each_panel_is_there_as_it_should_be() -> None:
    prediction = _prediction(240, 320)
    picture = _compose(NYUV2, _all(NYUV2), prediction)
    frame = prediction.frame.pixels
    assert _holds(picture, frame)
    colours = np.array(NYUV2.task("segmentation").colours, np.uint8)[prediction.tasks["segmentation"]]
    blended = np.asarray(Image.blend(Image.fromarray(frame), Image.fromarray(colours), OPACITY))
    assert np.abs(blended - (OPACITY * colours + (1 - OPACITY) * frame)).max() <= 1
    assert _holds(picture, blended)
    assert _holds(picture, SCALE.paint(prediction.tasks["depth"][0]))
    assert _holds(picture, paint_normals(prediction.tasks["normals"]))


def test_keyframes_have_a_badge_and_borders_and_others_their_offset() -> None:
    key, other = (_compose(NYUV2, _all(NYUV2), _prediction(240, 320, offset)) for offset in (0, 3))
    marked = (key == KEYFRAME).all(2)
    border = 2 * (240 + 320) * BORDER * 4
    assert marked.sum() > border
    assert not (other == KEYFRAME).all(2).any()
    assert key.shape == other.shape
    assert not np.array_equal(other, _compose(NYUV2, _all(NYUV2), _prediction(240, 320, 4)))


def test_where_every_frame_is_a_keyframe_none_is_marked() -> None:
    picture = _compose(NYUV2, _all(NYUV2), _prediction(240, 320), interval=1)
    assert not (picture == KEYFRAME).all(2).any()


@pytest.mark.parametrize("size", [(93, 127), (127, 93), (1080, 1920), (2000, 400), (8, 8)])
@pytest.mark.parametrize("suite", [CITYSCAPES, CITYSCAPES19, NYUV2, NYUV2_40], ids=lambda suite: suite.name)
def test_pictures_have_even_sides_and_room_for_all_names(suite: Suite, size: tuple[int, int]) -> None:
    for shown in (_all(suite), ["segmentation"]):
        composer = Composer(suite, shown, size, 5, "a model with a long title that has to be cut off somewhere")
        picture = composer.compose(_prediction(*size), SCALE)
        assert picture.shape == (*composer.size, 3)
        assert picture.shape[0] % 2 == picture.shape[1] % 2 == 0
        assert picture.shape[1] >= NARROWEST
        packed = picture.astype(np.uint32) @ np.array([1 << 16, 1 << 8, 1], np.uint32)
        found = dict(zip(*np.unique(packed, return_counts=True), strict=True))
        for red, green, blue in suite.task("segmentation").colours:
            assert found[(red << 16) + (green << 8) + blue] > 100
        assert (picture[:, -12:] == 255).all(), "something is cut off on the right"
        assert (picture[-4:] == 255).all(), "something is cut off at the bottom"
        if len(shown) > 1 and max(size) > LARGEST and min(size) > NARROWEST:
            assert picture.shape[1] < 2.2 * LARGEST


def test_a_task_alone_keeps_the_size_of_the_video() -> None:
    prediction = _prediction(600, 1200, offset=1)
    assert _holds(_compose(NYUV2, ["depth"], prediction), SCALE.paint(prediction.tasks["depth"][0]))


def test_another_scale_redraws_the_key() -> None:
    composer = Composer(NYUV2, ["depth"], (240, 320), 5, "a model")
    prediction = _prediction(240, 320)
    first = composer.compose(prediction, SCALE)
    other = composer.compose(prediction, replace(SCALE, high=50.0))
    assert not np.array_equal(first[290:], other[290:])
    assert np.array_equal(first, composer.compose(prediction, SCALE))
