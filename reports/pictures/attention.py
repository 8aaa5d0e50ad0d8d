"""Figures 4 and 5 of the paper from a trained model: what ILA attends to, and what each task's features show."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import matplotlib
import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure as Canvas
from matplotlib.patches import Rectangle

from experiments.records import DamagedRecordError
from experiments.results import AttentionResult, Results
from mila.common.types import Array
from mila.tasks import Task
from reports.csv_text import csv_text
from reports.plots.drawing import INK, MUTED, RULE, DrawnPlots, Figure, canvas_of, finish
from reports.titles import short_title

_POINTS = ((1 / 3, 1 / 3), (1 / 3, 2 / 3), (2 / 3, 1 / 3), (2 / 3, 2 / 3))
"""Shown of every clip, as parts of height and width: chosen by no result."""

_FRAME, _CELL, _MAP = 190.0, 58.0, 118.0  # widths in points: of a frame, of the weights of a point, of a feature map
_GAP, _TOP, _RIGHT, _BOTTOM, _NAMES = 12.0, 34.0, 12.0, 34.0, 104.0
_STEP = _CELL + 8  # from the weights of a point to those of the next
_WEIGHTS, _FEATURES = "viridis", "magma"
_FEATURES_FIGURE = 5
_MARK = "#f4f4f4"
_STAGES = {"encoded": "after squeeze-excitation", "carried": "carried over by ILA", "fused": "after fusion"}


@dataclass(frozen=True)
class AttentionMaps:
    """What was kept of one model.

    Attributes:
        label: its row.
        key: hash of the stage.
        offset: frames between the two frames of a pair.
        branches: what each of its branches is for.
        pairs: by clip: its index, keyframe and current frame, uint8 `[H, W, 3]`.
        maps: see `mila.visualisation.attention`.
    """

    label: str
    key: str
    offset: int
    branches: tuple[str, ...]
    pairs: tuple[tuple[int, Array, Array], ...]
    maps: dict[str, Array]


def _maps_of(result: AttentionResult, tasks: Sequence[Task]) -> AttentionMaps:
    """Read what a model left, and the frames that it is of."""
    maps = result.maps.read()
    pairs = []
    for index in result.maps.clips:
        frames = result.clips.clip(index, result.offset + 1).frames.transpose(0, 2, 3, 1)
        pairs.append((index, frames[0], frames[-1]))
    names = tuple(short_title(task.name) for task in tasks)
    branches = names if maps["weights"].shape[1] == len(names) else ("All tasks",)
    return AttentionMaps(result.label, result.key, result.offset, branches, tuple(pairs), maps)


def _weights_of(model: AttentionMaps, place: int) -> Figure:
    """For a clip: the pair of frames, and the weights W of Eq. 2 around four points, for each branch."""
    index, key, current = model.pairs[place]
    weights = model.maps["weights"][place]  # [B, h, w, L, L]
    h, w, window = weights.shape[1], weights.shape[2], weights.shape[3]
    points = [(int(y * h), int(x * w)) for y, x in _POINTS]
    highest = max(float(weights[:, y, x].max()) for y, x in points)
    tall = max(_FRAME * current.shape[0] / current.shape[1], len(weights) * _STEP - 8)
    left = 2 * (_FRAME + _GAP) + _NAMES
    width, height = left + len(points) * _STEP + _RIGHT, _TOP + tall + _BOTTOM
    with canvas_of(width, height) as canvas:
        _frame(canvas, key, (0, _TOP), "Keyframe, which gives", f"{model.offset} frames earlier; the windows")
        _frame(canvas, current, (_FRAME + _GAP, _TOP), "Current frame, which receives", "the four points")
        unit = (current.shape[1] / w, current.shape[0] / h)
        for number, (y, x) in enumerate(points, 1):
            _box(canvas, 0, (x - window // 2, y - window // 2, window), unit, number)
            _box(canvas, 1, (x, y, 1), unit, number)
        for number in range(1, len(points) + 1):
            middle = left + (number - 1) * _STEP + _CELL / 2
            canvas.text(middle / width, 1 - (_TOP - 6) / height, str(number), ha="center", size=9, color=INK)
        for branch, name in enumerate(model.branches):
            top = _TOP + branch * _STEP
            right, middle = (left - 10) / width, 1 - (top + _CELL / 2) / height
            centre = 100 * float(weights[branch, :, :, window // 2, window // 2].mean())
            canvas.text(right, middle, name, ha="right", va="bottom", weight="bold", size=8.5)
            canvas.text(right, middle - 2 / height, f"centre {centre:.1f} %", ha="right", va="top", size=8, color=MUTED)
            for number, point in enumerate(points):
                shown = np.where(_inside(point, (h, w), window), weights[(branch, *point)], np.nan)
                _window(canvas, (left + number * _STEP, top), shown, highest)
        _scale(canvas, left, height, highest, window)
        description = (
            f"Clip {index}: attention weights of {model.label} from the current frame to the keyframe, at four points"
        )
        return finish(canvas, f"attention-{index}", description, _weights_csv(model, place, points))


def _weights_csv(model: AttentionMaps, place: int, points: Sequence[tuple[int, int]]) -> str:
    """The weights around some points of a clip, without those of neighbours outside of the map."""
    weights = model.maps["weights"][place]
    size, window = weights.shape[1:3], weights.shape[3]
    shifts = range(-(window // 2), window // 2 + 1)
    lines = []
    for branch, name in enumerate(model.branches):
        for number, (y, x) in enumerate(points, 1):
            inside, shown = _inside((y, x), size, window), weights[branch, y, x]
            lines += [
                (model.label, model.pairs[place][0], name, number, y, x, dy, dx, float(shown[i, j]))
                for i, dy in enumerate(shifts)
                for j, dx in enumerate(shifts)
                if inside[i, j]
            ]
    return csv_text(("row", "clip", "branch", "point", "y", "x", "dy", "dx", "weight"), lines)


def _window(canvas: Canvas, corner: tuple[float, float], shown: Array, highest: float) -> None:
    """The weights of a window `[L, L]`, whose upper left corner is at (x, y) from the canvas's; NaN is left free."""
    width, height = (72 * inches for inches in canvas.get_size_inches())
    x, y = corner
    axes = canvas.add_axes((x / width, 1 - (y + _CELL) / height, _CELL / width, _CELL / height))
    # Edges in the faces' colours close the hairlines that viewers leave between cells.
    axes.pcolormesh(shown[::-1], cmap=_WEIGHTS, vmin=0, vmax=highest, edgecolors="face", linewidth=0.4)
    axes.set(xlim=(0, len(shown)), ylim=(0, len(shown)), xticks=[], yticks=[])
    axes.patch.set_visible(False)
    axes.spines[:].set_color(RULE)


