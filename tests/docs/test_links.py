"""Every link of the pages leads somewhere, and so does every path that they or the code name."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.support.pages import PAGES, anchors, inline_code, links, name_of
from tests.support.paths import ROOT

CODE = [path for folder in ("mila", "baselines", "experiments", "reports") for path in (ROOT / folder).rglob("*.py")]


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_link_leads_somewhere(page: Path) -> None:
    for link in links(page):
        parts = urlsplit(link)
        if parts.scheme:
            assert (parts.scheme, bool(parts.netloc)) == ("https", True), link
            continue
        target = (page.parent / parts.path).resolve() if parts.path else page
        assert target.is_relative_to(ROOT), link
        assert target.exists(), f"{name_of(page)}: {link} leads nowhere"
        if parts.fragment:
            assert parts.fragment in anchors(target), f"{name_of(page)}: there is no heading {link}"


def test_there_are_links_to_check() -> None:
    assert len(links(ROOT / "README.md")) > 10
    assert "15-architecture-a" in anchors(ROOT / "docs" / "paper_notes.md")


@pytest.mark.parametrize("page", [page for page in PAGES if page.name != "CHANGELOG.md"], ids=name_of)
def test_every_path_that_a_page_names_exists(page: Path) -> None:
    for text in inline_code(page):
        if re.fullmatch(r"(mila|baselines|experiments|reports|tests|docs)/[\w./-]*", text):
            assert (ROOT / text).exists(), f"{name_of(page)} names {text}"


def test_every_page_that_code_names_exists() -> None:
    for path in [*CODE, ROOT / "noxfile.py"]:
        for name in re.findall(r"docs/\w+\.md", path.read_text(encoding="utf-8")):
            assert (ROOT / name).is_file(), f"{path.relative_to(ROOT)} names {name}"


def test_the_start_page_leads_to_all_others() -> None:
    start = ROOT / "docs" / "README.md"
    assert {page.name for page in PAGES if page.parent == start.parent} - {start.name} <= set(links(start))


def test_pages_name_no_place_of_one_machine() -> None:
    for page in [*PAGES, ROOT / "constraints.txt", ROOT / "CITATION.cff", ROOT / ".github/workflows/tests.yml"]:
        text = page.read_text(encoding="utf-8")
        assert not re.search(r"(?<![\w.])/(home|root|work|tmp|opt|mnt|etc)/|file://|localhost|pypi\.org", text), page
