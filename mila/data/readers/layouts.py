"""Which data set a folder holds, and in which layout: recognised by what lies in it.

| layout                                 | recognised by                                                      |
|----------------------------------------|--------------------------------------------------------------------|
| packed store (`mila.data.packed`)      | `frames.npy` in `train`, `val` or `test`                           |
| NYUd v2, official                      | `nyu_depth_v2_labeled.mat`                                         |
| MTAN's arrays of NYUd v2               | `train/image` or `val/image`, with `label` beside it               |
| MTAN's arrays of Cityscapes            | the same with `label_7` or `label_19`                              |
| Cityscapes, official                   | `gtFine`, `leftImg8bit` or `leftImg8bit_sequence`                  |
| NYUd v2, plain folders                 | any of `rgb`, `depth`, `labels13`, `labels40`, their split files   |

Where a folder holds several of them, the first of this list counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from mila.data.clips import ClipSource
from mila.data.packed import PackedClips, is_packed_store
from mila.data.readers.checks import check_folder
from mila.data.readers.file_names import LABELLED, MTAN_LABELS
from mila.data.readers.nyuv2_raw import has_raw_video
from mila.errors import UserError
from mila.tasks import CITYSCAPES, CITYSCAPES19, CITYSCAPES_METRES, NYUV2, NYUV2_40, SUITES, Suite

ClipMode = Literal["video", "pan", "still"]
"""Where clips come from: the frames before the annotated one, a moving crop of it, or its repetition."""


_CITYSCAPES = ("gtFine", "leftImg8bit_sequence", "leftImg8bit")
_PLAIN = ("rgb", "depth", "labels13", "labels40", "train.txt", "test.txt")


@dataclass(frozen=True)
class Layout:
    """What a folder holds.

    Attributes:
        root: the folder.
        title: data set and layout, for people.
        dataset: which data set: `nyuv2`, `cityscapes`, or the name of one's own.
        suites: the sets of tasks that it has targets for, the default first.
        modes: where its clips can come from, the default first; `video` where there are frames of one.
        splits: those that are there.
        scored: the split that the field reports: of Cityscapes the official val, whose labels are public.
        packed: whether it is a packed store, which training reads as it is.
        reader: opens a split, see `open`.
    """

    root: Path
    title: str
    dataset: str
    suites: tuple[Suite, ...]
    modes: tuple[ClipMode, ...]
    splits: tuple[str, ...]
    scored: str
    packed: bool
    reader: Callable[..., ClipSource]

    def open(
        self,
        split: str,
        *,
        suite: Suite,
        mode: ClipMode,
        height: int,
        width: int,
        limit: int | None = None,
        problems: list[str] | None = None,
    ) -> ClipSource:
        """One split as a `ClipSource`.

        Args:
            split: one of `splits`.
            suite: one of `suites`.
            mode: one of `modes`.
            height: height of frames and targets, pixels.
            width: width of frames and targets, pixels.
            limit: use the first so many items only.
            problems: see `ClipSource`.

        Raises:
            UserError: there is no such suite, mode or split here, or what the reader of the layout finds wrong.
        """
        for what, value, known in (
            ("tasks", suite.name, tuple(s.name for s in self.suites)),
            ("clips of mode", mode, self.modes),
            ("split", split, self.splits),
        ):
            if value not in known:
                remedy = "unpack the data set in full" if what == "split" else "choose one of these"
                has = ", ".join(known)
                raise UserError(f"{self.root} has no {what} {value!r}: {self.title} has {has}; {remedy}.")
        options: dict[str, Any] = {"mode": mode, "height": height, "width": width, "limit": limit, "problems": problems}
        with _reading(self.root):
            return self.reader(self.root, split, suite=suite, **options)


def recognise(root: str | Path) -> Layout:
    """What `root` holds.

    Raises:
        UserError: `root` is no folder, or holds none of the layouts, or none of the splits of its layout.
    """
    root = Path(root)
    with _reading(root):
        check_folder(root, "the folder of a data set")
        layout = _recognise(root)
    if not layout.splits:
        raise UserError(
            f"{root} looks like {layout.title}, but holds no split (train, val or test) of it; unpack it in full."
        )
    return layout


@contextmanager
def _reading(root: Path) -> Iterator[None]:
    """Turns what the file system refuses into a `UserError`."""
    try:
        yield
    except OSError as error:
        raise UserError(
            f"{error.filename or root} cannot be read ({error.strerror or error}); give this user the right to read it."
        ) from error


def _check_links(root: Path) -> None:
    """`UserError` where a folder of a layout, or one in it, is a link to nowhere: its files would be missing."""
    for folder in (root / name for name in (*_CITYSCAPES, "disparity", "camera", "train", "val", "test")):
        for path in (folder, *(sorted(folder.iterdir()) if folder.is_dir() else ())):
            if path.is_symlink() and not path.exists():
                raise UserError(
                    f"{path} is a link to {path.readlink()}, where there is nothing; "
                    "mount or restore it, or remove the link."
                )


def _recognise(root: Path) -> Layout:
    if is_packed_store(root):
        return _packed(root)
    _check_links(root)
    make = partial(Layout, root, packed=False)
    stills: tuple[ClipMode, ...] = ("pan", "still")
    if (root / LABELLED).exists():
        modes = ("video", *stills) if has_raw_video(root) else stills
        suites: tuple[Suite, ...] = (NYUV2, NYUV2_40)
        return make("NYUd v2, official file", "nyuv2", suites, modes, ("train", "test"), "test", reader=_official)
    parts = tuple(part for part in ("train", "val") if (root / part / "image").is_dir())
    if parts:
        names = [name for name, folder in MTAN_LABELS.items() if all((root / part / folder).is_dir() for part in parts)]
        if not names:
            raise UserError(
                f"{root} has MTAN's image folders, but no {', '.join(MTAN_LABELS.values())} beside them; unpack the "
                "archive in full."
            )
        dataset = "nyuv2" if names[0] == "nyuv2" else "cityscapes"
        title = f"MTAN's arrays of {'NYUd v2' if dataset == 'nyuv2' else 'Cityscapes'}"
        suites = tuple(SUITES[name] for name in names if name.startswith(dataset))
        return make(title, dataset, suites, stills, parts, "val", reader=_mtan_tree)
    if any((root / name).is_dir() for name in _CITYSCAPES):
        splits = tuple(split for split in ("train", "val", "test") if (root / "gtFine" / split).is_dir())
        modes = ("video", *stills) if (root / "leftImg8bit_sequence").is_dir() else stills
        suites = (CITYSCAPES, CITYSCAPES_METRES, CITYSCAPES19)
        return make("Cityscapes, official folders", "cityscapes", suites, modes, splits, "val", reader=_cityscapes)
    if any((root / name).exists() for name in _PLAIN):
        return _recognise_plain(root)
    raise UserError(
        f"{root} holds no data set that is known here: no packed store, no {LABELLED}, none of MTAN's train/image and "
        f"val/image, and none of {', '.join((*_CITYSCAPES, *_PLAIN))}; correct the path or unpack the data set."
    )


def _recognise_plain(root: Path) -> Layout:
    from mila.data.readers.plain_files import SPLITS, check_kinds, has_video, suites_in

    check_kinds(root)
    splits = tuple(split for split in SPLITS if (root / f"{split}.txt").is_file())
    suites = suites_in(root) or (NYUV2,)  # without targets, its reader says what is missing
    stills: tuple[ClipMode, ...] = ("pan", "still")
    modes = ("video", *stills) if has_video(root, splits) else stills
    return Layout(root, "NYUd v2, plain folders", "nyuv2", suites, modes, splits, "test", False, reader=_plain)


def _packed(root: Path) -> Layout:
    splits = tuple(split for split in ("train", "val", "test") if (root / split).is_dir())
    first = PackedClips(root / splits[0])
    about = first.manifest()
    own = "file" in about  # a data set of one's own, see `mila.data.own_clips`
    dataset = about["dataset"] if own else "nyuv2" if first.suite.name.startswith("nyuv2") else "cityscapes"
    scored = "val" if "val" in splits and not (dataset == "nyuv2" and "test" in splits) else "test"
    scored = about["scored"] if own else scored
    title = f"packed store of {dataset if own else 'NYUd v2' if dataset == 'nyuv2' else 'Cityscapes'}"
    mode: Any = first.mode
    return Layout(root, title, dataset, (first.suite,), (mode,), splits, scored, True, reader=_open_packed)


# Readers are imported when they open something: each brings libraries that no other data set needs.


def _official(root: Path, split: Any, *, suite: Suite, **options: Any) -> ClipSource:
    from mila.data.readers.nyuv2_official import NYUv2Official

    return NYUv2Official(root, split, classes=40 if suite == NYUV2_40 else 13, **options)


def _plain(root: Path, split: Any, *, suite: Suite, **options: Any) -> ClipSource:
    from mila.data.readers.nyuv2_folders import NYUv2Folders

    classes: Any = 40 if suite.name.startswith(NYUV2_40.name) else 13
    return NYUv2Folders(root, split, classes=classes, tasks=[task.name for task in suite.tasks], **options)


def _mtan_tree(root: Path, split: Any, **options: Any) -> ClipSource:
    from mila.data.readers.mtan_trees import MTANTree

    return MTANTree(root, split, **options)


def _cityscapes(root: Path, split: Any, *, suite: Suite, **options: Any) -> ClipSource:
    from mila.data.readers.cityscapes import Cityscapes

    depth: Any = "metres" if suite == CITYSCAPES_METRES else "disparity"
    return Cityscapes(root, split, classes=19 if suite == CITYSCAPES19 else 7, depth=depth, **options)


def _open_packed(
    root: Path,
    split: str,
    *,
    suite: Suite,
    mode: str,
    height: int,
    width: int,
    limit: int | None,
    problems: Any,  # noqa: ARG001
) -> ClipSource:
    clips = PackedClips(root / split, limit=limit)
    if clips.suite != suite or clips.mode != mode:
        raise UserError(
            f"{root / split} has {clips.suite.name} in mode {clips.mode}, unlike the other splits beside it."
        )
    if (clips.height, clips.width) != (height, width):
        raise UserError(
            f"{root / split} was prepared at {clips.height} x {clips.width} pixels (height x width), but "
            f"{height} x {width} are wanted; prepare the data set at that size, or choose a profile of the store's."
        )
    return clips
