"""Reading training batches from a packed store against decoding the originals, side by side in one run.

python -m experiments.benchmarks.reading                         embedded worlds, written in the official layouts
python -m experiments.benchmarks.reading --data-root FOLDER      a data set of your own

Both read the same clips into one batch of uint8 frames and their targets. The normalisation that follows is the same
for both, on a GPU done there, and has a column of its own. All files have been read once before, so that the disk is
left out of it: what is measured is decoding, resizing and computing targets against copying what is packed.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.markup import escape
from rich.progress import track
from rich.table import Table

from mila.common.arguments import given_path
from mila.common.console import exit_code_of, make_console
from mila.data.clips import ClipSource, normalise
from mila.data.packed import PackedClips
from mila.data.prepare import pack
from mila.data.readers.layouts import recognise
from mila.data.tools.export import export_rooms, export_street
from mila.errors import UserError

_KEYFRAME_INTERVAL = 5


def decode_batch(source: ClipSource, indices: list[int], length: int) -> tuple[Any, dict[str, Any]]:
    """What `PackedClips.read` returns, straight from the data set's own files."""
    clips = [source.clip(index, length) for index in indices]
    targets = {name: np.stack([clip.targets[name] for clip in clips]) for name in clips[0].targets}
    return np.stack([clip.frames for clip in clips]), targets


def main(words: list[str] | None = None) -> int:
    """Print one line a data set and set of tasks; returns the exit code."""
    console = make_console(width=160)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-root", metavar="FOLDER", type=given_path, help="a data set in any layout (not packed)")
    parser.add_argument("--batch", type=int, default=4, help="clips a batch (default: 4)")
    parser.add_argument("--rounds", type=int, default=7, help="batches of each kind (default: 7)")
    options = parser.parse_args(words)
    return exit_code_of(lambda: _run(options, console), "the same command starts anew.")


def _run(options: argparse.Namespace, console: Console) -> int:
    for name in ("batch", "rounds"):
        if getattr(options, name) < 1:
            raise UserError(f"--{name} takes a number from 1 up.")
    columns = ("data", "size", "batch", "decoding, ms", "packed, ms", "faster", "by round", "then normalising, ms")
    table = Table(*columns, box=None)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        roots = [options.data_root] if options.data_root else export_worlds(Path(folder), options.batch, console)
        for root in roots:
            packed = Path(folder) / "packed" / root.name
            for times in measure(root, packed, options.batch, options.rounds, console):
                table.add_row(*_cells(times))
    console.print(table, "Medians; one thread; files in the page cache; decoding and packed reads take turns.")
    return 0


def export_worlds(folder: Path, clips: int, console: Console) -> list[Path]:
    """Write embedded videos in the official layouts; returns their folders."""
    street, rooms = folder / "street as Cityscapes", folder / "rooms as NYUd v2"
    console.print("Writing embedded videos in the official layouts ...")
    export_street(street, "train", clips, height=512, width=1024)
    export_rooms(rooms, train=clips, test=1, length=_KEYFRAME_INTERVAL + 1)
    return [street, rooms]


@dataclass(frozen=True)
class ReadingTimes:
    """Seconds a batch, medians.

    Attributes:
        title: layout and tasks.
        height, width: of the frames.
        batch: what it holds, in words.
        decoding, packed, normalising: from the data set's own files; from the packed store; what follows either.
        ratios: of decoding to packed, the smallest and the largest of all rounds.
    """

    title: str
    height: int
    width: int
    batch: str
    decoding: float
    packed: float
    normalising: float
    ratios: tuple[float, float]


def measure(root: Path, packed: Path, batch: int, rounds: int, console: Console) -> Iterator[ReadingTimes]:
    """Time both ways in turns, for every suite that a data set's layout has.

    Args:
        root: the data set's own files.
        packed: where the packed stores go.
        batch: clips a batch.
        rounds: batches of each kind.
        console: shows the progress.

    Raises:
        UserError: it is packed already, or no data set.
    """
    layout, length = recognise(root), _KEYFRAME_INTERVAL + 1
    if layout.packed:
        raise UserError(f"{root} is packed already; give the data set's own files.")
    for suite in layout.suites:
        source = layout.open(
            layout.splits[0],
            suite=suite,
            mode=layout.modes[0],
            height=suite.height,
            width=suite.width,
            limit=batch * 4,
        )
        pack(source, length, packed / suite.name)
        clips = PackedClips(packed / suite.name)
        seconds: dict[str, list[float]] = {"decoding": [], "packed": [], "normalising": []}
        title = escape(f"{root.name}, {suite.name}")  # which `track` takes for markup, whatever the console does
        for place in track(range(rounds + 1), title, console=console, transient=True):
            indices = [(place * batch + i) % len(source) for i in range(batch)]
            start = time.perf_counter()
            decode_batch(source, indices, length)
            decoded = time.perf_counter()
            frames, _ = clips.read(indices, length)
            read = time.perf_counter()
            normalise(torch.from_numpy(frames))
            end = time.perf_counter()
            if place:  # the first round warms up
                for name, spent in zip(seconds, (decoded - start, read - decoded, end - read), strict=True):
                    seconds[name].append(spent)
        slow, fast, after = (statistics.median(values) for values in seconds.values())
        ratios = sorted(a / b for a, b in zip(seconds["decoding"], seconds["packed"], strict=True))
        about = f"{batch} x {length} frames, {layout.modes[0]}"
        title = f"{layout.title}: {suite.name}"
        yield ReadingTimes(title, suite.height, suite.width, about, slow, fast, after, (ratios[0], ratios[-1]))


def _cells(times: ReadingTimes) -> tuple[str, ...]:
    return (
        times.title,
        f"{times.height} x {times.width}",
        times.batch,
        f"{times.decoding * 1e3:.0f}",
        f"{times.packed * 1e3:.1f}",
        f"{times.decoding / times.packed:.0f}x",
        f"{times.ratios[0]:.0f}x to {times.ratios[1]:.0f}x",
        f"{times.normalising * 1e3:.1f}",
    )


if __name__ == "__main__":
    sys.exit(main())
