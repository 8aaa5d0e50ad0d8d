"""MultiNet++ on the SlowFast pair."""

from __future__ import annotations

import torch

from baselines.multinetpp import MultiNetPP
from mila.modules import upsample
from tests.support.fake_models import fake_model, fake_video


def test_multinetpp_concatenates_key_and_current_features() -> None:
    model = fake_model(MultiNetPP, slow=34)
    frames = fake_video(3)
    with torch.no_grad():
        assert model.fast is not None
        key = model.project(model.slow(frames[:, 0]))
        current = model.fast(frames[:, 2])
        fusion = model.branch(0).fuse_non_key
        assert fusion is not None
        fused = fusion.layers(torch.cat([current, key], 1))
        torch.testing.assert_close(model(frames, 2)["depth"], upsample(model.decoders["depth"](fused), (24, 32)))
        torch.testing.assert_close(model(frames[:, :1], 0)["depth"], upsample(model.decoders["depth"](key), (24, 32)))
    assert not any("propagation" in name or "se." in name for name, _ in model.named_parameters())
