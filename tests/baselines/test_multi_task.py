"""D101-MultiTask."""

from __future__ import annotations

import torch

from baselines.multi_task import MultiTask
from mila.modules import upsample
from tests.support.fake_models import fake_model, fake_video


def test_multi_task_shares_its_encoder() -> None:
    model = fake_model(MultiTask, depth=18)
    frame = fake_video(1)
    with torch.no_grad():
        features = model.encoder(frame[:, -1])
        expected = upsample(model.decoders["depth"](features), (24, 32))
        torch.testing.assert_close(model(frame, 0)["depth"], expected)
