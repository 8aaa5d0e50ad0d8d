"""Batch norm folded into the convolution before it: in eval mode both are linear, and one does the work of two."""

from __future__ import annotations

from collections import Counter

from torch import fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


def fold_batch_norms(model: nn.Module) -> int:
    """Fold every batch norm that follows a convolution, and nothing else does, into it; in place.

    What follows what is read off traces (torch.fx) of the largest submodules that can be traced, so nothing depends on
    names. A batch norm that cannot be shown to follow a convolution stays.

    Args:
        model: in eval mode.

    Returns:
        How many were folded; an `nn.Identity` stands in the place of each.
    """
    if not any(isinstance(module, nn.BatchNorm2d) for module in model.modules()):
        return 0
    graph = _trace(model)
    if graph is None:
        return sum(fold_batch_norms(child) for child in model.children())
    pairs = _pairs(model, graph)
    for name, norm_name in pairs:
        convolution, norm = model.get_submodule(name), model.get_submodule(norm_name)
        assert isinstance(convolution, nn.Conv2d)
        assert isinstance(norm, nn.BatchNorm2d)
        replace_submodule(model, name, fuse_conv_bn_eval(convolution, norm))
        replace_submodule(model, norm_name, nn.Identity())
    return len(pairs)


def replace_submodule(model: nn.Module, name: str, new: nn.Module) -> None:
    """Put `new` where the submodule with this dotted name is."""
    parent, _, last = name.rpartition(".")
    setattr(model.get_submodule(parent), last, new)


def _trace(model: nn.Module) -> fx.Graph | None:
    """The module's graph of calls of PyTorch's own modules; None where it cannot be traced."""
    try:
        return fx.Tracer().trace(model)
    except Exception:  # a forward that looks at values or shapes may end a trace in any way; its parts are tried then
        return None


def _pairs(model: nn.Module, graph: fx.Graph) -> list[tuple[str, str]]:
    """Names of convolutions and of the batch norms that each feeds alone; of what is called once."""
    calls = Counter(node.target for node in graph.nodes if node.op == "call_module")
    pairs = []
    for node in graph.nodes:
        if not _is_call(model, node, nn.BatchNorm2d) or not node.args:
            continue
        before = node.args[0]
        if not isinstance(before, fx.Node) or not _is_call(model, before, nn.Conv2d):
            continue
        if len(before.users) == calls[before.target] == calls[node.target] == 1:
            pairs.append((str(before.target), str(node.target)))
    return pairs


def _is_call(model: nn.Module, node: fx.Node, kind: type[nn.Module]) -> bool:
    return node.op == "call_module" and isinstance(model.get_submodule(str(node.target)), kind)
