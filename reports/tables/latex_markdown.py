"""A table for a paper: as LaTeX (booktabs) and as Markdown; published and measured numbers in tables of their own."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from reports.differences import ONE_SEED
from reports.provenance import About
from reports.render import upper_first
from reports.statistics import METHOD
from reports.tables.table import COST, Cell, Column, ResultTable

_LATEX = {
    "\\": r"\textbackslash{}",
    **{sign: "\\" + sign for sign in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "×": r"$\times$",
    "±": r"$\pm$",
    "−": "$-$",
    "–": "--",
    "’": "'",
    "°": r"$^\circ$",
    "Δ": r"$\Delta$",
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
    "≥": r"$\geq$",
    "≤": r"$\leq$",
}
_COST = ("Cost: GFLOPs a frame", "10^9 multiply-accumulates", "↓")


@dataclass(frozen=True)
class _Block:
    """One of the two tables.

    Attributes:
        headers: (task, metric, unit with direction) of each column; no task where it is that of the column before.
        rows: label, and cells, or one sentence for all of them.
        caption: what it is, in words.
    """

    name: str
    headers: tuple[tuple[str, str, str], ...]
    rows: tuple[tuple[str, tuple[Cell, ...] | str], ...]
    caption: str


def to_latex(table: ResultTable, of: About, title: str) -> str:
    """Two `table*` environments; needs the package booktabs, and compiles with any LaTeX."""
    parts = [r"% Needs \usepackage{booktabs}."]
    for block in _blocks(table, of, title):
        lines = [r"\begin{table*}", r"\centering", rf"\caption{{{latex(block.caption)}}}"]
        lines += [rf"\begin{{tabular}}{{l{'r' * len(block.headers)}}}", r"\toprule"]
        for level in range(3):
            words = [latex(header[level]) for header in block.headers]
            lines.append(" & ".join(("", *words)) + r" \\")
        lines.append(r"\midrule")
        for label, cells in block.rows:
            if isinstance(cells, str):
                lines.append(
                    rf"{latex(label)} & \multicolumn{{{len(block.headers)}}}{{l}}{{\emph{{{latex(cells)}}}}} \\"
                )
            else:
                lines.append(" & ".join((latex(label), *map(_latex_cell, cells))) + r" \\")
        parts.append("\n".join([*lines, r"\bottomrule", r"\end{tabular}", r"\end{table*}"]))
    return "\n\n".join(parts) + "\n"


def to_markdown(table: ResultTable, of: About, title: str) -> str:
    """Two tables in the dialect of GitHub, each under a line that says what it is."""
    parts = [f"## {markdown(title)}"]
    for block in _blocks(table, of, title):
        headers = [markdown(" ".join(filter(None, header))) for header in _with_tasks(block.headers)]
        lines = [f"**{block.name}.** {markdown(block.caption)}", ""]
        lines += [f"| | {' | '.join(headers)} |", f"|---|{'---:|' * len(headers)}"]
        for label, cells in block.rows:
            if isinstance(cells, str):
                words = [f"*{markdown(cells)}*"] + [""] * (len(headers) - 1)
            else:
                words = [_markdown_cell(cell) for cell in cells]
            lines.append(f"| {markdown(label)} | {' | '.join(words)} |")
        parts.append("\n".join(lines))
    return "\n\n".join(parts) + "\n"


def latex(text: str) -> str:
    """Text with what LaTeX would take for commands, escaped."""
    return "".join(_LATEX.get(sign, sign) for sign in text)


def markdown(text: str) -> str:
    """Text with what Markdown and HTML would take for marks, escaped."""
    return re.sub(r"([\\`*_{}\[\]<>|#$])", r"\\\1", text).replace("&", "&amp;")


def _blocks(table: ResultTable, of: About, title: str) -> list[_Block]:
    published = _Block(
        "Published",
        _headers(table.published, cost=table.published_cost),
        tuple(
            (
                line.label,
                _cells(line.published, table.published, cost=table.published_cost)
                if line.in_paper
                else "not in the paper",
            )
            for line in table.lines
            if not line.constant
        ),
        f"{title}: numbers printed in the paper, on {of.paper_data}. Best in bold, second best underlined."
        + _delta(table),
    )
    spread = (
        f"; mean ± standard deviation over seeds; 95 % intervals ({METHOD}) are in the CSV file"
        if table.spread
        else "; one seed, so no spread"
    )
    spread += f"; best and second best marked only where they are told apart from the others: {table.test}" * bool(
        table.tells_apart
    )
    spread += f" ({ONE_SEED})" * (table.tells_apart == "networks")
    measured = _Block(
        "Measured",
        _headers(table.headline, cost=True),
        tuple(
            (line.label, _cells(line.measured, table.headline, cost=True) if line.seeds else line.missing)
            for line in table.lines
        ),
        f"{title}: measured on {of.data}, profile {of.profile}, {of.split} split, {of.seeds}{spread}."
        + (f" Not comparable with numbers on {of.paper_data}." if of.embedded else "")
        + _delta(table)
        + (f" {upper_first(of.whose)}." if of.whose else ""),
    )
    return [published, measured] if published.headers else [measured]


def _delta(table: ResultTable) -> str:
    """What the average over tasks is, or why there is none."""
    formed = (
        " Δ MTL (computed; the paper does not print it): relative difference from the single-task row of the table, "
        "signed so that more is better, averaged over the metrics of a task, then over the tasks."
    )
    return formed * bool(table.delta_columns) + f" {table.without_delta}" * bool(table.without_delta)


def _headers(columns: Sequence[Column], *, cost: bool) -> tuple[tuple[str, str, str], ...]:
    headers, before = [], ""
    for c in columns:
        headers.append((c.short_task if c.task != before else "", c.label, f"{c.unit} {c.arrow}".strip()))
        before = c.task
    if cost:
        what, unit, arrow = _COST
        headers.append((what.split(":")[0], what.split(": ")[1], f"{unit} {arrow}"))
    return tuple(headers)


def _with_tasks(headers: Sequence[tuple[str, str, str]]) -> list[tuple[str, str, str]]:
    """Every header with its task."""
    full, task = [], ""
    for first, metric, unit in headers:
        task = first or task
        full.append((f"{task}:", metric, f"({unit})"))
    return full


def _cells(cells: Mapping[str, Cell], columns: Sequence[Column], *, cost: bool) -> tuple[Cell, ...]:
    keys = [c.key for c in columns] + [COST] * cost
    return tuple(cells.get(key, Cell()) for key in keys)


def _latex_cell(cell: Cell) -> str:
    wrap = {"best": r"\textbf{%s}", "second": r"\underline{%s}", "": "%s"}[cell.mark]
    return wrap % latex(cell.text) + (f" {latex(cell.spread)}" if cell.spread else "")


def _markdown_cell(cell: Cell) -> str:
    wrap = {"best": "**%s**", "second": "<u>%s</u>", "": "%s"}[cell.mark]
    return wrap % cell.text + (f" {cell.spread}" if cell.spread else "")
