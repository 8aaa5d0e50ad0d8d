"""The counters side by side: `complete` (`mila.cost.conventions`), thop, fvcore, PyTorch's own, and why they disagree.

Every reason is found from the operations that differ: the operations that ran are known one by one
(`mila.cost.counter`), and a counter is said to do something only where its number is what doing so gives. What a
comparison lists adds up to the whole difference.
"""

from __future__ import annotations

import copy
import logging
import math
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from mila.cost.conventions import thop_modules
from mila.cost.counter import Call, Scopes, count_calls
from mila.cost.operations import OperationKind
from mila.cost.steps import Step, check_size, meta_copy, without_numbers
from mila.video_model import VideoModel

CounterName = Literal["thop", "fvcore", "torch"]


@dataclass(frozen=True)
class Disagreement:
    """One thing that another counter charges differently.

    Attributes:
        kind: of the operations, or "all" for the unit.
        counted: what the counter charges for it.
        complete: what `complete` charges for it.
        reason: why.
        where: the operations, by name and module.
    """

    kind: OperationKind | Literal["all"]
    counted: float
    complete: float
    reason: str
    where: tuple[str, ...]


@dataclass(frozen=True)
class Comparison:
    """A counter beside `complete`, for one run.

    Attributes:
        counter: its name.
        total: what it says, in its own unit.
        unit: multiply-accumulates, or floating-point operations.
        complete: what `complete` says, multiply-accumulates.
        disagreements: their differences add up to `total - complete`.
    """

    counter: CounterName
    total: float
    unit: Literal["MACs", "FLOPs"]
    complete: float
    disagreements: tuple[Disagreement, ...]

    @property
    def ratio(self) -> float:
        """`total / complete`, whatever the units are."""
        return self.total / self.complete


Prepare = Callable[[Literal["meta", "cpu"]], tuple[nn.Module, tuple[Tensor, ...]]]
"""A copy of what is run and its inputs, without numbers or with some."""


def compare(module: nn.Module, *inputs: Tensor) -> list[Comparison]:
    """Count one run of a module by every counter; the module itself is not touched.

    fvcore wants numbers, so it is run on the processor once, at the inputs' size.

    Raises:
        UserError: an operation that no table knows, or one that needs numbers.
    """

    def prepare(device: Literal["meta", "cpu"]) -> tuple[nn.Module, tuple[Tensor, ...]]:
        made = tuple(torch.zeros(x.shape, dtype=x.dtype, device=device) for x in inputs)
        return meta_copy(module) if device == "meta" else _cpu_copy(module), made

    return _compare(prepare)


def compare_step(model: VideoModel, height: int, width: int, keyframe: bool = False) -> list[Comparison]:
    """Count a keyframe or a non-keyframe in the middle of a stream by every counter; see `compare`."""
    check_size(height, width)

    def prepare(device: Literal["meta", "cpu"]) -> tuple[nn.Module, tuple[Tensor, ...]]:
        copied = meta_copy(model) if device == "meta" else _cpu_copy(model)
        copied.for_inference()
        frame = torch.zeros(1, 3, height, width, device=device)
        return Step(copied, model.keyframe_interval + (0 if keyframe else 1), frame), (frame,)

    return _compare(prepare)


def _cpu_copy(module: nn.Module) -> Any:
    """A copy with numbers, zeros where it has none."""
    copied = copy.deepcopy(module).eval()
    if any(x.is_meta for x in (*copied.parameters(), *copied.buffers())):
        copied = copied.to_empty(device="cpu")
        with torch.no_grad():
            for x in (*copied.parameters(), *copied.buffers()):
                x.zero_()
    return copied.cpu()


def _compare(prepare: Prepare) -> list[Comparison]:
    run, inputs = prepare("meta")
    with without_numbers(run):
        calls = count_calls(lambda: run(*inputs), Scopes(run))
        run, inputs = prepare("meta")
        thop = _thop(run, inputs, calls)
        run, inputs = prepare("meta")
        flops = _torch(run, inputs, calls)
    return [thop, _fvcore(*prepare("cpu"), calls), flops]


