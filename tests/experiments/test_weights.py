"""Initial weights: found in folders, told apart by what they are, refused where they do not fit."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from baselines.flownet import FlowNetS
from experiments import weights
from experiments.grids import GRIDS
from experiments.plan import Plan
from experiments.profiles import PAPER, QUICK, SMOKE, Profile
from experiments.runner.run_stage import run_stage
from experiments.runner.stage_functions import load_model
from experiments.stages import Train, in_order
from experiments.store import Store
from experiments.weights import encoder_weights, flownet_weights, name_weights, replace_weights
from mila.backbone import DeepLabResNet
from mila.carried import CARRIED
from mila.errors import UserError
from mila.schedule import one_part
from tests.support.smoke_plans import smoke_plan

Save = Callable[[Path, int], Path]


@pytest.fixture
def save() -> Save:
    """Writes the weights of an encoder at the width of `smoke`."""

    def write(path: Path, depth: int) -> Path:
        path.parent.mkdir(exist_ok=True)
        torch.manual_seed(depth)
        torch.save(DeepLabResNet(depth, SMOKE.width).state_dict(), path)
        return path

    return write


@pytest.fixture
def folder(tmp_path: Path, save: Save) -> Path:
    """Has what Table 1 needs at `smoke`."""
    save(tmp_path / "weights" / "resnet50-0123abcd.pth", 50)
    save(tmp_path / "weights" / "rooms-resnet18.pt", 18)
    (tmp_path / "weights" / "rooms-resnet18.json").write_text("{}")
    return tmp_path / "weights"


def encoders(plan: Plan) -> dict[int, str]:
    """Weights by depth, of all encoders that start from any."""
    trains = (stage for stage in in_order(plan.stages()) if isinstance(stage, Train))
    found = (dict(train.arguments) for train in trains)
    return {values["depth"]: Path(values["weights"]).name for values in found if "weights" in values}


def test_a_folder_holds_them_under_torchvisions_names_or_the_suites(folder: Path) -> None:
    plan = smoke_plan(profile=replace_weights(SMOKE, str(folder)))
    assert encoders(plan) == {50: "resnet50-0123abcd.pth", 18: "rooms-resnet18.pt"}


def test_what_a_folder_lacks_or_has_twice_is_said(folder: Path, save: Save) -> None:
    profile = replace_weights(SMOKE, str(folder))
    with pytest.raises(UserError, match=r"holds no weights of resnet18: .* resnet18-….pth.* street-resnet18.pt"):
        encoder_weights(profile, 18, "street")
    save(folder / "resnet180.pth", 18)  # the name of another depth
    save(folder / "ResNet50.pt", 50)
    with pytest.raises(UserError, match=r"several weights of resnet50 \(ResNet50.pt, resnet50-0123abcd.pth\)"):
        encoder_weights(profile, 101, "rooms")
    assert Path(encoder_weights(profile, 18, "rooms")).name == "rooms-resnet18.pt"


def test_what_is_no_folder_is_said(folder: Path) -> None:
    with pytest.raises(UserError, match="--weights gone does not exist; give the folder that holds the weights"):
        replace_weights(SMOKE, "gone")
    with pytest.raises(UserError, match="does not exist"):
        replace_weights(SMOKE, "x" * 300)
    with pytest.raises(UserError, match="is a file; give the folder that holds the weights"):
        replace_weights(SMOKE, str(folder / "rooms-resnet18.pt"))


def test_weights_of_another_network_are_refused_before_anything_runs(folder: Path, save: Save) -> None:
    save(folder / "resnet50-0123abcd.pth", 34)
    with pytest.raises(UserError, match=r"resnet50-0123abcd.pth' do not fit DeepLab-ResNet50 at width 0.0625"):
        smoke_plan(profile=replace_weights(SMOKE, str(folder)))


def own(**changes: object) -> Profile:
    """As if read from a user's file."""
    return replace(QUICK, name="mine", base="quick", **changes)  # type: ignore[arg-type]


