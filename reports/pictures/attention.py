"""Figures 4 and 5 of the paper from a trained model: where ILA looks, and what each task's features show."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import matplotlib
import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure as Canvas
from matplotlib.patches import Rectangle

from experiments.plan import Plan
from experiments.stages import Attend
from experiments.store import Record, Store
from mila.common.types import Array
from mila.errors import UserError
from reports.plots.drawing import INK, MUTED, RULE, Figure, canvas_of, finish, kept, table_of
from reports.tables.table import TASK_TITLES

_POINTS = ((1 / 3, 1 / 3), (1 / 3, 2 / 3), (2 / 3, 1 / 3), (2 / 3, 2 / 3))
"""Looked at in every clip, as parts of height and width: chosen by no result."""

_FRAME, _CELL, _MAP = 190.0, 58.0, 118.0  # widths in points: of a frame, of the weights of a point, of a feature map
_GAP, _TOP, _RIGHT, _BOTTOM, _NAMES = 12.0, 34.0, 12.0, 34.0, 104.0
_WEIGHTS, _FEATURES = "viridis", "magma"
_FEATURES_FIGURE = 5
_MARK = "#f4f4f4"
_STAGES = {"encoded": "after squeeze-excitation", "carried": "carried over by ILA", "fused": "after fusion"}


@dataclass(frozen=True)
class Looked:
    """What was kept of one model.

    Attributes:
        label: its row.
        record: of the stage.
        branches: what each of its branches is for.
        pairs: by clip: its index, keyframe and current frame, uint8 `[H, W, 3]`.
        maps: see `mila.visualisation.attention`.
    """

    label: str
    record: Record
    branches: tuple[str, ...]
    pairs: tuple[tuple[int, Array, Array], ...]
    maps: dict[str, Array]

    @property
    def offset(self) -> int:
        """Frames between the two frames of a pair."""
        return int(self.record.result["offset"])


def _looked_at(plan: Plan, store: Store) -> Iterator[Looked]:
    """What is finished of a plan's looks at attention, and whose clips are still there."""
    names = tuple(TASK_TITLES[task.name].split(",")[0] for task in plan.suite.tasks)
    for row in plan.rows:
        for stage in row.visuals:
            if not isinstance(stage, Attend) or store.state(stage) != "done":
                continue
            record = store.record(stage)
            try:
                clips = store.clips(stage.data)
            except UserError:
                continue
            with np.load(record.folder / "attention.npz") as file:
                maps = {name: file[name] for name in file.files}
            pairs = []
            for index in map(int, record.result["pictures"]):
                frames = clips.clip(index, stage.offset + 1).frames.transpose(0, 2, 3, 1)
                pairs.append((index, frames[0], frames[-1]))
            branches = names if maps["weights"].shape[1] == len(names) else ("All tasks",)
            yield Looked(row.label, record, branches, tuple(pairs), maps)


def weight_figures(looked: Looked) -> list[Figure]:
    """For each clip: the pair of frames, and the weights W of Eq. 2 around four points, for each branch."""
    return [_weights_of(looked, place) for place in range(len(looked.pairs))]


