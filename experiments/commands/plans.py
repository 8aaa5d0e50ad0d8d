"""From the options of the command line to plans and their stages. What is wrong with the options is said here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.commands.options import Options
from experiments.grids import find_grids
from experiments.grids.grid import Grid
from experiments.grids.own import check_labels, own_row
from experiments.own_profile import LARGEST_INTERVAL, find_profile
from experiments.plan import CONSTANT, LARGEST_SEED, Plan, are_seeds, make_plan
from experiments.profiles import Profile
from experiments.sources import DATA, EMBEDDED, MODES, SUITES_OF, DataName, data_set_of, find_layout, world_of
from experiments.stages import Stage, in_order
from experiments.weights import replace_weights
from mila.errors import UserError
from mila.tasks import Suite

if TYPE_CHECKING:
    from mila.data.readers.layouts import ClipMode  # needs PyTorch

_LONGEST_LIMIT = 365 * 24 * 60


def stages_of(options: Options) -> list[Stage]:
    """What the options ask for and what that needs, each stage once.

    Raises:
        UserError: an option is wrong, or the data cannot be found.
    """
    return stages_of_plans(plans_of(options), options.rows)


def stages_of_plans(plans: Sequence[Plan], rows: Sequence[str] | None) -> list[Stage]:
    """What all plans ask for and need, each stage once; of the named rows alone, where any are named.

    Raises:
        UserError: no plan has a row of that name.
    """
    labels = [row.label for plan in plans for row in plan.rows]
    for label in rows or ():
        if label not in labels:
            raise UserError(f"there is no row {label!r}; choose from: {', '.join(dict.fromkeys(labels))}.")
    return in_order([stage for plan in plans for stage in plan.stages(rows)])


def plans_of(options: Options) -> list[Plan]:
    """One plan a grid of the table; with `--data`, of the grids that are about its tasks, or that fit one's own.

    Raises:
        UserError: an option is wrong, or the data cannot be found.
    """
    profile = _profile(options)
    if not are_seeds(options.seeds):
        raise UserError(f"--seeds takes different numbers from 0 up, at most {LARGEST_SEED}.")
    if options.jobs is not None and options.jobs < 1:
        raise UserError("--jobs takes a number from 1 up.")
    if options.time_limit is not None and not 0 < options.time_limit <= _LONGEST_LIMIT:
        raise UserError(f"--time-limit takes minutes, more than 0 and at most {_LONGEST_LIMIT}, which is a year.")
    grids = _grids(options)
    if options.data_file is not None:
        _check_interval(grids, options)
        return _own_plans(grids, profile, options.data_file, options)
    data = _data(options)
    if data is not None:
        grids = _about(grids, data, options)
    _check_interval(grids, options)
    return [_plan(grid, profile, data, options) for grid in _with_methods(grids, options)]


def _with_methods(grids: tuple[Grid, ...], options: Options) -> list[Grid]:
    """The grids with the rows of the user's own methods."""
    methods = tuple(own_row(path) for path in options.method or ())
    for grid in grids:
        check_labels([*(row.label for row in grid.rows), CONSTANT], methods)
    return [replace(grid, rows=grid.rows + methods) for grid in grids]


def _own_plans(grids: tuple[Grid, ...], profile: Profile, file: Path, options: Options) -> list[Plan]:
    """Those of the grids, each set of rows once, on the data set that a user's file defines."""
    data = data_set_of(file)
    layout = find_layout(data.name, options.data_root, file.resolve())
    if options.suite not in (None, data.suite.name):
        raise UserError(f"{file} has the tasks {data.suite.name!r} and no others; leave --suite out.")
    modes = {str(mode): mode for mode in layout.modes}
    if options.mode is not None and options.mode not in modes:
        raise UserError(f"{data.name!r} has no clips of mode {options.mode!r}; choose one of: {', '.join(modes)}.")
    once = {(grid.figure or -grid.table, grid.rows): grid for grid in reversed(grids)}
    return [
        make_plan(
            grid,
            profile,
            data.name,
            mode=layout.modes[0] if options.mode is None else modes[options.mode],
            suite=data.suite,
            seeds=options.seeds,
            root=layout.root,
            split=options.split,
            file=file.resolve(),
        )
        for grid in _with_methods(tuple(grid for grid in grids if grid in once.values()), options)
    ]


