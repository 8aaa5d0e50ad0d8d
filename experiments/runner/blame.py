"""What goes wrong in a method of a user's own, as one sentence that names the file and, as far as it can, the line."""

from __future__ import annotations

import ast
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from experiments.runner.run_stage import is_out_of_memory, out_of_memory
from experiments.stages import Train
from mila.errors import UserError, first_line


class WrongMethodError(Exception):
    """What a method does wrong, to be said with its file; of a method of its class where `of` names one."""

    def __init__(self, sentence: str, of: str = "") -> None:
        super().__init__(sentence)
        self.of = of


class MethodFailedError(Exception):
    """A method raised something, while something was done with it."""


@contextmanager
def doing(what: str) -> Iterator[None]:
    """Says what was being done when a method raised."""
    try:
        yield
    except WrongMethodError:
        raise
    except Exception as error:
        raise MethodFailedError(what) from error


@contextmanager
def blaming(file: Path, stage: Train, device: str) -> Iterator[None]:
    """Turns what a trial finds into one sentence that names the file and the line."""
    try:
        yield
    except WrongMethodError as error:
        raise UserError(f"{file}{_line_of(file, stage, error.of)}: {error}") from error
    except MethodFailedError as error:
        cause = error.__cause__
        assert cause is not None
        if is_out_of_memory(cause):
            raise UserError(f"{file}, while {error}: {out_of_memory(stage, device)}") from cause
        lines = [frame.lineno for frame in traceback.extract_tb(cause.__traceback__) if frame.filename == str(file)]
        where = f"{file}, line {lines[-1]}" if lines else str(file)
        said = str(cause) if isinstance(cause, UserError) else f"{type(cause).__name__}: {first_line(cause)}"
        raise UserError(f"{where}: {said.rstrip('.')} (while {error}); mend it.") from cause


def _line_of(file: Path, stage: Train, name: str) -> str:
    """Where the file defines `ROW` or a method of the class, in words.

    Of a method that it does not define: where it says what is predicted, or where the class begins.
    """
    lines = dict[str, int]()
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign):
            lines |= {target.id: node.lineno for target in node.targets if isinstance(target, ast.Name)}
        elif isinstance(node, ast.ClassDef) and node.name == stage.model.rpartition(":")[2]:
            lines["class"] = node.lineno
            lines |= {inner.name: inner.lineno for inner in node.body if isinstance(inner, ast.FunctionDef)}
    line = next((lines[each] for each in (name, "forward", "predict", "class") if each in lines), None)
    return "" if line is None else f", line {line}"
