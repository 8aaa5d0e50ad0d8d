"""A copy of the suite's code and of users' own files, so that jobs run the code as it was when they were submitted.

<folder>/<digest>/          one copy for all submissions of the same code by a user; its files are read-only
    mila/ baselines/ experiments/ reports/
    methods/<digest>/<file> (data sets as well), profiles/<digest>/<file>
"""

from __future__ import annotations

import hashlib
import os
import shutil
import uuid
from importlib.util import find_spec
from pathlib import Path

from experiments.slurm.own_files import is_own, make_private, require_private
from mila.errors import UserError

_PACKAGES = ("mila", "baselines", "experiments", "reports")


def snapshot(folder: Path, methods: list[Path], profile: tuple[str, bytes] | None = None) -> tuple[Path, list[Path]]:
    """Copy the code into `folder`, unless this very code lies there already.

    Args:
        folder: of all copies.
        methods: users' Python files, of methods and of data sets.
        profile: name and content of the file of a user's profile.

    Returns:
        The copy, and the copies of `methods` and the profile in it.

    Raises:
        UserError: the copy was changed since, or cannot be written.
    """
    files = {f"{package}/{name}": data for package in _PACKAGES for name, data in _package(package).items()}
    copies = []
    own = [("methods", method.name, method.read_bytes()) for method in methods]
    for kind, file, data in own if profile is None else [*own, ("profiles", *profile)]:
        name = f"{kind}/{hashlib.sha256(data).hexdigest()[:16]}/{file}"
        files[name] = data
        copies.append(name)
    target = folder / _digest(files)
    if target.exists() and not is_own(target):  # in a shared results folder everybody has a copy of their own
        target = folder / f"{target.name}-{os.getuid()}"
    if not target.exists():
        try:
            _write(files, target)
        except OSError as error:
            raise UserError(f"{folder} cannot be written ({error.strerror}); give another --results.") from error
    check(target)
    return target, [target / name for name in copies]


def check(copy: Path) -> None:
    """Make sure that a copy is still what it was.

    Raises:
        UserError: it is gone, was changed, or could be by others.
    """
    require_private(copy)
    if not copy.is_dir() or _digest(_files(copy)) != copy.name.split("-")[0]:
        raise UserError(f"{copy} is not the code that it was when it was submitted; delete it and submit again.")


def _write(files: dict[str, bytes], target: Path) -> None:
    unfinished = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
    try:
        make_private(unfinished)
        for name, data in files.items():
            path = unfinished / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            path.chmod(0o444)
        try:
            unfinished.rename(target)
        except OSError:
            if not target.is_dir():  # else another submission was faster with the same files
                raise
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _package(name: str) -> dict[str, bytes]:
    spec = find_spec(name)
    assert spec is not None
    assert spec.submodule_search_locations
    return _files(Path(next(iter(spec.submodule_search_locations))))


def _files(root: Path) -> dict[str, bytes]:
    """Every file under `root` by its path from there, without what Python compiles."""
    found = {}
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(f for f in folders if f != "__pycache__" and not f.startswith("."))
        for name in sorted(names):
            if not name.startswith("."):
                path = Path(folder) / name
                found[path.relative_to(root).as_posix()] = path.read_bytes()
    return found


def _digest(files: dict[str, bytes]) -> str:
    digest = hashlib.sha256()
    for name in sorted(files):
        digest.update(f"{name}\n{len(files[name])}\n".encode())
        digest.update(files[name])
    return digest.hexdigest()[:16]
