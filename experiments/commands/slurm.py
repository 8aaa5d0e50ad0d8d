"""The command line's SLURM options: submit stages, look at them, wait for them, end them, submit again what failed.

Whatever submitted may be closed: what there is to know lies on the disk (`experiments.slurm.submissions`) and in
SLURM's queue.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from experiments.commands.options import Options
from experiments.commands.plans import plans_of, stages_of
from experiments.own_profile import copied_text
from experiments.slurm.code_copy import check, snapshot
from experiments.slurm.job import STAGES
from experiments.slurm.job_states import GOING, IN_QUEUE, QueueError, Status, read_queue, read_states, require_slurm
from experiments.slurm.site import make_site, read_site
from experiments.slurm.submissions import Entry, Submission, Submissions
from experiments.slurm.submit import submit
from experiments.store import Store
from mila.common.files import write_atomic
from mila.common.versions import suite_commit
from mila.common.visible import visible
from mila.errors import UserError

LOST_AFTER = 30.0
"""Seconds for which a job's files may be late in coming from another machine."""
_SILENT = 600.0
"""Seconds after which a queue that gives no answer is given up."""


def run(options: Options, console: Console) -> int:
    """Do what the options say; returns the exit code: 0, or 1 where a stage did not end well.

    Raises:
        UserError: there is no SLURM, or it refuses; the site file is wrong; there is no such submission.
    """
    site = read_site(Path(options.slurm)) if options.slurm else {}
    require_slurm()
    submissions = Submissions(options.results)
    if options.cancel is not None:
        _cancel(submissions, submissions.find(options.cancel), console)
        return 0
    if options.status is not None:
        name = submissions.find(options.status)
        _show(name, _read_states_of(submissions, name), console)
        return _exit_code(_read_states_of(submissions, name))
    if options.retry_failed is not None:
        name = submissions.find(options.retry_failed)
        _retry(submissions, name, site if options.slurm is not None else None, console)
    elif options.slurm is not None:
        new = _submit(options, site, submissions, console)
        if new is None:
            return 0
        name = new
    else:
        name = submissions.find(options.wait or "")
    return 0 if options.wait is None else _wait(submissions, name, console)


def _submit(options: Options, site: dict[str, Any], submissions: Submissions, console: Console) -> str | None:
    """Submit what is not done; returns the submission's name, or None where all is done."""
    if options.grid is None:
        raise UserError("say what to submit with --grid NAME (--list shows the names).")
    from experiments.commands.forecast import forecast  # these need PyTorch
    from experiments.commands.run_grid import try_methods

    # what is wrong is said before anything is written
    try_methods(plans_of(options), options.rows, Store(options.store), "cpu", console)
    stages_of(options)
    code, options = _copied(options, submissions)
    store = Store(options.store)
    stages = stages_of(options)
    todo = [stage for stage in stages if store.state(stage) != "done"]
    found = len(stages) - len(todo)
    if not todo:
        console.print(f"All {found} stages are done; run the same without --slurm for the report.")
        return None
    jobs = make_site(site).kinds["train"].parallelism
    console.print(forecast(stages, store, jobs, keep_states=options.keep_states).sentences(jobs, "are to be run"))
    name = submissions.new_name(f"mila-{options.grid}")
    entries = {s.key: Entry(s.key, s.title, s.kind, [needed.key for needed in s.needs]) for s in todo}
    pickled = pickle.dumps({stage.key: stage for stage in todo})
    write_atomic(submissions.folder(name) / STAGES, lambda file: file.write(pickled))
    submission = Submission(
        name=name,
        submitted=datetime.now(timezone.utc).isoformat(),
        words=list(options.words()),
        code=str(code),
        commit=suite_commit(),
        store=str(store.root),
        device=options.device,
        time_limit=options.seconds_limit,
        site=site,
        entries=entries,
    )
    submissions.save(submission)
    with submissions.change(name) as submission:
        arrays, shared = _submit_waiting(submission, submissions)
    console.print(f"{name}: {len(todo) - shared} stages submitted in {arrays} arrays, {found} were done before.")
    if shared:
        console.print(f"{shared} stages are those of an earlier submission, whose jobs are still in the queue.")
    if options.wait is None:
        words = "" if options.results == Path("results").absolute() else f" --results {options.results}"
        console.print(f"See it with --status{words}, end it with --cancel, get the report with --wait.")
    return name


def _copied(options: Options, submissions: Submissions) -> tuple[Path, Options]:
    """A copy of the code and of the user's files, and the options that run these, wherever they are typed."""
    methods, data, own_profile = options.method or (), options.data_file, options.profile_file
    profile = None if own_profile is None else (own_profile.name, copied_text(own_profile))
    code, copies = snapshot(submissions.code, list(options.own_files), profile)
    root = options.data_root
    if root is None and data is not None:
        root = data.absolute().parent  # the default, which the copy's own folder is not
    options = replace(
        options,
        results=options.results.absolute(),
        data_root=None if root is None else root.absolute(),
        method=tuple(copies[: len(methods)]) or None,
        data=options.data if data is None else str(copies[len(methods)]),
        profile=options.profile if profile is None else str(copies[-1]),
        weights=options.weights_place,
    )
    return code, options


