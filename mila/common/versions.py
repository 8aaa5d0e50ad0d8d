"""Which code a stage runs, and what it ran on: a digest of source, and the versions that a record keeps.

The digest is over the source of the modules that a stage reaches, and nothing else: an edit to a report or to another
baseline leaves finished stages finished; an edit to anything that a stage runs makes it a new stage.
"""

from __future__ import annotations

import ast
import hashlib
import os
import platform
import subprocess
from functools import lru_cache
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

PACKAGES = ("mila", "baselines")
_DECIDE_NUMBERS = ("numpy", "torchvision", "scipy", "pillow")
"""Packages beside PyTorch whose versions decide numbers."""


@lru_cache(maxsize=256)
def code_digest(*modules: str) -> str:
    """Hex digest of the source of `modules` and of all modules of the suite that they import, however indirectly.

    A name that ends in `.py` is the path of a file, which may lie anywhere.
    """
    reached: dict[str, str] = {}
    waiting = list(modules)
    while waiting:
        module = waiting.pop()
        is_file = module.endswith(".py")
        name = Path(module).name if is_file else module
        if name in reached:
            continue
        spec = None if is_file else find_spec(module)
        if not is_file and (spec is None or spec.origin is None):
            raise ModuleNotFoundError(f"there is no module {module!r}")
        text = Path(module if spec is None else str(spec.origin)).read_text(encoding="utf-8")
        reached[name] = text
        waiting += suite_imports(text)
    joined = "\n".join(f"{name}\n{reached[name]}" for name in sorted(reached))
    return hashlib.sha256(joined.encode()).hexdigest()[:16]


@lru_cache(maxsize=1024)
def suite_imports(text: str) -> tuple[str, ...]:
    """Modules of the suite that a source imports; kept by its text, as most stages reach the same modules."""
    names = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.append(node.module)
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    return tuple(name for name in names if name.split(".")[0] in PACKAGES and _is_module(name))


@lru_cache(maxsize=1024)
def _is_module(name: str) -> bool:
    try:
        spec = find_spec(name)
    except ModuleNotFoundError:
        return False
    return spec is not None and spec.origin is not None


def environment(device: str) -> dict[str, Any]:
    """What a record says about where it was made: versions, machine, threads, commit."""
    import torch  # here, as commands that compute nothing import this module, too

    return {
        "suite": suite_version(),
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        **{package: version(package) for package in _DECIDE_NUMBERS},
        "platform": platform.platform(),
        "processor": _processor(),
        "device": torch.cuda.get_device_name() if device == "cuda" else "cpu",
        "threads": torch.get_num_threads(),
        "commit": suite_commit(),
    }


def suite_version() -> str:
    """The suite's version: that of the code that runs, whatever copy of it is installed."""
    # imported by its name in words, so that `code_digest` does not see it: a new version number is no new code
    return str(import_module("mila.common.version").__version__)


def _processor() -> str:
    """The processor's name where the system tells it."""
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


@lru_cache(maxsize=1)
def suite_commit() -> str:
    """Commit of the suite's own repository, `+` where its working copy has uncommitted changes.

    `unknown` for a copy of the suite that is no repository of its own, also where it lies inside another one.
    """
    root = Path(__file__).resolve().parents[2]  # the folder that holds `mila/`
    own = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}  # git sets them in hooks

    def git(*words: str) -> str:
        command = ["git", *words]
        return subprocess.run(command, cwd=root, env=own, capture_output=True, text=True, check=True).stdout.strip()

    try:
        if Path(git("rev-parse", "--show-toplevel")).resolve() != root:
            return "unknown"
        return git("rev-parse", "--short=12", "HEAD") + ("+" if git("status", "--porcelain") else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