def _grids(options: Options) -> tuple[Grid, ...]:
    grids = find_grids(str(options.grid))
    if options.part is None:
        return grids
    if not 1 <= options.part <= len(grids):
        raise UserError(f"--part {options.part}: {options.grid} has parts 1 to {len(grids)}.")
    return (grids[options.part - 1],)


def _profile(options: Options) -> Profile:
    usual = profile = find_profile(options.profile)
    if options.augmentation is not None:
        profile = replace(profile, augmentation=options.augmentation)
    if options.weights is not None:
        profile = replace_weights(profile, options.weights)
    if options.keyframe_interval is not None:
        profile = replace(profile, keyframe_interval=options.keyframe_interval)
    return usual if profile is usual else replace(profile, usual=usual)


def _check_interval(grids: Sequence[Grid], options: Options) -> None:
    """See that the K that was asked for can be, and is that of any row."""
    interval = options.keyframe_interval
    if interval is None:
        return
    if not 1 <= interval <= LARGEST_INTERVAL:
        raise UserError(f"--keyframe-interval takes a whole number from 1 to {LARGEST_INTERVAL}.")
    if all(grid.at(interval) is grid for grid in grids):
        raise UserError(
            f"every row of {options.grid} that has a keyframe interval has one of its own, which is part of what it "
            "is; leave --keyframe-interval out."
        )


def _data(options: Options) -> DataName | None:
    if options.data is None:
        return None
    for name in DATA:
        if name == options.data:
            return name
    known = ", ".join(DATA)
    raise UserError(f"there is no data set {options.data!r}; choose one of: {known}, or give a file of your own (.py).")


def _about(grids: tuple[Grid, ...], data: DataName, options: Options) -> tuple[Grid, ...]:
    """Those grids that are about the tasks of a data set."""
    found = tuple(grid for grid in grids if {grid.suite, grid.stand_in} & set(SUITES_OF[data]))
    if not found:
        about = " and ".join(dict.fromkeys(repr(grid.suite.name) for grid in grids))
        has = SUITES_OF[data][0].name
        raise UserError(f"{options.grid} is about the tasks of {about}; {data!r} has those of {has!r}.")
    return found


def _plan(grid: Grid, profile: Profile, data: DataName | None, options: Options) -> Plan:
    data = data or world_of(grid.suite)
    suite = _suite(data, options)
    mode = _mode(data, options)
    return make_plan(
        grid, profile, data, mode=mode, suite=suite, seeds=options.seeds, root=options.data_root, split=options.split
    )


def _suite(data: DataName, options: Options) -> Suite | None:
    """The tasks that were asked for, or those of a folder that lacks some; None for the usual ones."""
    suites = {suite.name: suite for suite in SUITES_OF[data]}
    if data not in EMBEDDED and options.data_root is not None and options.suite not in suites:
        there = find_layout(data, options.data_root).suites
        if there[0].name not in suites:
            suites = {suite.name: suite for suite in there}
            options = replace(options, suite=options.suite or there[0].name)
    if options.suite is not None and options.suite not in suites:
        raise UserError(f"{data!r} has no tasks {options.suite!r}; choose one of: {', '.join(suites)}.")
    return None if options.suite is None else suites[options.suite]


def _mode(data: DataName, options: Options) -> ClipMode:
    """The mode that was asked for, or the first that the data's files allow."""
    known = {str(mode): mode for mode in MODES[data]}
    if options.mode is not None and options.mode not in known:
        raise UserError(f"{data!r} has no clips of mode {options.mode!r}; choose one of: {', '.join(known)}.")
    if data in EMBEDDED and options.data_root is not None:
        raise UserError(f"--data-root is for real data sets; {data!r} is rendered, so leave it out.")
    if options.mode is not None:
        return known[options.mode]
    return (MODES[data] if data in EMBEDDED else find_layout(data, options.data_root).modes)[0]
