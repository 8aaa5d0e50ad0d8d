"""Every note on the paper that code, tests or templates cite exists; there is one form to cite."""

from __future__ import annotations

import re
from pathlib import Path

from tests.support.pages import PAGES, headings, name_of
from tests.support.paths import ROOT

NOTES = ROOT / "docs" / "paper_notes.md"
FOLDERS = ("mila", "baselines", "experiments", "reports", "tests")
ENDINGS = (".py", ".j2", ".js", ".css")
FORM = re.compile(r"\b[Nn]otes? (\d+(?:\.\d+)?(?:(?:, | and |, and )\d+(?:\.\d+)?)*)")


def sources() -> list[Path]:
    """What may cite."""
    files = [path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*")) if path.suffix in ENDINGS]
    return [*files, ROOT / "noxfile.py"]


def text_of(path: Path) -> str:
    """With its lines joined, as a citation may be broken over two; comment signs left out."""
    return re.sub(r"\s*\n\s*(?:# )?", " ", path.read_text(encoding="utf-8"))


def cited(text: str) -> list[str]:
    """Numbers of the notes that a text cites."""
    return [number for found in FORM.findall(text) for number in re.findall(r"\d+(?:\.\d+)?", found)]


def numbers() -> list[str]:
    """Of all notes and sections, as they stand in the page."""
    return [match[1] for heading in headings(NOTES) if (match := re.match(r"(\d+(?:\.\d+)?) \S", heading))]


def test_the_form_is_found() -> None:
    assert cited("as thop counts (note 1.5), notes 2.3 and 3.1; Notes 1.2, 1.5, and 4. Footnote 7 and notes of 8.") == [
        *("1.5", "2.3", "3.1", "1.2", "1.5", "4")
    ]


def test_notes_are_numbered_in_order() -> None:
    found = [tuple(int(part) for part in number.split(".")) for number in numbers()]
    assert found == sorted(set(found))
    sections = [number[0] for number in found if len(number) == 1]
    assert sections == [1, 2, 3, 4, 5]
    for section in sections:
        items = [number[1] for number in found if len(number) == 2 and number[0] == section]
        assert items == list(range(1, len(items) + 1))


def test_every_citation_resolves() -> None:
    known, count = set(numbers()), 0
    for path in [*sources(), *PAGES]:
        for number in cited(text_of(path)):
            assert number in known, f"{name_of(path)} cites note {number}, which is not in {NOTES.name}"
            count += 1
    assert count > 30  # the form is the one that the code uses


def test_nothing_cites_in_another_form() -> None:
    for path in sources():
        found = re.search(r"\bfacts,? \(?\d|\bof the facts\b", text_of(path))
        assert path == Path(__file__).resolve() or found is None, f"{name_of(path)}: {found}"
