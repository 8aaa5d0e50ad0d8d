"""Files of users run as modules: each its own, with dataclasses, and errors that name the line."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from mila.common.user_code import run_source
from mila.errors import UserError

SOURCE = b"""
from __future__ import annotations
from dataclasses import dataclass

@dataclass(frozen=True)
class Options:
    size: int = 3
"""


def test_files_of_one_name_are_modules_of_their_own(tmp_path: Path) -> None:
    path = tmp_path / "torch.py"  # as a user may call it
    first = run_source(path, SOURCE)
    assert first.Options(4).size == 4
    assert run_source(path, SOURCE) is first
    second = run_source(path, SOURCE + b"CHANGED = True\n")
    assert second.CHANGED
    assert not hasattr(first, "CHANGED")
    assert first.Options.__module__ != second.Options.__module__
    assert sys.modules["torch"] is not first
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (b"x = 1\nx.y\n", "mine.py, line 2 cannot be run as Python .AttributeError: .*; mend it"),
        (b"x = 1\nx = = 2\n", "mine.py, line 2 cannot be run as Python .SyntaxError: .*; mend it"),
        (b"x = 1\0", "mine.py.* cannot be run as Python .*; mend it"),
    ],
)
def test_what_does_not_run_is_named_with_its_line(source: bytes, said: str, tmp_path: Path) -> None:
    before = set(sys.modules)
    with pytest.raises(UserError, match=said):
        run_source(tmp_path / "mine.py", source)
    assert not [name for name in set(sys.modules) - before if name.startswith("mine")]
