"""Predictions along a video, frame by frame, in the size of the video.

```python
with open_frames("drive.mp4") as frames:
    for prediction in predict_video(model, frames, height=256, width=512):
        classes = prediction.tasks["segmentation"]  # [H, W], of the video's size
```
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from mila.common.types import Array
from mila.data.clips import normalise
from mila.data.readers.images import resize_rgb
from mila.streaming.optimise import Optimised
from mila.video.frames import Frame
from mila.video_model import VideoModel


@dataclass(frozen=True, eq=False)
class Prediction:
    """What a model says of a frame.

    Attributes:
        frame: the frame.
        number: of the frame, from 0.
        offset: how many frames before it the last keyframe lies; 0 for a keyframe.
        tasks: by task, in the frame's size: `segmentation` class index uint8 (int16 where there are more than 256)
            `[H, W]`, `depth` float32 `[1, H, W]` in the unit of the suite, `normals` unit vectors float32 `[3, H, W]`.
        seconds: that the model took, without resizing.
    """

    frame: Frame
    number: int
    offset: int
    tasks: dict[str, Array]
    seconds: float


def predict_video(
    model: VideoModel | Optimised,
    frames: Iterable[Frame],
    height: int,
    width: int,
    device: torch.device | str = "cpu",
) -> Iterator[Prediction]:
    """Run a model along a video; its first frame is a keyframe, and so is every K-th after it.

    A frame is resized to the model's size as the data sets' are (`mila.data.readers.images.resize_rgb`), whatever its
    proportions. Predictions are resized back bilinearly: scores of classes before the largest is taken, depth as it is,
    normals before their length becomes 1 again. Where the sizes agree nothing is resized.

    Args:
        model: a trained model, which is put into eval mode on `device`; or an optimised one, which is there already.
        frames: in order, such as `mila.video.source.open_frames` gives them.
        height: of the frames that the model was trained on, pixels.
        width: likewise.
        device: where to compute.
    """
    if isinstance(model, VideoModel):
        model.to(device).eval()
    stream = model.stream()
    for number, frame in enumerate(frames):
        small = torch.from_numpy(resize_rgb(Image.fromarray(frame.pixels), height, width))
        start = time.perf_counter()
        with torch.no_grad():
            predicted = stream.step(normalise(small[None].to(device)))
            if torch.device(device).type == "cuda":
                torch.cuda.synchronize(device)
            seconds = time.perf_counter() - start
            size = (frame.pixels.shape[0], frame.pixels.shape[1])
            tasks = {task: in_size(task, prediction, size).cpu().numpy() for task, prediction in predicted.items()}
        yield Prediction(frame, number, number % model.keyframe_interval, tasks, seconds)


def in_size(task: str, prediction: Tensor, size: tuple[int, int]) -> Tensor:
    """A prediction `[1, C, h, w]` of one frame in another size, as `Prediction.tasks` has it.

    Args:
        task: its name.
        prediction: class scores, depth or normals.
        size: height and width.
    """
    if task == "segmentation":
        return _classes(prediction, size)
    resized = _resized(prediction, size)[0]
    return F.normalize(resized, dim=0) if task == "normals" else resized


def _classes(scores: Tensor, size: tuple[int, int]) -> Tensor:
    """The class of the largest resized score, `[H, W]`; one class after the other, so that large frames fit."""
    kind = torch.uint8 if scores.shape[1] <= 256 else torch.int16
    if scores.shape[-2:] == size:
        return scores[0].argmax(0).to(kind)
    best = _resized(scores[:, :1], size)[0, 0]
    classes = torch.zeros(size, dtype=kind, device=scores.device)
    for index in range(1, scores.shape[1]):
        score = _resized(scores[:, index : index + 1], size)[0, 0]
        classes.masked_fill_(score > best, index)
        torch.maximum(best, score, out=best)
    return classes


def _resized(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """`[1, C, h, w]` in another size, bilinear, antialiased where it shrinks; float32."""
    maps = maps.float()
    if maps.shape[-2:] == size:
        return maps
    shrinks = size[0] < maps.shape[-2] or size[1] < maps.shape[-1]
    return F.interpolate(maps, size, mode="bilinear", align_corners=False, antialias=shrinks)
