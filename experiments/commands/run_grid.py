"""Run what is not done of some grids, on this machine, and write their reports."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from rich.console import Console

from experiments.commands.forecast import forecast
from experiments.commands.options import Options
from experiments.commands.plans import plans_of, stages_of_plans
from experiments.models import file_of
from experiments.plan import Plan
from experiments.runner import process_group
from experiments.runner.dropping import dropped_states
from experiments.runner.launch import Summary, launch
from experiments.runner.rank_environment import rank, world_size
from experiments.runner.stage_functions import join_training
from experiments.runner.trial import try_method
from experiments.runner.workers import default_jobs, find_device, use_one_thread
from experiments.stages import Stage, Train
from experiments.store import Store
from mila.common.visible import visible
from mila.errors import UserError


def run_grid(options: Options, console: Console) -> int:
    """Run the stages that the options ask for, then write the reports; returns the exit code, see `run.main`.

    Of several processes, all but the first help with the trainings and do nothing else.

    Raises:
        UserError: an option is wrong, the data cannot be found, or results cannot be written.
        LostRankError: another process has ended.
    """
    plans = plans_of(options)
    store = Store(options.store, options.recipe())
    device = find_device(options.device)
    # looks at the data, so that what is missing is said before anything is written
    stages = stages_of_plans(plans, options.rows)
    if rank() > 0:
        _follow(stages, store, device)
        return 0
    if not options.report:
        try_methods(plans, options.rows, store, device, console)
    summary = _run_stages(stages, store, device, options, console)
    if summary.bad_input:
        return 2
    write_reports(plans, store, options, console)
    failed = bool(summary.failed or summary.skipped)
    if options.grid == "all" and not options.report:  # with Table 7, and with the claims that the runs decide
        failed |= bool(count_costs(options))
    return int(failed)


def count_costs(options: Options) -> int:
    """Count every published cost, and judge the claims by the runs that are finished; returns the exit code."""
    from experiments.commands import costs  # plotting libraries, see `write_reports`

    return costs.main(["--results", str(options.results), "--profile", options.profile])


def try_methods(plans: Sequence[Plan], rows: Sequence[str] | None, store: Store, device: str, console: Console) -> None:
    """Try the methods of the user's own that are yet to be trained, once for each table's tasks.

    Raises:
        UserError: what is wrong with one.
    """
    tried = set[tuple[str, str]]()
    for plan in plans:
        for row in plan.rows:
            train = row.evaluations[0][0].train
            what = (train.model, plan.suite.name)
            if file_of(train.model) is None or what in tried or not (rows is None or row.label in rows):
                continue
            if all(store.state(each[0].train) == "done" for each in row.evaluations):
                continue
            tried.add(what)
            try_method(train, row.measure, device)
            console.print(
                f"{row.label} was tried on the tasks of {plan.suite.name}: it can be built, started, trained at every "
                "offset, streamed and counted.",
                markup=False,
                highlight=False,
            )


def _follow(stages: Sequence[Stage], store: Store, device: str) -> None:
    """What all processes but the first do: take part in every training."""
    use_one_thread(device)
    trainings = {stage.key: stage for stage in stages if isinstance(stage, Train)}
    process_group.follow(lambda key: join_training(trainings[key], store, device), device)


def _run_stages(stages: list[Stage], store: Store, device: str, options: Options, console: Console) -> Summary:
    """Run what is not done, unless the report alone is wanted; says what was done and what failed."""
    if options.report and not store.root.is_dir():
        raise UserError(f"{options.results} holds no results of any run; correct --results, or run without --report.")
    try:
        store.root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"results cannot be written to {options.results} ({error.strerror}); give another --results."
        ) from error
    if options.report:
        return Summary()
    jobs = options.jobs or (1 if world_size() > 1 else default_jobs(device))
    earlier = store.earlier_seconds()
    expected = forecast(stages, store, jobs, keep_states=options.keep_states, earlier=earlier)
    if expected.waiting:
        console.print(expected.sentences(jobs, "are to be run"), highlight=False)
    with process_group.leading():
        summary = launch(
            stages, store, jobs, device, console, options.seconds_limit, options.keep_states, earlier=earlier
        )
    console.print(f"{len(summary.done)} stages run, {len(summary.found)} were done before.")
    thinned = sum(bool(dropped_states(stage, store)) for stage in stages)
    if summary.done and thinned:
        console.print(
            f"Of {thinned} trainings only the last state stays; those before it were dropped after they were scored."
        )
    print_failures(summary)
    return summary


def print_failures(summary: Summary) -> None:
    """Say on the error output what failed, and how many stages were left out for it."""
    for title, reason in summary.failed.items():
        print(visible(f"error: {title}: {reason}"), file=sys.stderr)
    if summary.skipped:
        print(f"{len(summary.skipped)} stages need a failed one and were left out.", file=sys.stderr)


def write_reports(plans: Sequence[Plan], store: Store, options: Options, console: Console) -> None:
    """Write the pages of some plans and that of the claims into `results/reports`, and print the tables.

    Raises:
        UserError: the pages cannot be made.
    """
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
