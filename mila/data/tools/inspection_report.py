"""What an inspection found, printed for people."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich import box
from rich.console import Console
from rich.table import Table

from mila.data.tools.inspection import Inspection

_SHOWN_PROBLEMS = 50
_SHOWN_STRAYS = 10
_TARGETS = {"segmentation": "labels", "depth": "depth", "normals": "normals"}


def print_inspection(inspection: Inspection, console: Console, *, every: bool = False) -> None:
    """A summary for people: what there is, then what is wrong, file by file, and a verdict in the last line.

    Args:
        inspection: what `inspect` found.
        console: where it goes.
        every: print all problems, and all files without an official name, however many there are.
    """

    def line(text: str = "", style: str = "") -> None:
        console.print(text, style=style, markup=False, highlight=False, soft_wrap=True)

    def listed(lines: Sequence[str], most: int) -> None:
        for text in lines if every else lines[:most]:
            line(text)
        if len(lines) > most and not every:
            line(f"... and {len(lines) - most} more; --all lists them.")

    layout, problems, strays = inspection.layout, inspection.problems, inspection.strays
    line(layout.title, "bold")
    line(str(layout.root))
    tasks = ", ".join(_TARGETS[task.name] for task in inspection.suite.tasks)
    line(f"\ntasks  {inspection.suite.name} ({tasks}){_also(s.name for s in layout.suites if s != inspection.suite)}")
    line(f"clips  {inspection.mode}{_also(mode for mode in layout.modes if mode != inspection.mode)}\n")
    console.print(_table(inspection), highlight=False)
    video = any(split.before is not None for split in inspection.splits)
    line(f"{tasks}: clips that have them{'; before: frames before the annotated one' if video else ''}", "dim")
    for split in inspection.splits:
        if split.matched is not None:
            what = "frames before" if layout.title.endswith("plain folders") else "raw video"
            line(f"{split.split}: {split.matched} clips with {what}, {split.clips - split.matched} without (pans).")
        if split.note:
            line(f"{split.split}: {split.note}.")
    if problems:
        line(f"\n{_count(len(problems), 'problem')}", "bold")
        listed(problems, _SHOWN_PROBLEMS)
    for warning in inspection.warnings:
        line(f"\nWarning: {warning}.", "bold")
    if strays:
        named = "file has" if len(strays) == 1 else "files have"
        line(f"\n{len(strays)} {named} no official name and {'is' if len(strays) == 1 else 'are'} not read:")
        listed(strays, _SHOWN_STRAYS)
    if inspection.unlabelled:
        line(f"\n{_count(inspection.unlabelled, 'image')} without labels: not used.")
    line()
    if inspection.ok:
        line("Everything that the splits name is there and reads well.", "bold green")
    else:
        line(f"{_count(len(problems), 'problem')}, listed above.", "bold red")


def _table(inspection: Inspection) -> Table:
    tasks = [task.name for task in inspection.suite.tasks]
    video = any(split.before is not None for split in inspection.splits)
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
    table.add_column("split")
    before = ("before, fewest", "before, median") if video else ()
    for name in ("clips", "frames", *before, *(_TARGETS[task] for task in tasks)):
        table.add_column(name, justify="right")
    for split in inspection.splits:
        least, middle = split.before or (0, 0)
        lead = (str(least), f"{middle:g}") if video else ()
        table.add_row(
            split.split, str(split.clips), str(split.frames), *lead, *(str(split.targets[task]) for task in tasks)
        )
    return table


def _also(names: Iterable[str]) -> str:
    rest = ", ".join(names)
    return f"; there are also {rest}" if rest else ""


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
