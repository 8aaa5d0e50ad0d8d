"""Weight files in the wrappings that people have them in, and files that are no weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from torch import Tensor

from mila.backbone import DeepLabResNet
from mila.common.weights import read_weight_file, weights_by_name
from mila.errors import UserError

State = dict[str, Tensor]


@pytest.fixture(scope="module")
def state() -> State:
    """Weights of torchvision's ResNet18, classifier included."""
    torch.manual_seed(1)
    weights: State = torchvision.models.resnet18().state_dict()
    return weights


def prefixed(prefix: str, state: State) -> State:
    return {prefix + name: value for name, value in state.items()}


WRAPPINGS: dict[str, Callable[[State], Any]] = {
    "bare": lambda s: s,
    "data parallel": lambda s: prefixed("module.", s),
    "part of a network": lambda s: {**prefixed("backbone.", s), "classifier.4.bias": torch.zeros(21)},
    "both": lambda s: {**prefixed("module.backbone.", s), "module.neck.weight": torch.zeros(1)},
    "the other way round": lambda s: prefixed("backbone.module.", s),
    "a checkpoint": lambda s: {"epoch": 90, "arch": "resnet18", "state_dict": prefixed("module.", s), "best": 0.7},
    "torchvision's training": lambda s: {"model": s, "optimizer": {"state": {}, "param_groups": []}, "epoch": 89},
    "twice": lambda s: {"model": {"state_dict": prefixed("backbone.", s)}},
}


@pytest.mark.parametrize("wrapping", WRAPPINGS)
def test_weights_are_recognised_in_every_wrapping(wrapping: str, state: State, tmp_path: Path) -> None:
    torch.save(WRAPPINGS[wrapping](state), tmp_path / "w.pth")
    backbone = DeepLabResNet(18, weights=tmp_path / "w.pth")
    for name, value in backbone.state_dict().items():
        assert torch.equal(value, state[name]), name


@pytest.mark.parametrize(
    ("stored", "sentence"),
    [
        ([torch.zeros(2)], r"w\.pth holds a list, not weights by name; give a state dict"),
        (torch.zeros(2), r"w\.pth holds a Tensor, not weights by name"),
        ({0: torch.zeros(2)}, r"w\.pth holds weights under an int \(0\), not by name; give the state dict"),
        ({"state_dict": [1, 2]}, r"w\.pth holds a list as 'state_dict', not a tensor"),
        ({"model": {"epoch": 3}}, r"w\.pth holds an int as 'epoch', not a tensor"),
        ({}, r"w\.pth holds no weights"),
        ({"state_dict": {}}, r"w\.pth holds no weights"),
        ({"conv9.weight": torch.zeros(2)}, r"w\.pth' do not fit DeepLab-ResNet18 at width 1 \(.*conv9"),
    ],
)
def test_what_is_no_weights_is_said(stored: Any, sentence: str, tmp_path: Path) -> None:
    torch.save(stored, tmp_path / "w.pth")
    with pytest.raises(UserError, match=sentence) as caught:
        DeepLabResNet(18, weights=tmp_path / "w.pth")
    assert "\n" not in str(caught.value)


def test_a_file_that_is_more_than_tensors_is_refused_without_advice_to_run_it(tmp_path: Path) -> None:
    torch.save({"net": torch.nn.Linear(1, 1)}, tmp_path / "w.pth")
    with pytest.raises(UserError, match=r"cannot be read as PyTorch weights \(it is cut short, damaged, or") as caught:
        read_weight_file(tmp_path / "w.pth")
    assert "weights_only" not in str(caught.value)


def test_part_of_the_names_with_module_is_left_as_it_is(tmp_path: Path) -> None:
    mixed = {"module.a": torch.zeros(1), "b": torch.zeros(1)}
    assert set(weights_by_name(mixed, tmp_path)) == {"module.a", "b"}
