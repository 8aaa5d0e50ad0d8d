"""Every clip's own sums and counts: what the metrics of a split are made of, kept so that clips can be drawn anew.

Arrays by name; the first axis is the clips of the split, `N`:

| array                              | shape     | what                                                            |
|------------------------------------|-----------|-----------------------------------------------------------------|
| `truth`                            | `[N, C]`  | annotated pixels by true class                                  |
| `false_negatives`                  | `[N, C]`  | those of them that are predicted as another class               |
| `false_positives`                  | `[N, C]`  | annotated pixels predicted as this class that are of another    |
| `on_void`                          | `[N, C]`  | pixels without annotation by predicted class                    |
| `depth_pixels`                     | `[N]`     | valid pixels                                                    |
| `depth_absolute`, `depth_relative` | `[N]`     | sums of the errors over them, float32                           |
| `angle`                            | `[N]`     | sum of the angles of the normals, degrees, float32              |
| `angle_counts`                     | `[N, B]`  | pixels by angle, between the bounds                             |
| `angle_bounds`                     | `[B + 1]` | 0 to 180 degrees in units of 0.01; of the split, not of a clip  |
| `flow_pixels`                      | `[N]`     | pixels with a finite flow                                       |
| `flow_error`, `flow_length`        | `[N]`     | sums of the end-point error and of the true length, float32     |

A score's metrics are computed from these arrays and from nothing else, so they can be computed again, exactly, and with
other weights of the clips, as a bootstrap draws them. A confusion matrix is not needed: of it, no metric uses more than
the diagonal and the margins.

In a file, one array of structured type a state of the model: counts in the narrowest integer type that holds them,
clips last, because neighbours that are alike compress well.

The median needs the histogram of all angles, which is far too large for every clip. Kept of it are the bounds of the
limits 11.25, 22.5 and 30 degrees, of the 45 % and the 55 % quantile of the split and of the cells in which its median
lies: with every clip once, the median is exactly that of the whole histogram; with other weights it is interpolated
between the bounds.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from typing import IO

import numpy as np

from mila.common.types import Array

WITHIN = (11.25, 22.5, 30.0)
"""Degrees below which the angle of a predicted normal is counted."""
BINS_A_DEGREE = 100
_AROUND_MEDIAN = (0.45, 0.55)


@dataclass(frozen=True)
class ClipSums:
    """The sums of every clip of a split, for one model at one offset.

    Attributes:
        arrays: by name, see the module.
    """

    arrays: Mapping[str, Array]

    def __len__(self) -> int:
        """Number of clips."""
        return len(next(iter(self.arrays.values()))) if self.arrays else 0

    def metrics(self) -> dict[str, float]:
        """Metrics of the split in SI units (shares as fractions, degrees); NaN where nothing was annotated."""
        return {name: float(values[0]) for name, values in self.weighted(np.ones((1, len(self)))).items()}

    def weighted(self, weights: Array) -> dict[str, Array]:
        """Metrics of other splits made of these clips.

        Args:
            weights: `[R, N]`, how often each clip is in each of them.

        Returns:
            `[R]` for every metric.
        """
        weights = weights.astype(np.float64)
        found: dict[str, Array] = {}
        with np.errstate(divide="ignore", invalid="ignore"):  # nothing annotated is NaN
            if "truth" in self.arrays:
                found |= self._segmentation(weights)
            if "depth_pixels" in self.arrays:
                found |= self._ratios(weights, "depth_pixels", depth_abs="depth_absolute", depth_rel="depth_relative")
            if "angle_counts" in self.arrays:
                found |= self._normals(weights)
            if "flow_pixels" in self.arrays:
                found |= self._ratios(weights, "flow_pixels", epe="flow_error", epe_zero="flow_length")
        return found

    def jackknife(self) -> dict[str, Array]:
        """Of every metric its pseudo-values `[N]` (Tukey, 1958).

        That of a clip is N times the metric less N - 1 times the metric without it. The metrics of clips that are drawn
        anew lie about the metric as the means of their pseudo-values do about the mean of all, nearly, so the standard
        error of that mean is the one of a bootstrap over clips.
        """
        clips = len(self)
        whole, without = self.weighted(np.ones((1, clips))), self.weighted(1 - np.eye(clips))
        return {name: clips * value - (clips - 1) * without[name] for name, value in whole.items()}

    def _segmentation(self, weights: Array) -> dict[str, Array]:
        truth, missed, wrong, on_void = (
            self.arrays[name].astype(np.float64) for name in ("truth", "false_negatives", "false_positives", "on_void")
        )
        hits, union, pixels = truth - missed, truth + wrong, truth.sum(1)
        annotated = pixels > 0

        def mean(by_image: Array) -> Array:
            means: Array = weights @ np.where(annotated, by_image, 0) / (weights @ annotated)
            return means

        return {
            "miou": _mean_iou(weights @ hits, weights @ union),
            "pixel_acc": weights @ hits.sum(1) / (weights @ pixels),
            "miou_image_void": mean(_mean_iou(hits, union + on_void)),
            "miou_image": mean(_mean_iou(hits, union)),
            "pixel_acc_image": mean(hits.sum(1) / pixels),
        }

    def _ratios(self, weights: Array, pixels: str, **sums: str) -> dict[str, Array]:
        count = weights @ self.arrays[pixels]
        return {name: weights @ self.arrays[array].astype(np.float64) / count for name, array in sums.items()}

    def _normals(self, weights: Array) -> dict[str, Array]:
        counts, bounds = weights @ self.arrays["angle_counts"], self.arrays["angle_bounds"]
        pixels = counts.sum(1)
        within = {
            f"normal_within_{limit:g}": counts[:, bounds[1:] <= limit * BINS_A_DEGREE].sum(1) / pixels
            for limit in WITHIN
        }
        mean = weights @ self.arrays["angle"].astype(np.float64) / pixels
        return {"normal_mean": mean, "normal_median": _median(counts, bounds), **within}


def save_clip_sums(file: IO[bytes], states: Mapping[str, ClipSums]) -> None:
    """Write the sums of some states of a model, by name; the same sums give the same bytes."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_LZMA) as archive:
        for name, sums in states.items():
            with archive.open(f"{name}.npy", "w") as member:
                np.lib.format.write_array(member, _as_one(sums.arrays), allow_pickle=False)