def test_a_profile_of_ones_own_is_named_and_so_is_the_way_out() -> None:
    with pytest.raises(UserError) as error:
        encoder_weights(own(width=0.25), 101, "rooms")
    assert str(error.value).startswith("profile mine, weights 101: the weights ")
    assert "do not fit DeepLab-ResNet50 at width 0.25" in str(error.value)
    assert str(error.value).endswith(', or weights = "none".')
    name = "ResNet101_Weights.IMAGENET1K_V1"
    with pytest.raises(
        UserError, match="'ResNet101_Weights.IMAGENET1K_V1' are of another network than DeepLab-ResNet50"
    ):
        encoder_weights(own(weights={101: name}), 101, "rooms")
    assert encoder_weights(own(weights={101: name}, depths={101: 101}, width=1.0), 101, "rooms") == name
    with pytest.raises(UserError, match="torchvision has no weights 'ResNet50_Weights.OURS'; give those of a ResNet50"):
        encoder_weights(own(weights={101: "ResNet50_Weights.OURS"}), 101, "rooms")
    with pytest.raises(UserError, match=r"profile mine, flow_weights: .*rooms-flownets.pt does not hold .*same width"):
        flownet_weights(own(flow_width=0.5), "rooms")


def test_flownet_is_found_likewise_and_kept_where_the_folder_has_none(folder: Path, save: Save) -> None:
    assert replace_weights(QUICK, str(folder)).flow_weights == QUICK.flow_weights
    file = folder / "flownets_EPE1.951.pth.tar"
    torch.save({"state_dict": FlowNetS(SMOKE.flow_width).state_dict()}, file)
    profile = replace_weights(SMOKE, str(folder))
    assert flownet_weights(profile, "rooms") == str(file)
    assert flownet_weights(SMOKE, "rooms") is None
    save(folder / "resnet34.pth", 34)
    stages = in_order(smoke_plan(grid=GRIDS["table6b"], profile=profile).stages())
    (flow,) = (stage for stage in stages if isinstance(stage, Train) and stage.model == "flownet")
    assert dict(flow.arguments)["weights"] == str(file)


def test_the_same_file_is_the_same_stage_wherever_it_lies(folder: Path, tmp_path: Path, save: Save) -> None:
    other = tmp_path / "other"
    shutil.copytree(folder, other)
    (other / "resnet50-0123abcd.pth").rename(other / "resnet50.pt")

    def keys(place: Path) -> set[str]:
        return {stage.key for stage in in_order(smoke_plan(profile=replace_weights(SMOKE, str(place))).stages())}

    before = keys(folder)
    assert keys(other) == before
    save(other / "rooms-resnet18.pt", 18)
    assert keys(other) == before
    torch.manual_seed(1)
    torch.save(DeepLabResNet(18, SMOKE.width).state_dict(), other / "rooms-resnet18.pt")
    assert len(keys(other) & before) < len(before)


def test_what_the_suite_carries_is_that_wherever_it_lies(tmp_path: Path) -> None:
    for depth in (50, 34, 18):
        shutil.copy(CARRIED / f"rooms-resnet{depth}.pt", tmp_path)
    shutil.copy(CARRIED / "rooms-flownets.pt", tmp_path)
    ours, theirs = (
        {stage.key for stage in in_order(smoke_plan(profile=profile).stages())}
        for profile in (replace_weights(QUICK, str(tmp_path)), QUICK)
    )
    assert ours == theirs
    assert name_weights(tmp_path / "rooms-resnet18.pt") == name_weights("rooms-resnet18")
    assert name_weights("rooms-resnet18").name == "rooms-resnet18"


def test_what_torchvision_would_download_is_that_wherever_it_lies(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = weights.torchvision_names()  # by what the real files' digests begin with
    assert names["63fe2227"] == "ResNet101_Weights.IMAGENET1K_V1"
    assert set(PAPER.weights.values()) <= set(names.values())
    file = folder / "resnet50-0123abcd.pth"
    assert name_weights(file).name == "file"
    digest = str(name_weights(file).digest)
    monkeypatch.setattr(weights, "torchvision_names", lambda: {digest[:8]: "ResNet50_Weights.IMAGENET1K_V1"})
    assert (
        name_weights(file) == name_weights("ResNet50_Weights.IMAGENET1K_V1") == ("ResNet50_Weights.IMAGENET1K_V1", None)
    )


def test_a_trained_model_does_not_need_what_it_started_from(folder: Path, tmp_path: Path) -> None:
    plan = smoke_plan(profile=replace_weights(replace(SMOKE, encoder=one_part(epochs=1)), str(folder)))
    score = {row.label: row for row in plan.rows}["D101-MultiTask"].evaluations[0][0]
    store = Store(tmp_path / "store")
    for stage in in_order([score.train]):
        assert run_stage(stage, store, "cpu").error is None
    shutil.rmtree(folder)
    model = load_model(score.train, store)
    assert model.get_parameter("encoder.conv1.weight").isfinite().all()
