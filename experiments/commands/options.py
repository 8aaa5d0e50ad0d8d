"""The options of the command line: what they are called, their defaults, and the words that give them again.

Needs no PyTorch, so that `--help` answers at once.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, get_args

from experiments.own_profile import ENDING
from experiments.shipped import STUDY
from experiments.sources import Split
from mila.common.arguments import given_path
from mila.names import AugmentationName

SLURM = ("slurm", "wait", "status", "cancel", "retry_failed")
"""The options that are about a cluster."""

_DECIDING = (
    "grid",
    "method",
    "part",
    "profile",
    "augmentation",
    "weights",
    "keyframe_interval",
    "data",
    "data_root",
    "suite",
    "mode",
    "seeds",
    "split",
)
"""The options that decide what the stages are."""


@dataclass(frozen=True)
class Options:
    """What was asked for, by the names of the options (`--data-root` is `data_root`); the help says what each is.

    `seeds` is empty where `from_records` is given without: then they are those of the records.
    """

    list: bool = False
    grid: str | None = None
    rows: tuple[str, ...] | None = None
    part: int | None = None
    method: tuple[Path, ...] | None = None
    profile: str = "quick"
    augmentation: AugmentationName | None = None
    weights: str | None = None
    keyframe_interval: int | None = None
    data: str | None = None
    data_root: Path | None = None
    suite: str | None = None
    mode: str | None = None
    seeds: tuple[int, ...] = (0,)
    split: Split | None = None
    jobs: int | None = None
    device: str = "auto"
    results: Path = Path("results")
    dry_run: bool = False
    keep_states: bool = False
    time_limit: float | None = None
    minutes: float | None = None
    report: bool = False
    from_records: Path | None = None
    show: str | None = None
    verify: str | None = None
    clean: bool = False
    yes: bool = False
    slurm: str | None = None
    wait: str | None = None
    status: str | None = None
    cancel: str | None = None
    retry_failed: str | None = None

    @property
    def store(self) -> Path:
        """Where the stages are kept."""
        return self.results / "store"

    @property
    def seconds_limit(self) -> float | None:
        """`time_limit` in seconds."""
        return None if self.time_limit is None else self.time_limit * 60

    @property
    def data_file(self) -> Path | None:
        """The file of a data set of the user's own; None where `data` is the name of one."""
        return Path(self.data) if self.data is not None and self.data.endswith(".py") else None

    @property
    def own_files(self) -> tuple[Path, ...]:
        """All Python files of the user's own."""
        return (*(self.method or ()), *([] if self.data_file is None else [self.data_file]))

    @property
    def profile_file(self) -> Path | None:
        """The file of a profile of the user's own; None where `profile` is the name of one."""
        return Path(self.profile) if self.profile.endswith(ENDING) else None

    @property
    def weights_place(self) -> str | None:
        """`weights` as it may be typed anywhere."""
        return self.weights if self.weights in (None, "none") else str(Path(str(self.weights)).absolute())

    def given(self) -> dict[str, Any]:
        """The options that are not at their defaults, by name."""
        values = ((field, getattr(self, field.name)) for field in fields(self))
        return {field.name: value for field, value in values if value != field.default}

    def recipe(self) -> tuple[str, ...]:
        """A command line that gives the same stages, wherever it is typed."""
        given = {name: value for name, value in self.given().items() if name in _DECIDING}
        if self.data_root is not None:
            given["data_root"] = self.data_root.absolute()
        if self.profile_file is not None:
            given["profile"] = str(self.profile_file.absolute())
        if self.weights is not None:
            given["weights"] = self.weights_place
        if self.method is not None:
            given["method"] = tuple(path.absolute() for path in self.method)
        if self.data_file is not None:
            given["data"] = str(self.data_file.absolute())
        return Options(**given).words()

    def is_about_slurm(self) -> bool:
        """Whether any of the options about a cluster was given."""
        return not set(SLURM).isdisjoint(self.given())

    def words(self) -> tuple[str, ...]:
        """A command line that gives these options again, without those about a cluster."""
        words: list[str] = []
        for name, value in self.given().items():
            if name not in SLURM and value != ():
                words.append(flag(name))
                if value is not True:
                    words += map(str, value if isinstance(value, tuple) else (value,))
        return tuple(words)


def flag(name: str) -> str:
    """How an option is written on the command line."""
    return f"--{name.replace('_', '-')}"


def read_options(words: list[str] | None = None) -> Options:
    """The options that some words give, by default those of this process; ends the process where they are wrong."""
    given: dict[str, Any] = vars(_parser().parse_args(words))
    for name, value in given.items():
        if isinstance(value, list):
            given[name] = tuple(value)
    if "from_records" in given:
        given = {"profile": "study", "seeds": (), **given}
    return Options(**given)


