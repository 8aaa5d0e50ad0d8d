"""Latency of the models: keyframes, non-keyframes and whole streams, plain and optimised, in turns; record and page.

python -m experiments.benchmarks.latency                              Tables 1 and 2, narrow networks and small frames
python -m experiments.benchmarks.latency --profile reference          the same at the paper's size
python -m experiments.benchmarks.latency --grids table4 table6        other tables
"""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import Progress, TaskID

from experiments.costs.audit import gflops_as_published
from experiments.costs.latency import SHIPPED, LatencyRow, read_records, write_record
from experiments.costs.timing import bench, timed_runs
from experiments.grids import find_grids
from experiments.grids.multi_task import TABLE2
from experiments.profiles import PROFILES
from experiments.runner.workers import find_device
from experiments.store import Store
from mila.common.arguments import given_path
from mila.common.console import exit_code_of, make_console
from mila.errors import UserError
from reports.pages.costs import read_counted
from reports.pages.latency import write_latency


def main(words: list[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    console = make_console()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--grids", metavar="NAME", nargs="+", default=["table1", "table2"], help="whose models (default: table1 table2)"
    )
    parser.add_argument(
        "--profile", choices=("quick", "smoke", "reference"), default="quick", help="sizes (default: quick)"
    )
    parser.add_argument(
        "--device",
        choices=("all", "cpu", "cuda"),
        default="all",
        help="where (default: the processor, and a GPU if any)",
    )
    parser.add_argument("--rounds", metavar="N", type=int, default=9, help="rounds that count (default: 9)")
    parser.add_argument("--frames", metavar="N", type=int, default=10, help="frames of a whole stream (default: 10)")
    parser.add_argument("--threads", metavar="N", type=int, help="of the processor (default: one a core)")
    parser.add_argument(
        "--results", metavar="FOLDER", type=given_path, default=Path("results"), help="where results go"
    )
    options = parser.parse_args(words)
    return exit_code_of(lambda: _run(options, console), "the same command starts anew.")


def _run(options: argparse.Namespace, console: Console) -> int:
    for name in ("rounds", "frames", "threads"):
        if getattr(options, name) is not None and getattr(options, name) < 1:
            raise UserError(f"--{name} takes a number from 1 up.")
    grids = list(dict.fromkeys(grid for name in options.grids for grid in find_grids(name)))
    if options.device == "all":
        devices = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]
    else:
        devices = [find_device(options.device)]
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    folder = options.results / "latency"
    read_records(folder)  # so that a damaged one is said before anything is timed
    for device in devices:
        with Progress(console=console, disable=not console.is_terminal) as bar:
            task = bar.add_task(f"timing on {device}", total=None)
            record = bench(
                grids,
                PROFILES[options.profile],
                device,
                rounds=options.rounds,
                frames=options.frames,
                progress=partial(_show_progress, bar, task),
            )
        path = write_record(record, folder)
        console.print(f"Record: {path.resolve()}", highlight=False)
        for row in record.rows:
            console.print(_summary(row), highlight=False)
    records, out = read_records(folder), options.results / "reports"
    counted = read_counted(out, 2) or gflops_as_published(TABLE2)
    page = write_latency(
        records, timed_runs(Store(options.results / "store"), records), counted, out, read_records(SHIPPED)
    )
    console.print(f"Page: {page.resolve()}\nData: {page.with_suffix('.csv').resolve()}", highlight=False)
    return 0


def _summary(row: LatencyRow) -> str:
    times = row.latency.stream
    line = (
        f"{row.grid:8} {row.label:32} {1e3 * times.median:9.2f} ms a frame "
        f"({1e3 * times.lower:.2f} to {1e3 * times.upper:.2f})"
    )
    return line if row.optimised is None else f"{line}, optimised {1e3 * row.optimised.stream.median:.2f}"


def _show_progress(bar: Progress, task: TaskID, done: int, total: int) -> None:
    bar.update(task, completed=done, total=total)


if __name__ == "__main__":
    sys.exit(main())
