"""What is known of a plan, as plain values: all that pages, tables, plots and pictures are made of."""

from __future__ import annotations

import io
import lzma
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from experiments.plan import Plan, RowPlan
from experiments.records import DamagedRecordError, Record
from experiments.stage_files import CLIP_SHARES
from experiments.stages import Stage
from experiments.store import State
from mila.clip_shares import load_clip_shares, mean_jackknife, rounded_shares
from mila.clip_sums import load_clip_sums
from mila.common.stored_files import DamagedFileError, read_bytes
from mila.common.types import Array
from mila.data.packed import PackedClips

_UNREADABLE = (ValueError, KeyError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error, lzma.LZMAError)
"""What NumPy raises for files that are not what was written."""


@dataclass(frozen=True)
class Value:
    """One measured cell: the mean over seeds of the mean over offsets.

    Attributes:
        mean: in the metric's SI unit.
        std: sample standard deviation over seeds; None with one seed.
        seeds: n.
        by_offset: mean over seeds at each offset 0..K-1 (one entry for a frame-by-frame model and for K = 1).
        by_offset_std: their sample standard deviations; None with one seed.
    """

    mean: float
    std: float | None
    seeds: int
    by_offset: tuple[float, ...]
    by_offset_std: tuple[float, ...] | None


@dataclass(frozen=True)
class KeptClipSums:
    """The sums of every clip that a score kept; read when they are asked for.

    Attributes:
        path: the file, of sums or of what is passed on of them.
        digest: SHA-256 of it, as the record says.
    """

    path: Path
    digest: str

    def jackknife(self) -> Mapping[str, Array]:
        """What each clip contributes to each metric less the mean, `[N]`, as it is passed on, see `mila.clip_shares`.

        Means over the states scored. What is read from sums is rounded like what is passed on of them, so that both
        give the same pages.

        Raises:
            DamagedRecordError: the file is not what was written.
        """
        return _jackknife(self)


@lru_cache(maxsize=4096)  # many tables have rows in common
def _jackknife(kept: KeptClipSums) -> Mapping[str, Array]:
    try:
        file = io.BytesIO(read_bytes(kept.path))
        if kept.path.name == CLIP_SHARES:
            return load_clip_shares(file)
        return rounded_shares(mean_jackknife(load_clip_sums(file).values()))
    except (DamagedFileError, FileNotFoundError, *_UNREADABLE) as error:
        raise _damaged(kept.path) from error


def _damaged(path: Path) -> DamagedRecordError:
    return DamagedRecordError(f"{path} is not what was written there; delete {path.parent} to run the stage again.")


@dataclass(frozen=True)
class RowResult:
    """A row and what is known of it.

    Attributes:
        plan: its stages.
        values: by metric; empty where no seed is finished.
        missing: why `values` is empty or incomplete, in words; empty where nothing is missing.
        gflops: at the paper's size, measured; None where it is not.
        trains, evaluations, measure: records behind the numbers, finished seeds only.
        clips: sums of every clip by seed and offset, like `evaluations`; empty for a seed that kept none.
    """

    plan: RowPlan
    values: dict[str, Value]
    missing: str
    gflops: float | None
    trains: tuple[Record, ...]
    evaluations: tuple[tuple[Record, ...], ...]
    measure: Record | None
    clips: tuple[tuple[KeptClipSums, ...], ...] = ()


@dataclass(frozen=True)
class FlowResult:
    """How good FlowNet-S is, on flow that is known exactly.

    Attributes:
        values: `epe` and `epe_zero` in pixels, and `ratio`, the first over the second seed by seed; empty where no seed
            is finished.
        missing: see `RowResult`.
        trains, evaluations: records behind the numbers, finished seeds only.
    """

    values: dict[str, Value]
    missing: str
    trains: tuple[Record, ...]
    evaluations: tuple[Record, ...]