def _submit_waiting(submission: Submission, submissions: Submissions) -> tuple[int, int]:
    """Submit the stages without a job, but those that another submission has in the queue; (arrays, such stages)."""
    entries = submission.entries
    others = [submissions.load(name) for name in submissions.names() if name != submission.name]
    theirs = {
        entry.key: (other.name, entry.job)
        for other in others
        if other.store == submission.store
        for entry in other.entries.values()
        if entry.job is not None and entry.owner is None and entry.key in entries
    }
    try:
        queue = read_queue([submission.name, *sorted({name for name, _ in theirs.values()})])
    except QueueError as error:
        raise _no_answer(error) from error
    busy, shared = set(), 0
    for entry in entries.values():
        if entry.job is None:
            (Path(submission.store) / entry.kind / entry.key / "error.txt").unlink(missing_ok=True)
            owner, job = theirs.get(entry.key, ("", None))
            if job in queue and not queue[job].ended:
                entry.owner, entry.job = owner, job
                shared += 1
        if entry.job in queue and not queue[entry.job].ended:
            busy.add(entry.key)
    submissions.save(submission)
    return submit(submission, submissions, make_site(submission.site), busy), shared


def _retry(submissions: Submissions, name: str, site: dict[str, Any] | None, console: Console) -> None:
    with submissions.change(name) as submission:
        check(Path(submission.code))
        again = [status for status in _read_states(submission, submissions) if status.state not in ("done", *GOING)]
        stuck = [str(status.entry.job) for status in again if status.state == "stuck"]
        if stuck:
            subprocess.run(["scancel", *stuck], check=False, capture_output=True)
        for status in again:
            status.entry.job, status.entry.owner, status.entry.cancelled = None, None, False
        if site is not None:
            submission.site = site
        if again:
            arrays, shared = _submit_waiting(submission, submissions)
            console.print(f"{name}: {len(again) - shared} stages submitted again in {arrays} arrays.")
        else:
            console.print(f"{name}: nothing has failed.")


def _cancel(submissions: Submissions, name: str, console: Console) -> None:
    with submissions.change(name) as submission:
        found = _read_states(submission, submissions)
        ending = [s.entry for s in found if s.state in (*IN_QUEUE, "not submitted") and s.entry.owner is None]
        for entry in ending:
            entry.cancelled = True
        submissions.save(submission)
        # by name: also what was submitted in the moment in which a submission was killed
        done = subprocess.run(["scancel", "-n", name], capture_output=True, text=True, check=False)
        if done.returncode:
            raise UserError(f"scancel gave an error ({done.stderr.strip()}); try again.")
    console.print(f"{name}: {len(ending)} stages cancelled; --retry-failed continues.")


def _no_answer(error: QueueError) -> UserError:
    return UserError(f"SLURM does not answer ({error}); the jobs are not touched by that, try again later.")


def _read_states(submission: Submission, submissions: Submissions) -> list[Status]:
    try:
        return read_states(submission, submissions)
    except QueueError as error:
        raise _no_answer(error) from error


def _read_states_of(submissions: Submissions, name: str) -> list[Status]:
    return _read_states(submissions.load(name), submissions)


def _exit_code(found: list[Status]) -> int:
    return 0 if all(status.state in ("done", *GOING) for status in found) else 1


def _show(name: str, found: list[Status], console: Console) -> None:
    counts = Counter(status.state for status in found)
    console.print(f"{name}: {len(found)} stages: " + ", ".join(f"{n} {state}" for state, n in counts.items()) + ".")
    table = Table("stage", "kind", "job", "state", "why", box=None)
    for status in found:
        if status.state != "done":
            entry = status.entry
            table.add_row(entry.title, entry.kind, entry.job or "", status.state, visible(status.reason))
    if table.row_count:
        console.print(table)


def _wait(submissions: Submissions, name: str, console: Console) -> int:
    """Say what ends until nothing is left that could; then the report, where all is done."""
    start = answered = time.monotonic()
    lost_since: dict[str, float] = {}
    ended: set[str] = set()
    while True:
        now = time.monotonic()
        try:
            found = read_states(submissions.load(name), submissions)
            answered = now
        except QueueError as error:
            if now - answered > _SILENT:
                raise _no_answer(error) from error
            time.sleep(10)
            continue
        lost = {status.entry.key for status in found if status.state == "lost"}
        lost_since = {key: lost_since.get(key, now) for key in lost}
        late = {key for key, since in lost_since.items() if now - since < LOST_AFTER}
        for status in found:
            key = status.entry.key
            if status.state not in IN_QUEUE and key not in ended | late:
                ended.add(key)
                reason = f": {visible(status.reason)}" if status.reason else ""
                line = f"[{len(ended)}/{len(found)}] {status.entry.title}: {status.state}{reason}"
                console.print(line, markup=False, highlight=False)
        if not late and not any(status.state in GOING for status in found):
            break
        time.sleep(min(15.0, 1.0 + (now - start) / 30))
    if _exit_code(found):
        _show(name, found, console)
        print("not everything was done; --retry-failed submits the rest again.", file=sys.stderr)
        return 1
    return _report(submissions.load(name))


def _report(submission: Submission) -> int:
    """Let the code as it was write the report of the same command."""
    code = Path(submission.code)
    check(code)
    words = [sys.executable, str(code / "experiments" / "run.py"), *submission.words, "--report"]
    path = os.pathsep.join([str(code), *filter(None, [os.environ.get("PYTHONPATH")])])
    return subprocess.run(words, cwd=code, env=os.environ | {"PYTHONPATH": path}, check=False).returncode