def _parser() -> argparse.ArgumentParser:
    """Knows no defaults: what is not given is left to `Options`."""
    parser = argparse.ArgumentParser(
        description="Run a grid of experiments, here or continue it, and write its report.",
        epilog="Finished stages are never run again; an interrupted run is continued by the same command.",
        argument_default=argparse.SUPPRESS,
    )
    _add_what(parser)
    _add_how(parser)
    group = parser.add_argument_group("look at the store", "HASH is of a stage, or its first digits.")
    group.add_argument("--show", metavar="HASH", help="print what is known of a stage")
    group.add_argument("--verify", metavar="HASH", help="recompute a score from its checkpoint and compare")
    text = "delete the stages of --grid, or without it all that are not finished"
    group.add_argument("--clean", action="store_true", help=text)
    group.add_argument("--yes", action="store_true", help="do not ask before deleting")
    _add_slurm(parser)
    return parser


def _add_what(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--list", action="store_true", help="say which grids, profiles and data sets there are")
    parser.add_argument("--grid", metavar="NAME", help="which table or ablation to run")
    parser.add_argument("--rows", metavar="LABEL", nargs="+", help="run these rows of it alone")
    parser.add_argument("--part", metavar="N", type=int, help="of a grid that has several parts this one (from 1)")
    parser.add_argument(
        "--method", metavar="FILE", type=given_path, nargs="+", help="add the row of a method of your own"
    )
    text = "sizes and schedules: a name, or a TOML file of your own (default: quick)"
    parser.add_argument("--profile", metavar="NAME", help=text)
    text = "of the training clips (default: the profile's)"
    parser.add_argument("--augmentation", choices=get_args(AugmentationName), help=text)
    text = "start from the weights in this folder instead of those that the profile names; none: from random ones"
    parser.add_argument("--weights", metavar="FOLDER", help=text)
    text = "K of the rows that do not say otherwise (default: the paper's 5)"
    parser.add_argument("--keyframe-interval", metavar="K", type=int, help=text)
    text = "data set (default: the embedded world of the grid's tasks), or the file of one of your own"
    parser.add_argument("--data", metavar="NAME", help=text)
    text = "folder of a real data set, or its packed store (default for one of your own: the folder of its file)"
    parser.add_argument("--data-root", metavar="FOLDER", type=given_path, help=text)
    parser.add_argument("--suite", metavar="NAME", help="other tasks than the grid's, as the data set has them")
    parser.add_argument("--mode", metavar="NAME", help="where clips come from: video, pan or still (see --list)")
    parser.add_argument("--seeds", metavar="N", type=int, nargs="+", help="train once a seed (default: 0)")
    parser.add_argument("--split", choices=("test", "val"), help="score on this split (default: the grid's)")


def _add_how(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--jobs", metavar="N", type=int, help="stages at once (default: one a core, at most 4)")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), help="where to compute")
    parser.add_argument("--results", metavar="FOLDER", type=given_path, help="where results go")
    parser.add_argument("--dry-run", action="store_true", help="say what would run, and how long it took before")
    text = "keep every state that is scored (profile paper: ten a row); by default the last alone stays after scoring"
    parser.add_argument("--keep-states", action="store_true", help=text)
    parser.add_argument("--time-limit", metavar="MINUTES", type=float, help="a stage that takes longer fails")
    text = "choose a size of the profile by the clock, and end in time (docs/reference_results.md)"
    parser.add_argument("--minutes", metavar="M", type=float, help=text)
    parser.add_argument("--report", action="store_true", help="run nothing; write the report of what is finished")
    text = "run nothing; write the report of records that ship with the suite (profile study), or of those in FILE"
    parser.add_argument("--from-records", metavar="FILE", type=given_path, nargs="?", const=STUDY, help=text)


def _add_slurm(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("on a SLURM cluster", "NAME is of a submission; without it, the latest.")
    text = "submit as jobs; SITE is a TOML file (docs/slurm.md)"
    group.add_argument("--slurm", metavar="SITE", nargs="?", const="", help=text)
    group.add_argument("--wait", metavar="NAME", nargs="?", const="", help="until all has ended; then the report")
    one = group.add_mutually_exclusive_group()
    one.add_argument("--status", metavar="NAME", nargs="?", const="", help="say what has become of the jobs")
    one.add_argument("--cancel", metavar="NAME", nargs="?", const="", help="end the jobs")
    text = "submit again what failed, was cancelled or lost, and what needs it; the code stays as it was"
    one.add_argument("--retry-failed", metavar="NAME", nargs="?", const="", help=text)
