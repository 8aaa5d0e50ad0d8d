"""What the claims are written with: cells by table, rows by name, and the common kinds of statement."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from reports.claims.numbers import At
from reports.claims.statements import Ranks, Saves, Statement


@dataclass(frozen=True)
class Claim:
    """One claim.

    Attributes:
        where: its place in the paper.
        says: its words.
        statements: what it comes down to.
        remark: what else a reader should know, where the numbers alone do not say it.
    """

    where: str
    says: str
    statements: tuple[Statement, ...]
    remark: str = ""


SINGLE, MULTI, MTAN, STITCH = "D101-SingleTask", "D101-MultiTask", "MTAN*", "Cross-Stitch*"
NYU_OTHERS = (SINGLE, MULTI, "MTAN-SegNet", "Cross-Stitch-SegNet", MTAN, STITCH, "MultiNet++*")
CITY_OTHERS = (SINGLE, MULTI, "MTAN-SegNet", MTAN, STITCH, "MultiNet++")
PLAIN, UNSPECIFIC, MILA = "MILA w/o MF&TS", "MILA w/o TS", "MILA"
FLOW = "Optical flow, warping"
"""A row of our Table 6 that the paper does not print."""

SMALL, LARGE = "256x512", "1024x2048"


def nyu(metric: str, *rows: str) -> tuple[At, ...]:
    """Rows of Table 1."""
    return tuple(At(1, "nyuv2", row, metric) for row in rows)


def city(metric: str, *rows: str) -> tuple[At, ...]:
    """Rows of Table 2."""
    return tuple(At(2, "cityscapes", row, metric) for row in rows)


def printed(size: str) -> str:
    """The size of an input, as it is printed."""
    return size.replace("x", " × ")


def two(cells: tuple[At, ...]) -> tuple[At, At]:
    """A pair of cells."""
    one, other = cells
    return one, other


def lost(rows: Callable[..., tuple[At, ...]], row: str) -> tuple[At, At]:
    """A row's mIoU in Table 1 or 2 at keyframes, and at the last offset before the next one."""
    return two((*rows("miou@first", row), *rows("miou@last", row)))


def module(metric: str, size: str, *modules: str) -> tuple[At, ...]:
    """Propagations of Table 7 alone, at an input size."""
    return tuple(At(7, "", f"feature propagation module / {module} / {size}", metric) for module in modules)


def losses(metric: str, *variants: str) -> tuple[At, ...]:
    """Rows of Table 3."""
    return tuple(At(3, "cityscapes", f"MILA ablation of losses / D101-18 / {variant}", metric) for variant in variants)


def windows(metric: str, *windows: str) -> tuple[At, ...]:
    """Rows of Table 4."""
    return tuple(At(4, "cityscapes", f"MILA window / D101-18 / {window}", metric) for window in windows)


def video(fast: int, k: int) -> tuple[At, At]:
    """ILA and optical flow in Tables 5 and 11."""
    table, start = 11 if fast == 50 else 5, f"19-class video segmentation / D101-{fast} / {k}"
    ila, flow = (At(table, "cityscapes", f"{start} / {kind}", "miou") for kind in ("ila", "optical flow"))
    return ila, flow


def interval(fast: int, kind: int) -> tuple[At, At]:
    """ILA (0) or optical flow (1) at K = 5 and K = 10."""
    return video(fast, 5)[kind], video(fast, 10)[kind]


def kinds(dataset: str, metric: str) -> tuple[At, At]:
    """ILA and SVC in Table 6."""
    ila, svc = (At(6, dataset, f"feature propagation / D101-18 / {kind}", metric) for kind in ("ila", "svc"))
    return ila, svc


def first(about: str, cells: tuple[At, ...], place: int = 1) -> Ranks:
    """The first cell has a place among all of them."""
    return Ranks(about, cells[0], cells[1:], place)


def saving(about: str, cells: tuple[At, ...], percent: int, *, exact: bool = False) -> Saves:
    """The first cell is so much cheaper than the dearest of the others."""
    return Saves(about, cells[0], cells[1:], percent, exact)
