"""Inter-frame local attention as an ONNX file, run by ONNX's own reference evaluator."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx.reference import ReferenceEvaluator

from mila.attention import InterFrameLocalAttention, Window


@pytest.mark.slow
@pytest.mark.parametrize("window", [3, "global"])
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning:torch.onnx")
def test_onnx_agrees(window: Window, tmp_path: Path) -> None:
    torch.manual_seed(0)
    ila = InterFrameLocalAttention(6, embedding=4, window=window, scaled=True).eval()
    frames = tuple(torch.randn(1, 6, 5, 7) for _ in range(3))
    torch.onnx.export(ila, frames, tmp_path / "ila.onnx", dynamo=True, verbose=False, external_data=False)
    model = onnx.load(tmp_path / "ila.onnx")
    onnx.checker.check_model(model)
    assert {node.domain for node in model.graph.node} <= {"", "ai.onnx"}
    names = [one.name for one in model.graph.input]
    feed = {name: frame.numpy() for name, frame in zip(names, frames, strict=True)}
    (out,) = ReferenceEvaluator(model).run(None, feed)
    with torch.no_grad():
        np.testing.assert_allclose(np.asarray(out), ila(*frames).numpy(), rtol=1e-4, atol=1e-5)
