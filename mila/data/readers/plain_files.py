"""Which files of a plain folder belong together: an image that a split lists, the frames before it, and its targets."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from mila.common.files import read_text
from mila.data.readers.checks import report_problem
from mila.data.readers.numbered_images import NumberedImages, is_number
from mila.data.readers.nyuv2_normals import FOLDER, GivenNormals
from mila.errors import UserError
from mila.tasks import NYUV2, NYUV2_40, Suite, subset

SPLITS = ("train", "val", "test")
"""Those that a file `NAME.txt` lists; of `val` there may be none."""

LABELS = {"labels13": NYUV2, "labels40": NYUV2_40}
"""Folders of labels, and the tasks with their classes."""


@dataclass(frozen=True)
class Item:
    """An annotated image.

    Attributes:
        name: below `rgb`, without ending.
        rgb: the image.
        before: the frames of its video before it, the oldest first.
        labels, depth, normals: its targets, those that are wanted.
    """

    name: str
    rgb: Path
    before: tuple[Path, ...] = ()
    labels: Path | None = None
    depth: Path | None = None
    normals: Path | None = None

    @property
    def targets(self) -> list[Path]:
        """Files of its targets."""
        return [path for path in (self.labels, self.depth, self.normals) if path is not None]


class PlainFiles:
    """The files of a plain folder.

    Args:
        root: the folder.
        labels: name of the folder of labels; None without any.
        depth: whether depth is wanted.
        normals: whether given normals are.
        video: whether frames before the images are.
    """

    def __init__(self, root: Path, *, labels: str | None, depth: bool, normals: GivenNormals, video: bool) -> None:
        self._root, self._video, self._given = root, video, normals
        self._rgb = images_of(root)
        self._labels = None if labels is None else NumberedImages(root / labels, (".png",))
        self._depth = NumberedImages(root / "depth", (".png",)) if depth else None

    def items(self, split: str, limit: int | None, problems: list[str] | None) -> list[Item]:
        """The items that a split lists and whose files are all there.

        Raises:
            UserError: there is no such list, it lists nothing, or a file is missing and there are no `problems`.
        """
        listed = self._root / f"{split}.txt"
        images = listed_images(listed, self._rgb, problems)[:limit]
        found: list[Item] = []
        missing: list[Path] = []
        for image in images:
            try:
                item = self._item(image)
            except UserError as error:
                report_problem(str(error), problems)
                continue
            lacks = [path for path in (item.rgb, *item.targets) if not path.is_file()]
            missing += lacks
            if not lacks:
                found.append(item)
        why = f"does not exist, but {listed.name} lists it; restore the file or remove its number."
        if missing and problems is None:
            others = f" (and {len(missing) - 1} others)" if len(missing) > 1 else ""
            raise UserError(f"{missing[0]}{others} {why}")
        for path in missing:
            report_problem(f"{path} {why}", problems)
        if not found:
            raise UserError(f"{listed} lists no image that is complete; unpack the data set in full.")
        return found

    def shared(self, split: str, items: Sequence[Item]) -> dict[str, list[str]]:
        """Names of the items that other splits list as well, by split."""
        others = {other: set(_listed(self._root, other, self._rgb)) for other in SPLITS if other != split}
        found = {other: [item.name for item in items if item.rgb in there] for other, there in others.items()}
        return {other: names for other, names in found.items() if names}

    def _item(self, image: Path) -> Item:
        name = self._rgb.name_of(image)
        return Item(
            name,
            image,
            self._rgb.before(image) if self._video else (),
            None if self._labels is None else self._labels.find(name),
            None if self._depth is None else self._depth.find(name),
            self._given.find(name),
        )


_LONGEST = 200
"""Characters of what a line of a split may name: file systems have a limit."""


def images_of(root: Path) -> NumberedImages:
    """The colour images of a plain folder."""
    return NumberedImages(root / "rgb", (".jpg", ".png"))


def listed_images(path: Path, rgb: NumberedImages, problems: list[str] | None) -> list[Path]:
    """The images that a split's file lists, there or not, each once.

    Raises:
        UserError: it cannot be read, lists nothing, or something else than images and there are no `problems`.
    """
    found: dict[Path, None] = {}
    for number, text in _lines(path):
        where = f"{path}, line {number}"
        try:
            image = _image(text, rgb) if len(text) <= _LONGEST else None
        except UserError as error:
            report_problem(str(error), problems)
            continue
        if image is None:
            report_problem(f"{where}: {text[:40]!r} is no image number; write one number a line.", problems)
        elif image in found:
            report_problem(f"{where}: image {text} is listed twice; remove one of the two lines.", problems)
        else:
            found[image] = None
    if not found:
        raise UserError(f"{path} lists no image; it must list the split's image numbers, one a line.")
    return list(found)


def _listed(root: Path, split: str, rgb: NumberedImages) -> list[Path]:
    """The images of a split as far as its list is right; none where there is no list. What reads it says the rest."""
    with suppress(UserError):
        return listed_images(root / f"{split}.txt", rgb, [])
    return []


def _image(text: str, rgb: NumberedImages) -> Path | None:
    """What `NNN`, `CLIP/NNN` or `CLIP` (its last frame) means; None for anything else."""
    clip, _, number = text.rpartition("/")
    if rgb.is_clip(text):
        if is_number(text) and rgb.find(text).is_file():
            raise UserError(f"{rgb.folder} holds {rgb.find(text).name} and the folder {text}; rename one of the two.")
        last = rgb.last(text)
        if last is None:
            raise UserError(
                f"{rgb.folder / text} holds no image NNN.jpg or NNN.png, but is listed as a clip; add its frames."
            )
        return last
    return rgb.find(text) if is_number(number) and (not clip or rgb.is_clip(clip)) else None


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    try:
        lines = read_text(path).splitlines()
    except FileNotFoundError as error:
        raise UserError(f"{path} does not exist; it must list the split's image numbers, one a line.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read ({error}); it must list image numbers, one a line.") from error
    yield from ((number, line.strip()) for number, line in enumerate(lines, 1) if line.strip())


def has_video(root: Path, splits: Collection[str]) -> bool:
    """Whether there are frames before the images that the splits list.

    A folder a clip holds a video. Images side by side in `rgb` may be single ones (all of NYUd v2's are): they are
    frames of a video where the one just before a listed one is listed nowhere and has no labels.
    """
    rgb = images_of(root)
    listed = [image for split in splits for image in _listed(root, split, rgb)]
    known = set(listed)
    labels = [NumberedImages(root / name, (".png",)) for name in LABELS if (root / name).is_dir()]

    def is_frame(image: Path) -> bool:
        name = rgb.name_of(image)
        return "/" in name or (image not in known and not any(each.find(name).is_file() for each in labels))

    with suppress(UserError):
        return any(is_frame(rgb.before(image)[-1]) for image in listed if image.is_file() and rgb.before(image))
    return False


def check_kinds(root: Path) -> None:
    """`UserError` where something else lies in the place of a folder or a split's list, such as a link to nowhere."""
    folders, lists = [root / name for name in ("rgb", "depth", FOLDER, *LABELS)], [root / f"{s}.txt" for s in SPLITS]
    for path, is_right in [(p, p.is_dir()) for p in folders] + [(p, p.is_file()) for p in lists]:
        if os.path.lexists(path) and not is_right:
            kind = "folder" if path in folders else "file"
            what = f"a link to {path.readlink()}, where there is none" if path.is_symlink() else f"no {kind}"
            raise UserError(f"{path} is {what}; a {kind} is expected there: mount or restore it, or remove the name.")


def suites_in(root: Path) -> tuple[Suite, ...]:
    """The sets of tasks that a plain folder has images for, the default first; none where it has no targets.

    All tasks of `NYUV2` and `NYUV2_40`, or those of them that have a folder, under a name that says so.
    """
    labels, depth = [name for name in LABELS if (root / name).is_dir()], (root / "depth").is_dir()
    has = {"segmentation": bool(labels), "depth": depth, "normals": depth or GivenNormals(root).exist}
    tasks = [name for name, there in has.items() if there]
    bases = [LABELS[name] for name in labels] or [NYUV2]
    return tuple(subset(base, tasks) for base in bases) if tasks else ()
