"""The command line: run a grid of experiments and write its report.

python experiments/run.py --list
python experiments/run.py --grid table1
python experiments/run.py --grid table1 --data nyuv2 --data-root FOLDER --seeds 0 1 2
python experiments/run.py --grid table1 --method my_method.py
python experiments/run.py --grid table1 --profile my_profile.toml
python experiments/run.py --grid table2 --data my_data.py --data-root FOLDER
python experiments/run.py --grid table1 --slurm site.toml
python experiments/run.py --grid table2 --from-records
python experiments/run.py --grid reference --profile reference --minutes 9

PyTorch and the plotting libraries are imported by the commands that need them, so that the others answer at once.
"""

from __future__ import annotations

from rich.console import Console

from experiments.commands import listing, store_commands
from experiments.commands.options import Options, flag, read_options
from experiments.commands.plans import stages_of
from experiments.commands.recorded import options_of, what_changed
from experiments.runner.rank_environment import world_size
from experiments.runner.workers import default_jobs, find_device
from experiments.stages import Evaluate, Stage
from experiments.store import Store
from mila.common.console import exit_code_of, make_console
from mila.common.trusted import remember
from mila.errors import UserError


def main(words: list[str] | None = None) -> int:
    """Run the command line; returns the exit code: 0 done, 1 a stage failed, 2 bad input, 130 interrupted."""
    console = make_console()
    options = read_options(words)
    return exit_code_of(lambda: _run(options, console))


def _run(options: Options, console: Console) -> int:
    """Do the one thing that the options ask for."""
    if world_size() > 1:
        _check_several(options)
    remember(options.own_files)
    if options.list:
        return listing.show(console)
    if options.from_records is not None:
        from experiments.commands.from_records import render

        return render(options, console)
    if options.minutes is not None:
        from experiments.commands.run_timed import run_timed

        return run_timed(options, console)
    if options.grid == "table7":
        return _count_costs(options)
    if options.show is not None:
        return store_commands.show(options.show, Store(options.store), console)
    if options.verify is not None:
        return _verify(options, options.verify, console)
    if options.clean:
        return _clean(options, console)
    if options.status == "" and options.grid is not None:
        return store_commands.status(stages_of(options), Store(options.store), console)
    if options.is_about_slurm() and not options.dry_run:
        from experiments.commands import slurm

        return slurm.run(options, console)
    if options.grid is None:
        of_what = "report" if options.report else "run"
        raise UserError(f"say what to {of_what} with --grid NAME (--list shows the names).")
    if options.dry_run:
        return _dry_run(options, console)

    from experiments.commands.run_grid import run_grid

    return run_grid(options, console)


def _check_several(options: Options) -> None:
    """Several processes take part in trainings; there is nothing else to share."""
    others = (options.list, options.show, options.verify, options.clean, options.dry_run, options.report)
    if options.grid is None or options.is_about_slurm() or options.from_records or any(others):
        raise UserError("under torchrun a --grid can be run, and nothing else; leave torchrun out.")
    if (options.jobs or 1) > 1:
        raise UserError("under torchrun all processes share one training after the other; leave --jobs out.")


def _count_costs(options: Options) -> int:
    """Table 7: nothing in it is trained, so it has no stages; its cells are counted together with all others."""
    others = sorted(set(options.given()) - {"grid", "results", "profile"})
    if others:
        raise UserError(f"Table 7 is counted, not trained: leave {', '.join(map(flag, others))} out.")

    from experiments.commands.run_grid import count_costs

    return count_costs(options)


def _verify(options: Options, name: str, console: Console) -> int:
    store = Store(options.store)
    if options.grid is not None:
        return store_commands.verify(name, stages_of(options), store, find_device(options.device), console)
    folder = store_commands.find_folder(name, store)
    if folder.parent.name != Evaluate.kind:
        raise UserError(f"{folder.name} is a stage of kind {folder.parent.name!r}; a score can be verified alone.")
    stages: list[Stage] = []
    changed = ""
    for recorded in options_of(folder, options, store):
        planned = stages_of(recorded)
        stages = [stage for stage in planned if stage.key == folder.name]
        if stages:
            break
        changed = changed or what_changed(folder, planned, store, recorded.profile_file)
    if changed and not stages and not options.recipe():
        raise UserError(f"{folder.name} cannot be recomputed, for since then have changed: {changed}; run it anew.")
    return store_commands.verify(folder.name, stages, store, find_device(options.device), console)


def _clean(options: Options, console: Console) -> int:
    store = Store(options.store)
    stages = None if options.grid is None else stages_of(options)
    return store_commands.clean(stages, store, console, ask=not options.yes)


def _dry_run(options: Options, console: Console) -> int:
    from experiments.commands.forecast import show_forecast  # needs PyTorch

    if options.results.exists() and not options.results.is_dir():
        raise UserError(f"{options.results} is a file, but --results is a folder; give another one.")
    stages = stages_of(options)
    jobs = options.jobs or default_jobs(find_device(options.device))
    return show_forecast(stages, Store(options.store), jobs, console, keep_states=options.keep_states)
