"""Hours on a GPU: measured steps as they are, others by their operations."""

from __future__ import annotations

from dataclasses import replace

import pytest

from experiments.costs.training_time import MEASURED_MS, hours, like, step_ms
from experiments.grids.multi_task import TABLE2
from experiments.profiles import REFERENCE
from experiments.runs import embedded_plan
from experiments.stages import Train
from tests.support.paths import ROOT


def trainings() -> dict[str, Train]:
    """Of Table 2, by row."""
    plan = embedded_plan(TABLE2, REFERENCE)
    return {row.published or row.label: row.evaluations[0][0].train for row in plan.rows}


@pytest.mark.slow
def test_what_was_measured_stands_as_it_is() -> None:
    found = trainings()
    for name in ("D101-MultiTask", "MILA", "MultiNet++"):
        measured = MEASURED_MS[name]
        assert step_ms(found[name]) == pytest.approx(measured, rel=0.01)  # decoders have a norm, which was none then
    shallow = next(start.stage for start in found["MILA"].starts if "D18" in start.stage.title)
    assert isinstance(shallow, Train)
    assert step_ms(shallow) == pytest.approx(MEASURED_MS["D18-MultiTask"], rel=0.01)
    assert step_ms(found["D101-SingleTask"]) == pytest.approx(2 * MEASURED_MS["D101-MultiTask"], rel=0.35)
    with pytest.raises(ValueError, match="is fitted, not trained"):
        step_ms(found["Constant predictor"])
    deep = found["D101-MultiTask"]
    steps = 20 * 2000 // 4
    assert hours([deep]) == pytest.approx(steps * step_ms(deep) / 3.6e6)
    assert hours([deep, deep]) == hours([deep])


def test_a_model_is_like_the_measured_one_of_its_kind() -> None:
    found = {name: like(stage) for name, stage in trainings().items() if stage.schedule is not None}
    assert found["MILA"] == found["MILA w/o TS"] == "MILA"
    assert found["MultiNet++"] == "MultiNet++"
    assert found["MTAN*"] == found["D101-SingleTask"] == found["Cross-Stitch*"] == "D101-MultiTask"
    small = replace(trainings()["D101-MultiTask"], arguments=(("depth", 34),))
    assert like(small) == "D18-MultiTask"


def test_the_page_names_its_source() -> None:
    page = " ".join((ROOT / "docs" / "run_a_table.md").read_text(encoding="utf-8").split())
    for name, measured in MEASURED_MS.items():
        assert f"{name} {measured} ms" in page
