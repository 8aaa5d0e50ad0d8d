"""Suites as JSON: what packed stores and exported models say of their tasks."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mila.tasks import NYUV2, SUITES, suite_as_json, suite_from_json


@pytest.mark.parametrize("name", SUITES)
def test_json_gives_the_same_suite_again(name: str) -> None:
    assert suite_from_json(json.loads(json.dumps(suite_as_json(SUITES[name])))) == SUITES[name]


@pytest.mark.parametrize(
    "broken",
    [{"tasks": None}, {"tasks": [{"name": "segmentation"}]}, {"height": "tall"}, {"tasks": [{"name": "edges"}]}],
)
def test_what_is_no_suite_is_refused(broken: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"not tasks|there is no task|invalid literal"):
        suite_from_json({**suite_as_json(NYUV2), **broken})
