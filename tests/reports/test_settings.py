"""A run's settings beside the paper's."""

from __future__ import annotations

from dataclasses import replace

from experiments.grids.ablations import TABLE10
from experiments.grids.beyond import MIMICRY
from experiments.grids.multi_task import TABLE2, TABLE8
from experiments.grids.propagation import TABLE6
from experiments.plan import make_plan
from experiments.profiles import SMOKE
from mila.schedule import Part, Schedule, one_part
from reports.settings import settings
from tests.support.fake_results import plan_of


def test_settings_name_the_networks_that_the_rows_have() -> None:
    lines = {s.name: s for s in settings(plan_of(0, grid=TABLE10))}
    encoders = lines["Encoders"]
    assert encoders.ours == "DeepLab-ResNet50 for 101, 34 for 50, 18 for 18"
    assert encoders.paper == "DeepLab-ResNet101, 50, 18"
    assert (lines["Keyframe interval K"].ours, lines["Keyframe interval K"].paper) == ("1", "1")
    assert "Offsets in training" not in lines
    assert "FlowNet-S" not in lines
    head = Part(2.5, 8, lr=1e-3, name="new layers", encoders="frozen", keyframes=True)
    profile = replace(
        SMOKE,
        flow_width=0.5,
        encoder=one_part(epochs=4.5, lr=4e-3, decay="cosine"),
        scratch=one_part(epochs=7, lr=4e-3),
        weights={101: "ResNet50_Weights.IMAGENET1K_V1"},
        method=Schedule((head, Part(1, lr=1e-4))),
        flow=one_part(epochs=6, lr=1e-3, decay="cosine"),
    )
    table6 = {s.name: s.ours for s in settings(make_plan(TABLE6[0], profile, "street", mode="video"))}
    assert table6["Encoders"] == "DeepLab-ResNet50 for 101, 18 for 18"
    assert table6["Keyframe interval K"] == "5"
    assert table6["Offsets in training"] == "drawn for each batch; as keyframes, too, in the part “new layers”"
    assert table6["FlowNet-S"] == (
        "channels × 0.5, half-resolution frames; "
        "Adam (0.9, 0.99), learning rate 0.001, cosine decay, 6 epochs (12 steps), batch 4, 8 pairs of frames"
    )
    table2 = {s.name: s.ours for s in settings(make_plan(TABLE2, profile, "street", mode="video"))}
    started = table2["Rows that start from trained networks"]
    assert started.startswith("MTAN*, MultiNet++, MILA w/o MF&TS, MILA w/o TS, MILA (ours): from multi-task-trained")
    assert started.endswith("Cross-Stitch*: from single-task-trained encoders")
    assert table2["Their schedule"] == (
        "new layers: Adam (0.9, 0.99), learning rate 0.001, 2.5 epochs (2 steps), batch 8, encoders frozen; then "
        "all layers: Adam (0.9, 0.99), learning rate 0.0001, 1 epochs (2 steps), batch 4"
    )
    assert table2["Eq. 3 while encoders are frozen"] == "L1"
    ablation = settings(make_plan(MIMICRY, profile, "street", mode="video"))
    assert {s.name: s.ours for s in ablation}["Eq. 3 while encoders are frozen"] == "none, L1, both, by row"
    table8 = settings(make_plan(TABLE8, profile, "street", mode="video"))
    assert "Eq. 3 while encoders are frozen" not in {s.name for s in table8}
    assert "7 epochs (14 steps)" in table2["Schedule from random weights"]
    assert "learning rate 0.004, cosine decay, 4.5 epochs" in table2["Schedule of all other networks"]
    assert "Keyframe interval K" not in {s.name for s in settings(plan_of(0, grid=TABLE8))}
