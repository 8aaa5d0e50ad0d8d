"""What a page says of a profile of one's own, of weights from a folder and of another K; and where it lies."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from experiments.commands.options import read_options
from experiments.commands.plans import plans_of
from experiments.own_profile import read_profile
from experiments.plan import Plan
from mila.backbone import DeepLabResNet
from reports.provenance import about
from reports.settings import settings, unusual
from tests.support.smoke_plans import smoke_plan


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "mine.toml"
    file.write_text('base = "smoke"\nkeyframe_interval = 3\nframe_size = [48, 64]\n[method]\nbatch = 2')
    return file


def plan_of(*words: str) -> Plan:
    (plan,) = plans_of(read_options(["--grid", "table1", *words]))
    return plan


def name_of(plan: Plan) -> str:
    return about(plan, {}).file_name


def test_a_profile_of_ones_own_is_named_with_all_that_differs(file: Path) -> None:
    plan = plan_of("--profile", str(file))
    lines = {line.name: line for line in settings(plan)}
    assert lines["Profile mine"].ours == (
        "smoke, but for: keyframe_interval = 3; frame_size = [48, 64]; method.batch = 2"
    )
    assert (lines["Keyframe interval K"].ours, lines["Keyframe interval K"].paper) == ("3", "5")
    assert lines["Input, pixels"].ours == "48 × 64"
    assert "Options on the command line" not in lines
    of = about(plan, {})
    assert of.profile == "mine"
    assert "keyframes are 3 frames apart, not 5" in of.differences
    assert "the frames are smaller" in of.differences


def test_pages_do_not_take_each_others_places(file: Path) -> None:
    own, method = ("--profile", str(file)), file.with_name("mine.py")
    method.write_text(
        "from baselines.multi_task import MultiTask as Mine\n"
        "from experiments.grids.grid import frame_row\nROW = frame_row('Mine', None, 'Mine')\n"
    )
    names = [
        name_of(plan_of(*words))
        for words in (
            (),
            own,
            (*own, "--augmentation", "mtan"),
            (*own, "--keyframe-interval", "5"),
            (*own, "--keyframe-interval", "4"),
            ("--profile", "smoke"),
            ("--profile", "smoke", "--keyframe-interval", "3"),
            ("--method", str(method)),
        )
    ]
    assert names == [
        "table1",
        "table1-profile-mine-k3",
        "table1-profile-mine-augmentation-mtan-k3",
        "table1-profile-mine",
        "table1-profile-mine-k4",
        "table1-smoke",
        "table1-smoke-k3",
        "table1-mine",
    ]


def test_options_that_change_a_profile_are_named(file: Path) -> None:
    assert unusual(plan_of("--profile", str(file))) == []
    assert unusual(plan_of("--profile", str(file), "--keyframe-interval", "4")) == ["--keyframe-interval 4"]
    assert unusual(plan_of("--profile", str(file), "--keyframe-interval", "5")) == ["--keyframe-interval 5"]
    assert unusual(plan_of("--profile", "smoke", "--keyframe-interval", "5")) == []
    assert unusual(plan_of("--weights", "none", "--augmentation", "mtan")) == ["--augmentation mtan", "--weights none"]


def test_weights_of_ones_own_are_named_by_their_content(tmp_path: Path) -> None:
    folder = tmp_path / "my weights"
    folder.mkdir()
    for depth in (50, 18):
        torch.save(DeepLabResNet(depth, 0.0625).state_dict(), folder / f"resnet{depth}.pth")
    plan = plan_of("--profile", "smoke", "--weights", str(folder))
    lines = {line.name: line.ours for line in settings(plan)}
    assert lines["Initial weights"].startswith("the user's own: resnet18.pth (SHA-256 ")
    assert ", resnet50.pth (SHA-256 " in lines["Initial weights"]
    assert str(tmp_path) not in lines["Initial weights"]
    assert unusual(plan) == ["--weights my weights"]
    assert name_of(plan) == "table1-smoke-weights-my-weights"


def test_a_folder_of_what_the_profile_names_is_nothing_unusual(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = {f"{depth:08}": f"ResNet{depth}_Weights.IMAGENET1K_V1" for depth in (101, 18)}
    for depth in (101, 18):
        torch.save(DeepLabResNet(depth).state_dict(), tmp_path / f"resnet{depth}-{depth:08}.pth")

    def digests(paths: list[Path]) -> dict[Path, str]:
        return {path: path.stem[-8:].ljust(64, "0") for path in paths}

    monkeypatch.setattr("experiments.weights.content_digests", digests)
    monkeypatch.setattr("experiments.weights.torchvision_names", lambda: names)
    plan = plan_of("--profile", "paper", "--weights", str(tmp_path))
    assert unusual(plan) == []
    assert name_of(plan) == name_of(plan_of("--profile", "paper")) == "table1-paper"
    assert {line.name: line.ours for line in settings(plan)}["Initial weights"] == "ImageNet"


def test_the_page_says_how_many_clips_of_real_data(file: Path) -> None:
    profile = replace(read_profile(file), real_train_clips=3)
    plan = smoke_plan(profile=profile)
    lines = {line.name: line.ours for line in settings(plan)}
    assert lines["Training clips"] == "8"  # of an embedded world
    assert "not all clips are used" not in about(plan, {}).differences
    real = replace(plan.train_data, source=replace(plan.train_data.source, name="nyuv2", clips=3))
    scored = replace(plan.test_data, source=replace(plan.test_data.source, name="nyuv2", clips=None))
    assert "not all clips are used" in about(replace(plan, train_data=real, test_data=scored), {}).differences
