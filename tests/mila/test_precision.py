"""Every model computes its losses under bfloat16 autocast; losses and gradients are float32."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from mila.batch_losses import BatchLosses
from mila.names import Precision
from mila.tasks import NYUV2
from mila.weighting import make_weighting
from tests.support.all_models import MODELS
from tests.support.fake_models import fake_model, fake_video


def targets() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(3)
    normals = torch.randn(2, 3, 24, 32, generator=generator)
    return {
        "segmentation": torch.randint(-1, 13, (2, 24, 32), generator=generator),
        "depth": torch.rand(2, 1, 24, 32, generator=generator) + 1,
        "normals": nn.functional.normalize(normals, dim=1),
    }


@pytest.mark.parametrize("name", MODELS)
def test_every_model_trains_in_bfloat16(name: str) -> None:
    model = fake_model(MODELS[name][0], **MODELS[name][1]).train()
    for norm in model.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.eval()  # so that both runs see the same statistics
    offset = model.keyframe_interval - 1
    clip = fake_video(offset + 1 + model.history)
    weigh = make_weighting("equal", [task.name for task in NYUV2.tasks])
    seen = set[torch.dtype]()
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(lambda _module, _inputs, output: seen.add(output.dtype))
    totals = dict[Precision, float]()
    precisions: tuple[Precision, ...] = ("float32", "bfloat16")
    for precision in precisions:
        seen.clear()
        model.zero_grad()
        loss, own, losses = BatchLosses(model, weigh, precision)(clip, targets(), [(offset, None)])
        loss.backward()
        assert (torch.bfloat16 in seen) == (precision == "bfloat16")
        assert seen == {torch.float32 if precision == "float32" else torch.bfloat16} or "low" in name or "Accel" in name
        for each in (loss, *own.values(), *losses.values()):
            assert each.dtype == torch.float32
            assert each.isfinite()
        grads = [p.grad for p in model.parameters() if p.grad is not None]
        assert grads
        assert all(grad.dtype == torch.float32 and grad.isfinite().all() for grad in grads)
        totals[precision] = loss.item()
    assert totals["float32"] != totals["bfloat16"]
    assert totals["bfloat16"] == pytest.approx(totals["float32"], rel=0.05)