@dataclass(frozen=True)
class StageResult:
    """A stage and what is known of it.

    Attributes:
        stage: what it is.
        key: the hash that its record lies under; where it was made by other code, another one than the stage's.
        state: how far it is.
        title: as it was recorded; tables that share a stage may each call it by a name of their own.
        record: what came out; None where it is not finished, or damaged.
        reason: why it failed or what is damaged, all that was written of it; empty otherwise.
        log: its last lines.
        files: what tells its files from those of another run: a digest of each, or its size.
        whose: see `Store`.
    """

    stage: Stage
    key: str
    state: State
    title: str
    record: Record | None
    reason: str
    log: str
    files: tuple[str, ...]
    whose: str = ""


@dataclass(frozen=True)
class KeptArrays:
    """Arrays that a finished stage kept beside its record; read when they are asked for, which few pages do.

    Attributes:
        path: the file.
        clips: indices of the clips that they are of.
    """

    path: Path
    clips: tuple[int, ...]

    def read(self) -> dict[str, Array]:
        """All of them by name.

        Raises:
            DamagedRecordError: the file is not what was written.
        """
        try:
            with np.load(io.BytesIO(read_bytes(self.path))) as file:
                return {name: file[name] for name in file.files}
        except (DamagedFileError, FileNotFoundError, *_UNREADABLE) as error:
            raise _damaged(self.path) from error


@dataclass(frozen=True)
class RowPictures:
    """Predictions of a few clips that the first finished seed of a row kept.

    Attributes:
        label: of the row.
        seed: of the network.
        offsets: the first and the last; one where the row has one.
        predictions: one entry an offset, arrays by task; empty where some of them are missing.
    """

    label: str
    seed: int
    offsets: tuple[int, ...]
    predictions: tuple[KeptArrays, ...]


@dataclass(frozen=True)
class AttentionResult:
    """Attention weights and features that were kept of a row's network, and the clips that they are of.

    Attributes:
        label: of the row.
        key: hash of the stage.
        offset: frames between the keyframe and the current frame.
        maps: see `mila.visualisation.attention`.
        clips: of the split.
    """

    label: str
    key: str
    offset: int
    maps: KeptArrays
    clips: PackedClips


@dataclass(frozen=True)
class MotionResult:
    """How what a row's network carries agrees with the exact motion.

    Attributes:
        label: of the row.
        key: hash of the stage.
        clips: how many were looked at.
        agreement: by offset and branch, see `mila.motion.follow`.
    """

    label: str
    key: str
    clips: int
    agreement: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True)
class VideoResult:
    """Predictions along a video that were kept of a row's network, and the clips that they are of.

    Attributes:
        label: of the row.
        key: hash of the stage.
        interval: K.
        predictions: `stream/TASK` and `slow/TASK` (every frame a keyframe), `[1, T, ...]`.
        clips: of which the first is shown.
    """

    label: str
    key: str
    interval: int
    predictions: KeptArrays
    clips: PackedClips


@dataclass(frozen=True)
class Results:
    """All that is known of a plan.

    Attributes:
        plan: what was asked for.
        rows: in the plan's order, the constant predictor last.
        flow: the scores of FlowNet-S; None where no row starts from it.
        stages: every stage of the plan and all that they need, in order.
        manifests: of the splits, by the hash of their stage.
        clips: of the scored split; None where they are not there.
        pictures: of each row that has a number, without the constant predictor.
        attention: what is finished.
        motion: what is finished.
        videos: what is finished.
        whose: see `Store`.
    """

    plan: Plan
    rows: tuple[RowResult, ...]
    flow: FlowResult | None
    stages: tuple[StageResult, ...]
    manifests: Mapping[str, dict[str, Any]]
    clips: PackedClips | None
    pictures: tuple[RowPictures, ...]
    attention: tuple[AttentionResult, ...]
    motion: tuple[MotionResult, ...]
    videos: tuple[VideoResult, ...]
    whose: str = ""

    @property
    def manifest(self) -> dict[str, Any]:
        """Of the scored split."""
        return self.manifests[self.plan.test_data.key]

    @cached_property
    def titles(self) -> dict[str, str]:
        """Of the stages, as recorded, by hash."""
        return {result.stage.key: result.title for result in self.stages}