def _inside(point: tuple[int, int], size: tuple[int, int], window: int) -> npt.NDArray[np.bool_]:
    """Which neighbours of a point lie inside the map, `[L, L]`."""
    shift = np.arange(window) - window // 2
    rows, columns = (((at + shift) >= 0) & ((at + shift) < n) for at, n in zip(point, size, strict=True))
    return rows[:, None] & columns[None, :]


def _frame(canvas: Canvas, pixels: Array, at: tuple[float, float], title: str, about: str) -> None:
    """A frame `_FRAME` points wide whose upper left corner is at (x, y) from the canvas's, under two lines of text."""
    width, height = (72 * inches for inches in canvas.get_size_inches())
    x, y = at
    tall = _FRAME * pixels.shape[0] / pixels.shape[1]
    axes = canvas.add_axes((x / width, 1 - (y + tall) / height, _FRAME / width, tall / height))
    axes.imshow(pixels, interpolation="none", aspect="auto")
    axes.set_axis_off()
    canvas.text(x / width, 1 - (y - 18) / height, title, weight="bold", size=9)
    canvas.text(x / width, 1 - (y - 6) / height, about, size=8, color=MUTED)


def _box(canvas: Canvas, which: int, place: tuple[int, int, int], unit: tuple[float, float], number: int) -> None:
    """Frame a square of feature pixels (left, top, side) of a frame, and number it."""
    axes = canvas.axes[which]
    (left, top, side), (unit_x, unit_y) = place, unit
    corner = (left * unit_x - 0.5, top * unit_y - 0.5)
    for colour, line in (("#000000", 2.0), (_MARK, 1.0)):  # legible on any picture
        axes.add_patch(Rectangle(corner, side * unit_x, side * unit_y, fill=False, edgecolor=colour, linewidth=line))
    middle = (corner[0] + side * unit_x / 2, corner[1] + side * unit_y / 2)
    axes.text(*middle, str(number), color=_MARK, size=7.5, weight="bold", ha="center", va="center")


