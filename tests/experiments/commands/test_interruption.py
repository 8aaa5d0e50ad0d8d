"""Runs that are killed or interrupted, and continued by the same command."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.support.command_line import SMOKE_RUN, command_line, results_of, run_command
from tests.support.paths import ROOT

RUN = (*SMOKE_RUN, "--rows", "MTAN*", "MILA (ours)")
STAGES = 16
"""Clips, two encoders, both rows and the constant predictor, their scores and costs."""


def ends(group: int, seconds: float) -> bool:
    """Whether every process of a group ends within some seconds."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.1)
    return False


def scores_of(results: Path) -> list[Path]:
    """The records of all scores."""
    return list(results.glob("store/evaluate/*/record.json"))


@pytest.mark.slow
def test_killed_runs_continue_to_the_same_numbers(tmp_path: Path) -> None:
    whole, part = tmp_path / "whole", tmp_path / "part"
    text = run_command(*RUN, "--results", str(whole)).stdout
    assert f"{STAGES} stages run, 0 were done before" in text
    expected = results_of(whole)
    assert len(expected) == STAGES

    finished = 0
    for how, enough in ((signal.SIGKILL, 1), (signal.SIGINT, 4), (signal.SIGKILL, 8)):
        runner = subprocess.Popen(
            command_line(*RUN, "--results", str(part)),
            cwd=ROOT,
            start_new_session=True,
            # Where the tests run in the background of a script, Ctrl-C is ignored, and children would inherit that.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        while len(results_of(part)) < enough:
            assert runner.poll() is None
            time.sleep(0.05)
        if how == signal.SIGKILL:
            runner.kill()  # the runner alone: its workers must notice
        else:
            os.killpg(runner.pid, how)  # as Ctrl-C in a terminal
        _, error = runner.communicate(timeout=60)
        if how == signal.SIGINT:
            assert runner.returncode == 130
            assert "the same command continues" in error
        with contextlib.suppress(ProcessLookupError):
            assert ends(runner.pid, 20)
        assert len(results_of(part)) >= finished
        finished = len(results_of(part))
        assert not (part / "reports").exists()

    last = run_command(*RUN, "--results", str(part)).stdout
    assert f"{STAGES - finished} stages run, {finished} were done before" in last
    assert results_of(part) == expected

    # A further run does nothing and writes the same report.
    page = part / "reports" / "table1-smoke.html"
    before = page.read_bytes()
    assert f"0 stages run, {STAGES} were done before" in run_command(*RUN, "--results", str(part)).stdout
    assert page.read_bytes() == before
    forecast = run_command(*RUN, "--results", str(part), "--dry-run").stdout
    assert f"0 of {STAGES} stages would run" in forecast
    assert "never run" not in forecast

    # Another model's weights in a stage's folder are noticed, and nothing is scored with them.
    score = json.loads(next(part.glob("store/evaluate/*/stage.json")).read_text())
    swapped = part / "store" / "train" / score["needs"][0] / "model.pt"
    size = swapped.stat().st_size
    other = next(path for path in part.glob("store/train/*/model.pt") if path.stat().st_size != size)
    swapped.write_bytes(other.read_bytes())
    for record in scores_of(part):
        record.unlink()
    error = run_command(*RUN, "--results", str(part), code=1).stderr
    assert f"{swapped} is not what was written there (edited, or damaged); delete {swapped.parent} to run" in error
    assert "stages need a failed one and were left out" in error
    assert "Traceback" not in error
    needs = [json.loads(path.with_name("stage.json").read_text())["needs"] for path in scores_of(part)]
    assert needs
    assert not [names for names in needs if swapped.parent.name in names]
