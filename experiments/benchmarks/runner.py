"""What running and reporting cost beside the work itself: planning, collecting, making pages, on a synthetic store.

python -m experiments.benchmarks.runner                     at least 10,000 stages planned and collected, pages of 1,000
python -m experiments.benchmarks.runner --stages 300 --pages 300

Each measurement runs in a process of its own, which has imported what it needs before the clock starts. Seconds are
those on the clock and, apart, those of all processors, which depend less on what else the machine does.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from experiments.benchmarks.synthetic_store import fill, plans_of, seeds_for, stages_of
from experiments.collect import collect_flow, collect_rows
from experiments.stages import Evaluate, Stage
from experiments.store import Store
from mila.common.console import exit_code_of, make_console
from mila.errors import UserError
from reports.report import build_report

_ROUNDS = 3
_RUN = Path(__file__).parents[1] / "run.py"


@dataclass(frozen=True)
class Cost:
    """What a piece of work took.

    Attributes:
        wall, processors: seconds on the clock, and of all processors with those of its worker processes.
        memory: most bytes in use at once by the process.
    """

    wall: float
    processors: float
    memory: int


def planning(seeds: int) -> Cost:
    """Lay out all grids and hash every stage."""
    return _timed(lambda: stages_of(plans_of(seeds)))


def collecting(root: Path, seeds: int) -> Cost:
    """Read every row's numbers from the finished stages."""
    plans = plans_of(seeds)
    stages_of(plans)  # hashes are kept by the stages
    store = Store(root)
    return _timed(lambda: [(collect_rows(plan, store), collect_flow(plan, store)) for plan in plans])


def pages(root: Path, out: Path, seeds: int) -> Cost:
    """Bring all pages up to date."""
    plans = plans_of(seeds)
    stages_of(plans)  # hashes are kept by the stages
    store = Store(root)
    return _timed(lambda: [build_report(plan, store, out) for plan in plans])


def _timed(call: Callable[[], object]) -> Cost:
    wall, processors = time.perf_counter(), _processors()
    call()
    wall, processors = time.perf_counter() - wall, _processors() - processors
    return Cost(wall, processors, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)


def _processors() -> float:
    spent = os.times()
    return spent.user + spent.system + spent.children_user + spent.children_system


def in_fresh_process(call: Callable[..., Cost], *arguments: Any) -> Cost:
    """Measure in a fresh process."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(call, *arguments).result()


def command(results: Path, seeds: int) -> Cost:
    """The whole command that makes the pages, from the start of Python to its end."""
    numbers = [str(seed) for seed in range(seeds)]
    words = ["--grid", "all", "--report", "--results", str(results), "--seeds", *numbers]
    return _timed(lambda: subprocess.run([sys.executable, str(_RUN), *words], stdout=subprocess.DEVNULL, check=True))


def scores_by_pages(seeds: int) -> list[tuple[Evaluate, int]]:
    """All scores and on how many pages each is, the ones on the most pages first."""
    plans = plans_of(seeds)
    scores = {stage.key: stage for stage in stages_of(plans) if isinstance(stage, Evaluate)}
    pages_of = Counter(key for plan in plans for key in {stage.key for stage in plan.stages()} if key in scores)
    return [(scores[key], pages) for key, pages in pages_of.most_common()]


@contextmanager
def _as_before(stage: Stage, store: Store) -> Iterator[None]:
    """Inside, the stage is not finished yet."""
    record = store.folder(stage) / "record.json"
    away = record.rename(record.with_suffix(".away"))
    try:
        yield
    finally:
        away.rename(record)


def main(words: list[str] | None = None) -> int:
    """Print one line a measurement, the bounds beside the numbers; returns the exit code."""
    console = make_console(width=120)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stages", type=int, default=10_000, help="planned and collected (default: 10000)")
    parser.add_argument("--pages", type=int, default=1_000, help="stages with pages (default: 1000)")
    options = parser.parse_args(words)
    return exit_code_of(lambda: _run(options, console), "the same command starts anew.")


def _run(options: argparse.Namespace, console: Console) -> int:
    for name in ("stages", "pages"):
        if getattr(options, name) < 1:
            raise UserError(f"--{name} takes a number from 1 up.")
    table = Table("what", "stages", "seconds", "of all processors", "memory, MB", "bound", box=None)

    def add(what: str, stages: int, costs: list[Cost], bound: str) -> None:
        wall, processors, memory = (
            statistics.median(getattr(cost, name) for cost in costs) for name in ("wall", "processors", "memory")
        )
        table.add_row(what, str(stages), f"{wall:.2f}", f"{processors:.2f}", f"{memory / 1e6:.0f}", bound)

    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        many, some = seeds_for(options.stages), seeds_for(options.pages)
        n = len(stages_of(plans_of(many)))
        add("planning", n, [in_fresh_process(planning, many) for _ in range(_ROUNDS)], "2 s")
        console.print(f"Writing {n} records ...")
        fill(Store(folder / "many"), plans_of(many))
        add("collecting", n, [in_fresh_process(collecting, folder / "many", many) for _ in range(_ROUNDS)], "10 s")

        results = folder / "some"
        store, out = Store(results / "store"), results / "reports"
        plans = plans_of(some)
        n = len(stages_of(plans))
        console.print(f"Writing {n} records ...")
        fill(store, plans)
        add("all pages", n, [in_fresh_process(pages, store.root, out, some)], "20 s, 1 GB")
        largest = max(path.stat().st_size for path in out.rglob("*.html"))
        add("nothing new", n, [in_fresh_process(pages, store.root, out, some) for _ in range(_ROUNDS)], "")
        scores = scores_by_pages(some)
        for some_scores in (scores[-_ROUNDS:], scores[:_ROUNDS]):
            anew: list[Cost] = []
            for score, _ in some_scores:
                with _as_before(score, store):
                    in_fresh_process(pages, store.root, out, some)
                anew.append(in_fresh_process(pages, store.root, out, some))
            on = sorted({count for _, count in some_scores})
            add(f"one new record, on {on[-1]} page{'s' if on[-1] > 1 else ''}", n, anew, "3 s")
        whole: list[Cost] = []
        for score, _ in scores[-_ROUNDS:]:
            with _as_before(score, store):
                in_fresh_process(pages, store.root, out, some)
            whole.append(command(results, some))
        add("one on the fewest pages, the whole command", n, whole, "")
    console.print(table, f"Medians of {_ROUNDS}; the largest page has {largest / 1e6:.2f} MB (bound: 5).")
    return 0


if __name__ == "__main__":
    sys.exit(main())
