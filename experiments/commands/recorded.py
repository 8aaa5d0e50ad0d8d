"""The options that a stage was run with, from what its folder says; so that its hash is enough to name it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from experiments.commands.options import Options, read_options
from experiments.profiles import PROFILES
from experiments.stages import Data, Stage, Train, in_order
from experiments.store import Store
from mila.common.stored_files import read_object_or_nothing
from mila.common.trusted import is_trusted
from mila.errors import UserError


def options_of(folder: Path, options: Options, store: Store) -> list[Options]:
    """What the score in a folder may have been run with, the likeliest first. What is given in `options` counts more.

    Raises:
        UserError: it was run with a method or data in a file that this user has not run as it is (`trusted`): a folder
            of results that somebody else made must not run code.
    """
    words = read_object_or_nothing(folder / "stage.json").get("command")
    recorded = _parsed(words)
    if recorded is None:
        return _embedded(folder, options, store)
    if recorded.method and not options.method and not all(map(is_trusted, recorded.method)):
        files = " ".join(map(str, recorded.method))
        raise UserError(
            f"{folder.name} was run with a method in a file that you have not run as it is now; if you trust it, "
            f"add --method {files}."
        )
    if recorded.data_file is not None and options.data_file is None and not is_trusted(recorded.data_file):
        raise UserError(
            f"{folder.name} was run with data that are read by a file that you have not run as it is now; if you trust "
            f"it, add --data {recorded.data_file}."
        )
    return [replace(recorded, **options.given())]


def what_changed(folder: Path, stages: Sequence[Stage], store: Store, profile: Path | None = None) -> str:
    """Why none of `stages` is the score in a folder: what is not as it was then, of it and all that it needs.

    Args:
        folder: of the score.
        stages: what the options of then give now.
        store: where the folder is.
        profile: the file of the user's own profile that these options name.
    """
    written = _written(folder, store)
    name = _name(read_object_or_nothing(folder / "stage.json"))
    alike = [stage for stage in stages if (stage.kind, stage.title) == name]
    changed = []
    for stage in in_order(alike):
        then = written.get((stage.kind, stage.title))
        if then is not None and then.get("config") != json.loads(json.dumps(stage.config())):
            changed.append(f"{'the data' if isinstance(stage, Data) else 'the options'} of {stage.title}")
        elif then is not None and then.get("code") != stage.description()["code"]:
            changed.append(f"the code of {stage.title}")
    begin = f"{profile}, and with it " if changed and profile is not None and _is_newer(profile, folder) else ""
    return begin + ", ".join(changed)


def _is_newer(file: Path, folder: Path) -> bool:
    """Whether a file was written after the record in a folder."""
    try:
        return file.stat().st_mtime_ns > (folder / "record.json").stat().st_mtime_ns
    except OSError:
        return False


def _written(folder: Path, store: Store) -> dict[tuple[str, str], dict[str, Any]]:
    """What the folder of a stage and those of all that it needs say, by kind and title."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    folders = {path.name: path for path in store.folders()}
    waiting = [folder.name]
    while waiting:
        about = read_object_or_nothing(folders.pop(waiting.pop(), folder / "gone") / "stage.json")
        found[_name(about)] = about
        needs = about.get("needs")
        waiting += [key for key in needs if isinstance(key, str)] if isinstance(needs, list) else []
    return found


def _name(about: dict[str, Any]) -> tuple[str, str]:
    return str(about.get("kind")), str(about.get("title"))


def _parsed(words: Any) -> Options | None:
    """The options that a folder's words give; None where it has none, or they are not what was written there."""
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        return None
    try:
        return read_options(words)
    except SystemExit:
        return None


def _embedded(folder: Path, options: Options, store: Store) -> list[Options]:
    """All tables on the embedded worlds, under each profile, with the seed of the score's training."""
    needs = read_object_or_nothing(folder / "stage.json").get("needs")
    train = needs[0] if isinstance(needs, list) and needs else ""
    config = read_object_or_nothing(store.root / Train.kind / str(train) / "stage.json").get("config")
    seed = config.get("seed") if isinstance(config, dict) else None
    seeds = (seed,) if isinstance(seed, int) and seed >= 0 else (0,)
    given = {"seeds": seeds, **options.given(), "grid": "all"}
    profiles = [options.profile] if "profile" in options.given() else list(PROFILES)
    return [replace(options, **{**given, "profile": profile}) for profile in profiles]
