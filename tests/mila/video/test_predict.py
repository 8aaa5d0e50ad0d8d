"""Predictions along a video are those of the model's own stream, in the size of the video."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from mila.data.clips import normalise
from mila.data.readers.images import resize_rgb
from mila.streaming.optimise import optimise
from mila.video.frames import Frame
from mila.video.predict import Prediction, in_size, predict_video
from tests.support.fake_videos import HEIGHT, WIDTH, as_source, fake_frames, fake_model_of


def _by_hand(height: int, width: int) -> list[dict[str, torch.Tensor]]:
    """What `stream()` says of seven frames of a size."""
    stream = fake_model_of().stream()
    found = []
    for pixels in fake_frames(7, height, width):
        small = torch.from_numpy(resize_rgb(Image.fromarray(pixels), HEIGHT, WIDTH))
        with torch.no_grad():
            found.append(stream.step(normalise(small[None])))
    return found


def _predicted(height: int, width: int) -> list[Prediction]:
    return list(predict_video(fake_model_of(), as_source(fake_frames(7, height, width)), HEIGHT, WIDTH))


def test_in_the_models_size_they_are_the_streams_exactly() -> None:
    for prediction, expected in zip(_predicted(HEIGHT, WIDTH), _by_hand(HEIGHT, WIDTH), strict=True):
        assert np.array_equal(prediction.tasks["segmentation"], expected["segmentation"][0].argmax(0).numpy())
        assert np.array_equal(prediction.tasks["depth"], expected["depth"][0].numpy())
        normals = F.normalize(expected["normals"][0], dim=0)
        np.testing.assert_allclose(prediction.tasks["normals"], normals.numpy(), atol=1e-6)


@pytest.mark.parametrize("size", [(93, 127), (48, 20), (11, 15)])
def test_in_another_size_scores_are_resized_before_the_class_is_chosen(size: tuple[int, int]) -> None:
    shrinks = size[0] < HEIGHT or size[1] < WIDTH
    for prediction, expected in zip(_predicted(*size), _by_hand(*size), strict=True):
        resized = {
            name: F.interpolate(maps, size, mode="bilinear", antialias=shrinks)[0] for name, maps in expected.items()
        }
        assert np.array_equal(prediction.tasks["segmentation"], resized["segmentation"].argmax(0).numpy())
        assert prediction.tasks["segmentation"].dtype == np.uint8
        np.testing.assert_allclose(prediction.tasks["depth"], resized["depth"].numpy(), rtol=1e-6)
        np.testing.assert_allclose(np.linalg.norm(prediction.tasks["normals"], axis=0), 1, atol=1e-5)
        cosine = (prediction.tasks["normals"] * F.normalize(resized["normals"], dim=0).numpy()).sum(0)
        assert cosine.min() > 1 - 1e-5


def test_every_kth_frame_is_a_keyframe() -> None:
    predictions = _predicted(HEIGHT, WIDTH)
    assert [prediction.offset for prediction in predictions] == [0, 1, 2, 0, 1, 2, 0]
    assert [prediction.number for prediction in predictions] == list(range(7))
    assert all(prediction.seconds > 0 for prediction in predictions)


def test_an_optimised_model_predicts_nearly_the_same() -> None:
    fast = optimise(fake_model_of(), "float32")
    frames = fake_frames(7, 40, 50)
    for quick, exact in zip(predict_video(fast, as_source(frames), HEIGHT, WIDTH), _predicted(40, 50), strict=True):
        assert quick.offset == exact.offset
        scale = np.abs(exact.tasks["depth"]).max()
        np.testing.assert_allclose(quick.tasks["depth"], exact.tasks["depth"], atol=1e-3 * scale)
        assert (quick.tasks["segmentation"] == exact.tasks["segmentation"]).mean() > 0.99


def test_frames_are_taken_one_at_a_time() -> None:
    given = list[Frame]()

    def source() -> Iterator[Frame]:
        for frame in as_source(fake_frames(5)):
            given.append(frame)
            yield frame

    predictions = predict_video(fake_model_of(), source(), HEIGHT, WIDTH)
    for number in range(1, 6):
        next(predictions)
        assert len(given) == number


def test_classes_beyond_a_byte_are_kept() -> None:
    scores = torch.zeros(1, 300, 2, 2)
    scores[0, 299, 0, 0] = scores[0, 7, 1, 1] = 1
    for size in ((2, 2), (4, 4)):
        classes = in_size("segmentation", scores, size)
        assert classes.dtype == torch.int16
        assert (int(classes[0, 0]), int(classes[-1, -1])) == (299, 7)


def test_a_model_in_training_is_put_into_eval_mode() -> None:
    model = fake_model_of().train()
    prediction = next(predict_video(model, as_source(fake_frames(1, HEIGHT, WIDTH)), HEIGHT, WIDTH))
    assert not model.training
    expected = _by_hand(HEIGHT, WIDTH)[0]
    assert np.array_equal(replace(prediction).tasks["depth"], expected["depth"][0].numpy())
