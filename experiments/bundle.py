"""One folder with the suite and the pure-Python packages that a run needs, for a machine without a package index.

On the machine are Python, PyTorch and the usual scientific packages, with all that these need themselves; the folder
brings the others along. What is packed is what is installed here.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from experiments.bundled import COMMIT
from mila.common.versions import suite_commit
from mila.errors import UserError

SUITE = ("mila", "baselines", "experiments", "reports")

PRESENT = ("torch", "torchvision", "numpy", "pandas", "matplotlib", "pillow", "scipy")
"""What the machine has, with what these need."""

NEEDED = ("rich", "filelock", "jinja2", "thop", "nvidia-ml-py", "cityscapesscripts")
"""What runs, their pages and benchmarks import beside `PRESENT`."""

PARTS_OF = {
    "cityscapesscripts": (
        "cityscapesscripts/__init__.py",
        "cityscapesscripts/helpers/__init__.py",
        "cityscapesscripts/helpers/labels.py",
    )
}
"""Of these packages a run imports some modules alone, and nothing that those would need."""

LARGEST = 30_000_000
"""Bytes of all files."""

_COMPILED = (".so", ".pyd", ".dll", ".dylib")


@dataclass(frozen=True)
class Bundle:
    """What was packed.

    Attributes:
        packages: names and versions.
        left: what is not pure Python and comes with `PRESENT`.
        size: bytes of all files.
    """

    packages: tuple[str, ...]
    left: tuple[str, ...]
    size: int


def bundle(folder: Path) -> Bundle:
    """Write the suite and the packages that it needs into a new folder.

    Raises:
        UserError: the folder is there already, a package is not here or not pure Python, or all of it is too large.
    """
    if folder.exists():
        raise UserError(f"{folder} is there already; name a folder that is not, or delete it.")
    needed, left = packages_needed()
    unfinished = folder.with_name(f".{folder.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    try:
        for name in SUITE:
            _copy_suite(name, unfinished)
        (unfinished / COMMIT.parent.name / COMMIT.name).write_text(suite_commit(), encoding="utf-8")
        for package in needed:
            _copy_package(package, unfinished)
        size = sum(path.stat().st_size for path in unfinished.rglob("*") if path.is_file())
        if size > LARGEST:
            raise UserError(
                f"the suite and its packages have {size / 1e6:.1f} MB, more than the {LARGEST / 1e6:g} MB that a "
                "bundle may have; nothing is written."
            )
        unfinished.rename(folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return Bundle(tuple(f"{p.name} {p.version}" for p in needed), left, size)


def packages_needed(
    names: Iterable[str] = NEEDED, present: Iterable[str] = PRESENT
) -> tuple[list[Distribution], tuple[str, ...]]:
    """The packages to pack, and the names of those that come with what the machine has.

    Raises:
        UserError: one is not installed here, or is not pure Python and does not come with what the machine has.
    """
    there = with_needs(present, may_lack=True)
    packed: list[Distribution] = []
    left: list[str] = []
    for name, package in with_needs(names, without=present).items():
        if is_pure(package):
            packed.append(package)
        elif name in there:
            left.append(name)
        else:
            raise UserError(
                f"{name} {package.version} is not pure Python, so it cannot be packed for another machine; it would "
                "have to be there already."
            )
    return packed, tuple(left)


def is_pure(package: Distribution) -> bool:
    """Whether what would be packed of an installed package is Python alone."""
    about = package.read_text("WHEEL") or ""
    return "root-is-purelib: true" in about.lower() and not any(f.suffix in _COMPILED for f in package.files or ())


def with_needs(names: Iterable[str], *, without: Iterable[str] = (), may_lack: bool = False) -> dict[str, Distribution]:
    """Installed packages by name, with all that they need here.

    Args:
        names: of the packages.
        without: packages that are left out.
        may_lack: whether one that is not installed is left out as well.

    Raises:
        UserError: one is not installed.
    """
    found: dict[str, Distribution] = {}
    waiting, left_out = [canonicalize_name(name) for name in names], {canonicalize_name(name) for name in without}
    while waiting:
        name = waiting.pop(0)
        if name in found or name in left_out:
            continue
        try:
            found[name] = distribution(name)
        except PackageNotFoundError as error:
            if may_lack:
                continue
            raise UserError(f"{name} is not installed here, so it cannot be packed; run `nox -s env`.") from error
        if name not in PARTS_OF:
            requirements = (Requirement(line) for line in found[name].requires or ())
            here = (each for each in requirements if each.marker is None or each.marker.evaluate({"extra": ""}))
            waiting += [canonicalize_name(each.name) for each in here]
    return found


def _copy_suite(name: str, folder: Path) -> None:
    spec = find_spec(name)
    assert spec is not None
    assert spec.submodule_search_locations
    source = Path(next(iter(spec.submodule_search_locations)))
    shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__", ".*"))
    licence = source.with_name("LICENSE")
    if licence.is_file():  # of a repository; of an installed suite it lies elsewhere
        shutil.copyfile(licence, folder / licence.name)


def _copy_package(package: Distribution, folder: Path) -> None:
    """Its modules, and what says under which licence it is."""
    parts = PARTS_OF.get(canonicalize_name(package.name))
    for file in package.files or ():
        is_about = ".dist-info" in file.parts[0]
        wanted = ".." not in file.parts and file.suffix != ".pyc" and (parts is None or is_about or str(file) in parts)
        if wanted:
            target = folder / file
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(Path(str(package.locate_file(file))), target)
