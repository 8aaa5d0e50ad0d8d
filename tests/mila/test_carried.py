"""The weights that the suite carries: they load, they are small, and their records say how they came to be."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from baselines.flownet import FlowNet
from baselines.multi_task import MultiTask
from baselines.single_task import SingleTask
from experiments.commands.options import read_options
from experiments.commands.plans import plans_of
from experiments.grids import find_grids
from experiments.grids.grid import Grid
from experiments.plan import make_plan
from experiments.profiles import QUICK, STUDY, Profile
from experiments.sources import world_of
from experiments.stages import Train, in_order
from mila.backbone import DeepLabResNet
from mila.carried import CARRIED, find_weights
from mila.common.weights import write_carried
from mila.errors import UserError
from mila.tasks import CITYSCAPES, FLOW

FILES = sorted(CARRIED.glob("*.pt"))
ENCODERS = [path for path in FILES if "resnet" in path.stem]


def test_they_are_a_few_megabytes_in_half_precision() -> None:
    assert len(ENCODERS) == 6
    assert sum(path.stat().st_size for path in FILES) < 8e6
    for path in FILES:
        stored = torch.load(path, weights_only=True)
        assert {value.dtype for value in stored.values()} <= {torch.float16, torch.int64}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_each_lies_beside_the_record_of_its_training(path: Path) -> None:
    about: dict[str, Any] = json.loads(path.with_suffix(".json").read_text())
    assert about["frames"]["split"] == "pretrain"
    assert about["scored_on"]["split"] == "val"
    assert about["curve"][-1]["step"] >= (30_000 if path in ENCODERS else 10_000)
    assert about["frames"]["clips"] >= (20_000 if path in ENCODERS else 10_000)
    assert len(about["environment"]["commit"]) >= 7
    assert about["metrics"]


@pytest.mark.parametrize("path", ENCODERS, ids=lambda path: path.stem)
def test_encoders_are_taken_by_name_and_give_the_same_as_in_single_precision(path: Path) -> None:
    depth = int(path.stem.split("resnet")[1])
    encoder = DeepLabResNet(depth, 0.125, path.stem).eval()
    for name, value in torch.load(path, weights_only=True).items():
        assert torch.equal(encoder.state_dict()[name], value.to(encoder.state_dict()[name].dtype)), name
    model = SingleTask(CITYSCAPES, depth, width=0.125, weights=path.stem)
    for single in model.encoders.values():
        assert torch.equal(single.state_dict()["conv1.weight"], encoder.conv1.weight)
    with pytest.raises(UserError, match="do not fit"):
        MultiTask(CITYSCAPES, depth, width=0.25, weights=path.stem)


@pytest.mark.parametrize("path", [path for path in FILES if "flownet" in path.stem], ids=lambda path: path.stem)
def test_flow_networks_are_taken_by_name(path: Path) -> None:
    model = FlowNet(FLOW, width=0.125, half_resolution=False, weights=path.stem)
    stored = torch.load(path, weights_only=True)
    assert all(torch.equal(value, stored[name].float()) for name, value in model.network.state_dict().items())
    with pytest.raises(UserError, match="of the same width"):
        FlowNet(FLOW, width=0.25, half_resolution=False, weights=path.stem)


def test_what_is_written_can_be_found(tmp_path: Path) -> None:
    encoder = DeepLabResNet(18, 0.0625)
    path = write_carried(tmp_path, "x-resnet18", encoder.state_dict())
    assert find_weights(path) == path
    assert find_weights("x-resnet18") is None
    again = DeepLabResNet(18, 0.0625, path)
    for name, value in encoder.state_dict().items():
        torch.testing.assert_close(again.state_dict()[name], value, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("grid", find_grids("all"), ids=lambda grid: grid.name)
@pytest.mark.parametrize("profile", [QUICK, STUDY], ids=lambda profile: profile.name)
def test_all_that_the_paper_starts_from_imagenet_starts_from_them(grid: Grid, profile: Profile) -> None:
    """Single-task networks too; what is in the files is part of what a training is."""
    world = world_of(grid.suite)
    plan = make_plan(grid, profile, world, mode="video")
    for stage in in_order(plan.stages()):
        if isinstance(stage, Train) and stage.schedule is not None and not stage.starts:
            given = dict(stage.arguments).get("weights")
            if stage.model == "flownet":
                assert given == f"{world}-flownets"
            elif stage.model.startswith("segnet"):
                assert given is None
                assert stage.schedule == profile.scratch
            else:
                assert str(given).startswith(f"{world}-resnet")
                assert stage.schedule == profile.encoder
                assert len(stage.config()["weights"]["weights"]) == 16


def test_without_weights_all_start_from_nothing() -> None:
    (plan,) = plans_of(read_options(["--grid", "table2", "--weights", "none"]))
    trains = [stage for stage in in_order(plan.stages()) if isinstance(stage, Train) and stage.schedule is not None]
    assert not any("weights" in dict(stage.arguments) for stage in trains)
    assert {stage.schedule for stage in trains if not stage.starts} == {QUICK.scratch}
    assert {stage.schedule for stage in trains if stage.starts} == {QUICK.method}
