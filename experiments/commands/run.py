"""The command line: run a grid of experiments and write its report.

python experiments/run.py --list
python experiments/run.py --grid table1
python experiments/run.py --grid table1 --data nyuv2 --data-root FOLDER --seeds 0 1 2
python experiments/run.py --grid table1 --method my_method.py
python experiments/run.py --grid table1 --slurm site.toml
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.table import Table

from experiments.commands import slurm
from experiments.commands import store_commands as look
from experiments.grids import FIGURES, NAMES, TABLES, find_grids
from experiments.grids.grid import Grid
from experiments.grids.own import own_row
from experiments.plan import Plan, make_plan
from experiments.profiles import PROFILES
from experiments.runner import process_group as ranks
from experiments.runner.launch import Summary, default_jobs, find_device, launch, use_one_thread
from experiments.runner.stage_functions import help_train
from experiments.sources import DATA, EMBEDDED, MODES, SUITES_OF, DataName, find_layout
from experiments.stages import Stage, Train, in_order
from experiments.store import Store
from mila.data.augment import PROTOCOLS
from mila.distributed import LostRankError
from mila.errors import UserError


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description="Run a grid of experiments, here or continue it, and write its report.",
        epilog="Finished stages are never run again; an interrupted run is continued by the same command.",
    )
    parser.add_argument("--list", action="store_true", help="say which grids, profiles and data sets there are")
    parser.add_argument("--grid", metavar="NAME", help="which table or ablation to run")
    parser.add_argument("--rows", metavar="LABEL", nargs="+", help="run these rows of it alone")
    parser.add_argument("--method", metavar="FILE", type=Path, nargs="+", help="add the row of a method of your own")
    parser.add_argument("--profile", metavar="NAME", default="quick", help="sizes and schedules (default: quick)")
    parser.add_argument(
        "--augmentation", choices=tuple(PROTOCOLS), help="of the training clips (default: the profile's)"
    )
    parser.add_argument("--data", metavar="NAME", help="data set (default: the embedded world of the grid's tasks)")
    parser.add_argument(
        "--data-root", metavar="FOLDER", type=Path, help="folder of a real data set, or its packed store"
    )
    parser.add_argument("--suite", metavar="NAME", help="other tasks than the grid's, as the data set has them")
    parser.add_argument("--mode", metavar="NAME", help="where clips come from: video, pan or still (see --list)")
    parser.add_argument("--seeds", metavar="N", type=int, nargs="+", default=[0], help="train once a seed (default: 0)")
    parser.add_argument("--split", choices=("test", "val"), default="test", help="score on this split (default: test)")
    parser.add_argument("--jobs", metavar="N", type=int, help="stages at once (default: one a core, at most 4)")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="where to compute")
    parser.add_argument("--results", metavar="FOLDER", type=Path, default=Path("results"), help="where results go")
    parser.add_argument("--dry-run", action="store_true", help="say what would run, and how long it took before")
    parser.add_argument("--time-limit", metavar="MINUTES", type=float, help="a stage that takes longer fails")
    parser.add_argument("--report", action="store_true", help="run nothing; write the report of what is finished")
    looks = parser.add_argument_group("look at the store", "HASH is of a stage, or its first digits.")
    looks.add_argument("--show", metavar="HASH", help="print what is known of a stage")
    looks.add_argument("--verify", metavar="HASH", help="recompute a score from its checkpoint and compare")
    looks.add_argument(
        "--clean", action="store_true", help="delete the stages of --grid, or without it all that are not finished"
    )
    looks.add_argument("--yes", action="store_true", help="do not ask before deleting")
    slurm.add_options(parser)
    return parser


def main(words: list[str] | None = None) -> int:
    """Run the command line; returns the exit code: 0 done, 1 a stage failed, 2 bad input, 130 interrupted."""
    console = Console(soft_wrap=True)
    try:
        return _run(_parser().parse_args(words), console)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except LostRankError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ninterrupted; the same command continues.", file=sys.stderr)
        return 130


def _run(options: argparse.Namespace, console: Console) -> int:
    if ranks.ranks() > 1:
        _check_several(options)
    if options.list:
        _list(console)
        return 0
    if options.grid == "table7":
        return _count_costs(options)
    if options.show is not None or options.verify is not None or options.clean:
        return _look(options, console)
    if options.status == "" and options.grid is not None:
        return look.status(_stages(_plans(options), options.rows), Store(options.results / "store"), console)
    if slurm.is_wanted(options) and not options.dry_run:
        return slurm.run(options, _parser(), lambda some: _stages(_plans(some), some.rows), console)
    if options.grid is None:
        raise UserError("say what to run with --grid NAME (--list shows the names).")
    plans = _plans(options)
    store = Store(options.results / "store")
    if options.dry_run:
        _dry_run(_stages(plans, options.rows), store, console)
        return 0
    device = find_device(options.device)
    stages = _stages(
        plans, options.rows
    )  # looks at the data, so that what is missing is said before anything is written
    if ranks.rank() > 0:
        _follow(stages, store, device)
        return 0
    try:
        store.root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"results cannot be written to {options.results} ({error.strerror}); give another --results."
        ) from error
    summary = Summary()
    if not options.report:
        limit = None if options.time_limit is None else options.time_limit * 60
        jobs = options.jobs or (1 if ranks.ranks() > 1 else default_jobs(device))
        with ranks.leading():
            summary = launch(stages, store, jobs, device, console, limit)
        console.print(f"{len(summary.done)} stages run, {len(summary.found)} were done before.")
    for title, reason in summary.failed.items():
        print(f"error: {title}: {reason}", file=sys.stderr)
    if summary.skipped:
        print(f"{len(summary.skipped)} stages need a failed one and were left out.", file=sys.stderr)
    if summary.bad_input:
        return 2

    from experiments.commands.claims import judge
    from reports.report import build_report  # after the work: plotting libraries are no business of the workers

    reports = [build_report(plan, store, options.results / "reports") for plan in plans]
    claims = judge(plans[0], store, options.results)
    for report in reports:
        console.print(report.terminal)
    for report in reports:
        console.print(f"Report: {report.page.resolve()}\nTable:  {report.csv.resolve()}", highlight=False)
    if claims is not None:
        console.print(f"Claims: {claims.resolve()}", highlight=False)
    failed = bool(summary.failed or summary.skipped)
    if options.grid == "all" and not options.report:  # with Table 7, and with the claims that the runs decide
        failed |= bool(_costs(options))
    return int(failed)


def _count_costs(options: argparse.Namespace) -> int:
    """Table 7: nothing in it is trained, so it has no stages; its cells are counted together with all others."""
    given = {name for name, value in vars(options).items() if value != _parser().get_default(name)}
    others = sorted(given - {"grid", "results", "profile"})
    if others:
        words = ", ".join(f"--{name.replace('_', '-')}" for name in others)
        raise UserError(f"Table 7 is counted, not trained: leave {words} out.")
    return _costs(options)


def _costs(options: argparse.Namespace) -> int:
    """Count every published cost, and judge the claims by the runs that are finished."""
    from experiments.commands import costs  # as `reports` above

    return costs.main(["--results", str(options.results), "--profile", options.profile])


def _check_several(options: argparse.Namespace) -> None:
    """Several processes take part in trainings; there is nothing else to share."""
    others = (options.list, options.show, options.verify, options.clean, options.dry_run, options.report)
    if options.grid is None or slurm.is_wanted(options) or any(others):
        raise UserError("under torchrun a --grid can be run, and nothing else; leave torchrun out.")
    if (options.jobs or 1) > 1:
        raise UserError("under torchrun all processes share one training after the other; leave --jobs out.")


def _follow(stages: list[Stage], store: Store, device: str) -> None:
    """What all processes but the first do: take part in every training."""
    use_one_thread(device)
    trainings = {stage.key: stage for stage in stages if isinstance(stage, Train)}
    ranks.follow(lambda key: help_train(trainings[key], store, device), device)


def _look(options: argparse.Namespace, console: Console) -> int:
    store = Store(options.results / "store")
    if options.show is not None:
        return look.show(options.show, store, console)
    if options.verify is not None:
        grid = options.grid or "all"
        plans = _plans(argparse.Namespace(**{**vars(options), "grid": grid}))
        return look.verify(options.verify, _stages(plans, options.rows), store, find_device(options.device), console)
    stages = None if options.grid is None else _stages(_plans(options), options.rows)
    return look.clean(stages, store, console, ask=not options.yes)


def _stages(plans: list[Plan], rows: list[str] | None) -> list[Stage]:
    """What all plans ask for and need, each stage once; of the named rows alone, where any are named."""
    labels = [row.label for plan in plans for row in plan.rows]
    for label in rows or ():
        if label not in labels:
            raise UserError(f"there is no row {label!r}; choose from: {', '.join(dict.fromkeys(labels))}.")
    return in_order([stage for plan in plans for stage in plan.stages(rows)])


def _plans(options: argparse.Namespace) -> list[Plan]:
    """One plan a grid of the table; with `--data`, of the grids that are about its tasks."""
    if options.profile not in PROFILES:
        raise UserError(f"there is no profile {options.profile!r}; choose one of: {', '.join(PROFILES)}.")
    if min(options.seeds) < 0 or len(set(options.seeds)) < len(options.seeds):
        raise UserError("--seeds takes different numbers from 0 up.")
    if options.jobs is not None and options.jobs < 1:
        raise UserError("--jobs takes a number from 1 up.")
    if options.time_limit is not None and not options.time_limit > 0:
        raise UserError("--time-limit takes minutes, more than 0.")
    grids = find_grids(options.grid)
    if options.data is not None:
        if options.data not in DATA:
            raise UserError(f"there is no data set {options.data!r}; choose one of: {', '.join(DATA)}.")
        about = " and ".join(dict.fromkeys(repr(grid.suite.name) for grid in grids))
        grids = tuple(grid for grid in grids if {grid.suite, grid.stand_in} & set(SUITES_OF[options.data]))
        if not grids:
            has = SUITES_OF[options.data][0].name
            raise UserError(f"{options.grid} is about the tasks of {about}; {options.data!r} has those of {has!r}.")
    methods = tuple(own_row(path) for path in options.method or ())
    return [_plan(replace(grid, rows=grid.rows + methods), options) for grid in grids]


def _plan(grid: Grid, options: argparse.Namespace) -> Plan:
    data = options.data or _embedded(grid)
    suites = {suite.name: suite for suite in SUITES_OF[data]}
    if options.suite is not None and options.suite not in suites:
        raise UserError(f"{data!r} has no tasks {options.suite!r}; choose one of: {', '.join(suites)}.")
    if options.mode is not None and options.mode not in MODES[data]:
        raise UserError(f"{data!r} has no clips of mode {options.mode!r}; choose one of: {', '.join(MODES[data])}.")
    if data in EMBEDDED and options.data_root is not None:
        raise UserError(f"--data-root is for real data sets; {data!r} is rendered, so leave it out.")
    mode = options.mode or (MODES[data] if data in EMBEDDED else find_layout(data, options.data_root).modes)[0]
    profile = PROFILES[options.profile]
    if options.augmentation is not None:
        profile = replace(profile, augmentation=options.augmentation)
    return make_plan(
        grid,
        profile,
        data,
        mode=mode,
        suite=None if options.suite is None else suites[options.suite],
        seeds=tuple(options.seeds),
        root=options.data_root,
        split=options.split,
    )


def _embedded(grid: Grid) -> DataName:
    """The world with the grid's tasks, or with what stands in for them."""
    return next(name for name in EMBEDDED if {grid.suite, grid.stand_in} & set(SUITES_OF[name]))


