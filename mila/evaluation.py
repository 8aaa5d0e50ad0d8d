"""Evaluation of the annotated frames at one keyframe offset; a table's number is the mean over all offsets 0..K-1."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from mila.clip_sums import ClipSums
from mila.common.types import Progress
from mila.data.packed import PackedClips
from mila.errors import DivergedError
from mila.metrics import SuiteSums
from mila.video_model import VideoModel


@torch.no_grad()
def evaluate(
    model: VideoModel,
    clips: PackedClips,
    offset: int,
    *,
    batch: int = 8,
    device: torch.device | str = "cpu",
    progress: Progress | None = None,
) -> ClipSums:
    """The sums of every clip, with its last keyframe `offset` frames before its annotated frame.

    Args:
        model: put into eval mode.
        clips: the split to score.
        offset: o in 0..K-1.
        batch: clips at a time; does not change the result.
        device: where to compute.
        progress: is called with (clips done, clips in all).

    Returns:
        What `mila.metrics` defines is computed from them: `evaluate(...).metrics()`.

    Raises:
        DivergedError: a prediction that counts is not a finite number.
    """
    model.to(device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
    sums = SuiteSums(model.suite)
    for start in range(0, len(clips), batch):
        indices = range(start, min(start + batch, len(clips)))
        frames, targets = clips.batch(indices, offset, model.history, device)
        predictions = model(frames, offset)
        try:
            sums.update(predictions, targets)
        except DivergedError as error:
            raise DivergedError(f"in clips {indices[0] + 1} to {indices[-1] + 1} of {len(clips)} {error}") from error
        if progress is not None:
            progress(indices.stop, len(clips))
    return sums.clips()


@torch.no_grad()
def predict(
    model: VideoModel, clips: PackedClips, offset: int, indices: Sequence[int], device: torch.device | str = "cpu"
) -> dict[str, Tensor]:
    """Predictions of a few clips for pictures, on the CPU: class index int8 `[N, H, W]`, depth, normals."""
    model.to(device).eval()
    frames, _ = clips.batch(indices, offset, model.history, device)
    predictions = model(frames, offset)
    return {n: (p.argmax(1).to(torch.int8) if n == "segmentation" else p).cpu() for n, p in predictions.items()}
