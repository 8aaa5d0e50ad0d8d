"""The 894 raw label names of NYUd v2 and the 13 classes that the field's mapping gives them.

`nyuv2_classes.csv` beside this file holds one name a line: its number in the official file, the name, and its class
among 40 (Gupta et al., CVPR 2013) and among 13 (Couprie et al., ICLR 2013), by number and name (facts, 3.2).
"""

from __future__ import annotations

import csv
from functools import lru_cache
from importlib.resources import files

from mila.tasks import NYUV2


@lru_cache(maxsize=1)
def class13_by_name() -> dict[str, int]:
    """Class index 0..12, in the order of `mila.tasks.NYUV2`, by raw label name; do not change the dict."""
    classes = NYUV2.task("segmentation").classes
    text = files("mila.data").joinpath("nyuv2_classes.csv").read_text(encoding="utf-8")
    return {row["name"]: classes.index(row["class13_name"]) for row in csv.DictReader(text.splitlines())}