def _list(console: Console) -> None:
    table = Table("grid", "rows", "what", box=None)
    for name, grids in (TABLES | FIGURES).items():
        if len(grids) > 1:
            table.add_row(name, "", f"both: {' and '.join(grid.name for grid in grids)}")
        for grid in grids:
            table.add_row(grid.name, str(len(grid.rows)), grid.title)
    table.add_row("table7", "3", "Cost of the propagation modules; counted, nothing is trained")
    names = Table("also called", "", box=None)
    for name, tables in NAMES.items():
        names.add_row(name, ", ".join(tables))
    console.print(table)
    console.print(names)
    profiles = Table("profile", "what", box=None)
    for profile in PROFILES.values():
        profiles.add_row(profile.name, profile.about)
    console.print(profiles)
    data = Table("data", "modes", "suites", "needs", box=None)
    for name in DATA:
        needs = "nothing: rendered" if name in EMBEDDED else "--data-root"
        data.add_row(name, ", ".join(MODES[name]), ", ".join(suite.name for suite in SUITES_OF[name]), needs)
    console.print(data)


def _dry_run(stages: list[Stage], store: Store, console: Console) -> None:
    earlier = store.earlier_seconds()
    table = Table("stage", "kind", "hash", "state", "took", box=None)
    waiting, forecast, unknown = 0, 0.0, 0
    for stage in stages:
        state, before = store.state(stage), earlier.get((stage.kind, stage.title))
        if state == "done":
            before = store.record(stage).seconds
        else:
            waiting += 1
            forecast += before or 0.0
            unknown += before is None
        table.add_row(stage.title, stage.kind, stage.key, state, "never run" if before is None else f"{before:.1f} s")
    console.print(table)
    console.print(
        f"{waiting} of {table.row_count} stages would run"
        + (f", about {forecast:.0f} s of work by earlier runs" if forecast else "")
        + (f", {unknown} of them never timed" if unknown and waiting else "")
        + "."
    )
