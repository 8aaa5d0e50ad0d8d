"""The sessions of the suite. All share one environment, installed once: `.nox/env`.

nox -s reproduce-table1     the main job, on embedded videos: minutes on two cores; likewise -table2 to -table11,
                            -figure1, -figure4, -figure5, -figure7, -figure8, -all
nox -s tests                lint, types, import contract, tests
nox -s tests-browser        the pages in a real browser
nox -s tests-slurm          the SLURM options against a real SLURM, which the session starts and stops
"""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

import nox

nox.needs_version = ">=2024.4.15"
nox.options.sessions = ["tests"]

ROOT = Path(__file__).parent
BIN = ROOT / ".nox" / "env" / ("Scripts" if os.name == "nt" else "bin")
PYTHON = str(BIN / "python")


@nox.session(reuse_venv=True)
def env(session: nox.Session) -> None:
    """Install the suite and its tools, unless this pyproject.toml is installed already."""
    wanted = hashlib.sha256((ROOT / "pyproject.toml").read_bytes() + str(ROOT).encode()).hexdigest()
    stamp = Path(session.virtualenv.location) / "installed.sha256"
    if stamp.is_file() and stamp.read_text() == wanted:
        session.log("everything is installed")
        return
    stamp.unlink(missing_ok=True)
    session.run("python", "-m", "pip", "install", "--quiet", "--upgrade", "pip", silent=True)
    session.log("installing PyTorch and the rest; the first time this downloads some gigabytes")
    session.run("python", "-m", "pip", "install", "--progress-bar", "on", "-e", ".[dev]")
    stamp.write_text(wanted)


def _run(session: nox.Session, *words: str) -> None:
    session.run(PYTHON, *words, external=True)


@nox.session(venv_backend="none", requires=["env"])
def tests(session: nox.Session) -> None:
    """Lint, types, import contract, tests. Further words go to pytest: `nox -s tests -- -k attention`."""
    _run(session, "-m", "ruff", "check", ".")
    _run(session, "-m", "ruff", "format", "--check", ".")
    _run(session, "-m", "mypy")
    _run(session, "-c", "from importlinter.cli import lint_imports_command; lint_imports_command()")
    # a process a core, at most four: each holds a copy of PyTorch
    _run(session, "-m", "pytest", "-n", "auto", "--maxprocesses=4", "--dist", "worksteal", *session.posargs)


SLURM_PACKAGES = ("slurmctld", "slurmd", "slurm-client", "munge", "slurmdbd", "mariadb-server")
"""Debian's and Ubuntu's names of what `tests-slurm` starts."""


@nox.session(name="get-slurm", venv_backend="none")
def get_slurm(session: nox.Session) -> None:
    """Make sure that this machine has a SLURM; installs Debian's packages where it may."""
    daemons = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
    programs = ("slurmctld", "slurmd", "sbatch", "munged", "slurmdbd", "mariadbd")

    def missing() -> str:
        return ", ".join(program for program in programs if shutil.which(program, path=daemons) is None)

    if not missing():
        return
    is_root, said = hasattr(os, "geteuid") and os.geteuid() == 0, []
    if shutil.which("apt-get") and (is_root or (os.environ.get("CI") and shutil.which("sudo"))):
        session.log(f"installing {' '.join(SLURM_PACKAGES)}")
        apt = [*([] if is_root else ["sudo", "-n"]), "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq"]
        for words in (["update"], ["install", "-y", "--no-install-recommends", *SLURM_PACKAGES]):
            output = session.run(*apt, *words, external=True, silent=True, success_codes=range(256))
            said = str(output).strip().splitlines()
    if missing():
        session.error(
            f"the tests of SLURM cannot run here: {missing()} not found{', and apt-get: ' + said[-1] if said else ''}; "
            f"on Debian or Ubuntu install them with apt-get install --no-install-recommends {' '.join(SLURM_PACKAGES)}"
        )


@nox.session(name="tests-slurm", venv_backend="none", requires=["env", "get-slurm"])
def tests_slurm(session: nox.Session) -> None:
    """The SLURM options against a real SLURM of this machine alone, started and stopped by the tests."""
    # a cluster a process; the tests wait for SLURM more than they compute, so one more than there are cores
    _run(session, "-m", "pytest", "tests/slurm", "-n", "3", "--dist", "worksteal", *session.posargs)


