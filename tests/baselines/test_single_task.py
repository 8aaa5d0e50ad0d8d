"""D101-SingleTask."""

from __future__ import annotations

from baselines.single_task import SingleTask
from tests.support.fake_models import fake_model, fake_video


def test_single_task_shares_nothing() -> None:
    model = fake_model(SingleTask, depth=18).train()
    model(fake_video(1), 0)["depth"].sum().backward()
    touched = {n for n, p in model.named_parameters() if p.grad is not None}
    assert touched == {n for n, _ in model.named_parameters() if ".depth." in f".{n}"}
