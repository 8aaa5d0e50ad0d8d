"""What no CUDA graph can hold, seen without a GPU: a step that waits for the device, or copies from the CPU to it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from baselines.flownet import FlowNet
from mila.batch_losses import BatchLosses
from mila.kernels import fused
from mila.names import WeightingName
from mila.recorded_steps import kind_of_step
from mila.tasks import NYUV2
from mila.video_model import VideoModel
from mila.weighting import make_weighting
from tests.support.all_models import MODELS


class _Watch(TorchDispatchMode):
    """Notes each operation that looks at numbers, or at tensors of two devices."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.refused: list[str] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        del types
        found = func(*args, **(kwargs or {}))
        devices = {t.device.type for t in tree_leaves((args, kwargs, found)) if isinstance(t, Tensor) and t.dim()}
        if len(devices) > 1 or func in (torch.ops.aten._local_scalar_dense.default, torch.ops.aten.nonzero.default):
            self.refused.append(str(func))
        return found


@pytest.mark.parametrize("name", [*MODELS, "FlowNet"])
def test_a_step_stays_on_the_device(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fused, "refusal", lambda *_: "its kernels know no fake tensors")
    watch = _Watch()
    with FakeTensorMode(allow_non_fake_inputs=True):
        with torch.device("cuda"):
            model: VideoModel
            if name == "FlowNet":
                model = FlowNet(width=0.0625).train()
            else:
                make, arguments = MODELS[name]
                model = make(NYUV2, **{"width": 0.0625, **arguments}).train()
            weighting: WeightingName = "geometric" if name == "multi task" else "equal"
            weigh = make_weighting(weighting, [task.name for task in model.suite.tasks])
            offset = model.keyframe_interval - 1
            frames = torch.randn(2, max(2, offset + 1 + model.history), 3, 24, 32)
            targets = {
                "segmentation": torch.zeros(2, 24, 32, dtype=torch.long),
                "depth": torch.ones(2, 1, 24, 32),
                "normals": torch.ones(2, 3, 24, 32),
                "flow": torch.ones(2, 2, 24, 32),
            }
        model.set_progress(0.0)
        losses = BatchLosses(model, weigh)
        losses(frames, targets, [(offset, None)])  # the first time, constants may be made
        with watch:
            loss, _, _ = losses(frames, targets, [(offset, None), (0, None)])
    assert loss.device.type == "cuda"
    assert watch.refused == []
    assert kind_of_step(model) is not None