@kept
def _weights_of(looked: Looked, place: int) -> Figure:
    index, key, current = looked.pairs[place]
    weights = looked.maps["weights"][place]  # [B, h, w, L, L]
    h, w, window = weights.shape[1], weights.shape[2], weights.shape[3]
    points = [(int(y * h), int(x * w)) for y, x in _POINTS]
    highest = max(float(weights[:, y, x].max()) for y, x in points)
    tall = max(_FRAME * current.shape[0] / current.shape[1], len(weights) * (_CELL + 8) - 8)
    width = 2 * (_FRAME + _GAP) + _NAMES + len(points) * (_CELL + 8) + _RIGHT
    height = _TOP + tall + _BOTTOM
    lines: list[tuple[object, ...]] = []
    with canvas_of(width, height) as canvas:
        _frame(canvas, key, (0, _TOP), "Keyframe, which gives", f"{looked.offset} frames earlier; the windows")
        _frame(canvas, current, (_FRAME + _GAP, _TOP), "Current frame, which receives", "the four points")
        for number, (y, x) in enumerate(points, 1):
            unit_y, unit_x = current.shape[0] / h, current.shape[1] / w
            _box(canvas, 0, (x - window // 2, y - window // 2, window), (unit_x, unit_y), number)
            _box(canvas, 1, (x, y, 1), (unit_x, unit_y), number)
        left = 2 * (_FRAME + _GAP) + _NAMES
        for number in range(1, len(points) + 1):
            middle = left + (number - 1) * (_CELL + 8) + _CELL / 2
            canvas.text(middle / width, 1 - (_TOP - 6) / height, str(number), ha="center", size=9, color=INK)
        for branch, name in enumerate(looked.branches):
            top = _TOP + branch * (_CELL + 8)
            at = 1 - (top + _CELL / 2) / height
            centre = 100 * float(weights[branch, :, :, window // 2, window // 2].mean())
            canvas.text((left - 10) / width, at, name, ha="right", va="bottom", weight="bold", size=8.5)
            canvas.text(
                (left - 10) / width,
                at - 2 / height,
                f"centre {centre:.1f} %",
                ha="right",
                va="top",
                size=8,
                color=MUTED,
            )
            for number, (y, x) in enumerate(points, 1):
                shown = weights[branch, y, x]
                axes = canvas.add_axes(
                    (
                        (left + (number - 1) * (_CELL + 8)) / width,
                        1 - (top + _CELL) / height,
                        _CELL / width,
                        _CELL / height,
                    )
                )
                inside = _inside((y, x), (h, w), window)
                # Edges in the faces' colours close the hairlines that viewers leave between cells.
                axes.pcolormesh(
                    np.where(inside, shown, np.nan)[::-1],
                    cmap=_WEIGHTS,
                    vmin=0,
                    vmax=highest,
                    edgecolors="face",
                    linewidth=0.4,
                )
                axes.set(xlim=(0, window), ylim=(0, window), xticks=[], yticks=[])
                axes.patch.set_visible(False)
                axes.spines[:].set_color(RULE)
                shifts = range(-(window // 2), window // 2 + 1)
                lines += [
                    (looked.label, index, name, number, y, x, dy, dx, float(shown[i, j]))
                    for i, dy in enumerate(shifts)
                    for j, dx in enumerate(shifts)
                    if inside[i, j]
                ]
        _scale(canvas, left, height, highest, window)
        header = ("row", "clip", "branch", "point", "y", "x", "dy", "dx", "weight")
        said = (
            f"Clip {index}: attention weights of {looked.label} from the current frame to the keyframe, at four points"
        )
        return finish(canvas, f"attention-{index}", said, table_of(header, lines))


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


def feature_figures(looked: Looked) -> list[Figure]:
    """For each clip: each branch's features of the current frame at three places, as means over channels."""
    return [_features_of(looked, place) for place in range(len(looked.pairs))]


@kept
def _features_of(looked: Looked, place: int) -> Figure:
    index, _, current = looked.pairs[place]
    shape = current.shape[0] / current.shape[1]
    step = _MAP * shape + 8
    width = _FRAME + _GAP + _NAMES + len(_STAGES) * (_MAP + 8)
    height = _TOP + max(_FRAME * shape, len(looked.branches) * step) + 4
    with canvas_of(width, height) as canvas:
        _frame(canvas, current, (0, _TOP), "Current frame", f"{looked.offset} frames after the keyframe")
        left = _FRAME + _GAP + _NAMES
        for column, (name, title) in enumerate(_STAGES.items()):
            x = left + column * (_MAP + 8)
            canvas.text(x / width, 1 - (_TOP - 6) / height, title, size=8.5, weight="bold")
            for branch, values in enumerate(looked.maps[name][place]):
                top = _TOP + branch * step
                axes = canvas.add_axes(
                    (x / width, 1 - (top + _MAP * shape) / height, _MAP / width, _MAP * shape / height)
                )
                axes.imshow(_coloured(values), interpolation="none", aspect="auto")
                axes.set_axis_off()
        for branch, title in enumerate(looked.branches):
            at = 1 - (_TOP + branch * step + _MAP * shape / 2) / height
            canvas.text((left - 10) / width, at, title, ha="right", va="center", weight="bold", size=8.5)
        header = ("row", "clip", "place", "branch", "other branch", "correlation")
        lines = [(looked.label, index, *line) for line in _correlations(looked, [place])]
        said = f"Clip {index}: task-specific features of {looked.label} after squeeze-excitation, ILA and fusion"
        return finish(canvas, f"features-{index}", said, table_of(header, lines))


def _coloured(values: Array) -> npt.NDArray[np.uint8]:
    """From its 1st to its 99th percentile, each feature pixel as a square, so that nothing is smoothed."""
    low, high = np.quantile(values, [0.01, 0.99])
    share = np.clip((values - low) / max(float(high - low), 1e-12), 0, 1)
    rgb: npt.NDArray[np.uint8] = matplotlib.colormaps[_FEATURES](share, bytes=True)[..., :3]
    times = -(-240 // values.shape[1])
    return rgb.repeat(times, 0).repeat(times, 1)


def _correlations(looked: Looked, places: Sequence[int]) -> Iterator[tuple[str, str, str, float]]:
    """Pearson's between the maps of each two branches, all pixels of the clips together."""
    for name, title in _STAGES.items():
        maps = looked.maps[name][list(places)]
        for a, b in combinations(range(len(looked.branches)), 2):
            pair = np.corrcoef(maps[:, a].ravel(), maps[:, b].ravel())
            yield title, looked.branches[a], looked.branches[b], float(pair[0, 1])


@dataclass(frozen=True)
class Section:
    """The part of a page that is about one model.

    Attributes:
        looked: what was kept of it.
        figures: one a clip.
        likeness: how alike the branches' maps are over all clips that are shown: place, two branches, correlation;
            of features alone.
    """

    looked: Looked
    figures: tuple[Figure, ...]
    likeness: tuple[tuple[str, str, str, str], ...] = ()


def sections(plan: Plan, store: Store) -> list[Section]:
    """What the page of Figure 4 shows of each finished model, or that of Figure 5."""
    looks = list(_looked_at(plan, store))
    if plan.grid.figure == _FEATURES_FIGURE:
        return [Section(x, tuple(feature_figures(x)), _likeness(x)) for x in looks]
    return [Section(x, tuple(weight_figures(x))) for x in looks]


def _likeness(looked: Looked) -> tuple[tuple[str, str, str, str], ...]:
    found = _correlations(looked, range(len(looked.pairs)))
    return tuple((title, a, b, f"{value:.2f}".replace("-", "−")) for title, a, b, value in found)
