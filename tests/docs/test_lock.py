"""The locked versions: complete, the same everywhere, and given up only with their names said."""

from __future__ import annotations

import re

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import noxfile
from tests.support.paths import ROOT

CONSTRAINTS = (ROOT / "constraints.txt").read_text(encoding="utf-8")
PINS = [Requirement(line) for line in CONSTRAINTS.splitlines() if line and not line.startswith("#")]
PYTHONS = ("3.10", "3.11", "3.12", "3.13")


def names_for(python: str) -> list[str]:
    """Packages that are pinned on Linux for a version of Python."""
    where = {"python_version": python, "python_full_version": f"{python}.1", "sys_platform": "linux"}
    where |= {"platform_machine": "x86_64", "platform_python_implementation": "CPython"}
    return [canonicalize_name(pin.name) for pin in PINS if pin.marker is None or pin.marker.evaluate(where)]


@pytest.mark.parametrize("python", PYTHONS)
def test_every_python_gets_one_version_of_every_package(python: str) -> None:
    names = names_for(python)
    assert len(names) == len(set(names))
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8").split("[tool.")[0]
    asked = [canonicalize_name(name) for name in re.findall(r'^    "([\w.-]+)[^"]*",', project, re.MULTILINE)]
    asked = [name for name in asked if python == "3.10" or name != "tomli"]
    assert {"torch", "numpy", "pytest", "nox"} <= set(asked)
    assert set(asked) <= set(names)


def test_pins_are_versions_and_name_no_place() -> None:
    assert all(re.fullmatch(r"==[\w.]+", str(pin.specifier)) and pin.url is None for pin in PINS)
    assert "://" not in CONSTRAINTS
    assert "--" not in "".join(line for line in CONSTRAINTS.splitlines() if not line.startswith("#"))


def test_what_pip_cannot_have_is_read_off_what_it_says() -> None:
    said = """\
Processing rich-15.0.0-py3-none-any.whl (from -r constraints.txt (line 1))
ERROR: Could not find a version that satisfies the requirement humanize==99.1.0 (from versions: 0.1, 0.2)
ERROR: No matching distribution found for humanize==99.1.0
"""
    assert noxfile.missing_pins(said) == ["humanize"]
    said = """\
ERROR: Cannot install torch==2.15.0 and nvidia-nccl-cu13==2.30.7 because these package versions have conflicting \
dependencies.
    The user requested torch==2.15.0
    The user requested (constraint) torch<=2.14.1
"""
    assert noxfile.missing_pins(said) == ["torch", "nvidia-nccl-cu13"]
    assert noxfile.missing_pins("Would install rich-15.0.0\nWARNING: cache entry deserialization failed") == []


def test_only_the_named_pins_are_given_up() -> None:
    text = "# a comment\nJinja2==3.1.6\nnumpy==2.2.6 ; python_full_version < '3.11'\nnumpy==2.5.5\nnumpy-typing==1.0\n"
    assert noxfile.without_pins(text, ["numpy", "jinja2"]) == "# a comment\nnumpy-typing==1.0\n"
    assert noxfile.without_pins("typing_extensions==4.16.0\n", ["typing-extensions"]) == ""
    assert noxfile.without_pins(text, []) == text
    assert noxfile.pinned_names(text) == ["Jinja2", "numpy", "numpy-typing"]