_FIND_BROWSER = """
from pathlib import Path
from playwright.sync_api import sync_playwright
from tests.support.browser import find_chromium
with sync_playwright() as playwright:
    path = find_chromium() or playwright.chromium.executable_path
if not Path(path).is_file():
    raise SystemExit("the tests of the pages cannot run here: there is no Chromium; install one "
                     "(apt install chromium, or playwright install chromium), or name it with CHROMIUM=PATH.")
"""


@nox.session(name="get-browser", venv_backend="none", requires=["env"])
def get_browser(session: nox.Session) -> None:
    """Make sure that this machine has a Chromium: of the system, named by $CHROMIUM, or Playwright's own."""
    _run(session, "-m", "pip", "install", "--quiet", "-e", ".[dev,browser]")
    _run(session, "-c", _FIND_BROWSER)


@nox.session(name="tests-browser", venv_backend="none", requires=["env", "get-browser"])
def tests_browser(session: nox.Session) -> None:
    """The pages in a real browser."""
    _run(session, "-m", "pytest", "tests/browser", "-n", "2", "--dist", "worksteal", *session.posargs)


def _reproduce(grid: str, about: str) -> None:
    """Add the session `reproduce-<grid>`."""

    def reproduce(session: nox.Session) -> None:
        _run(session, "experiments/run.py", "--grid", grid, *session.posargs)

    reproduce.__doc__ = f"{about} Further words go to the runner: `-- --seeds 0 1 2`."
    nox.session(name=f"reproduce-{grid}", venv_backend="none", requires=["env"])(reproduce)


_reproduce("table1", "Multi-task learning on NYUd v2, with embedded videos.")
_reproduce("table2", "Multi-task learning on Cityscapes, with embedded videos.")
_reproduce("table3", "ILA and the mimicry losses.")
_reproduce("table4", "Window of ILA.")
_reproduce("table5", "Keyframe intervals 5 and 10, D101-18 and D101-34.")
_reproduce("table6", "Kinds of propagation, on both.")
_reproduce("table7", "Cost of the propagation modules: counted, nothing is trained.")
_reproduce("table8", "Backbones of MTAN and Cross-Stitch.")
_reproduce("table9", "Weighting of the tasks.")
_reproduce("table10", "MILA on slow networks alone.")
_reproduce("table11", "Keyframe intervals 5 and 10, D101-50.")
_reproduce("figure1", "mIoU over GFLOPs, from the runs of Table 2.")
_reproduce("figure4", "Attention weights of ILA, from MILA of Tables 1 and 2.")
_reproduce("figure5", "Task-specific features, from MILA of Tables 1 and 2.")
_reproduce("figure7", "Predictions and an animation, from runs of Tables 2 and 6.")
_reproduce("figure8", "Predictions and an animation, from runs of Table 1.")
_reproduce("all", "Every table and figure, sharing every common run; 90 minutes on two cores.")


@nox.session(name="bench-attention", venv_backend="none", requires=["env"])
def bench_attention(session: nox.Session) -> None:
    """Local attention against the unfold formulation, side by side: time and memory."""
    _run(session, "-m", "experiments.benchmarks.attention", *session.posargs)


@nox.session(name="bench-reading", venv_backend="none", requires=["env"])
def bench_reading(session: nox.Session) -> None:
    """Training batches from a packed store against decoding the originals: `-- --data-root FOLDER` for your own."""
    _run(session, "-m", "experiments.benchmarks.reading", *session.posargs)


@nox.session(name="bench-runner", venv_backend="none", requires=["env"])
def bench_runner(session: nox.Session) -> None:
    """Planning and collecting 10,000 stages, the pages of 1,000, and one new record: time and memory, beside bounds."""
    _run(session, "-m", "experiments.benchmarks.runner", *session.posargs)


@nox.session(name="bench-latency", venv_backend="none", requires=["env"])
def bench_latency(session: nox.Session) -> None:
    """Keyframes, non-keyframes and streams of Tables 1 and 2, timed: `-- --profile reference` at the paper's size."""
    _run(session, "-m", "experiments.benchmarks.latency", *session.posargs)


@nox.session(name="reproduce-costs", venv_backend="none", requires=["env"])
def reproduce_costs(session: nox.Session) -> None:
    """Every published cost counted anew, costs and memory that the paper does not print, and its claims."""
    _run(session, "-m", "experiments.commands.costs", *session.posargs)
