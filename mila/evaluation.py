"""Evaluation of the annotated frames at keyframe offsets; a table's number is the mean over all offsets 0..K-1.

Offsets are scored together, a batch of clips at a time. A frame lies at the same distance from the end of its clip at
every offset, so each network of `VideoModel.encoded_frames` encodes it once for all of them. Networks are given the
frames of one distance at a time: what they give, and so every number, is the same to the last bit, whichever offsets
are scored together. A model without such networks is run as a whole, one offset after the other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mila.clip_sums import ClipSums
from mila.common.types import Progress
from mila.data.clips import frames_needed
from mila.data.packed import PackedClips
from mila.errors import DivergedError
from mila.metrics import SuiteSums
from mila.video_model import VideoModel, keeps_up


@dataclass(frozen=True)
class Scored:
    """What came out at one offset.

    Attributes:
        sums: of every clip; what `mila.metrics` defines is computed from them: `sums.metrics()`.
        pictures: predictions of the clips that were asked for, on the CPU, by task: class index int8 `[N, H, W]`, depth
            `[N, 1, H, W]`, normals `[N, 3, H, W]`.
    """

    sums: ClipSums
    pictures: Mapping[str, Tensor]


def evaluate(
    model: VideoModel,
    clips: PackedClips,
    offset: int,
    *,
    batch: int = 8,
    device: torch.device | str = "cpu",
    progress: Progress | None = None,
) -> ClipSums:
    """The sums of every clip at one offset; see `evaluate_offsets`."""
    return evaluate_offsets(model, clips, (offset,), batch=batch, device=device, progress=progress)[offset].sums


@torch.no_grad()
def evaluate_offsets(
    model: VideoModel,
    clips: PackedClips,
    offsets: Sequence[int],
    *,
    shown: Sequence[int] = (),
    batch: int = 8,
    device: torch.device | str = "cpu",
    progress: Progress | None = None,
) -> dict[int, Scored]:
    """Score every clip with its last keyframe `o` frames before its annotated frame, for several o.

    Args:
        model: put into eval mode.
        clips: the split to score.
        offsets: each in 0..K-1.
        shown: ascending indices of the clips whose predictions are kept.
        batch: clips at a time; does not change the result but by rounding.
        device: where to compute.
        progress: is called with (clips done, clips in all), each clip counted once an offset.

    Returns:
        What came out, by offset.

    Raises:
        DivergedError: a prediction that counts is not a finite number.
    """
    model.to(device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
    offsets = sorted(offsets)
    sums = {offset: SuiteSums(model.suite) for offset in offsets}
    pictures: dict[int, list[dict[str, Tensor]]] = {offset: [] for offset in offsets}
    for start in range(0, len(clips), batch):
        indices = range(start, min(start + batch, len(clips)))
        kept = [index - start for index in shown if index in indices]
        frames, targets = clips.batch(indices, offsets[-1], model.history, device)
        predict = SharedFrames(model, frames, offsets)
        for place, offset in enumerate(offsets):
            predictions = predict.at(offset)
            try:
                sums[offset].update(predictions, targets)
            except DivergedError as error:
                where = f"in clips {indices[0] + 1} to {indices[-1] + 1} of {len(clips)} at offset {offset}"
                raise DivergedError(f"{where} {error}") from error
            if kept:
                pictures[offset].append({name: _picture(name, x[kept]) for name, x in predictions.items()})
            if progress is not None:
                progress(start * len(offsets) + len(indices) * (place + 1), len(clips) * len(offsets))
    return {offset: Scored(sums[offset].clips(), _joined(pictures[offset])) for offset in offsets}


class SharedFrames:
    """Predictions for a batch of clips at one offset after the other; what later offsets need of a frame is kept.

    Args:
        model: in eval mode.
        frames: `[B, T, 3, H, W]`, as many as the last offset needs.
        offsets: those that will be asked for, in this order.
    """

    def __init__(self, model: VideoModel, frames: Tensor, offsets: Sequence[int]) -> None:
        self._model, self._frames = model, frames
        self._waiting = {offset: self._needed(offset) for offset in offsets}
        self._maps: dict[tuple[str, int], tuple[Tensor, ...]] = {}  # by network and distance from the end of the clip

    def _needed(self, offset: int) -> dict[tuple[str, int], tuple[str, int]]:
        """What the offset needs: by network and index in its clip, network and distance from the end."""
        length = frames_needed(offset, self._model.history)
        if not keeps_up(type(self._model), "forward_encoded", "forward"):
            return {}
        needed = self._model.encoded_frames(length, offset)
        return {(network, t): (network, length - 1 - t) for network, order in needed.items() for t in order}

    def at(self, offset: int) -> dict[str, Tensor]:
        """Predictions `[B, C, H, W]` by task."""
        needed = self._waiting.pop(offset)
        clip = self._frames[:, -frames_needed(offset, self._model.history) :].contiguous()
        if not needed:
            predictions: dict[str, Tensor] = self._model(clip, offset)
            return predictions
        for network, back in needed.values():
            if (network, back) not in self._maps:
                frame = self._frames[:, -1 - back].contiguous(memory_format=torch.channels_last)
                self._maps[network, back] = self._model.encode_frames(network, frame)
        predictions = self._model.forward_encoded(clip, offset, {at: self._maps[of] for at, of in needed.items()})
        later = {of for others in self._waiting.values() for of in others.values()}
        self._maps = {of: maps for of, maps in self._maps.items() if of in later}
        return predictions


def _picture(name: str, prediction: Tensor) -> Tensor:
    return (prediction.argmax(1).to(torch.int8) if name == "segmentation" else prediction).cpu()


def _joined(batches: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    return {name: torch.cat([batch[name] for batch in batches]) for name in batches[0]} if batches else {}
