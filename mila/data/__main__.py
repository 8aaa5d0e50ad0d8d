"""The data sets' command line: prepare them, inspect them, make one.

python -m mila.data prepare ROOT STORE      pack a data set, whatever its layout, for training
python -m mila.data inspect ROOT            what is there, what is missing or broken, and a contact sheet
python -m mila.data export street FOLDER    an embedded world in a data set's official layout

The first two take a data set of one's own with --data FILE.py.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.filesize import decimal

from mila.common.arguments import given_path
from mila.common.console import exit_code_of, make_console
from mila.common.files import free_space
from mila.common.progress import progress_bar
from mila.errors import UserError

if TYPE_CHECKING:  # each command imports what it needs, `--help` nothing
    from rich.console import Console

    from mila.data.clips import ClipSource
    from mila.data.readers.layouts import ClipMode, Layout
    from mila.data.worlds.rendering import Split
    from mila.tasks import Suite

_MODES = ("video", "pan", "still")

_ABOUT_MODES = {
    "video": "frames of a video",
    "pan": "single images, made into clips by a moving crop",
    "still": "single images, repeated",
}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m mila.data", description="Prepare, look through or make data sets.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    prepare = commands.add_parser("prepare", help="pack a data set for training; interrupted, the same command goes on")
    prepare.add_argument(
        "root", metavar="ROOT", type=given_path, help="the data set's folder; its layout is recognised"
    )
    prepare.add_argument("store", metavar="STORE", type=given_path, help="where the packed store goes")
    prepare.add_argument(
        "--length",
        metavar="N",
        type=int,
        default=6,
        help="frames a clip (default: 6, for a keyframe interval of 5 and the frame before; 11 for an interval of 10)",
    )
    prepare.add_argument("--splits", metavar="NAME", nargs="+", help="these splits alone (default: train and scored)")
    prepare.add_argument("--limit", metavar="N", type=int, help="the first so many clips of each split")

    about = "say what is there and what is missing or broken; exit code 1 if it is"
    inspect = commands.add_parser("inspect", help=about)
    inspect.add_argument("root", metavar="ROOT", type=given_path, help="the folder of a data set, or of a packed store")
    inspect.add_argument(
        "--sheet",
        metavar="PNG",
        type=given_path,
        help="contact sheets, as PNG-SPLIT.png (default: results/inspect/NAME/contact-sheet.png, NAME of the folder)",
    )
    inspect.add_argument("--no-sheet", action="store_true", help="draw none")
    inspect.add_argument("--all", action="store_true", help="list every problem, however many")

    for command in (prepare, inspect):
        text = "a data set of your own, in a Python file (docs/add_a_data_set.md)"
        command.add_argument("--data", metavar="FILE", type=given_path, help=text)
        command.add_argument("--suite", metavar="NAME", help="which tasks, where there are several")
        command.add_argument("--mode", choices=_MODES, help="where clips come from (default: video where there is any)")
        command.add_argument("--height", metavar="N", type=int, help="of the frames, pixels (default: the paper's)")
        command.add_argument("--width", metavar="N", type=int, help="of the frames, pixels (default: the paper's)")
        command.add_argument("--jobs", metavar="N", type=int, help="processes (default: one a core)")

    export = commands.add_parser("export", help="write an embedded world in a data set's official layout")
    export.add_argument("world", choices=("street", "rooms"), help="street: Cityscapes; rooms: NYUd v2 with raw video")
    export.add_argument("folder", metavar="FOLDER", type=given_path, help="where it goes")
    export.add_argument("--train", metavar="N", type=int, default=8, help="clips to train on (default: 8)")
    export.add_argument("--test", metavar="N", type=int, default=4, help="clips to score on (default: 4)")
    export.add_argument("--height", metavar="N", type=int, help="of the images, pixels (default: the data set's)")
    export.add_argument("--width", metavar="N", type=int, help="of the images, pixels (default: the data set's)")
    return parser


def main(words: list[str] | None = None) -> int:
    """Run the command line; returns the exit code: 0 well, 1 problems found, 2 bad input, 130 interrupted."""
    console = make_console()
    options = _parser().parse_args(words)
    command = {"prepare": _prepare, "inspect": _inspect, "export": _export}[options.command]
    return exit_code_of(lambda: command(options, console))


def _prepare(options: argparse.Namespace, console: Console) -> int:
    from mila.data.prepare import pack

    layout = _layout(options)
    if layout.packed:
        raise UserError(f"{options.root} is a packed store already; train from it, or prepare the data set itself.")
    _check_jobs(options.jobs)
    suite, mode, height, width = _choice(options, layout)
    splits = options.splits or [split for split in layout.splits if split in ("train", layout.scored)]
    sources = {
        split: layout.open(split, suite=suite, mode=mode, height=height, width=width, limit=options.limit)
        for split in splits
    }
    for source in sources.values():
        source.check(options.length)
    _check_store(options.store)
    for warning in (text for source in sources.values() for text in source.manifest().get("warnings", ())):
        console.print(f"Warning: {warning}.", markup=False)
    console.print(f"{options.root}: {layout.title}; {suite.name}; {_ABOUT_MODES[mode]}.", markup=False)
    missing = _print_space(sources, options.length, options.store, console)
    free = free_space(options.store)
    console.print(f"{decimal(missing)} are needed in {options.store}, {decimal(free)} are free.", markup=False)
    if missing > free:
        raise UserError(
            f"{options.store} needs {decimal(missing)}, but the disk has {decimal(free)} free; free some space, "
            "or choose another folder, shorter clips (--length) or smaller frames."
        )
    for split, source in sources.items():
        with progress_bar(f"{split}", console) as progress:
            pack(
                source,
                options.length,
                options.store / split,
                progress,
                workers=options.jobs,
                on_wait=lambda: console.print("another process prepares the same; waiting for it."),
            )
    data = "" if options.data is None else f", with --data {options.data}"
    console.print(f"{options.store} is ready: give it to experiments/run.py as --data-root{data}.", markup=False)
    return 0


def _inspect(options: argparse.Namespace, console: Console) -> int:
    from mila.data.tools.contact_sheet import contact_sheet
    from mila.data.tools.inspection import inspect
    from mila.data.tools.inspection_report import print_inspection

    _check_jobs(options.jobs)
    layout = _layout(options)
    suite, mode, _, _ = _choice(options, layout)
    reading: dict[str, Any] = {"suite": suite, "mode": mode, "height": options.height, "width": options.width}
    with progress_bar("reading", console) as progress:
        found = inspect(layout, **reading, workers=options.jobs, progress=progress)
    print_inspection(found, console, every=options.all)
    reading |= {"height": found.height, "width": found.width}
    for split in () if options.no_sheet else (split.split for split in found.splits):
        source = layout.open(split, **reading, problems=[])
        path = options.sheet or Path("results", "inspect", options.root.resolve().name, "contact-sheet.png")
        path = path.with_name(f"{path.stem}-{split}{path.suffix or '.png'}")
        contact_sheet(source, path, title=f"{layout.title}, {split}")
        console.print(f"contact sheet: {path.resolve()}", markup=False)
    return 0 if found.ok else 1


def _export(options: argparse.Namespace, console: Console) -> int:
    from mila.data.tools.export import export_rooms, export_street

    size = {name: value for name in ("height", "width") if (value := getattr(options, name)) is not None}
    about = f"{options.train} clips to train on and {options.test} to score on"
    console.print(f"{options.world}: {about} go into {options.folder}.", markup=False)
    if options.world == "street":
        # Cityscapes is scored on its val split; its test labels are not public
        splits: dict[Split, int] = {"train": options.train, "val": options.test}
        for split, clips in splits.items():
            with progress_bar(f"{split}, frames", console) as progress:
                export_street(options.folder, split, clips, **size, progress=progress)
    else:
        with progress_bar("rooms, frames", console) as progress:
            export_rooms(options.folder, train=options.train, test=options.test, **size, progress=progress)
    console.print(f"{options.folder} is ready; it is synthetic: never mix it with the real data set.", markup=False)
    return 0


def _layout(options: argparse.Namespace) -> Layout:
    """What the folder holds: recognised by itself, or what the user's file says of it."""
    if options.data is None:
        from mila.data.readers.layouts import recognise

        return recognise(options.root)
    from mila.data.own import own_layout

    return own_layout(options.data, options.root)


