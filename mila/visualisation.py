"""What a trained model looks at, and what it says along a video: for the paper's Figures 4, 5, 7 and 8.

Nothing here is trained or scored.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from mila.attention import InterFrameLocalAttention, aggregate, attention_weights
from mila.branch import Emitted, Memory
from mila.data.clips import normalise
from mila.data.packed import PackedClips
from mila.model import MILA
from mila.video_model import VideoModel


def shows_attention(model: VideoModel) -> bool:
    """Whether the model has what `attention` looks at: ILA with a window, from a keyframe to the frames after it."""
    propagations = list(model.propagations) if isinstance(model, MILA) else []
    local = [p for p in propagations if isinstance(p, InterFrameLocalAttention) and p.window != "global"]
    return bool(local) and len(local) == len(propagations) and model.keyframe_interval > 1


def check_offset(model: VideoModel, offset: int) -> None:
    """Raise `ValueError` unless `offset` is in 1..K-1, so that a frame looks at another one."""
    if not 1 <= offset < model.keyframe_interval:
        raise ValueError(
            f"offset {offset} is not in 1..{model.keyframe_interval - 1}: it looks from one frame at another"
        )


def walk_to(model: MILA, frames: Tensor) -> tuple[Memory, Emitted, Emitted]:
    """What a model remembers before the last frame of clips, what it has of the keyframe, and of the last frame itself.

    Args:
        model: in eval mode; features are not chained.
        frames: `[N, T, 3, H, W]`, with the model's history before the keyframe; the last is no keyframe.
    """
    *earlier, frame = frames.unbind(1)
    stream = model.stream()
    stream.frames = -model.history % model.keyframe_interval  # so that the keyframe falls where the offset says
    for before in earlier:
        stream.step(before)
    encoded = model.encode(frame, keyframe=False)
    current = model.emit(frame, encoded, model.compared_fast(frame, encoded, keyframe=False))
    return stream.memory, stream.memory.slots["key"], current


@torch.no_grad()
def attention(
    model: VideoModel, clips: PackedClips, indices: Sequence[int], offset: int, device: torch.device | str = "cpu"
) -> dict[str, Tensor]:
    """How ILA carries features from the keyframe to the annotated frame `offset` frames later (Section 3.2).

    Args:
        model: put into eval mode.
        clips: a split.
        indices: of N clips.
        offset: o in 1..K-1.
        device: where to compute.

    Returns:
        On the CPU, with one of B branches a task, or one for all where the model is not task-specific, and L the
        window: `weights` `[N, B, h, w, L, L]`, W of Eq. 2; and, as the mean over channels of the absolute values,
        `[N, B, h, w]` each: `encoded`, the current frame after squeeze-excitation; `carried`, the keyframe's features
        as Eq. 1 brings them over; `fused`, what the task's decoder reads.

    Raises:
        ValueError: the model has no such attention (see `shows_attention`), or the current frame is the keyframe.
    """
    if not isinstance(model, MILA) or not shows_attention(model):
        raise ValueError("only a model with ILA of a window and non-keyframes has attention weights to show")
    check_offset(model, offset)
    model.to(device).eval()
    frames, _ = clips.batch(indices, offset, model.history, device)
    memory, key, current = walk_to(model, frames)
    weights, carried = [], []
    for propagation, query, keys, features in zip(
        model.propagations, current.compared, key.compared, key.features, strict=True
    ):
        assert isinstance(propagation, InterFrameLocalAttention)
        assert isinstance(propagation.window, int)
        ours, theirs = propagation.relate(query, keys)
        weights.append(attention_weights(ours, theirs, propagation.window))
        carried.append(aggregate(weights[-1], features))
    fused = model.receive(current, memory, keyframe=False)
    maps = {"encoded": current.features, "carried": carried, "fused": fused}
    shown = {name: torch.stack([x.abs().mean(1) for x in branches], 1) for name, branches in maps.items()}
    return {name: x.cpu() for name, x in {"weights": torch.stack(weights, 1), **shown}.items()}


@torch.no_grad()
def predict_video(
    model: VideoModel, clips: PackedClips, indices: Sequence[int], device: torch.device | str = "cpu"
) -> dict[str, Tensor]:
    """Predictions along N whole clips of T frames, whose first frame is a keyframe.

    Args:
        model: put into eval mode.
        clips: of a length worth looking at.
        indices: of the clips.
        device: where to compute.

    Returns:
        On the CPU, by `stream/TASK` and `slow/TASK`: frame by frame with the model's keyframe interval, and with every
        frame predicted as a keyframe is. Class index int8 `[N, T, H, W]`, depth float16 `[N, T, 1, H, W]`, normals
        float16 `[N, T, 3, H, W]`.
    """
    model.to(device).eval()
    frames = normalise(torch.from_numpy(clips.read(indices, clips.length)[0]).to(device))  # [N, T, 3, H, W]
    stream = model.stream()
    streamed = [stream.step(frame) for frame in frames.unbind(1)]
    slow = [model(frames[:, max(0, t - model.history) : t + 1], 0) for t in range(frames.shape[1])]
    return {
        f"{name}/{task}": torch.stack([_kept(task, p[task]) for p in predictions], 1)
        for name, predictions in (("stream", streamed), ("slow", slow))
        for task in predictions[0]
    }


def _kept(task: str, prediction: Tensor) -> Tensor:
    return (prediction.argmax(1).to(torch.int8) if task == "segmentation" else prediction.half()).cpu()
