"""The sessions of the suite. All share one environment, installed once: `.nox/env`.

nox -s reproduce-table1     the main job, on embedded videos: minutes on two cores; likewise -table2 to -table11, -all
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
    _run(session, "-m", "pytest", *session.posargs)


SLURM_PACKAGES = ("slurmctld", "slurmd", "slurm-client", "munge", "slurmdbd", "mariadb-server")
"""Debian's and Ubuntu's names of what `tests-slurm` starts."""


@nox.session(name="tests-slurm", venv_backend="none", requires=["env"])
def tests_slurm(session: nox.Session) -> None:
    """The SLURM options against a real SLURM of this machine alone; installs Debian's packages where it may."""
    daemons = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])

    def missing() -> list[str]:
        programs = ("slurmctld", "slurmd", "sbatch", "munged", "slurmdbd", "mariadbd")
        return [program for program in programs if shutil.which(program, path=daemons) is None]

    if missing():
        is_root = hasattr(os, "geteuid") and os.geteuid() == 0
        if shutil.which("apt-get") is None or not (is_root or os.environ.get("CI")):
            session.error(
                f"tests-slurm cannot run here: {', '.join(missing())} not found; on Debian or Ubuntu install them with "
                f"apt-get install --no-install-recommends {' '.join(SLURM_PACKAGES)}."
            )
        apt = [*([] if is_root else ["sudo", "-n"]), "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq"]
        session.run(*apt, "update", external=True)
        session.run(*apt, "install", "-y", "--no-install-recommends", *SLURM_PACKAGES, external=True, silent=True)
        if missing():
            session.error(f"tests-slurm cannot run here: the packages brought no {', '.join(missing())}.")
    _run(session, "-m", "pytest", "tests_slurm", *session.posargs)


@nox.session(name="tests-browser", venv_backend="none", requires=["env"])
def tests_browser(session: nox.Session) -> None:
    """The pages in a real browser: Debian's chromium, or the one that $CHROMIUM names."""
    _run(session, "-m", "pip", "install", "--quiet", "-e", ".[dev,browser]")
    _run(session, "-m", "pytest", "tests_browser", *session.posargs)


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
_reproduce("table8", "Backbones of MTAN and Cross-Stitch.")
_reproduce("table9", "Weighting of the tasks.")
_reproduce("table10", "MILA on slow networks alone.")
_reproduce("table11", "Keyframe intervals 5 and 10, D101-50.")
_reproduce("all", "Every table; hours on two cores.")


@nox.session(name="bench-attention", venv_backend="none", requires=["env"])
def bench_attention(session: nox.Session) -> None:
    """Local attention against the unfold formulation, side by side: time and memory."""
    _run(session, "-m", "experiments.bench_attention", *session.posargs)


@nox.session(name="bench-reading", venv_backend="none", requires=["env"])
def bench_reading(session: nox.Session) -> None:
    """Training batches from a packed store against decoding the originals: `-- --data-root FOLDER` for your own."""
    _run(session, "-m", "experiments.bench_reading", *session.posargs)


@nox.session(name="bench-latency", venv_backend="none", requires=["env"])
def bench_latency(session: nox.Session) -> None:
    """Keyframes, non-keyframes and streams of Tables 1 and 2, timed: `-- --profile reference` at the paper's size."""
    _run(session, "-m", "experiments.bench_latency", *session.posargs)


@nox.session(name="reproduce-costs", venv_backend="none", requires=["env"])
def reproduce_costs(session: nox.Session) -> None:
    """Every published cost counted anew, costs and memory that the paper does not print, and its claims."""
    _run(session, "-m", "experiments.costs", *session.posargs)