class _Differences:
    """Collects disagreements; those of one kind and reason become one."""

    def __init__(self) -> None:
        self._found: dict[tuple[Any, str], list[Disagreement]] = defaultdict(list)

    def add(
        self, kind: OperationKind | Literal["all"], counted: float, complete: float, reason: str, calls: Iterable[Call]
    ) -> None:
        if counted != complete:
            where = tuple(sorted({f"{c.operation} in {c.path}" if c.path else c.operation for c in calls}))
            self._found[kind, reason].append(Disagreement(kind, counted, complete, reason, where))

    def rows(self) -> tuple[Disagreement, ...]:
        return tuple(
            Disagreement(
                found[0].kind,
                sum(d.counted for d in found),
                sum(d.complete for d in found),
                reason,
                tuple(sorted({w for d in found for w in d.where})),
            )
            for (_, reason), found in self._found.items()
        )


def _total(calls: Iterable[Call]) -> int:
    return sum(c.macs for c in calls)


def _by_kind(calls: Iterable[Call]) -> dict[OperationKind, list[Call]]:
    """What is charged, by kind; what runs inside a function that is charged as a whole is left out."""
    kinds: dict[OperationKind, list[Call]] = defaultdict(list)
    for call in calls:
        if call.macs:
            kinds[call.kind].append(call)
    return kinds


def _operations(calls: Iterable[Call]) -> str:
    return ", ".join(sorted({c.operation for c in calls}))


# thop


def _thop(run: nn.Module, inputs: tuple[Tensor, ...], calls: list[Call]) -> Comparison:
    from thop.profile import register_hooks

    modules = dict(run.named_modules(remove_duplicate=False))
    first = {id(module): name for name, module in run.named_modules()}  # as in `Call.path`
    visits = Counter(id(module) for module in _visited(run))
    charged: dict[str, float] = defaultdict(float)
    for name, macs in thop_modules(run, *inputs).items():
        charged[first[id(modules[name])]] += macs

    differences = _Differences()
    for path in {*charged, *(c.path for c in calls)}:
        module = modules[path]
        kinds = _by_kind(c for c in calls if c.path == path)
        # What thop charges a module belongs to what the module mainly does.
        main = max(kinds, key=lambda kind: _total(kinds[kind]), default="free")
        for kind, own in {"free": [], **kinds}.items() if main == "free" else kinds.items():
            counted = charged[path] if kind == main else 0.0
            reason = _thop_reason(module, kind, counted, own, visits[id(module)], type(module) in register_hooks)
            differences.add(kind, counted, _total(own), reason, own)
    return Comparison("thop", sum(charged.values()), "MACs", _total(calls), differences.rows())


def _visited(module: nn.Module) -> Iterator[nn.Module]:
    """Modules as thop walks over them: one that several parents share comes once for each."""
    yield module
    for child in module.children():
        yield from _visited(child)


def _thop_reason(
    module: nn.Module, kind: OperationKind, counted: float, calls: list[Call], visits: int, known: bool
) -> str:
    called = type(module).__name__
    if not counted:
        if known:
            return f"its rule for {called} leaves {_operations(calls)} out"
        if type(module).__module__.startswith("torch.nn"):
            return f"it has no rule for {called}"
        return "called as a function, and it sees modules alone"
    # It registers its hooks once a visit, and adds up what they counted once a visit.
    times = visits**2
    shared = f"a module of {visits} parents is counted {times} times" if visits > 1 else ""
    own = "" if counted == times * _total(calls) else _thop_rule(kind, counted / times, calls, called)
    return "; ".join(part for part in (own, shared) if part)


