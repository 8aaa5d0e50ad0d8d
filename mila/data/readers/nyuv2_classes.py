"""The 894 raw label names of NYUd v2 and the 13 and 40 classes that the field's mapping gives them.

`nyuv2_classes.csv` beside this file holds one name a line: its number in the official file, the name, and its class
among 40 (Gupta et al., CVPR 2013) and among 13 (Couprie et al., ICLR 2013), by number and name (note 3.2).
"""

from __future__ import annotations

import csv
from functools import lru_cache
from importlib.resources import files
from typing import Literal

from mila.errors import UserError
from mila.tasks import NYUV2, NYUV2_40, Suite


def suite_of(classes: int) -> Suite:
    """`NYUV2` for 13 classes, `NYUV2_40` for 40; `UserError` for another number."""
    suites = {13: NYUV2, 40: NYUV2_40}
    if classes not in suites:
        raise UserError(f"NYUd v2 has no set of {classes} classes here; choose 13 or 40.")
    return suites[classes]


@lru_cache(maxsize=2)
def class_by_name(classes: Literal[13, 40]) -> dict[str, int]:
    """Class index, in the order of `suite_of(classes)`, by raw label name; do not change the dict."""
    text = files("mila.data.readers").joinpath("nyuv2_classes.csv").read_text(encoding="utf-8")
    return {row["name"]: int(row[f"class{classes}"]) - 1 for row in csv.DictReader(text.splitlines())}
