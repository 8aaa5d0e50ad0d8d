"""The plain path: the same numbers, and what traces, exports and compiles takes it by itself."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from mila.attention import Window, aggregate, attention_weights, local_attention
from tests.support.attention_loop import maps


class Attention(nn.Module):
    """`local_attention` as a module, which exporters want."""

    def __init__(self, window: Window) -> None:
        super().__init__()
        self.window = window

    def forward(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        return local_attention(query, key, value, self.window)


def test_both_halves_take_the_path_that_is_named() -> None:
    query, key, value = maps(1, 3, 4, 5, 6)
    weights = attention_weights(query, key, 3, "reference")
    torch.testing.assert_close(weights, attention_weights(query, key, 3, "band"))
    expected = aggregate(weights, value, "band")
    torch.testing.assert_close(aggregate(weights, value, "reference"), expected)


def test_a_value_that_is_not_finite_stays_within_its_window() -> None:
    query, key, value = maps(1, 3, 4, 7, 9)
    value[0, :, 3, 4] = torch.nan
    broken = local_attention(query, key, value, 3, "reference").isnan().any(1)
    assert broken[0, 2:5, 3:6].all()
    assert broken.sum() == 9


@pytest.mark.slow
@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("window", [1, 5, "global"])
def test_exported_programs_agree(window: Window, strict: bool) -> None:
    inputs = [t.float() for t in maps(2, 3, 4, 6, 7)]
    sizes: dict[int, object] = {0: torch.export.Dim("batch")}
    exported = torch.export.export(Attention(window), tuple(inputs), dynamic_shapes=(sizes,) * 3, strict=strict)
    names = {str(node.target) for node in exported.graph.nodes if node.op == "call_function"}
    assert all(name.startswith(("aten.", "<built-in function getitem>")) for name in names), names
    assert not any("as_strided" in name or name.endswith(("out", "_")) for name in names), names
    for batch in (2, 3):
        others = [t.float() for t in maps(batch, 3, 4, 6, 7)]
        expected = Attention(window)(*others)
        torch.testing.assert_close(exported.module()(*others), expected, rtol=1e-5, atol=1e-5)


def test_compiled_programs_take_it() -> None:
    inputs = [t.float() for t in maps(1, 3, 4, 5, 6)]
    graphs: list[torch.fx.GraphModule] = []

    def keep(graph: torch.fx.GraphModule, _: list[Tensor]) -> torch.fx.GraphModule:
        graphs.append(graph)
        return graph

    expected = Attention(3)(*inputs)
    compiled = torch.compile(Attention(3), backend=keep, fullgraph=True)
    torch.testing.assert_close(compiled(*inputs), expected)
    assert "pad" in graphs[0].code
    assert "Similarity" not in graphs[0].code
