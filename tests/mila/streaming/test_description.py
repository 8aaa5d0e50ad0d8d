"""Descriptions of trained models: they come back as they were, and what is none is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from types import ModuleType
from typing import Any

import pytest

from mila.streaming.description import (
    Description,
    arguments_as_json,
    arguments_from_json,
    description_as_json,
    description_from_json,
)
from mila.switches import Architecture, MimicryOptions
from mila.tasks import CITYSCAPES, FLOW

ABOUT = Description("a title", "mila.model", "MILA", {"slow": 50}, CITYSCAPES, 24, 32, 5, None, {"seed": 1})


@pytest.mark.parametrize("about", [ABOUT, replace(ABOUT, suite=FLOW), replace(ABOUT, code="m.py", digest="00ff")])
def test_a_description_comes_back_through_json(about: Description) -> None:
    assert description_from_json(json.loads(json.dumps(description_as_json(about)))) == about
    assert about.is_own == (about.code == "m.py")
    assert about.classes[:2] == (("flat", "construction") if about.suite is CITYSCAPES else ())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"format": 7}, "format 7, and this version of the suite reads 1"),
        ({"width": "32"}, "no description of a model"),
        ({"more": 1}, "no description of a model"),
        ({"suite": {"name": "x"}}, "not tasks as they are kept"),
        ({"digest": "00ff"}, "a file of a user's own has a digest, and nothing else has"),
        ({"code": "m.py"}, "a file of a user's own has a digest, and nothing else has"),
    ],
)
def test_what_is_no_description_is_refused(change: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        description_from_json({**description_as_json(ABOUT), **change})


def test_arguments_come_back_without_initial_weights() -> None:
    given: dict[str, Any] = {
        "width": 0.5,
        "fast": None,
        "architecture": Architecture(embedding=4),
        "mimicry": MimicryOptions(widths=(8, 4)),
        "scales": (1, 2),
        "loss_weights": (0.5, 0.5),
        "weights": None,
    }
    kept = arguments_as_json({**given, "slow_weights": "street-resnet50"}.items())
    assert "slow_weights" not in kept
    assert arguments_from_json(json.loads(json.dumps(kept))) == given


@pytest.mark.parametrize(
    "value",
    [
        {"class": "Path", "fields": {"x": 1}},
        {"class": "get_args", "fields": {}},
        {"class": "Architecture", "fields": {"x": 1}},
        {"class": "Architecture", "fields": [1]},
        {"x": 1},
    ],
)
def test_nothing_but_switches_is_made_of_arguments(value: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="there are no switches|does not take these fields"):
        arguments_from_json({"a": value}, ModuleType("own"))