def load_clip_sums(file: IO[bytes]) -> dict[str, ClipSums]:
    """Read what `save_clip_sums` wrote, by name; nothing in the file is run.

    Raises:
        ValueError, EOFError, RuntimeError, zipfile.BadZipFile, lzma.LZMAError: it is not what was written.
    """
    states = {}
    with np.load(file, allow_pickle=False) as arrays:
        for name in arrays.files:
            one = arrays[name]
            if one.shape or one.dtype.names is None:
                raise ValueError(f"{name} holds no sums of clips")
            states[name] = ClipSums({field: _widened(np.ascontiguousarray(one[field].T)) for field in one.dtype.names})
    return states


def _as_one(arrays: Mapping[str, Array]) -> Array:
    """All arrays in one of no dimension, a field each; the many headers of small files would be as long as the sums."""
    fields = {name: np.ascontiguousarray(_narrowed(array).T) for name, array in arrays.items()}
    one = np.zeros((), [(name, array.dtype, array.shape) for name, array in fields.items()])
    for name, array in fields.items():
        one[name] = array
    return one


def _narrowed(array: Array) -> Array:
    return array.astype(np.min_scalar_type(int(array.max(initial=0)))) if array.dtype == np.int64 else array


def _widened(array: Array) -> Array:
    return array.astype(np.int64) if array.dtype.kind == "u" else array


def angle_bounds(histogram: Array) -> Array:
    """Which bounds are kept of the histogram of a split's angles by 0.01 degrees: int64 `[B + 1]`, ascending."""
    pixels, cumulative = int(histogram.sum()), histogram.cumsum()
    kept = {0, len(histogram), *(round(limit * BINS_A_DEGREE) for limit in WITHIN)}
    if pixels:
        kept |= {int(np.searchsorted(cumulative, share * pixels)) for share in _AROUND_MEDIAN}
        for cell in np.searchsorted(cumulative, _middle(np.array([pixels])).ravel(), side="right"):
            kept |= {int(cell), int(cell) + 1}
    return np.array(sorted(kept))


def _middle(pixels: Array) -> Array:
    """The two middle ones of so many, from 0: `[R]` to `[R, 2]`; twice the same of an odd number."""
    return np.stack([(pixels - 1) // 2, pixels // 2], axis=1)


def _median(counts: Array, bounds: Array) -> Array:
    """Medians in degrees of `counts` `[R, B]` between the bounds: `[R]`."""
    cumulative, pixels = counts.cumsum(1), counts.sum(1)
    middle = _middle(pixels)
    # The bin of a pixel is the first whose cumulative count exceeds its place.
    bins = (cumulative[:, None, :] <= middle[:, :, None]).sum(2).clip(max=counts.shape[1] - 1)
    inside = np.take_along_axis(counts, bins, 1)
    place = middle - (np.take_along_axis(cumulative, bins, 1) - inside) + 0.5
    median: Array = (bounds[bins] + np.diff(bounds)[bins] * place / inside).mean(1) / BINS_A_DEGREE
    return np.where(pixels > 0, median, np.nan)


def _mean_iou(hits: Array, union: Array) -> Array:
    """Mean of hits / union over the classes with a union, `[N, C]` to `[N]`; NaN without any."""
    present = union > 0
    iou: Array = np.where(present, hits / np.maximum(union, 1), 0)
    means: Array = iou.sum(1) / present.sum(1)
    return means
