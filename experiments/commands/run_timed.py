"""Run a grid in so many minutes: at a size that the clock chooses, with an end in time, its page and its records."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import replace

from rich.console import Console

from experiments.commands.options import Options, flag
from experiments.commands.plans import plans_of, stages_of_plans
from experiments.commands.run_grid import print_failures, try_methods, write_reports
from experiments.commands.timed_text import how_it_ended, schedule
from experiments.grids import find_grids
from experiments.plan import Plan
from experiments.profiles import PROFILES
from experiments.reference.measure import measure_pace
from experiments.reference.sizes import LADDER, find_sized
from experiments.reference.timed_plan import TimedPlan, choose
from experiments.runner.deadline import Deadline
from experiments.runner.launch import launch
from experiments.runner.rank_environment import world_size
from experiments.runner.workers import find_device
from experiments.shipped.pack import ship
from experiments.store import Store
from mila.errors import UserError

RESERVE = 30.0
"""Seconds that are kept for a checkpoint, the page and the records; at most a quarter of all.

A page of one row takes 5 on a slow core, and a checkpoint of the largest networks is less than a gigabyte.
"""

LARGEST = 16 * 2**20
"""Bytes of the records: what comes back from a rented card at most."""

_LONGEST = 7 * 24 * 60.0
_OTHERS = ("dry_run", "report", "slurm", "wait", "status", "cancel", "retry_failed", "data_root")
"""Options that do not go with it: nothing is run, it is run elsewhere, or on real data, all of whose clips are used."""
_CHANGES = ("method", "augmentation", "weights", "keyframe_interval", "data", "suite", "mode", "split")
"""Options that make other stages than those that `--from-records` looks for."""


def run_timed(options: Options, console: Console) -> int:
    """Measure, choose a size, run what fits, write the page and the records; returns the exit code, see `run.main`.

    Of a grid with several parts the first, where none is named.

    Raises:
        UserError: an option is wrong, nothing fits, or results cannot be written.
    """
    begun = time.time()
    minutes = _minutes(options)
    if options.part is None and len(find_grids(str(options.grid))) > 1:
        options = replace(options, part=1)
    reserve = min(RESERVE, 15 * minutes)
    deadline = Deadline(begun + 60 * minutes - reserve)
    device = find_device(options.device)
    timed = _timed_plan(options, deadline, device, console)
    if not any(unit.fits for unit in timed.units[1:]):
        needed = time.time() - begun + timed.first_row + reserve
        raise UserError(
            f"in {minutes:g} minutes not even {timed.units[1].name!r} fits at the smallest size, "
            f"{timed.plan.profile.name}; give --minutes {math.ceil(needed / 60)} or more."
        )
    console.print(schedule(timed, time.time() - begun, deadline.at - begun))
    plan = timed.plan
    options = replace(options, profile=plan.profile.name)
    store = Store(options.store, options.recipe())
    store.root.mkdir(parents=True, exist_ok=True)
    summary = launch(
        timed.stages,
        store,
        options.jobs or 1,
        device,
        console,
        options.seconds_limit,
        options.keep_states,
        deadline,
        timed.expected,
    )
    print_failures(summary)
    if summary.bad_input:
        return 2
    write_reports([plan], store, options, console)
    _write_records(plan, store, options, console)
    console.print(how_it_ended(timed, store, time_is_up=bool(summary.stopped)))
    return int(bool(summary.failed or summary.skipped))


def _minutes(options: Options) -> float:
    """How many there are, where everything else goes with it."""
    minutes = options.minutes or 0.0
    if not 0 < minutes <= _LONGEST:
        raise UserError(f"--minutes takes minutes, more than 0 and at most {_LONGEST:g}, which is a week.")
    others = [flag(name) for name in _OTHERS if name in options.given()]
    if others:
        raise UserError(
            "--minutes runs a grid on the embedded videos on this machine: leave "
            f"{', '.join(others)} out, or --minutes."
        )
    if options.profile_file is not None:
        raise UserError(f"--minutes takes a size of one of the suite's profiles: {', '.join(PROFILES)}.")
    if world_size() > 1:
        raise UserError("--minutes is for one GPU; leave torchrun out.")
    return minutes


def _timed_plan(options: Options, deadline: Deadline, device: str, console: Console) -> TimedPlan:
    """What fits."""
    plans = _plans_by_size(options)
    stages = stages_of_plans(plans[-1:], options.rows)
    store = Store(options.store)  # says whether another version wrote it, before anything is measured
    try_methods(plans[-1:], options.rows, store, device, console)
    console.print(f"{plans[-1].grid.heading}: measuring what it takes on this machine ({device}).")
    pace = measure_pace(stages, device)
    return choose(plans, pace, deadline.left, options.rows, lambda stage: store.state(stage) == "done")


def _plans_by_size(options: Options) -> Sequence[Plan]:
    """The grid at each size of the profile, the largest first; where the profile is a size, at this one alone."""
    names = [options.profile]
    if find_sized(options.profile) is None:
        plans_of(options)  # says what is wrong with the profile's name, in its own words
        names = [f"{options.profile}-{percent}" for percent in LADDER]
    return [plan for name in names for plan in plans_of(replace(options, profile=name))]


def _write_records(plan: Plan, store: Store, options: Options, console: Console) -> None:
    """Write what is finished into a file for `--from-records`."""
    seeds, others = "-".join(map(str, plan.seeds)), [flag(name) for name in _CHANGES if name in options.given()]
    path = options.results / "records" / f"{plan.grid.name}-{plan.profile.name}-seed-{seeds}.tar.xz"
    if others:
        console.print(f"No records are written: those are of a grid and a profile alone, without {' '.join(others)}.")
        return
    if not any(store.state(stage) == "done" for stage in (plan.train_data, *plan.stages())):
        console.print("Nothing is finished, so there are no records.")
        return
    shipped = ship([plan], store, path, largest=LARGEST, partial=True)
    console.print(f"Records: {path.resolve()} ({shipped.stages} of them, {shipped.size / 1e6:.2f} MB)")
