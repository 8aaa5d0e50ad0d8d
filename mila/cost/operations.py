"""What each operation is charged: the table behind the convention `complete` (`mila.cost.conventions`).

One multiply-accumulate (MAC) is one multiplication with the addition that may go with it. So

| kind                       | charged                                                                               |
|----------------------------|---------------------------------------------------------------------------------------|
| convolution                | output values x input channels a group x kernel; padding counts, biases do not        |
| transposed convolution     | input values x output channels a group x kernel                                       |
| matrix product             | rows x inner x columns                                                                |
| local attention            | as Eqs. 1 and 2 define it: L x L x channels a pixel for each sum, `FUNCTIONS`         |
| interpolation, warping     | the source values that an output value is weighted from: 4 bilinear, 16 bicubic       |
| pooling                    | averages: 1 an output value (the division); maxima: 0                                 |
| normalisation              | batch norm: 1 a value (scale and shift); group and layer norm: 2 (the variance too)   |
| softmax                    | 1 a value (the division)                                                              |
| product                    | products, quotients and squares of floating-point numbers, value by value: 1 a value  |

Products are charged so that a sum of products costs the same however it is written: local attention as unfold, `*` and
`sum` is L x L x channels a pixel as well. `FREE` names what is charged nothing: what moves or selects values, additions
and comparisons, and functions of one value. An operation in neither table is an error that names it, never a zero.

A model's own operations are added to `OPERATIONS` by their name, a `torch.autograd.Function` with arithmetic of its own
to `FUNCTIONS`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from mila.errors import UserError
from mila.kernels.band import Aggregate, Similarity

OperationKind = Literal[
    "convolution",
    "transposed convolution",
    "matrix product",
    "local attention",
    "interpolation",
    "warping",
    "pooling",
    "normalisation",
    "softmax",
    "product",
    "free",
]


class UnknownOperationError(UserError):
    """An operation of which no table says what it costs."""


@dataclass(frozen=True)
class Operation:
    """What an operation is charged.

    Attributes:
        kind: under what it is listed.
        macs: multiply-accumulates of a call, from its arguments and its result (the first, where it gives several).
    """

    kind: OperationKind
    macs: Callable[[Sequence[Any], Tensor], int]


def _convolution(args: Sequence[Any], out: Tensor) -> int:
    x, weight, transposed = args[0], args[1], args[6]
    positions = x if transposed else out
    # weight: [out, in / groups, ...], or [in, out / groups, ...] where transposed
    return int(positions.numel() * math.prod(weight.shape[1:]))


def _product(left: int) -> Callable[[Sequence[Any], Tensor], int]:
    """A matrix product: every value of the result sums over the last dimension of the argument at this place."""
    return lambda args, out: out.numel() * int(args[left].shape[-1])


def _per_output(macs: int) -> Callable[[Sequence[Any], Tensor], int]:
    return lambda _, out: macs * out.numel()


def _per_input(macs: int) -> Callable[[Sequence[Any], Tensor], int]:
    return lambda args, _: macs * int(args[0].numel())


def _elementwise(_: Sequence[Any], out: Tensor) -> int:
    return out.numel() if out.is_floating_point() else 0  # arithmetic on indices is not charged


def _grid_sample(linear: int, cubic: int) -> Callable[[Sequence[Any], Tensor], int]:
    """Source values an output value is weighted from, by the mode: linear, nearest, cubic."""
    return lambda args, out: (linear, 0, cubic)[args[2]] * out.numel()


OPERATIONS: dict[str, Operation] = {
    "aten.convolution": Operation("convolution", _convolution),
    "aten.mm": Operation("matrix product", _product(0)),
    "aten.addmm": Operation("matrix product", _product(1)),
    "aten.bmm": Operation("matrix product", _product(0)),
    "aten.baddbmm": Operation("matrix product", _product(1)),
    "aten.mv": Operation("matrix product", _product(0)),
    "aten.dot": Operation("matrix product", _product(0)),
    "aten._cdist_forward": Operation("matrix product", _product(0)),
    "aten.upsample_linear1d": Operation("interpolation", _per_output(2)),
    "aten.upsample_bilinear2d": Operation("interpolation", _per_output(4)),
    "aten.upsample_trilinear3d": Operation("interpolation", _per_output(8)),
    "aten.upsample_bicubic2d": Operation("interpolation", _per_output(16)),
    "aten.grid_sampler_2d": Operation("warping", _grid_sample(4, 16)),
    "aten.grid_sampler_3d": Operation("warping", _grid_sample(8, 64)),
    "aten.avg_pool2d": Operation("pooling", _per_output(1)),
    "aten.avg_pool3d": Operation("pooling", _per_output(1)),
    "aten._adaptive_avg_pool2d": Operation("pooling", _per_output(1)),
    "aten._adaptive_avg_pool3d": Operation("pooling", _per_output(1)),
    "aten.mean": Operation("pooling", _per_output(1)),
    "aten.native_batch_norm": Operation("normalisation", _per_output(1)),
    "aten._native_batch_norm_legit_no_training": Operation("normalisation", _per_output(1)),
    "aten.native_group_norm": Operation("normalisation", _per_output(2)),
    "aten.native_layer_norm": Operation("normalisation", _per_output(2)),
    "aten.var_mean": Operation("normalisation", _per_input(1)),
    "aten.var": Operation("normalisation", _per_input(1)),
    "aten.std": Operation("normalisation", _per_input(1)),
    "aten._softmax": Operation("softmax", _per_output(1)),
    "aten._safe_softmax": Operation("softmax", _per_output(1)),
    "aten.linalg_vector_norm": Operation("product", _per_input(1)),
    "aten.prod": Operation("product", _per_input(1)),
    "aten.linalg_cross": Operation("product", _per_output(2)),
    **{
        f"aten.{name}": Operation("product", _elementwise)
        for name in ("mul", "div", "addcmul", "addcdiv", "lerp", "pow", "reciprocal", "cumprod", "glu", "_prelu_kernel")
    },
}
"""By name, without the underscore of operations that work in place."""

FREE: dict[str, str] = {
    "moves values": """
        _reshape_alias _to_copy _unsafe_view alias arange as_strided cat channel_shuffle clone col2im constant_pad_nd
        copy detach diagonal empty empty_like empty_strided expand eye fill flip full full_like im2col lift lift_fresh
        linspace new_empty new_empty_strided new_full new_ones new_zeros ones ones_like permute pixel_shuffle
        pixel_unshuffle rand rand_like randn randn_like reflection_pad1d reflection_pad2d repeat replication_pad1d
        replication_pad2d roll scalar_tensor select select_scatter slice slice_scatter split split_with_sizes squeeze
        stack t transpose tril triu unbind unfold unsafe_split unsqueeze upsample_nearest1d upsample_nearest2d
        _upsample_nearest_exact2d view view_as_complex view_as_real zero zeros zeros_like
    """,
    "selects values": """
        _unsafe_index amax amin argmax argmin argsort embedding gather index index_put index_select masked_fill
        masked_scatter max max_pool2d_with_indices max_pool3d_with_indices max_unpool2d adaptive_max_pool2d maximum min
        minimum median scatter sort topk where clamp clamp_max clamp_min nan_to_num
    """,
    "adds or compares": """
        abs add all any bitwise_and bitwise_not bitwise_or ceil count_nonzero cumsum eq floor floor_divide fmod ge gt
        index_add isinf isnan le logical_and logical_not logical_or lt ne neg remainder round rsub scatter_add sign
        sub sum trunc
    """,
    "function of a value": """
        acos asin atan atan2 celu cos elu erf exp exp2 expm1 gelu hardshrink hardsigmoid hardswish hardtanh hypot
        leaky_relu log log10 log1p log2 log_sigmoid_forward _log_softmax logsumexp mish relu rsqrt selu sigmoid silu
        sin softplus softshrink sqrt tan tanh
    """,
}
"""Names of `aten` that are charged nothing, by reason."""

_FREE = frozenset(f"aten.{name}" for names in FREE.values() for name in names.split())

FUNCTIONS: dict[type[torch.autograd.Function], tuple[OperationKind, Callable[..., int]]] = {
    Similarity: ("local attention", lambda query, _key, window: query.numel() * window**2),
    Aggregate: ("local attention", lambda weights, value: value.numel() * weights.shape[-1] ** 2),
}
"""Functions that are charged what they compute, whatever operations they run; from the arguments of `apply`."""


def operation_name(func: Any) -> str:
    """Name of a dispatched operation, as the tables have it: `aten.relu` for `aten::relu_.default`."""
    namespace, _, name = func._schema.name.partition("::")
    return f"{namespace}.{name.removesuffix('_')}"


def charge(name: str, args: Sequence[Any], kwargs: Mapping[str, Any], out: Any) -> tuple[OperationKind, int]:
    """Kind and multiply-accumulates of one call.

    Args:
        name: see `operation_name`.
        args: what it was called with.
        kwargs: likewise.
        out: what it gave.

    Raises:
        UnknownOperationError: the name is in no table.
    """
    if name in OPERATIONS:
        operation = OPERATIONS[name]
        result = out if isinstance(out, Tensor) else out[0]
        transposed = name == "aten.convolution" and args[6]
        return "transposed convolution" if transposed else operation.kind, operation.macs(args, result)
    if name not in _FREE:
        raise UnknownOperationError(
            f"no counter knows the operation {name!r}; say what it costs in mila.cost.operations.OPERATIONS."
        )
    factor = kwargs.get("alpha", 1)  # of a sum x + factor y
    return ("free", 0) if factor == 1 else ("product", _elementwise(args, out))
