"""The journal of an unfinished packing (`mila.data.prepare`): which clips are done."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from mila.common.files import write_text

JOURNAL = "unfinished.jsonl"
"""Its name in the folder of a split."""


class Journal:
    """Which clips are done: a line with the identity of the data set, then one a clip; a torn last line is ignored.

    Args:
        path: the file.
        identity: what the clips are packed from and by which code; a journal of another one counts for nothing.
    """

    def __init__(self, path: Path, identity: dict[str, Any]) -> None:
        self._path = path
        # The fingerprint covers the files of all clips; here each clip has the state of its own.
        source = {key: value for key, value in identity["source"].items() if key != "fingerprint"}
        self._identity = json.loads(json.dumps({**identity, "source": source}))

    def read(self) -> dict[int, dict[str, Any]]:
        """The lines of the clips that are done, by clip; none where the journal is of something else."""
        if not self._path.is_file():
            return {}
        lines = []
        for line in self._path.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                lines.append(json.loads(line))
            except ValueError:
                break
        if not lines or lines[0] != self._identity:
            return {}
        return {line["clip"]: line for line in lines[1:]}

    def begin(self, lines: Iterable[dict[str, Any]]) -> None:
        """Start it with what is done already; a torn line, or one of a file that changed, is gone."""
        write_text(self._path, "".join(json.dumps(line) + "\n" for line in (self._identity, *lines)))

    def add(self, lines: Sequence[dict[str, Any]]) -> None:
        """Append the lines of clips that are done, and see them onto the disk."""
        with self._path.open("a", encoding="utf-8") as file:
            file.writelines(json.dumps(line) + "\n" for line in lines)
            file.flush()
            os.fsync(file.fileno())
