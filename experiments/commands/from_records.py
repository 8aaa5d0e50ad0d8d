"""Render records that ship with the suite: nothing is run, no data is opened.

Methods of the user's own stand beside them, as far as they were run here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from rich.console import Console

from experiments.commands.options import Options, flag
from experiments.commands.plans import plans_of
from experiments.commands.run_grid import write_reports
from experiments.models import file_of
from experiments.own_profile import ENDING, read_profile
from experiments.plan import Plan
from experiments.profiles import PROFILES
from experiments.reference.sizes import find_sized
from experiments.shipped.store import open_records
from experiments.stages import Stage, in_order
from experiments.store import Store
from mila.errors import UserError

FOLDER = "from-records"
"""Under the results: pages of their own, beside those of what was run here."""

_TAKEN = {"from_records", "grid", "part", "method", "profile", "seeds", "results", "report"}
"""The options that go with it."""


def render(options: Options, console: Console) -> int:
    """Write the reports of the grids that the options name; returns the exit code.

    Raises:
        UserError: an option does not go with records, there are none of its profile, or the file is damaged.
    """
    assert options.from_records is not None
    if options.grid is None:
        raise UserError("say what to render with --grid NAME (--list shows the names).")
    if options.grid == "table7":
        raise UserError("Table 7 is counted in a minute, so no records of it ship: leave --from-records out.")
    others = sorted(set(options.given()) - _TAKEN)
    if others:
        raise UserError(
            "the records are of the embedded videos with the settings of their profile, and nothing is run: leave "
            f"{', '.join(map(flag, others))} out, or --from-records."
        )
    with open_records(options.from_records) as store:
        asked = options.profile if options.profile_file is None else read_profile(options.profile_file).name
        if asked != store.profile:
            is_ours = store.profile in PROFILES or find_sized(store.profile) is not None
            named = store.profile if is_ours else f"{store.profile}{ENDING}, its file"
            raise UserError(
                f"{options.from_records} has the records of profile {store.profile!r}, not {options.profile!r}: give "
                f"--profile {named}, or leave --from-records out to run it here."
            )
        if set(options.seeds) - set(store.seeds):
            there, asked_for = (" ".join(map(str, seeds)) for seeds in (store.seeds, options.seeds))
            raise UserError(
                f"{options.from_records} has the records of seeds {there}, not of all of {asked_for}: give some of "
                "those, or leave --seeds out."
            )
        options = replace(options, seeds=options.seeds or store.seeds)
        plans = plans_of(options)
        if options.method:
            store.add_own(Store(options.store), _of_methods(plans))
        write_reports(plans, store, replace(options, results=options.results / FOLDER), console)
    return 0


def _of_methods(plans: Sequence[Plan]) -> list[Stage]:
    """The stages of the rows whose methods are the user's own, and what those need."""
    methods = [[row.label for row in plan.rows if file_of(row.evaluations[0][0].train.model)] for plan in plans]
    return in_order([stage for plan, rows in zip(plans, methods, strict=True) if rows for stage in plan.stages(rows)])
