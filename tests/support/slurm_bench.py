"""A bench: a results folder with a small method whose training the test holds and lets go, for the tests of SLURM."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from experiments.commands.run import main
from experiments.slurm.job_states import read_queue, read_states
from experiments.slurm.submissions import Submission, Submissions
from tests.support.slurm_cluster import Cluster

METHOD = '''
"""A small network. Its training counts its steps, and waits or breaks where a file says so."""

import os
import time
from pathlib import Path

from baselines.multi_task import MultiTask
from experiments.grids.grid import Row, frame_row

GATE = Path(os.environ.get("GATE", "."))
ROW = frame_row("Gated", None, "Gated", depth=18)


class Gated(MultiTask):
    """A frame-by-frame model."""

    def __init__(self, suite, keyframe_interval: int = {offsets}, **switches):
        super().__init__(suite, **switches)
        self.keyframe_interval = keyframe_interval

    def training_forward(self, clip, offset, targets):
        """Pass the gate first, in a job."""
        if "SLURM_JOB_ID" not in os.environ:
            return super().training_forward(clip, offset, targets)
        with (GATE / "steps").open("a") as file:
            file.write("x")
        (GATE / "process").write_text(str(os.getpid()))
        if (GATE / "break").exists():
            raise RuntimeError("the gate is broken")
        tasks = int(os.environ.get("SLURM_NTASKS", "1"))  # all of them wait, whichever comes last
        while (GATE / ("hold-%d" % (-(-(GATE / "steps").stat().st_size // tasks) * tasks))).exists():
            time.sleep(0.02)
        return super().training_forward(clip, offset, targets)
'''

SITE = """
parallelism = 2
memory_gb = 0.5
minutes = 30
"""


Value = TypeVar("Value")


def until(ready: Callable[[], Value], seconds: float = 180) -> Value:
    """Wait until something is true, and return it."""
    end = time.monotonic() + seconds
    while not (value := ready()):
        late = time.monotonic() > end
        assert not late, (
            "it did not come; the queue:\n"
            + subprocess.run(
                ["squeue", "-t", "all", "-o", "%i %j %T %r %E"], capture_output=True, text=True, check=False
            ).stdout
        )
        time.sleep(0.2)
    return value


class Bench:
    """One results folder, one method, one site file."""

    def __init__(self, folder: Path, base: Path | None = None, offsets: int = 1) -> None:
        self.folder, self.results, self.gate = folder, folder / "results", folder / "gate"
        self.gate.mkdir(parents=True, exist_ok=True)
        self.method = folder / "gated.py"
        single = "keyframe_interval: int = 1, "
        text = METHOD.replace("{offsets}", str(offsets))
        self.method.write_text(text.replace(single, "").replace("= keyframe_interval", "= 1") if offsets == 1 else text)
        self.site = folder / "site.toml"
        self.site.write_text(SITE)
        if base is not None:
            shutil.copytree(base, self.results / "store")
        self.words = ["--grid", "table2", "--profile", "smoke", "--method", str(self.method), "--rows", "Gated"]
        self.words += ["--results", str(self.results)]

    def submit(self, *more: str) -> int:
        """Submit the method's stages, here."""
        os.environ["GATE"] = str(self.gate)
        return main([*self.words, "--slurm", str(self.site), *more])

    def do(self, *words: str) -> int:
        """Another command on the same results, here."""
        os.environ["GATE"] = str(self.gate)
        return main([*words, "--results", str(self.results)])

    @property
    def submission(self) -> Submission:
        """The latest one."""
        submissions = Submissions(self.results)
        return submissions.load(submissions.find(""))

    def states(self) -> dict[str, tuple[str, str]]:
        """State and reason by title of the stage, without the world's and the seed's names."""
        found = read_states(self.submission, Submissions(self.results))
        return {_short(s.entry.title): (str(s.state), s.reason) for s in found}

    def ended(self) -> set[str]:
        """Wait until no stage is going on any more and no job of them is left; returns the states that there are."""
        until(lambda: not {"running", "pending"} & {state for state, _ in self.states().values()}, 300)
        until(lambda: all(job.ended for job in read_queue([self.submission.name]).values()))
        return {state for state, _ in self.states().values()}

    def job(self, title: str) -> str:
        """The job of a stage."""
        (job,) = (e.job for e in self.submission.entries.values() if _short(e.title) == title)
        assert job is not None
        return job

    def log(self, job: str) -> str:
        """What the job has printed so far."""
        folder = Submissions(self.results).folder(self.submission.name) / "jobs"
        return "".join(path.read_text() for path in folder.glob(f"{job}_0_log.*"))

    @staticmethod
    def left(cluster: Cluster) -> str:
        """What stays in the queue once what is about to end has ended."""
        end = time.monotonic() + 20
        while (left := cluster.run("squeue", "-h")) and time.monotonic() < end:
            time.sleep(0.2)
        return left

    @property
    def steps(self) -> int:
        """Training steps begun, by all attempts together."""
        path = self.gate / "steps"
        return path.stat().st_size if path.exists() else 0

    def hold(self, step: int) -> Path:
        """Let the training wait in this step, from 1 up, until the file is removed."""
        path = self.gate / f"hold-{step}"
        path.touch()
        return path

    def records(self) -> dict[str, Any]:
        """What every stage computed, by its key."""
        return {p.parent.name: json.loads(p.read_text())["result"] for p in self.results.glob("store/*/*/record.json")}

    def weights(self) -> dict[str, bytes]:
        """The trained weights, by key."""
        return {p.parent.name: p.read_bytes() for p in self.results.glob("store/train/*/model.pt")}


def _short(title: str) -> str:
    return title.replace("street ", "").replace(", seed 0", "")
