"""What the Markdown pages of the repository hold: headings, links, commands, blocks of code."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.support.paths import ROOT

PAGES = tuple(sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]))
"""README, CONTRIBUTING, CHANGELOG and everything in docs/."""


@dataclass(frozen=True)
class Command:
    """One command of a page: `words` as a shell would split them, comments left out."""

    line: int
    words: tuple[str, ...]

    def __str__(self) -> str:
        return f"line {self.line}: {shlex.join(self.words)}"


def name_of(page: Path) -> str:
    """Its path in the repository."""
    return page.relative_to(ROOT).as_posix()


def blocks(page: Path, language: str) -> list[str]:
    """The fenced blocks of code of one language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


def prose(page: Path) -> list[str]:
    """The lines of a page, those of fenced blocks left empty."""
    lines, fenced = [], False
    for line in page.read_text(encoding="utf-8").splitlines():
        if line.startswith("```"):
            fenced = not fenced
        lines.append("" if fenced or line.startswith("```") else line)
    return lines


def commands(page: Path) -> list[Command]:
    """All commands of a page: its lines that are indented by four spaces, `&&` taken apart."""
    return [
        Command(number, tuple(words))
        for number, line in enumerate(prose(page), start=1)
        if line.startswith("    ") and line.strip()
        for words in _split(shlex.split(line, comments=True))
    ]


def _split(words: list[str]) -> Iterator[list[str]]:
    while "&&" in words:
        yield words[: words.index("&&")]
        words = words[words.index("&&") + 1 :]
    yield words


def inline_code(page: Path) -> list[str]:
    """What stands between single backticks."""
    return re.findall(r"(?<!`)`([^`\n]+)`(?!`)", "\n".join(prose(page)))


def headings(page: Path) -> list[str]:
    """Texts of all headings."""
    return [line.lstrip("#").strip() for line in prose(page) if re.match(r"#{1,6} ", line)]


def anchors(page: Path) -> set[str]:
    """Anchors of all headings, as GitHub makes them."""
    plain = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings(page))
    return {text.replace(" ", "-") for text in plain}


def links(page: Path) -> list[str]:
    """Targets of all links and images."""
    return re.findall(r"!?\[[^\]]*\]\(([^)\s]+)\)", "\n".join(prose(page)))
