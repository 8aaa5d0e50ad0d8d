"""What stands in two places says the same: the version, the checks before a commit, sessions, supported Pythons."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import nox
import pytest
import yaml

import noxfile
from mila.common.versions import suite_version
from tests.support.pages import PAGES, inline_code, name_of
from tests.support.paths import ROOT

PYPROJECT = (ROOT / "pyproject.toml").read_text(encoding="utf-8")


def read_yaml(name: str) -> Any:
    return yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))


def test_the_citation_says_the_version_the_licence_and_the_paper() -> None:
    citation = read_yaml("CITATION.cff")
    assert citation["version"] == suite_version()
    assert (citation["cff-version"], citation["type"], citation["license"]) == ("1.2.0", "software", "MIT")
    assert citation["message"]
    assert [author["name"] for author in citation["authors"]] == ["The MILA reproduction suite authors"]
    (paper,) = citation["references"]
    assert paper["title"] == "MILA: Multi-Task Learning from Videos via Efficient Inter-Frame Attention"
    assert len(paper["authors"]) == 8
    licence = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert licence.startswith("MIT License\n\nCopyright (c) 2026 The MILA reproduction suite authors\n")


def test_the_changelog_has_the_version() -> None:
    versions = re.findall(r"^## \[(\d+\.\d+\.\d+)\]", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert versions[0] == suite_version()
    assert versions == sorted(versions, key=lambda text: [int(part) for part in text.split(".")], reverse=True)


def test_no_other_place_keeps_a_version() -> None:
    assert 'dynamic = ["version"]' in PYPROJECT
    assert 'version = { attr = "mila.common.version.__version__" }' in PYPROJECT
    assert not re.search(r'^version = "', PYPROJECT, re.MULTILINE)


def test_the_hooks_are_what_the_session_runs_first() -> None:
    (repository,) = read_yaml(".pre-commit-config.yaml")["repos"]
    words = [shlex.split(hook["entry"]) for hook in repository["hooks"]]
    assert [tuple(rest) for _, *rest in words] == list(noxfile.CHECKS)
    assert {python for python, *_ in words} == {".nox/env/bin/python"}
    assert all(hook["language"] == "system" and hook["pass_filenames"] is False for hook in repository["hooks"])


def test_the_workflow_calls_sessions_that_exist_on_supported_pythons() -> None:
    matrix = read_yaml(".github/workflows/tests.yml")["jobs"]["nox"]["strategy"]["matrix"]
    assert matrix["python"] == ["3.10", "3.12", "3.13"]
    assert matrix["session"] == ["tests", "tests-browser", "tests-slurm"]
    assert set(matrix["session"]) <= set(nox.registry.get())
    assert 'requires-python = ">=3.10"' in PYPROJECT


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_session_that_a_page_names_exists(page: Path) -> None:
    known = set(nox.registry.get())
    for line in page.read_text(encoding="utf-8").splitlines():
        for name in re.findall(r"nox -s ([\w-]+)", line):
            assert name in known, f"{name_of(page)}: there is no session {name}"
    kinds = {f"-{name.split('-')[-1]}" for name in known if name.startswith("reproduce-")}
    short = {text for text in inline_code(page) if re.fullmatch(r"-(table|figure)\d+", text)}
    assert short <= kinds, name_of(page)


def test_the_readme_is_short_and_has_a_face() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) < 130
    assert re.search(r"!\[[^\]]+\]\(docs/images/\w+\.png\)", text)
    pictures = list((ROOT / "docs" / "images").iterdir())
    assert pictures
    assert sum(path.stat().st_size for path in pictures) < 500_000
