"""What a cluster wants to be told: a TOML file with partition, account and resources, one section a kind of stage.

See docs/slurm.md for all keys. A key of a section goes before the same key at the top of the file.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from mila.common.toml_files import read_toml
from mila.errors import UserError

KINDS = ("data", "train", "evaluate", "measure", "attention", "film", "motion")
"""Kinds of stages; each may have its section."""

_MINUTES = {"data": 120, "train": 480, "evaluate": 60, "measure": 15, "attention": 15, "film": 15, "motion": 30}


@dataclass(frozen=True)
class Resources:
    """What the jobs of one kind of stage ask for; None leaves it to the cluster.

    Attributes:
        minutes: time limit. A training that reaches it is saved, requeued and continued.
        cpus, gpus, memory_gb: of one job, `cpus` of each of its tasks; `gpus` may name a type, as `"a100:1"`.
        tasks: processes that share one training, on one machine; of trainings alone.
        parallelism: at most so many jobs of the kind at once.
        partition, account, qos, constraint: as of sbatch.
    """

    minutes: int
    cpus: int = 1
    gpus: int | str = 0
    memory_gb: float | None = None
    tasks: int = 1
    parallelism: int = 8
    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    constraint: str | None = None


@dataclass(frozen=True)
class Site:
    """A cluster as the jobs see it.

    Attributes:
        kinds: resources by kind of stage.
        signal_seconds: how long before the time limit a job is told to save and requeue.
        timeouts: how often a training may reach its time limit and be continued.
        setup: shell lines that run before a job's Python.
        sbatch: further options of sbatch, by their long names.
    """

    kinds: dict[str, Resources]
    signal_seconds: int = 120
    timeouts: int = 50
    setup: tuple[str, ...] = ()
    sbatch: dict[str, str | int | bool] = field(default_factory=dict)


_TYPES: dict[str, tuple[type, ...]] = {
    "minutes": (int,),
    "cpus": (int,),
    "gpus": (int, str),
    "memory_gb": (int, float),
    "tasks": (int,),
    "parallelism": (int,),
    "partition": (str,),
    "account": (str,),
    "qos": (str,),
    "constraint": (str,),
    "signal_seconds": (int,),
    "timeouts": (int,),
    "setup": (list,),
    "sbatch": (dict,),
}
_AT_LEAST = {"minutes": 1, "cpus": 1, "gpus": 0, "memory_gb": 0.001, "parallelism": 1, "timeouts": 0, "tasks": 1}
_AT_LEAST |= {"signal_seconds": 1}
_SET_HERE = ("array", "dependency", "error", "job-name", "ntasks", "ntasks-per-node", "output", "signal", "wrap")
"""Options of sbatch by which jobs are told apart, found again and continued."""
_KEY_OF = {"time": "minutes", "mem": "memory_gb", "cpus-per-task": "cpus", "gpus-per-node": "gpus"}
_KEY_OF |= {name: name for name in ("partition", "account", "qos", "constraint")}
_EVERYWHERE = tuple(f.name for f in fields(Resources))
_TOP = ("signal_seconds", "timeouts", "setup", "sbatch")


def read_site(path: Path) -> dict[str, Any]:
    """The file's contents, checked.

    Raises:
        UserError: it cannot be read, or a key or a value is not known.
    """
    values = read_toml(path, "--slurm", "docs/slurm.md")
    make_site(values, str(path))
    return values


def make_site(values: dict[str, Any], name: str = "the site file") -> Site:
    """A site from the contents of its file; from nothing, a cluster that needs to be told nothing.

    Raises:
        UserError: a key or a value is not known.
    """
    for name_of, section in values.items():
        if name_of == "tasks" or (name_of != "train" and isinstance(section, dict) and "tasks" in section):
            raise UserError(f"{name}: several tasks can share a training alone; move `tasks` to the section [train].")
    top = {key: value for key, value in values.items() if key not in KINDS}
    _check(top, (*_EVERYWHERE, *_TOP), f"{name}")
    everywhere = {key: value for key, value in top.items() if key in _EVERYWHERE}
    kinds = {}
    for kind in KINDS:
        section = values.get(kind, {})
        if not isinstance(section, dict):
            raise UserError(f"{name}: {kind!r} is the name of a section; write [{kind}].")
        _check(section, _EVERYWHERE, f"{name}, [{kind}]")
        kinds[kind] = Resources(**{"minutes": _MINUTES[kind], **everywhere, **section})
    rest: dict[str, Any] = {key: tuple(value) if key == "setup" else value for key, value in top.items() if key in _TOP}
    return Site(kinds, **rest)


def _check(section: dict[str, Any], known: tuple[str, ...], where: str) -> None:
    for key, value in section.items():
        if key not in known:
            sections = " or a section [" + "], [".join(KINDS) + "]" if "setup" in known else ""
            raise UserError(f"{where}: there is no key {key!r}; choose one of: {', '.join(known)}{sections}.")
        wanted = _TYPES[key]
        if isinstance(value, bool) or not isinstance(value, wanted):
            names = {
                int: "a whole number",
                float: "a number",
                str: "a text",
                list: "a list of texts",
                dict: "a section",
            }
            raise UserError(f"{where}: {key} must be {' or '.join(names[t] for t in wanted)}, not {value!r}.")
        if isinstance(value, (int, float)) and not math.isfinite(value):
            raise UserError(f"{where}: {key} must be a number that is finite, not {value}.")
        if isinstance(value, (int, float)) and value < _AT_LEAST[key]:
            raise UserError(f"{where}: {key} must be at least {_AT_LEAST[key]}, not {value}.")
        if isinstance(value, list) and not all(isinstance(line, str) for line in value):
            raise UserError(f"{where}: setup must be a list of texts, one a shell line.")
        if isinstance(value, dict) and not all(isinstance(option, (str, int)) for option in value.values()):
            raise UserError(f"{where}: the options under [sbatch] must be texts, whole numbers, true or false.")
        if isinstance(value, dict):
            _check_sbatch(value, where)


def _check_sbatch(options: dict[str, Any], where: str) -> None:
    for option in options:
        name = option.lstrip("-").replace("_", "-")
        if name in _SET_HERE:
            raise UserError(f"{where}: {option!r} under [sbatch] is set by the suite itself; leave it out.")
        if name in _KEY_OF:
            raise UserError(f"{where}: {option!r} under [sbatch] has a key of its own; write {_KEY_OF[name]} = ... .")