def _scale(canvas: Canvas, left: float, height: float, highest: float, window: int) -> None:
    """The colours of the weights, and what they would be if all neighbours had the same."""
    width = 72 * canvas.get_size_inches()[0]
    axes = canvas.add_axes((left / width, 16 / height, (width - left - 8 - _RIGHT) / width, 7 / height))
    axes.imshow(np.linspace(0, 1, 256)[None], cmap=_WEIGHTS, aspect="auto", extent=(0, 100 * highest, 0, 1))
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    uniform = 100 / window**2
    axes.set_xticks([0, 100 * highest], ["0", f"{100 * highest:.1f} %"], size=8)
    axes.tick_params(axis="x", length=0, pad=2)
    canvas.text(
        (left - 10) / width, 16 / height, f"weight; {uniform:.1f} % if all alike", ha="right", size=8, color=MUTED
    )


def _features_of(model: AttentionMaps, place: int) -> Figure:
    """For a clip: each branch's features of the current frame at three places, as means over channels."""
    index, _, current = model.pairs[place]
    shape = current.shape[0] / current.shape[1]
    step = _MAP * shape + 8
    width = _FRAME + _GAP + _NAMES + len(_STAGES) * (_MAP + 8)
    height = _TOP + max(_FRAME * shape, len(model.branches) * step) + 4
    with canvas_of(width, height) as canvas:
        _frame(canvas, current, (0, _TOP), "Current frame", f"{model.offset} frames after the keyframe")
        left = _FRAME + _GAP + _NAMES
        for column, (name, title) in enumerate(_STAGES.items()):
            x = left + column * (_MAP + 8)
            canvas.text(x / width, 1 - (_TOP - 6) / height, title, size=8.5, weight="bold")
            for branch, values in enumerate(model.maps[name][place]):
                top = _TOP + branch * step
                axes = canvas.add_axes(
                    (x / width, 1 - (top + _MAP * shape) / height, _MAP / width, _MAP * shape / height)
                )
                axes.imshow(_coloured(values), interpolation="none", aspect="auto")
                axes.set_axis_off()
        for branch, title in enumerate(model.branches):
            at = 1 - (_TOP + branch * step + _MAP * shape / 2) / height
            canvas.text((left - 10) / width, at, title, ha="right", va="center", weight="bold", size=8.5)
        header = ("row", "clip", "place", "branch", "other branch", "correlation")
        lines = [(model.label, index, *line) for line in _correlations(model, [place])]
        description = f"Clip {index}: task-specific features of {model.label} after squeeze-excitation, ILA and fusion"
        return finish(canvas, f"features-{index}", description, csv_text(header, lines))


def _coloured(values: Array) -> npt.NDArray[np.uint8]:
    """From its 1st to its 99th percentile, each feature pixel as a square, so that nothing is smoothed."""
    low, high = np.quantile(values, [0.01, 0.99])
    share = np.clip((values - low) / max(float(high - low), 1e-12), 0, 1)
    rgb: npt.NDArray[np.uint8] = matplotlib.colormaps[_FEATURES](share, bytes=True)[..., :3]
    times = -(-240 // values.shape[1])
    return rgb.repeat(times, 0).repeat(times, 1)


def _correlations(model: AttentionMaps, places: Sequence[int]) -> Iterator[tuple[str, str, str, float]]:
    """Pearson's between the maps of each two branches, all pixels of the clips together."""
    for name, title in _STAGES.items():
        maps = model.maps[name][list(places)]
        for a, b in combinations(range(len(model.branches)), 2):
            pair = np.corrcoef(maps[:, a].ravel(), maps[:, b].ravel())
            yield title, model.branches[a], model.branches[b], float(pair[0, 1])


@dataclass(frozen=True)
class Section:
    """The part of a page that is about one model.

    Attributes:
        label: its row.
        key: hash of the stage.
        figures: one a clip.
        likeness: how alike the branches' maps are over all clips that are shown: place, two branches, correlation;
            of features alone.
    """

    label: str
    key: str
    figures: tuple[Figure, ...]
    likeness: tuple[tuple[str, str, str, str], ...] = ()


def attention_sections(results: Results, drawn: DrawnPlots) -> list[Section]:
    """What the page of Figure 4 shows of each finished model, or that of Figure 5. What was `drawn` before is taken."""
    features = results.plan.grid.figure == _FEATURES_FIGURE
    sections = []
    for result in results.attention:
        try:
            model = _maps_of(result, results.plan.suite.tasks)
        except DamagedRecordError:
            continue
        draw = _features_of if features else _weights_of
        figures = tuple(drawn.take_or_draw(draw, model, place) for place in range(len(model.pairs)))
        sections.append(Section(model.label, model.key, figures, _likeness(model) if features else ()))
    return sections


def _likeness(model: AttentionMaps) -> tuple[tuple[str, str, str, str], ...]:
    found = _correlations(model, range(len(model.pairs)))
    return tuple((title, a, b, f"{value:.2f}".replace("-", "−")) for title, a, b, value in found)
