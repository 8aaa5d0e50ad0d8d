"""What a claim comes down to: statements about numbers, judged alike on what the paper prints and on what is measured.

A statement asks a source for its numbers.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from reports.claims.numbers import (
    COSTS,
    At,
    Number,
    Source,
    difference_of,
    interval_text,
    lead,
    minus,
    needed_text,
    of_networks,
    printed_sum,
    signed,
    within,
)
from reports.claims.scores import contrast_of
from reports.contrasts import Difference
from reports.differences import missing_lead

Verdict = Literal["holds", "more than said", "in part", "less than said", "does not hold", "cannot tell", "no run yet"]
Kind = Literal["cost", "accuracy", "time"]


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
        metric = self.cells[0].kind
        return "cost" if metric in COSTS else "time" if metric == "latency" else "accuracy"

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
            text += f" ({most.name}, the most; the least: {least.name}, {minus(f'{saved[least]:.1f}')} %)"
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
        text = f"{ours.text} / {theirs.text}: {minus(f'{more:+.1f}')} % (read as: {self.percent} % at most)"
        return Finding(text, "holds" if more <= self.percent + 1e-9 else "does not hold")


@dataclass(frozen=True)
class Ranks(Statement):
    """`ours` has place `place` among itself and `theirs`; in part where it is level with some of them."""

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
        leads = {cell: lead(numbers[cell], ours, sign) for cell in self.theirs}
        ahead = [cell for cell, lead in leads.items() if lead == "ahead"]
        missing = {cell: self._missing(cell, ours, numbers[cell]) for cell, lead in leads.items() if lead == "unclear"}
        unclear = [cell for cell, text in missing.items() if not text]
        level = [cell for cell, lead in leads.items() if lead == "level"]
        best = max(self.theirs, key=lambda cell: sign * numbers[cell].value)
        others = "the best of the others " if len(leads) > 1 else ""
        text = f"{ours}; {others}{best.name} {numbers[best]}"
        if unclear and len(ahead) < self.place <= len(ahead) + len(unclear) + 1:
            apart = ", ".join(f"{cell.name}{needed_text(difference_of(numbers[cell], ours))}" for cell in unclear)
            return Finding(f"{text}; not told apart: {apart}{of_networks(numbers)}", "cannot tell")
        text += f"; ahead: {_names(ahead)}" if ahead and len(leads) > 1 else ""
        text += "".join(f"; {found}" for found in missing.values() if found)
        text += f"; level with {_names(level)}" if level else ""
        without = len(level) + sum(map(bool, missing.values()))
        behind = len(leads) - len(ahead)
        if len(ahead) + 1 != self.place or 0 < behind == without:
            return Finding(text, "does not hold")
        return Finding(text, "in part" if without else "holds")

    def _missing(self, cell: At, ours: Number, theirs: Number) -> str:
        sign = -1 if self.ours.lower else 1
        difference = difference_of(theirs, ours)
        lead = None if difference is None else difference.times(-sign)
        return _missing_text(lead, ((sign, ours), (-sign, theirs)), cell, f" over {cell.name}")


@dataclass(frozen=True)
class Similar(Statement):
    """Two numbers differ by `At.similar` at most: the paper gives no limit, so ours is part of the reading."""

    ours: At
    theirs: tuple[At, ...]

    @property
    def cells(self) -> tuple[At, ...]:
        """See `Statement`."""
        return (self.ours, *self.theirs)

    def weigh(self, numbers: dict[At, Number]) -> Finding:
        """See `Statement`."""
        ours, limit = numbers[self.ours], self.ours.similar or 0.0
        far = max(self.theirs, key=lambda cell: abs(numbers[cell].value - ours.value))
        apart = numbers[far].value - ours.value
        reading = f"within {limit:g}" if limit else "the same"
        text = f"{ours}; {far.name} {numbers[far]}: {signed(apart)} (read as: {reading})"
        verdicts = {within(numbers[cell], ours, limit) for cell in self.theirs}
        if False in verdicts:
            return Finding(text, "does not hold")
        if None in verdicts:
            return Finding(
                f"{text}; not told{interval_text(difference_of(numbers[far], ours))}{of_networks(numbers)}",
                "cannot tell",
            )
        return Finding(text, "holds")


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
        leads = []
        for ours, theirs in (self.first, self.second):
            a, b = numbers[ours], numbers[theirs]
            leads.append(b.value / a.value if self.ratio else (b.value - a.value) * (1 if ours.lower else -1))
        first, second = (f"{lead:.1f} ×" if self.ratio else signed(lead) for lead in leads)
        seeds = {number.n for number in numbers.values()} - {0}
        text = f"{first}, then {second}" + (f" (n = {min(seeds)})" if seeds else "")
        verdict: Verdict = "holds" if leads[1] > leads[0] else "does not hold"
        if not seeds:
            return Finding(text, "cannot tell" if leads[1] == leads[0] else verdict)
        sign = -1 if self.first[0].lower else 1
        cells = (*self.second, *self.first)
        terms = [(sign * factor, numbers[cell]) for cell, factor in zip(cells, (1, -1, -1, 1), strict=True)]
        widened = self._widened(terms)
        if widened is not None and widened.differ and widened.n > 1:
            return Finding(text, verdict)
        if missing := _missing_text(widened, terms, self.first[0]):
            return Finding(f"{text}; {missing}", "does not hold")
        text += f"; not told apart{needed_text(widened)}"
        return Finding(f"{text}{of_networks(numbers)}", "cannot tell")

    def _widened(self, terms: Sequence[tuple[float, Number]]) -> Difference | None:
        """The second lead minus the first, as one contrast of four scores."""
        scores = [(sign, number.score) for sign, number in terms]
        known = [(sign, score) for sign, score in scores if score is not None]
        if len(known) < len(scores) or self.ratio:
            return None
        found = contrast_of(known)
        return None if found is None else found.times(known[0][1].scale)


def _missing_text(lead: Difference | None, terms: Sequence[tuple[float, Number]], cell: At, over: str = "") -> str:
    """Says which lead is missing; empty where it may be there. The terms' sum is the lead."""
    missing = missing_lead(lead, printed_sum(terms), cell.similar)
    return "" if missing is None else f"no lead of {missing:.2g}{over}{interval_text(lead)}"


def _names(cells: Iterable[At]) -> str:
    return ", ".join(cell.name for cell in cells)


def together(verdicts: Iterable[Verdict]) -> Verdict | None:
    """The verdict of a claim from those of its statements; None without any."""
    found = set(verdicts)
    if len(found) <= 1:
        return found.pop() if found else None
    ends: tuple[Verdict, ...] = ("no run yet", "cannot tell")
    for open_end in ends:
        if open_end in found and not found & {"does not hold", "less than said"}:
            return open_end
    if "does not hold" in found and found <= {"does not hold", *ends}:
        return "does not hold"
    return "holds" if found == {"holds", "more than said"} else "in part"
