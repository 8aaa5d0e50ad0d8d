"""The sessions of the suite. All share one environment, installed once: `.nox/env`.

nox -s reproduce-table1     the main job, on embedded videos: minutes on two cores; likewise -table2 to -table11,
                            -figure1, -figure4, -figure5, -figure7, -figure8, -all
nox -s tests                lint, types, import contracts, tests
nox -s tests-browser        the pages in a real browser
nox -s tests-slurm          the SLURM options against a real SLURM, which the session starts and stops
nox -s lock                 renew constraints.txt, from which the environment is installed
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Collection
from pathlib import Path

import nox
from nox.command import CommandFailed

nox.needs_version = ">=2024.4.15"
nox.options.sessions = ["tests"]

ROOT = Path(__file__).parent
CONSTRAINTS = ROOT / "constraints.txt"
BIN = ROOT / ".nox" / "env" / ("Scripts" if os.name == "nt" else "bin")
PYTHON = str(BIN / "python")


@nox.session(reuse_venv=True)
def env(session: nox.Session) -> None:
    """Install the suite and its tools in their locked versions, unless that is done already."""
    locked = CONSTRAINTS.read_bytes()
    wanted = hashlib.sha256((ROOT / "pyproject.toml").read_bytes() + locked + str(ROOT).encode()).hexdigest()
    stamp = Path(session.virtualenv.location) / "installed.sha256"
    digest, *unlocked = stamp.read_text().splitlines() if stamp.is_file() else [""]
    if digest == wanted:
        session.log("everything is installed")
    else:
        stamp.unlink(missing_ok=True)
        session.run("python", "-m", "pip", "install", "--quiet", "--upgrade", "pip", silent=True)
        session.log("installing PyTorch and the rest; the first time this downloads some gigabytes")
        unlocked = _install(session)
        stamp.write_text("\n".join([wanted, *unlocked]))
    if unlocked:
        line = "!" * 79
        session.warn(
            f"\n{line}\nWARNING: this is NOT the locked environment. Versions that constraints.txt names cannot be had "
            f"here, and\nthe newest possible ones are installed instead, of: {', '.join(unlocked)}.\n"
            f"Numbers may differ from those of others. To try again, delete {stamp}.\n{line}"
        )


def _install(session: nox.Session) -> list[str]:
    """Install from the constraints; returns the names of the packages whose pins had to be given up."""
    if _pip_install(session, CONSTRAINTS):
        return []
    pins, missing = CONSTRAINTS.read_text(), list[str]()
    remaining = Path(session.create_tmp()) / "constraints.txt"
    while True:  # a pin at a time, as pip stops at the first that it cannot have
        remaining.write_text(pins)
        words = ("python", "-m", "pip", "install", "--dry-run", "--no-deps", "-r", str(remaining))
        found = missing_pins(str(session.run(*words, silent=True, success_codes=range(256))))
        if not found:
            break
        pins, missing = without_pins(pins, found), [*missing, *found]
    if missing and _pip_install(session, remaining):
        return missing
    session.run("python", "-m", "pip", "install", "--progress-bar", "on", "-e", ".[dev]")
    return pinned_names(CONSTRAINTS.read_text())


def _pip_install(session: nox.Session, constraints: Path) -> bool:
    """Whether everything could be installed in these versions."""
    try:
        session.run("python", "-m", "pip", "install", "--progress-bar", "on", "-c", str(constraints), "-e", ".[dev]")
    except CommandFailed:
        return False
    return True


def missing_pins(output: str) -> list[str]:
    """Names of the packages whose pinned versions pip says it cannot have."""
    lines = re.findall(r"No matching distribution found for (.+)|ERROR: Cannot install (.+) because", output)
    return list(dict.fromkeys(re.findall(r"([\w.-]+)==", " ".join("".join(line) for line in lines))))


def without_pins(constraints: str, names: Collection[str]) -> str:
    """The lines of a constraints file that pin none of these packages."""
    left_out = {_normalised(name) for name in names}
    lines = constraints.splitlines(keepends=True)
    return "".join(line for line in lines if _normalised(line.split("==")[0]) not in left_out)


def pinned_names(constraints: str) -> list[str]:
    """Names of all packages that a constraints file pins."""
    return list(dict.fromkeys(re.findall(r"^([\w.-]+)==", constraints, flags=re.MULTILINE)))


def _normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name.strip()).lower()


_LOCK_HEADER = """\
# What `nox -s env` installs: one version of every package for each Python from 3.10 on.
# Written by `nox -s lock`, which takes the newest of all; `nox -s lock -- --upgrade-package rich` renews one alone.
"""


@nox.session(reuse_venv=True)
def lock(session: nox.Session) -> None:
    """Renew constraints.txt: all packages, or those named by `-- --upgrade-package NAME`."""
    session.install("uv")
    words = ["pip", "compile", "--universal", "--python-version", "3.10", "--all-extras", "--no-config", "--quiet"]
    words += ["--no-header", "--no-annotate", *(session.posargs or ["--upgrade"])]
    # what this machine's pip is held to, the lock is held to as well
    settings = str(session.run("python", "-m", "pip", "config", "list", silent=True))
    for file in re.findall(r"\bconstraint='(.+)'", settings):
        words += ["--constraint", file]
    session.run("uv", *words, "--output-file", str(CONSTRAINTS), "pyproject.toml")
    CONSTRAINTS.write_text(_LOCK_HEADER + CONSTRAINTS.read_text())


CHECKS = (
    ("-m", "ruff", "check", "."),
    ("-m", "ruff", "format", "--check", "."),
    ("-m", "mypy"),
    ("-c", "from importlinter.cli import lint_imports_command; lint_imports_command()"),
)
"""What `tests` runs first, and .pre-commit-config.yaml before a commit: words for Python."""


def _run(session: nox.Session, *words: str) -> None:
    session.run(PYTHON, *words, external=True)


@nox.session(venv_backend="none", requires=["env"])
def tests(session: nox.Session) -> None:
    """Lint, types, import contracts, tests. Further words go to pytest: `nox -s tests -- -m "not slow"`."""
    for words in CHECKS:
        _run(session, *words)
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
    is_root, output = hasattr(os, "geteuid") and os.geteuid() == 0, list[str]()
    if shutil.which("apt-get") and (is_root or (os.environ.get("CI") and shutil.which("sudo"))):
        session.log(f"installing {' '.join(SLURM_PACKAGES)}")
        apt = [*([] if is_root else ["sudo", "-n"]), "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq"]
        for words in (["update"], ["install", "-y", "--no-install-recommends", *SLURM_PACKAGES]):
            printed = session.run(*apt, *words, external=True, silent=True, success_codes=range(256))
            output = str(printed).strip().splitlines()
    if missing():
        why = f", and apt-get: {output[-1]}" if output else ""
        session.error(
            f"the tests of SLURM cannot run here: {missing()} not found{why}; "
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
_reproduce("all", "Every table and figure, sharing every common run; hours on two cores.")


@nox.session(venv_backend="none", requires=["env"])
def bench(session: nox.Session) -> None:
    """All benchmarks in one run, with ratios: `-- --device cuda` for a GPU, where it takes about four minutes."""
    _run(session, "-m", "experiments.benchmarks.bench", *session.posargs)


@nox.session(name="bench-attention", venv_backend="none", requires=["env"])
def bench_attention(session: nox.Session) -> None:
    """Local attention by each of its paths and as others write it: `-- --device cpu --maps 33x65 --windows 5`."""
    _run(session, "-m", "experiments.benchmarks.attention", *session.posargs)


@nox.session(name="bench-reading", venv_backend="none", requires=["env"])
def bench_reading(session: nox.Session) -> None:
    """Training batches from a packed store against decoding the originals: `-- --data-root FOLDER` for your own."""
    _run(session, "-m", "experiments.benchmarks.reading", *session.posargs)


@nox.session(name="bench-rendering", venv_backend="none", requires=["env"])
def bench_rendering(session: nox.Session) -> None:
    """Milliseconds a frame of the embedded videos: `-- --against FOLDER` beside another checkout of the suite."""
    _run(session, "-m", "experiments.benchmarks.rendering", *session.posargs)


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
