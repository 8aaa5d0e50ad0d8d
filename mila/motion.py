"""Does what a model carries from the keyframe follow the motion? Held against exact flow, for ILA and any propagation.

Where a cell's features come from is found without looking into a propagation: a map of coordinates is carried in the
place of the features. ILA's weights give the mean of their neighbours' coordinates, warping the place that it looks at.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mila.attention import InterFrameLocalAttention
from mila.backbone import OUTPUT_STRIDE
from mila.common.types import Array, Progress
from mila.data.packed import PackedClips
from mila.model import MILA
from mila.motion_numbers import ALL_TASKS, agreement
from mila.propagation import Propagation, Relation
from mila.video_model import VideoModel
from mila.visualisation import check_offset, walk_to

_BATCH = 4
"""Clips at once: weights of global attention are large."""

_CARRIED = 0.01
"""A cell that is given less than this share, since its source lies outside the map, is given nothing."""

Motion = Callable[[int], tuple[Array, Array]]
"""From a clip to its exact motion: flow `[K - 1, 2, H, W]` in pixels from the annotated frame to each frame before it,
and bool `[K - 1, H, W]`, which of its points that frame shows; as `WorldClips.motion` gives them."""


@dataclass(frozen=True)
class Spread:
    """How spread the weights are with which a frame's cells draw on those of the keyframe.

    Attributes:
        entropy: `[N, h, w]`, over what it would be if all were alike; neighbours outside the map are left out.
        centre: `[N, h, w]`, the weight of the cell itself.
        equal: `[2, h, w]`, the mean shift (x, y) of weights that are all alike, which at a border is not 0: windows are
            cut off there. What a network carries from further inside is not always what it has found there.
        whole: bool `[h, w]`, the window lies inside the map.
    """

    entropy: Tensor
    centre: Tensor
    equal: Tensor
    whole: Tensor


@dataclass(frozen=True)
class Carried:
    """Where the features come from that a frame receives from the keyframe.

    Attributes:
        source: `[N, 2, h, w]`, (x, y) on the keyframe's map in cells; NaN where nothing is carried.
        spread: None where there are no weights.
    """

    source: Tensor
    spread: Spread | None


def carries(model: VideoModel) -> bool:
    """Whether a model has what `carried` looks at: a propagation that compares frames, to frames after a keyframe."""
    return (
        isinstance(model, MILA)
        and len(model.propagations) > 0
        and model.propagation_of(0).moves
        and model.keyframe_interval > 1
    )


@torch.no_grad()
def carried(
    model: VideoModel, clips: PackedClips, indices: Sequence[int], offset: int, device: torch.device | str = "cpu"
) -> list[Carried]:
    """Where each propagation takes the annotated frame's features from, on the keyframe `offset` frames before it.

    One a task, or one for all. With several source frames (MF) it is the keyframe's part alone.

    Args:
        model: put into eval mode.
        clips: a split.
        indices: of N clips.
        offset: o in 1..K-1.
        device: where to compute.

    Raises:
        ValueError: the model carries nothing by comparing frames (see `carries`), or there is no such offset.
    """
    if not isinstance(model, MILA) or not carries(model):
        raise ValueError("only a model that carries features by comparing frames can follow their motion")
    check_offset(model, offset)
    model.to(device).eval()
    frames, _ = clips.batch(indices, offset, model.history, device)
    if model.chained:
        propagation = model.propagation_of(0)
        compared = [propagation.embed(frame) for frame in frames[:, -1 - offset :].unbind(1)]
        place = _coordinates(model.encode(frames[:, -1], keyframe=False))
        for older, current in pairwise(compared):
            place = propagation.move(propagation.relate(current, older), place)
        return [Carried(_source(place), None)]
    _, key, current_frame = walk_to(model, frames)
    place = _coordinates(current_frame.features[0])
    pairs = enumerate(zip(current_frame.compared, key.compared, strict=True))
    relations = [(model.propagation_of(i), model.propagation_of(i).relate(*pair)) for i, pair in pairs]
    return [_carried(propagation, relation, place) for propagation, relation in relations]


def _carried(propagation: Propagation, relation: Relation, place: Tensor) -> Carried:
    source, weights = _source(propagation.move(relation, place)), propagation.weights(relation)
    if weights is None:
        return Carried(source, None)
    everywhere = isinstance(propagation, InterFrameLocalAttention) and propagation.window == "global"
    return Carried(source, spread(weights, everywhere))


def _coordinates(like: Tensor) -> Tensor:
    """`[N, 3, h, w]`: x, y and 1 of every cell."""
    count, _, height, width = like.shape
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return torch.stack([x, y, torch.ones_like(x)]).to(like).expand(count, -1, -1, -1).contiguous()


def _source(place: Tensor) -> Tensor:
    """Of what became of `_coordinates`: the mean place, of what came from inside the map."""
    share = place[:, 2:]
    return torch.where(share > _CARRIED, place[:, :2] / share.clamp(min=_CARRIED), torch.nan)


def spread(weights: Tensor, everywhere: bool = False) -> Spread:
    """How spread weights are.

    Args:
        weights: `[N, h, w, L, L]` over a window, or `[N, h, w, h, w]` over the whole map.
        everywhere: the second.
    """
    _, height, width, window, _ = weights.shape
    y, x = torch.arange(height)[:, None], torch.arange(width)[:, None]
    if everywhere:
        dy, dx = torch.arange(height) - y, torch.arange(width) - x  # [h, h], [w, w]
        centre = weights.flatten(3).flatten(1, 2).diagonal(dim1=1, dim2=2).unflatten(1, (height, width))
    else:
        shift = torch.arange(window) - window // 2
        dy, dx = shift.expand(height, -1), shift.expand(width, -1)  # [h, L], [w, L]
        centre = weights[..., window // 2, window // 2]
    rows, columns = (y + dy >= 0) & (y + dy < height), (x + dx >= 0) & (x + dx < width)
    inside = (rows[:, None, :, None] & columns[None, :, None, :]).flatten(2)  # [h, w, L * L]
    alike = inside.sum(-1)
    mean_y, mean_x = ((d * near).sum(1) / near.sum(1) for d, near in ((dy, rows), (dx, columns)))
    equal = torch.stack([mean_x.expand(height, -1), mean_y[:, None].expand(-1, width)])
    kept = weights.flatten(3) * inside.to(weights)
    total = kept.sum(-1).clamp(min=1e-12)
    most = alike.double().log().clamp(min=1e-12).to(weights)
    entropy = torch.special.entr(kept / total[..., None]).sum(-1) / most
    whole = torch.zeros_like(alike, dtype=torch.bool) if everywhere else inside.all(-1)
    return Spread(entropy, centre / total, equal, whole)


def follow(
    model: VideoModel,
    clips: PackedClips,
    indices: Sequence[int],
    motion: Motion,
    device: torch.device | str = "cpu",
    progress: Progress | None = None,
) -> list[dict[str, Any]]:
    """How well what is carried agrees with the exact motion, by offset 1 to K - 1 and propagation.

    Cell i of a map lies on pixel 8 i; what the motion of that pixel is, is the cell's. Cells whose point the keyframe
    does not show are left out.

    Args:
        model: see `carried`.
        clips: likewise.
        indices: likewise.
        motion: of each clip.
        device: where to compute.
        progress: called with (clips done, clips).

    Returns:
        What `agreement` says, with `offset` and `branch` (a task's name, or `ALL_TASKS`).
    """
    assert isinstance(model, MILA)
    columns: dict[tuple[int, int], list[npt.NDArray[np.float64]]] = {}
    for start in range(0, len(indices), _BATCH):
        batch = indices[start : start + _BATCH]
        flows, seen = (np.stack(each) for each in zip(*map(motion, batch), strict=True))
        for offset in range(1, model.keyframe_interval):
            for branch, found in enumerate(carried(model, clips, batch, offset, device)):
                part = _columns(found, flows[:, offset - 1], seen[:, offset - 1])
                columns.setdefault((offset, branch), []).append(part)
        if progress is not None:
            progress(start + len(batch), len(indices))
    tasks = [task.name for task in model.suite.tasks]
    names = tasks if len({branch for _, branch in columns}) == len(tasks) else [ALL_TASKS]
    return [
        {"offset": offset, "branch": names[branch], **agreement(np.concatenate(parts))}
        for (offset, branch), parts in sorted(columns.items())
    ]


def _columns(found: Carried, flow: Array, visible: Array) -> npt.NDArray[np.float64]:
    """One row a cell whose point the keyframe shows, with the columns of `agreement`."""
    true = flow[..., ::OUTPUT_STRIDE, ::OUTPUT_STRIDE].astype(np.float64) / OUTPUT_STRIDE
    shown = visible[..., ::OUTPUT_STRIDE, ::OUTPUT_STRIDE]
    height, width = shown.shape[-2:]

    def at_cells(values: Tensor) -> npt.NDArray[np.float64]:
        cells: npt.NDArray[np.float64] = values[..., :height, :width].double().cpu().numpy()
        return np.broadcast_to(cells, (len(shown), *cells.shape[-2:]))

    column, row = np.meshgrid(np.arange(width), np.arange(height))
    values = [at_cells(found.source[:, 0]) - column, at_cells(found.source[:, 1]) - row, true[:, 0], true[:, 1]]
    if found.spread is None:
        values += [np.full(shown.shape, np.nan)] * 4 + [np.ones(shown.shape)]
    else:
        of = found.spread
        values += [at_cells(of.entropy), at_cells(of.centre), *map(at_cells, of.equal), at_cells(of.whole)]
    return np.stack([value[shown] for value in values], 1)
