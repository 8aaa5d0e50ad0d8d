"""What a data set's folder holds, and what in it is missing or broken: every file is read once.

The check is that of the readers themselves: what a split lacks is what its reader leaves out, and an item is in order
where its longest clip can be read (`mila.data.tools.integrity`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from mila.common.types import Progress
from mila.data.clips import ClipSource
from mila.data.packed import PackedClips
from mila.data.readers.checks import check_length, check_options
from mila.data.readers.cityscapes_files import FRAMES_TO_ANNOTATION
from mila.data.readers.file_names import BY_TITLE, FileNames, Survey
from mila.data.readers.layouts import ClipMode, Layout, recognise
from mila.data.readers.nyuv2_folders import NYUv2Folders
from mila.data.readers.nyuv2_official import NYUv2Official
from mila.data.tools.integrity import IntegrityCheck
from mila.errors import UserError
from mila.tasks import Suite

_OWN = 6
"""Frames of a clip of one's own data: what `prepare` packs, for a keyframe interval of 5."""


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
        matched: of NYUd v2's raw video, how many clips have their raw file, of plain folders how many have frames
            before; None for other data.
        note: what the manifest of one's own data says of them.
    """

    split: str
    clips: int
    frames: int
    before: tuple[int, float] | None
    targets: Mapping[str, int]
    matched: int | None = None
    note: str = ""


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
        warnings: what may be wrong with a split as a whole, as its manifest says.
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
    warnings: tuple[str, ...] = ()
    strays: tuple[str, ...] = ()
    unlabelled: int = 0

    @property
    def ok(self) -> bool:
        """Whether everything that the splits name is there and reads well."""
        return not self.problems


def inspect(
    root: str | Path | Layout,
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
        root: the folder, or what it holds where that is not to be recognised: a data set of one's own.
        suite: the tasks to read; by default the first that the layout has targets for.
        mode: where clips come from; by default the first that the layout has.
        height: height of frames and targets, pixels; by default the paper's for the suite, or the packed store's.
        width: width likewise.
        length: frames that every clip must have; by default those of a Cityscapes snippet up to its annotated frame,
            of a data set of one's own as many as there are up to `_OWN`, and 1 for other data.
        workers: processes; by default one a core.
        progress: called with (items done, items in all).

    Raises:
        UserError: `root` is no data set that is known, or has no such tasks or mode; an argument makes no sense; a
            worker died. What is wrong with the data set itself is in `Inspection.problems`.
    """
    layout = root if isinstance(root, Layout) else recognise(root)
    suite, mode = suite or layout.suites[0], mode or layout.modes[0]
    like = PackedClips(layout.root / layout.splits[0]) if layout.packed else suite
    height = like.height if height is None else height
    width = like.width if width is None else width
    check_options(mode, layout.modes, height, width, None)
    _check_suite(layout, suite)
    _check_workers(workers)
    video = mode == "video" and not layout.packed
    names = BY_TITLE.get(layout.title)  # none of a data set of one's own, or of a packed store
    reading: dict[str, Any] = {"suite": suite, "mode": mode, "height": height, "width": width}
    length = _usual_length(layout, reading) if length is None else length
    check_length(length)

    problems: list[str] = []
    sources = _open_splits(layout, length, problems, **reading)
    survey = Survey((), 0)
    if layout.packed:
        splits = tuple(_packed_split(split, source) for split, source in _packed(sources).items())
        problems += _verify(_packed(sources).values(), progress)
    elif names is None:
        splits = tuple(_own_split(split, source, length) for split, source in sources.items())
        check = IntegrityCheck(tuple(sources.values()), layout.root, length=length)
        problems = list(dict.fromkeys([*problems, *check.read_all(workers, progress)]))
    else:
        splits = tuple(_split(split, source, layout.root, names, video=video) for split, source in sources.items())
        problems += IntegrityCheck(tuple(sources.values()), layout.root, names, video=video).read_all(workers, progress)
        survey = _survey(names, layout.root, problems)
        problems = list(dict.fromkeys(problems))
    strays = tuple(stray for stray in survey.strays if not _is_reported(layout.root / stray, problems))
    found = (splits, tuple(problems), tuple(_warnings(sources.values())), strays, _unlabelled(survey, sources))
    return Inspection(layout, suite, mode, height, width, length, *found)


