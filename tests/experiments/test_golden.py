"""A golden test: the committed records give the committed pages, CSV, LaTeX and Markdown files, byte for byte.

Of the pages, drawings are left out (other versions of matplotlib round otherwise; the data of each plot are compared),
and the digest that says which code drew them. After an intended change: `python -m tests.experiments.test_golden`, then
look at the difference that it makes.
"""

from __future__ import annotations

import json
import re
import sys
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

from experiments.grids.multi_task import TABLE1
from experiments.plan import Plan, make_plan
from experiments.profiles import SMOKE
from experiments.stages import in_order
from experiments.store import Store
from mila.common.files import write_json, write_text
from reports.report import build_report
from tests.support.fake_results import fill

GOLDEN = Path(__file__).parent / "golden"
ROWS = ("D101-SingleTask", "D101-MultiTask", "MILA w/o MF&TS", "MILA (ours)")


def golden_plan() -> Plan:
    """Four rows of Table 1 with two seeds."""
    grid = replace(TABLE1, rows=tuple(row for row in TABLE1.rows if row.label in ROWS))
    return make_plan(grid, SMOKE, "rooms", mode="video", seeds=(0, 1))


def reports_of(records: dict[str, dict[str, object]], root: Path) -> dict[str, str]:
    """What the records of a store become, by file name."""
    write_json(root / "store" / "store.json", {"format": 2})
    for name, text in ((f"{place}/{file}", text) for place, files in records.items() for file, text in files.items()):
        write_json(root / "store" / name, text)
    build_report(golden_plan(), Store(root / "store"), root / "reports")
    files = {path.relative_to(root / "reports").as_posix(): path for path in sorted((root / "reports").rglob("*.*"))}
    return {name: _without_drawings(path.read_text()) for name, path in files.items() if path.suffix != ".svg"}


def _without_drawings(text: str) -> str:
    text = re.sub(r"<svg .*?</svg>", "<svg></svg>", text, flags=re.DOTALL)
    return re.sub(r"<!-- made from \w+ -->", "<!-- made from -->", text)


def update(root: Path) -> None:
    """Write the golden files anew: records of hand-written numbers, and what they become."""
    plan, store = golden_plan(), Store(root / "hand")
    fill(store, plan)
    records = {
        f"{stage.kind}/{stage.key}": {
            name: json.loads((store.folder(stage) / name).read_text()) for name in ("stage.json", "record.json")
        }
        for stage in in_order(plan.stages())
    }
    write_json(GOLDEN / "records.json", records)
    for name, text in reports_of(records, root).items():
        if _kept(name):
            write_text(GOLDEN / "reports" / name, text)


def _kept(name: str) -> bool:
    """Of the many pages of stages, that of one score and that of one training are kept."""
    stages = in_order(golden_plan().stages())
    kinds = {stage.kind: stage.key for stage in stages}
    return not name.startswith("stages/") or Path(name).stem in (kinds["evaluate"], kinds["train"])


def test_the_same_records_give_the_same_reports(tmp_path: Path) -> None:
    with patch("experiments.stages.code_digest", lambda *_: "0" * 16):  # the code may change, the numbers may not
        made = reports_of(json.loads((GOLDEN / "records.json").read_text()), tmp_path)
        made = {name: text for name, text in made.items() if _kept(name)}
    golden = {p.relative_to(GOLDEN / "reports").as_posix(): p for p in sorted((GOLDEN / "reports").rglob("*.*"))}
    assert list(golden) == list(made)
    for name, path in golden.items():
        assert made[name] == path.read_text(), (
            f"{name} changed; if that is meant: python -m tests.experiments.test_golden"
        )


if __name__ == "__main__":
    import shutil
    import tempfile

    shutil.rmtree(GOLDEN, ignore_errors=True)
    with tempfile.TemporaryDirectory() as folder, patch("experiments.stages.code_digest", lambda *_: "0" * 16):
        update(Path(folder))
    sys.stdout.write(f"{GOLDEN} is up to date\n")