def _thop_rule(kind: OperationKind, counted: float, calls: list[Call], called: str) -> str:
    """What thop does differently for a module of one parent."""
    outputs = sum(c.outputs for c in calls)
    if kind == "transposed convolution":
        # Each weight is charged at every output position, though it meets every input position once.
        dense = sum(c.macs * math.prod(c.out[2:]) // math.prod(c.shapes[0][2:]) for c in calls)
        if counted == dense:
            return (
                "a transposed convolution is charged at every output position instead of every input position, "
                f"{dense / _total(calls):.3g} times as much"
            )
    if kind == "normalisation" and counted in (2 * outputs, 4 * outputs):
        return f"a normalisation is charged {counted / outputs:.0f} a value"
    if kind == "pooling" and counted == sum(math.prod(c.shapes[0]) for c in calls) + outputs:
        return "an average is charged every value that goes into it as well"
    return f"its rule for {called} is another one, {counted / max(_total(calls), 1):.3g} times as much"


# fvcore

_FVCORE: dict[str, OperationKind] = {
    "conv": "convolution",
    **dict.fromkeys(("addmm", "bmm", "matmul", "mm", "linear", "einsum"), "matrix product"),
    **dict.fromkeys(("batch_norm", "group_norm", "layer_norm", "instance_norm"), "normalisation"),
    **dict.fromkeys(("upsample_nearest2d", "upsample_bilinear2d"), "interpolation"),
    "adaptive_avg_pool2d": "pooling",
    "grid_sampler": "warping",
}


def _fvcore(run: nn.Module, inputs: tuple[Tensor, ...], calls: list[Call]) -> Comparison:
    logging.getLogger("fvcore.nn.jit_analysis").setLevel(logging.ERROR)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # of the tracer, and of a deprecated one
        from fvcore.nn import FlopCountAnalysis

        analysis = FlopCountAnalysis(run, inputs)
        analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
        operators, left_out = analysis.by_operator(), set(analysis.unsupported_ops())
        seen = {path for path, macs in analysis.by_module().items() if macs}
    counted: dict[OperationKind, float] = defaultdict(float)
    for operator, macs in operators.items():
        counted[_FVCORE[operator]] += macs
    kinds = _by_kind(calls)
    # It lists both kinds of convolution under one name, and agrees about both.
    kinds["convolution"] = kinds.pop("convolution", []) + kinds.pop("transposed convolution", [])
    adaptive = {name for name, m in run.named_modules() if isinstance(m, nn.AdaptiveAvgPool2d)}
    differences = _Differences()
    for kind in {*counted, *kinds}:
        own = kinds.get(kind, [])
        if kind in ("convolution", "normalisation"):  # which it always charges where it sees them
            dropped = [c for c in own if c.path not in seen]
            own = [c for c in own if c.path in seen]
            reason = "its tracer drops what no output of this frame needs, as what is kept for later frames"
            differences.add(kind, 0.0, _total(dropped), reason, dropped)
        reason = _fvcore_reason(kind, counted[kind], own, {*operators, *left_out}, adaptive)
        differences.add(kind, counted[kind], _total(own), reason, own)
    return Comparison("fvcore", float(sum(operators.values())), "MACs", _total(calls), differences.rows())


def _fvcore_reason(
    kind: OperationKind, counted: float, calls: list[Call], operators: set[str], adaptive: set[str]
) -> str:
    if kind == "normalisation":
        each = {c: 2 if "batch" in c.operation else 5 for c in calls}
        if counted == sum(each[c] * c.outputs for c in calls):
            values = " and ".join(f"{n} a value" for n in sorted(set(each.values())))
            return f"a normalisation is charged {values} (2 of a batch norm, 5 of any other)"
    averaged = [c for c in calls if c.path in adaptive or "adaptive" in c.operation]
    if kind == "pooling" and counted and counted == sum(math.prod(c.shapes[0]) for c in averaged):
        return "an adaptive average is charged every value that goes into it and no division, any other one nothing"
    if kind == "local attention" and not counted:
        return "it cannot look into a torch.autograd.Function"
    if kind == "matrix product" and "aten::scaled_dot_product_attention" in operators:
        return "it has no rule for aten::scaled_dot_product_attention"
    if not counted:
        return f"it has no rule for {_operations(calls)}"
    if kind == "matrix product" and "einsum" in operators and math.isclose(counted, _total(calls), rel_tol=5e-4):
        return "it reads the cost of an einsum off NumPy's report, which prints four digits"
    return f"its rule for {_operations(calls)} is another one, {counted / max(_total(calls), 1):.3g} times as much"


# PyTorch's own


def _torch(run: nn.Module, inputs: tuple[Tensor, ...], calls: list[Call]) -> Comparison:
    with FlopCounterMode(display=False) as counter:
        run(*inputs)
    counts: Mapping[Any, int] = counter.get_flop_counts().get("Global", {})
    total = float(sum(counts.values()))
    differences = _Differences()
    differences.add("all", total, total / 2, "it counts a multiplication and an addition as two", [])
    kinds = _by_kind(calls)
    inside = [c for c in calls if c.run and not c.macs]
    for kind, own in kinds.items():
        if "convolution" in kind or kind == "matrix product":
            continue
        if kind == "local attention":
            reason = "the products that run are charged, with the zeros of their bands"
            differences.add(kind, sum(c.run for c in inside), _total(own), reason, own)
        else:
            differences.add(kind, 0.0, _total(own), f"it has no rule for {_operations(own)}", own)
    known = [c for c in calls if c.macs and ("convolution" in c.kind or c.kind == "matrix product")]
    seen = total / 2 - sum(c.run for c in inside)
    differences.add("matrix product", seen, _total(known), "its rules are other ones", known)
    return Comparison("torch", total, "FLOPs", _total(calls), differences.rows())