def _check_suite(layout: Layout, suite: Suite) -> None:
    if suite not in layout.suites:
        known = ", ".join(known.name for known in layout.suites)
        raise UserError(f"{layout.root} ({layout.title}) has no tasks {suite.name!r}; choose one of {known}.")


def _warnings(sources: Iterable[ClipSource]) -> dict[str, None]:
    """What the manifests warn of; a file that cannot be read for them is a problem already."""
    found: dict[str, None] = {}
    for source in sources:
        found.update(dict.fromkeys(_manifest(source).get("warnings", ())))
    return found


def _manifest(source: ClipSource) -> dict[str, Any]:
    with suppress(UserError):
        return source.manifest()
    return {}


def _survey(names: FileNames, root: Path, problems: list[str]) -> Survey:
    try:
        return names.survey(root)
    except UserError as error:
        problems.append(str(error))
    return Survey((), 0)


def _usual_length(layout: Layout, reading: dict[str, Any]) -> int:
    """Of one's own data the most frames up to `_OWN` that every split has clips of; for others see `inspect`."""
    if layout.packed or layout.title in BY_TITLE:
        is_snippet = layout.dataset == "cityscapes" and reading["mode"] == "video" and not layout.packed
        return FRAMES_TO_ANNOTATION if is_snippet else 1
    for length in range(_OWN, 1, -1):
        lacking: list[str] = []
        with suppress(UserError):
            for split in layout.splits:
                layout.open(split, **reading, problems=[]).check(length, lacking)
            if not lacking:
                return length
    return 1


def _check_workers(workers: int | None) -> None:
    if workers is not None and workers < 1:
        raise UserError(f"Reading with {workers} processes is not possible; give 1 or more.")


def _open_splits(layout: Layout, length: int, problems: list[str], **options: Any) -> dict[str, ClipSource]:
    """The splits that can be opened, by name; what is wrong with them goes to `problems`."""
    sources: dict[str, ClipSource] = {}
    for split in layout.splits:
        try:
            source = layout.open(split, **options, problems=problems)
            source.check(length, problems)
        except UserError as error:
            problems.append(str(error))
        else:
            sources[split] = source
    return sources


def _unlabelled(survey: Survey, sources: Mapping[str, ClipSource]) -> int:
    """Images that could be annotated and have no labels; frames of a video are none."""
    plain = [source for source in sources.values() if isinstance(source, NYUv2Folders)]
    is_video = any(source.mode == "video" for source in plain)
    return 0 if is_video or any(s.suite.tasks[0].name != "segmentation" for s in plain) else survey.unlabelled


def _is_reported(path: Path, problems: Sequence[str]) -> bool:
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
        matched=_matched(source, without) if video else None,
    )


def _matched(source: ClipSource, without: int) -> int | None:
    if isinstance(source, NYUv2Official):
        return len(source) - without
    return source.videos() if isinstance(source, NYUv2Folders) else None


def _packed(sources: Mapping[str, ClipSource]) -> dict[str, PackedClips]:
    return {split: source for split, source in sources.items() if isinstance(source, PackedClips)}


def _packed_split(split: str, source: PackedClips) -> SplitInspection:
    before = source.length - 1
    return SplitInspection(split, len(source), len(source) * source.length, (before, before), _targets(source))


def _own_split(split: str, source: ClipSource, length: int) -> SplitInspection:
    note = str(_manifest(source).get("note", ""))
    return SplitInspection(split, len(source), len(source) * length, None, _targets(source), note=note)


def _targets(source: ClipSource) -> dict[str, int]:
    """Clips with a target, by task: as the manifest says, or all."""
    said = _manifest(source).get("targets")
    counts = said if isinstance(said, dict) else {}
    return {task.name: int(counts.get(task.name, len(source))) for task in source.suite.tasks}


def _verify(sources: Collection[PackedClips], progress: Progress | None) -> list[str]:
    """What is damaged in the packed splits."""
    total, before, damaged = sum(map(len, sources)), 0, list[str]()
    for source in sources:

        def split_progress(done: int, _: int, before: int = before) -> None:
            if progress is not None:
                progress(before + done, total)

        damaged += source.verify(split_progress)
        before += len(source)
    return damaged
