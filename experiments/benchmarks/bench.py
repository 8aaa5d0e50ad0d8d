"""All benchmarks in one run, each part by itself: one record and one page, with ratios.

python -m experiments.benchmarks.bench                            the sizes of the profile `quick`; minutes on two cores
python -m experiments.benchmarks.bench --device cuda              the paper's sizes; made to take four minutes on a GPU
python -m experiments.benchmarks.bench --parts checks latency     some parts

What is wrong comes first: `checks`. A part that fails says so and the others go on; the exit code is then 1.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import cached_property
from pathlib import Path

import torch
from rich.console import Console

from experiments.benchmarks import checks, evaluation, parts, training
from experiments.benchmarks.sizes import SIZES, Sizes, pack_clips
from experiments.costs.speed import SHIPPED, Measured, Part, SpeedRecord, read_speed, write_speed
from experiments.runner.workers import find_device
from mila.common.arguments import given_path
from mila.common.console import exit_code_of, make_console
from mila.common.versions import environment
from mila.data.packed import PackedClips
from mila.errors import first_line
from reports.pages.speed import write_speed_page


@dataclass(frozen=True)
class Bench:
    """What the parts of a run have in common."""

    sizes: Sizes
    device: str
    folder: Path
    console: Console

    @cached_property
    def clips(self) -> PackedClips:
        """Clips of an embedded world, rendered when a part first asks for them."""
        return pack_clips(self.sizes, self.folder / "clips")


def _checks(bench: Bench) -> Iterator[Measured]:
    yield from checks.attention(bench.device, 64)
    yield from checks.streams(bench.sizes, bench.device)
    yield checks.continued(bench.sizes, bench.clips, bench.device, bench.folder / "continued")
    yield from checks.replayed(bench.sizes, bench.clips, bench.device, bench.folder / "replayed")


Measure = Callable[[Bench], Iterable[Measured]]

PARTS: Mapping[str, tuple[str, Measure]] = {
    "checks": ("Is it right? Differences, beside what is tolerated", _checks),
    "attention": (
        "Local attention against unfolding, one map of 512 channels",
        lambda b: parts.attention(b.sizes, b.device),
    ),
    "latency": ("Streams of one video, plain and optimised", lambda b: parts.latency(b.sizes, b.device)),
    "branches": (
        "Optimised streams with all branches in one launch, against one after the other",
        lambda b: parts.branches(b.sizes, b.device),
    ),
    "training": (
        "Steps of a training",
        lambda b: training.steps(b.sizes, b.clips, b.device, b.folder / "training"),
    ),
    "evaluation": ("Predictions at every offset", lambda b: evaluation.offsets(b.sizes, b.clips, b.device)),
    "rendering": ("Frames of the embedded worlds, one core", lambda b: parts.rendering(b.sizes, b.console)),
    "reading": (
        "Training batches from the packed store, against decoding the originals",
        lambda b: parts.reading(b.sizes, b.folder / "reading", b.console),
    ),
}
"""What each part is about, and what measures it."""


def run_part(name: str, bench: Bench) -> Part:
    """Measure one part; what fails is said in it, and stops nothing else."""
    about, measure = PARTS[name]
    measured: list[Measured] = []
    error, start = "", time.perf_counter()
    try:
        measured += measure(bench)
    except Exception as failure:  # whatever it is, the other parts do not depend on it
        error = f"{type(failure).__name__}: {first_line(failure)}"
    wrong = [one for one in measured if name == "checks" and not one.holds]
    if wrong and not error:
        error = "; ".join(f"{one.name} differs by {one.value:.2g}, more than {one.most:g}" for one in wrong)
    return Part(name, about, time.perf_counter() - start, tuple(measured), error)


def main(words: list[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    console = make_console(width=160)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=("cpu", "cuda"), help="where (default: a GPU if there is one)")
    parser.add_argument("--sizes", choices=tuple(SIZES), help="how large (default: quick on cpu, paper on cuda)")
    parser.add_argument("--parts", metavar="NAME", choices=tuple(PARTS), nargs="+", help=f"of {', '.join(PARTS)}")
    parser.add_argument(
        "--results", metavar="FOLDER", type=given_path, default=Path("results"), help="where results go"
    )
    options = parser.parse_args(words)
    return exit_code_of(lambda: _run(options, console), "the same command starts anew.")


def _run(options: argparse.Namespace, console: Console) -> int:
    device = find_device(options.device or ("cuda" if torch.cuda.is_available() else "cpu"))
    sizes = SIZES[options.sizes or ("paper" if device == "cuda" else "quick")]
    folder, out = options.results / "speed", options.results / "reports"
    read_speed(folder)  # so that a damaged one is said before anything is timed
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    done: list[Part] = []
    with tempfile.TemporaryDirectory() as temporary:
        bench = Bench(sizes, device, Path(temporary), console)
        for name in dict.fromkeys(options.parts or PARTS):
            done.append(run_part(name, bench))
            _show(done[-1], console)
            finished = datetime.now(timezone.utc).isoformat(timespec="seconds")
            record = SpeedRecord(device, sizes.name, load, finished, environment(device), tuple(done))
            path = write_speed(record, folder)  # by now, lest an interruption lose it
    console.print(f"Record: {path.resolve()}")
    console.print(f"Page: {write_speed_page(read_speed(folder), out, read_speed(SHIPPED)).resolve()}")
    failed = [part.name for part in done if part.error]
    if failed:
        console.print(f"Failed: {', '.join(failed)}.")
    return 1 if failed else 0


def _show(part: Part, console: Console) -> None:
    console.print(f"{part.name}: {part.about} ({part.seconds:.0f} s)")
    for one in part.measured:
        ratio = "" if one.ratio is None else f", {one.ratio:.3g} of {one.against}"
        most = "" if one.most is None else f" (at most {one.most:.3g}: {'holds' if one.holds else 'MISSED'})"
        console.print(f"  {one.name}: {one.value:.4g} {one.unit}{ratio}{most}")
    if part.error:
        console.print(f"  FAILED: {part.error}")


if __name__ == "__main__":
    sys.exit(main())
