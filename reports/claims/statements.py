"""What a claim comes down to: statements about numbers, judged alike on what the paper prints and on what is measured.

A statement asks a source for its numbers. Numbers with a spread (means over seeds) are told apart only where they
differ by more than both standard deviations together, as in the tables; a single seed tells nothing apart.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from reports.published.numbers import module_name

Verdict = Literal["holds", "more than said", "in part", "less than said", "does not hold", "cannot tell", "no run yet"]
Kind = Literal["cost", "accuracy", "time"]

_COSTS = ("gflops", "conv_layers", "params_millions")
_LOWER = (*_COSTS, "latency", "depth_abs", "depth_rel", "normal_mean", "normal_median")


@dataclass(frozen=True)
class At:
    """A cell: table, data set, row and metric as `published.csv` names them.

    `latency` is a metric of ours, as are a metric `@first` and `@last`: at a keyframe, and at the last offset before
    the next one. A row that the paper does not print goes by its label in our grid.
    """

    table: int
    dataset: str
    row: str
    metric: str

    @property
    def name(self) -> str:
        """What tells the row from the others of its table."""
        model, *rest = self.row.split(" / ")
        name = model if not rest or rest == ["1"] else rest[0] if self.table == 7 else rest[-1]  # "1" is Table 10's K
        _, _, offset = self.metric.partition("@")
        return module_name(name) + {"": "", "first": " (keyframe)", "last": " (offset K − 1)"}[offset]

    @property
    def lower(self) -> bool:
        """Whether less is better."""
        return self.metric.split("@")[0] in _LOWER


@dataclass(frozen=True)
class Number:
    """A number in the printed unit.

    Attributes:
        value: the number, a mean where there are seeds.
        text: as printed, or rounded.
        std: sample standard deviation over seeds; None where there is none.
        n: seeds; 0 for a number that has none, which is exact.
    """

    value: float
    text: str
    std: float | None = None
    n: int = 0

    def __str__(self) -> str:
        spread = "" if self.std is None else f" ± {digits(self.std, 2)}"
        return f"{self.text}{spread}{f' (n = {self.n})' if self.n else ''}"


def digits(value: float, count: int) -> str:
    """A number with so many significant digits, without an exponent; whole numbers keep all of theirs."""
    text = f"{value:.{count}g}"
    return f"{value:.0f}" if "e" in text else text


Source = Callable[[At], Number | None]
"""Finds the number of a cell; None where there is none."""


@dataclass(frozen=True)
class Finding:
    """What a source says of a statement: the arithmetic in words, and the verdict."""

    text: str
    verdict: Verdict


@dataclass(frozen=True)
class Statement(ABC):
    """Base of all statements; `about` says which part of a claim it is."""

    about: str

    @property
    @abstractmethod
    def cells(self) -> tuple[At, ...]:
        """The numbers that it is about."""

    @property
    def kind(self) -> Kind:
        """What it is about."""
        metric = self.cells[0].metric
        return "cost" if metric in _COSTS else "time" if metric == "latency" else "accuracy"

    def judge(self, source: Source) -> Finding | None:
        """What the source says; None where it lacks a number."""
        numbers = {cell: source(cell) for cell in self.cells}
        known = {cell: number for cell, number in numbers.items() if number is not None}
        return self.weigh(known) if len(known) == len(numbers) else None

    @abstractmethod
    def weigh(self, numbers: dict[At, Number]) -> Finding:
        """The finding from the numbers of all cells."""


@dataclass(frozen=True)
class Saves(Statement):
    """`ours` costs `percent` per cent less than `theirs`, or than the one of several that costs most.

    Attributes:
        exact: whether more than that is wrong as well.
    """

    ours: At
    theirs: tuple[At, ...]
    percent: int
    exact: bool = False

    @property
    def cells(self) -> tuple[At, ...]:
        """See `Statement`."""
        return (self.ours, *self.theirs)

    def weigh(self, numbers: dict[At, Number]) -> Finding:
        """See `Statement`."""
        ours = numbers[self.ours]
        saved = {cell: 100 * (1 - ours.value / numbers[cell].value) for cell in self.theirs}
        most = max(self.theirs, key=lambda cell: saved[cell])
        text = f"1 − {ours.text} / {numbers[most].text} = {saved[most]:.1f} % saved, {100 - saved[most]:.1f} % remain"
        if len(saved) > 1:
            least = min(self.theirs, key=lambda cell: saved[cell])
            text += f" ({most.name}, the most; the least: {least.name}, {_minus(f'{saved[least]:.1f}')} %)"
        if round(saved[most]) == self.percent:
            return Finding(text, "holds")
        if self.exact:
            return Finding(text, "does not hold")
        return Finding(text, "more than said" if saved[most] > self.percent else "less than said")


@dataclass(frozen=True)
class _Share(Statement):
    """About the cost of `ours` as a share of that of `theirs`."""

    ours: At
    theirs: At
    percent: int

    @property
    def cells(self) -> tuple[At, ...]:
        """See `Statement`."""
        return (self.ours, self.theirs)


@dataclass(frozen=True)
class Takes(_Share):
    """`ours` costs `percent` per cent of `theirs`."""

    def weigh(self, numbers: dict[At, Number]) -> Finding:
        """See `Statement`."""
        ours, theirs = (numbers[cell] for cell in self.cells)
        share = 100 * ours.value / theirs.value
        verdict: Verdict = "holds" if round(share) == self.percent else "does not hold"
        return Finding(f"{ours.text} / {theirs.text} = {share:.1f} %", verdict)


@dataclass(frozen=True)
class Adds(_Share):
    """`ours` costs `percent` per cent more than `theirs` at most: the paper gives no number, so it is our reading."""

    def weigh(self, numbers: dict[At, Number]) -> Finding:
        """See `Statement`."""
        ours, theirs = (numbers[cell] for cell in self.cells)
        more = 100 * (ours.value / theirs.value - 1)
        text = f"{ours.text} / {theirs.text}: {_minus(f'{more:+.1f}')} % (read as: {self.percent} % at most)"
        return Finding(text, "holds" if more <= self.percent + 1e-9 else "does not hold")


@dataclass(frozen=True)
class Ranks(Statement):
    """`ours` has place `place` among itself and `theirs`."""

    ours: At
    theirs: tuple[At, ...]
    place: int = 1

    @property
    def cells(self) -> tuple[At, ...]:
        """See `Statement`."""
        return (self.ours, *self.theirs)

    def weigh(self, numbers: dict[At, Number]) -> Finding:
        """See `Statement`."""
        ours, sign = numbers[self.ours], -1 if self.ours.lower else 1
        leads = {cell: _lead(numbers[cell], ours, sign) for cell in self.theirs}
        ahead = [cell for cell, lead in leads.items() if lead == "ahead"]
        unclear = [cell for cell, lead in leads.items() if lead == "unclear"]
        level = [cell for cell, lead in leads.items() if lead == "level"]
        best = max(self.theirs, key=lambda cell: sign * numbers[cell].value)
        text = f"{ours}; {'the best of the others' if len(leads) > 1 else ''} {best.name} {numbers[best]}".replace(
            "  ", " "
        )
        if unclear and len(ahead) < self.place <= len(ahead) + len(unclear) + 1:
            return Finding(f"{text}; not told apart{_why(numbers.values())}: {_names(unclear)}", "cannot tell")
        text += f"; ahead: {_names(ahead)}" if ahead and len(leads) > 1 else ""
        if len(ahead) + 1 != self.place:
            return Finding(text, "does not hold")
        return Finding(f"{text}; level with {_names(level)}" if level else text, "in part" if level else "holds")


@dataclass(frozen=True)
class Similar(Statement):
    """Two numbers differ by `tolerance` at most: the paper gives none, so ours is part of the reading."""

    ours: At
    theirs: tuple[At, ...]
    tolerance: float

    @property
    def cells(self) -> tuple[At, ...]:
        """See `Statement`."""
        return (self.ours, *self.theirs)

    def weigh(self, numbers: dict[At, Number]) -> Finding:
        """See `Statement`."""
        ours = numbers[self.ours]
        far = max(self.theirs, key=lambda cell: abs(numbers[cell].value - ours.value))
        apart = numbers[far].value - ours.value
        limit = f"within {self.tolerance:g}" if self.tolerance else "the same"
        text = f"{ours}; {far.name} {numbers[far]}: {_signed(apart)} (read as: {limit})"
        noise = _noise(ours, numbers[far])
        if noise is None or abs(abs(apart) - self.tolerance) <= noise > 0:
            return Finding(f"{text}; not told apart{_why((ours, numbers[far]))}", "cannot tell")
        return Finding(text, "holds" if abs(apart) <= self.tolerance + 1e-9 else "does not hold")


@dataclass(frozen=True)
class Widens(Statement):
    """The lead of `ours` over `theirs` is larger in the second pair than in the first, by difference or by ratio."""

    first: tuple[At, At]
    second: tuple[At, At]
    ratio: bool = False

    @property
    def cells(self) -> tuple[At, ...]:
        """See `Statement`."""
        return (*self.first, *self.second)

    def weigh(self, numbers: dict[At, Number]) -> Finding:
        """See `Statement`."""
        leads, noises = [], []
        for ours, theirs in (self.first, self.second):
            a, b = numbers[ours], numbers[theirs]
            leads.append(b.value / a.value if self.ratio else (b.value - a.value) * (1 if ours.lower else -1))
            noises.append(_noise(a, b))
        first, second = (f"{lead:.1f} ×" if self.ratio else _signed(lead) for lead in leads)
        seeds = {number.n for number in numbers.values()} - {0}
        text = f"{first}, then {second}" + (f" (n = {min(seeds)})" if seeds else "")
        known = [noise for noise in noises if noise is not None]
        if len(known) < 2 or abs(leads[1] - leads[0]) <= sum(known) > 0:
            return Finding(f"{text}; not told apart{_why(numbers.values())}", "cannot tell")
        return Finding(text, "holds" if leads[1] > leads[0] else "does not hold")


def _lead(theirs: Number, ours: Number, sign: int) -> Literal["ahead", "behind", "level", "unclear"]:
    apart, noise = sign * (theirs.value - ours.value), _noise(theirs, ours)
    if noise is None or abs(apart) <= noise > 0:
        return "unclear"
    return "level" if apart == 0 else "ahead" if apart > 0 else "behind"


def _noise(*numbers: Number) -> float | None:
    """Both standard deviations together; 0 of exact numbers; None where a mean has one seed."""
    if any(number.n and number.std is None for number in numbers):
        return None
    return sum(number.std or 0.0 for number in numbers)


def _why(numbers: Iterable[Number]) -> str:
    return " (one seed has no spread)" if any(number.n == 1 for number in numbers) else ""


def _names(cells: Iterable[At]) -> str:
    return ", ".join(cell.name for cell in cells)


def _signed(value: float) -> str:
    return _minus(f"{value:+.3g}")


def _minus(text: str) -> str:
    return text.replace("-", "−")


def together(verdicts: Iterable[Verdict]) -> Verdict | None:
    """The verdict of a claim from those of its statements; None without any."""
    found = set(verdicts)
    if len(found) <= 1:
        return found.pop() if found else None
    ends: tuple[Verdict, ...] = ("no run yet", "cannot tell")
    for open_end in ends:
        if open_end in found and not found & {"does not hold", "less than said"}:
            return open_end
    return "holds" if found == {"holds", "more than said"} else "in part"
