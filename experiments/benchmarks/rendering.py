"""Rendering of the embedded videos: milliseconds of one core a frame, by world, size and length of the clip.

python -m experiments.benchmarks.rendering                         both worlds, two sizes, clips of 1 and 6 frames
python -m experiments.benchmarks.rendering --against FOLDER        beside another checkout of the suite, taking turns

Every repeat is a process of its own whose libraries use one thread; what it takes to start is left out, and what it
takes to build the scene of a clip is not. Times are those of the processor, so that other work on the machine counts
for little.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track
from rich.table import Table

from mila.common.arguments import given_path
from mila.common.console import exit_code_of, make_console
from mila.common.files import write_json
from mila.common.versions import environment
from mila.errors import UserError

_ROOT = Path(__file__).resolve().parents[2]
_WORKER = Path(__file__).with_name("timed_clips.py")
_WORLDS = ("street", "rooms")
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")


def main(words: list[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    console = make_console(width=120)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--worlds", choices=_WORLDS, nargs="+", default=list(_WORLDS), help="which (default: both)")
    parser.add_argument(
        "--sizes", metavar="HxW", nargs="+", default=["256x512", "64x128"], help="of a frame (default: 256x512 64x128)"
    )
    parser.add_argument(
        "--lengths", metavar="N", type=int, nargs="+", default=[1, 6], help="frames a clip (default: 1 6)"
    )
    parser.add_argument("--clips", metavar="N", type=int, default=4, help="scenes of each kind (default: 4)")
    parser.add_argument("--repeats", metavar="N", type=int, default=5, help="of everything (default: 5)")
    parser.add_argument("--against", metavar="FOLDER", type=given_path, help="another checkout of the suite")
    parser.add_argument(
        "--results", metavar="FOLDER", type=given_path, default=Path("results"), help="where results go"
    )
    options = parser.parse_args(words)
    return exit_code_of(lambda: _run(options, console), "the same command starts anew.")


def _run(options: argparse.Namespace, console: Console) -> int:
    for name, values in (("clips", [options.clips]), ("repeats", [options.repeats]), ("lengths", options.lengths)):
        if min(values) < 1:
            raise UserError(f"--{name} takes {'numbers' if name == 'lengths' else 'a number'} from 1 up.")
    sizes = [_size(text) for text in options.sizes]
    cases = [
        (world, *size, length, options.clips)
        for world in options.worlds
        for size in sizes
        for length in options.lengths
    ]
    checkouts = {"here": _ROOT}
    if options.against is not None:
        checkouts["against"] = options.against.resolve()
        if not (checkouts["against"] / "mila" / "data" / "worlds" / "clips.py").is_file():
            raise UserError(f"--against {options.against}: no checkout of this suite; name a folder that holds mila/.")
    rows = measure(checkouts, cases, options.repeats, console)
    path = options.results / "benchmarks" / "rendering.json"
    record = {
        "repeats": options.repeats,
        "rows": rows,
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "environment": environment("cpu") | {"threads": 1},
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, record)
    console.print(_table(rows), f"Medians of {options.repeats} repeats of {options.clips} clips, one core.")
    console.print(f"Record: {path.resolve()}")
    return 0


def _size(text: str) -> tuple[int, int]:
    height, _, width = text.partition("x")
    if not (height.isdecimal() and width.isdecimal() and int(height) and int(width)):
        raise UserError(f"--sizes takes heights and widths in pixels such as 256x512, not {text!r}.")
    return int(height), int(width)


def measure(
    checkouts: dict[str, Path], cases: list[tuple[str, int, int, int, int]], repeats: int, console: Console
) -> list[dict[str, Any]]:
    """A row a case: milliseconds a frame of each checkout, which take turns, and whether all give the same pixels.

    Args:
        checkouts: names and folders.
        cases: world, height, width, frames a clip and clips.
        repeats: how often each case is rendered by each of the checkouts.
        console: shows the progress.
    """
    spent: list[dict[str, list[float]]] = [{name: [] for name in checkouts} for _ in cases]
    pixels: list[set[str]] = [set() for _ in cases]
    for _ in track(range(repeats), "rendering", console=console, transient=True, disable=not console.is_terminal):
        for name, folder in checkouts.items():
            for times, digests, found in zip(spent, pixels, _in_fresh_process(folder, cases), strict=True):
                times[name] += found["ms"]
                digests.add(found["pixels"])
    rows = []
    for (world, height, width, length, clips), times, digests in zip(cases, spent, pixels, strict=True):
        row = {"world": world, "height": height, "width": width, "length": length, "clips": clips}
        medians = {name: statistics.median(values) for name, values in times.items()}
        rows.append(row | {"ms": medians, "all_ms": times, "same_pixels": len(digests) == 1})
    return rows


def _in_fresh_process(checkout: Path, cases: list[tuple[str, int, int, int, int]]) -> list[dict[str, Any]]:
    own = os.environ | dict.fromkeys(_THREADS, "1") | {"PYTHONPATH": str(checkout)}
    command = [sys.executable, str(_WORKER), json.dumps(cases)]
    done = subprocess.run(command, env=own, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip() or "no output").splitlines()[-1]
        raise UserError(f"the code in {checkout} renders no clips: {last}")
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


def _table(rows: list[dict[str, Any]]) -> Table:
    compared = "against" in rows[0]["ms"]
    columns = ("against, ms a frame", "faster", "pixels") if compared else ()
    table = Table("world", "size", "frames a clip", "ms a frame", *columns, box=None)
    for row in rows:
        here, other = row["ms"]["here"], row["ms"].get("against", 0.0)
        cells = [row["world"], f"{row['height']}x{row['width']}", str(row["length"]), f"{here:.2f}"]
        if compared:
            cells += [f"{other:.2f}", f"{other / here:.2f}x", "the same" if row["same_pixels"] else "OTHERS"]
        table.add_row(*cells)
    return table


if __name__ == "__main__":
    sys.exit(main())