def _choice(options: argparse.Namespace, layout: Layout) -> tuple[Suite, ClipMode, int, int]:
    """Tasks, mode and size: as asked, or the layout's first and the paper's."""
    suites = {suite.name: suite for suite in layout.suites}
    name = next(iter(suites)) if options.suite is None else options.suite
    if name not in suites:
        raise UserError(f"{options.root} ({layout.title}) has no tasks {name!r}; choose one of {', '.join(suites)}.")
    suite, mode = suites[name], options.mode or layout.modes[0]
    if mode not in layout.modes:
        raise UserError(
            f"{options.root} ({layout.title}) has no clips of mode {mode!r}; choose one of {', '.join(layout.modes)}."
        )
    height = suite.height if options.height is None else options.height
    width = suite.width if options.width is None else options.width
    return suite, mode, height, width


def _check_jobs(jobs: int | None) -> None:
    if jobs is not None and jobs < 1:
        raise UserError("--jobs takes a number from 1 up.")


def _check_store(store: Path) -> None:
    """`UserError` where `store` holds what no `prepare` left there."""
    splits = ("train", "val", "test")
    try:
        entries = [path for path in store.iterdir() if not path.name.startswith(".")] if store.exists() else []
        strange = [path for path in entries if path.name not in splits]
        strange += [path for path in entries if path.name in splits and any(path.iterdir()) and not _is_ours(path)]
    except OSError as error:
        raise UserError(f"{store} cannot be used ({error.strerror or error}); choose another folder.") from error
    if strange:
        raise UserError(f"{store} holds {strange[0].name}, which is no packed split; choose an empty or a new folder.")


def _is_ours(path: Path) -> bool:
    return (path / ".lock").exists() or (path / "manifest.json").exists()


def _print_space(sources: dict[str, ClipSource], length: int, store: Path, console: Console) -> int:
    """A table of what will be written; returns the bytes that are not taken on the disk yet."""
    from rich.table import Table

    from mila.data.prepare import space_needed

    table = Table("split", "clips", "frames a clip", "height x width", "space", "of it frames", box=None)
    missing = 0
    for split, source in sources.items():
        needed = space_needed(source, length)
        total = sum(needed.values())
        if not (store / split / "manifest.json").exists():
            taken = sum(path.stat().st_size for path in (store / split).glob("*.npy"))
            missing += max(total - taken, 0)
        table.add_row(
            split,
            str(len(source)),
            str(length),
            f"{source.height} x {source.width}",
            decimal(total),
            decimal(needed["frames"]),
        )
    console.print(table)
    return missing


if __name__ == "__main__":
    sys.exit(main())
