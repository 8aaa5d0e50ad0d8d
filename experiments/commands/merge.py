"""Write the records of several files, of other parts or seeds of one profile, into one for `--from-records`.

python -m experiments.commands.merge A.tar.xz B.tar.xz --out C.tar.xz
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rich.console import Console

from experiments.shipped.merge import merge
from mila.common.arguments import given_path
from mila.common.console import exit_code_of, make_console
from mila.errors import UserError


def main(words: list[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    console = make_console()
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "files", metavar="FILE", type=given_path, nargs="+", help="of records, as --minutes and ship write them"
    )
    parser.add_argument("--out", metavar="FILE", type=given_path, required=True, help="the file that is written")
    options = parser.parse_args(words)
    return exit_code_of(lambda: _merge(options.files, options.out, console))


def _merge(files: list[Path], out: Path, console: Console) -> int:
    if len({file.resolve() for file in files}) < 2:
        raise UserError("give at least two different files to merge.")
    merged = merge(files, out)
    for title in merged.several:
        console.print(f"in several files, taken from one: {title}")
    seeds = " ".join(map(str, merged.seeds))
    console.print(
        f"{out}: profile {merged.profile}, seeds {seeds}: {merged.stages} records, {merged.size / 1e6:.2f} MB."
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
