"""What a data set's folder holds, and what in it is missing or broken: every file is read once.

The check is that of the readers themselves: what a split lacks is what its reader leaves out, and an item is in order
where its longest clip can be read (`mila.data.tools.read_through`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from rich import box
from rich.console import Console
from rich.table import Table

from mila.common.types import Progress
from mila.data.clips import ClipSource
from mila.data.packed import PackedClips
from mila.data.readers.cityscapes_files import FRAMES_TO_ANNOTATION
from mila.data.readers.file_names import OF_TITLE, FileNames, Survey
from mila.data.readers.images import check_options
from mila.data.readers.layouts import ClipMode, Layout, recognise
from mila.data.readers.nyuv2_official import NYUv2Official
from mila.data.readers.stills import check_length
from mila.data.tools.read_through import Reader
from mila.errors import UserError
from mila.tasks import Suite

_SHOWN_PROBLEMS = 50
_SHOWN_STRAYS = 10
_TARGETS = {"segmentation": "labels", "depth": "depth", "normals": "normals"}


@dataclass(frozen=True)
class SplitInspection:
    """What one split holds; the items of which something is missing are left out.

    Attributes:
        split: its name.
        clips: how many, which is how many annotated frames.
        frames: different frames that the clips can use.
        before: how many frames there are before the annotated one, the fewest of a clip and the median; None where
            clips are made of the annotated frame alone.
        targets: clips with a target, by task.
        matched: of NYUd v2's raw video, how many clips have their raw file; None for other data.
    """

    split: str
    clips: int
    frames: int
    before: tuple[int, float] | None
    targets: Mapping[str, int]
    matched: int | None = None


@dataclass(frozen=True)
class Inspection:
    """What `inspect` found.

    Attributes:
        layout: what the folder holds.
        suite: the tasks that it was read for.
        mode: where the clips came from.
        height, width: of the frames and targets that were made, pixels.
        length: frames that every clip must have.
        splits: those that could be opened.
        problems: a sentence for each thing that is missing or broken: which file, and what to do.
        strays: files without an official name in the layout's folders, by their path below `layout.root`.
        unlabelled: images that could be annotated and have no labels.
    """

    layout: Layout
    suite: Suite
    mode: ClipMode
    height: int
    width: int
    length: int
    splits: tuple[SplitInspection, ...]
    problems: tuple[str, ...]
    strays: tuple[str, ...] = ()
    unlabelled: int = 0

    @property
    def ok(self) -> bool:
        """Whether everything that the splits name is there and reads well."""
        return not self.problems


def inspect(
    root: str | Path,
    *,
    suite: Suite | None = None,
    mode: ClipMode | None = None,
    height: int | None = None,
    width: int | None = None,
    length: int | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Inspection:
    """Recognise the data set in `root` and read all of it.

    Args:
        root: the folder.
        suite: the tasks to read; by default the first that the layout has targets for.
        mode: where clips come from; by default the first that the layout has.
        height: height of frames and targets, pixels; by default the paper's for the suite, or the packed store's.
        width: width likewise.
        length: frames that every clip must have; by default those of a Cityscapes snippet up to its annotated frame,
            and 1 for other data.
        workers: processes; by default one a core.
        progress: told (items done, items in all).

    Raises:
        UserError: `root` is no data set that is known, or has no such tasks or mode; an argument makes no sense; a
            worker died. What is wrong with the data set itself is in `Inspection.problems`.
    """
    layout = recognise(root)
    suite, mode = suite or layout.suites[0], mode or layout.modes[0]
    like = PackedClips(layout.root / layout.splits[0]) if layout.packed else suite
    height = like.height if height is None else height
    width = like.width if width is None else width
    check_options(mode, layout.modes, height, width, None)
    if suite not in layout.suites:
        known = ", ".join(known.name for known in layout.suites)
        raise UserError(f"{layout.root} ({layout.title}) has no tasks {suite.name!r}; choose one of {known}.")
    if workers is not None and workers < 1:
        raise UserError(f"Reading with {workers} processes is not possible; give 1 or more.")
    video = mode == "video" and not layout.packed
    if length is None:
        length = FRAMES_TO_ANNOTATION if video and layout.dataset == "cityscapes" else 1
    check_length(length)

    problems: list[str] = []
    sources: dict[str, ClipSource] = {}
    for split in layout.splits:
        try:
            source = layout.open(split, suite=suite, mode=mode, height=height, width=width, problems=problems)
            source.check(length, problems)
        except UserError as error:
            problems.append(str(error))
        else:
            sources[split] = source
    if layout.packed:
        splits = tuple(_packed_split(split, source) for split, source in sources.items())
        problems += _verify(list(sources.values()), progress)
        return Inspection(layout, suite, mode, height, width, length, splits, tuple(problems))

    names, survey = OF_TITLE[layout.title], Survey((), 0)
    splits = tuple(_split(split, source, layout.root, names, video=video) for split, source in sources.items())
    problems += Reader(tuple(sources.values()), layout.root, names, video).read_all(workers, progress)
    try:
        survey = names.survey(layout.root)
    except UserError as error:
        problems.append(str(error))
    problems = list(dict.fromkeys(problems))
    strays = tuple(stray for stray in survey.strays if not _is_told(layout.root / stray, problems))
    return Inspection(layout, suite, mode, height, width, length, splits, tuple(problems), strays, survey.unlabelled)


def _is_told(path: Path, problems: Sequence[str]) -> bool:
    return any(sentence.startswith(f"{path} ") for sentence in problems)


def _split(split: str, source: ClipSource, root: Path, names: FileNames, *, video: bool) -> SplitInspection:
    frames: set[Path] = set()
    before: list[int] = []
    targets: dict[str, int] = dict.fromkeys((task.name for task in source.suite.tasks), 0)
    without = 0
    for index in range(len(source)):
        contents = [(path, names.holds(root, path)) for path in source.files(index)]
        images = [path for path, holds in contents if "frame" in holds]
        frames.update(images)
        before.append(max(len(images) - 1, 0))
        without += not images  # the annotated frame lies in one file with those of other items
        for task in targets:
            targets[task] += any(task in holds for _, holds in contents)
    return SplitInspection(
        split,
        clips=len(source),
        frames=len(frames) + without,
        before=(min(before), median(before)) if video else None,
        targets=targets,
        matched=len(source) - without if video and isinstance(source, NYUv2Official) else None,
    )


def _packed_split(split: str, source: ClipSource) -> SplitInspection:
    assert isinstance(source, PackedClips)
    clips, before = len(source), source.length - 1
    targets = source.manifest().get("targets") or {task.name: clips for task in source.suite.tasks}
    return SplitInspection(split, clips, clips * source.length, (before, before), targets)


def _verify(sources: Sequence[ClipSource], progress: Progress | None) -> list[str]:
    """What is damaged in the packed splits."""
    total, before, damaged = sum(map(len, sources)), 0, list[str]()
    for source in sources:
        assert isinstance(source, PackedClips)

        def tell(done: int, _: int, before: int = before) -> None:
            if progress is not None:
                progress(before + done, total)

        damaged += source.verify(tell)
        before += len(source)
    return damaged


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
            line(f"{split.split}: {split.matched} clips with raw video, {split.clips - split.matched} without (pans).")
    if problems:
        line(f"\n{_count(len(problems), 'problem')}", "bold")
        listed(problems, _SHOWN_PROBLEMS)
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
