"""`python -m mila.data` called from tests, and what it should leave."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mila.data import __main__ as command
from mila.data.clips import ClipSource

SIZES = {"street": (32, 64), "rooms": (36, 48)}  # of the profile `smoke`


def size(world: str) -> list[str]:
    height, width = SIZES[world]
    return ["--height", str(height), "--width", str(width)]


def main(*words: object) -> int:
    return command.main([str(word) for word in words])


def export(world: str, folder: Path, train: int, test: int) -> Path:
    assert main("export", world, folder, "--train", train, "--test", test, *size(world)) == 0
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    """The files that make a packed store; the locks are of no account."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != ".lock")
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def assert_alike(packed: ClipSource, expected: ClipSource, length: int = 6) -> None:
    """The same clips, to within what packing rounds: half a millimetre, half a step of a PNG, 11 bits of a normal."""
    assert len(packed) == len(expected)
    steps = {"nyuv2": 0.001, "nyuv2-40": 0.001, "cityscapes": 1 / 65535}  # of depth that is stored in whole numbers
    for index in range(len(packed)):
        ours, theirs = packed.clip(index, length), expected.clip(index, length)
        assert np.array_equal(ours.frames, theirs.frames)
        assert set(ours.targets) == set(theirs.targets)
        for name, target in theirs.targets.items():
            if name == "segmentation":
                assert np.array_equal(ours.targets[name], target)
            elif name == "depth" and expected.suite.name in steps:
                atol = 0.51 * steps[expected.suite.name]
                np.testing.assert_allclose(ours.targets[name], target, rtol=0, atol=atol)
            else:
                np.testing.assert_allclose(ours.targets[name], target, rtol=2**-11, atol=1e-7)


def times(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.name != ".lock"}


def prepare(street: Path, store: Path, *words: object) -> int:
    return main("prepare", street, store, *size("street"), *words)
