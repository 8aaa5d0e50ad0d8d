"""Counting the operations that run: which, in which module, for which part of the model, at what cost."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial, wraps
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from mila.cost.operations import FUNCTIONS, OperationKind, UnknownOperationError, charge, operation_name
from mila.propagation import Propagation
from mila.video_model import Part, VideoModel


@dataclass(frozen=True)
class Call:
    """One operation that ran.

    Attributes:
        operation: its name in the tables of `mila.cost.operations`, or that of the function.
        kind: see there.
        path: dotted name of the innermost module that called it.
        part: of the model.
        macs: what it is charged; 0 inside a function that is charged as a whole.
        run: multiply-accumulates of the operation itself; 0 for a function that is charged as a whole.
        shapes: of the tensors among its arguments.
        out: shape of its result.
        kernel: what a convolution convolves with, an identity; 0 for any other operation.
    """

    operation: str
    kind: OperationKind
    path: str
    part: Part
    macs: int
    run: int
    shapes: tuple[tuple[int, ...], ...]
    out: tuple[int, ...]
    kernel: int = 0

    @property
    def outputs(self) -> int:
        """Values of the result."""
        return math.prod(self.out)


class Parts:
    """To which part of a model its modules, parameters and methods belong, by dotted name; see `VideoModel.parts`."""

    def __init__(self, model: nn.Module) -> None:
        self.named: dict[str, Part] = dict(model.parts) if isinstance(model, VideoModel) else {}
        self.named.update({name: "propagation" for name, m in model.named_modules() if isinstance(m, Propagation)})

    def find(self, name: str) -> Part | None:
        """The part of what has this name, or of what it lies in; None where nothing says so."""
        while name and name not in self.named:
            name = name.rpartition(".")[0]
        return self.named.get(name)

    def of(self, name: str) -> Part:
        """The same, where what nothing is said of is "other"."""
        return self.find(name) or "other"


class Scopes:
    """Which module and which part of a model is running.

    Args:
        model: a copy that the counter may keep: its modules get hooks, and some of its methods are wrapped.
    """

    def __init__(self, model: nn.Module) -> None:
        self._stack: list[tuple[str, Part]] = [("", "other")]
        parts, modules = Parts(model), dict(model.named_modules())
        for path, module in modules.items():
            part = parts.find(path)
            module.register_forward_pre_hook(partial(self._enter, path, part))
            module.register_forward_hook(self._leave, always_call=True)
            if isinstance(module, Propagation):
                for method in ("embed", "relate", "move"):
                    self._wrap(module, method, path, "propagation")
        for name, part in parts.named.items():
            owner, _, attribute = name.rpartition(".")
            found = getattr(modules.get(owner), attribute, None)
            if callable(found) and not isinstance(found, nn.Module):
                self._wrap(modules[owner], attribute, owner, part)

    @property
    def path(self) -> str:
        """The innermost module that is running."""
        return self._stack[-1][0]

    @property
    def part(self) -> Part:
        """The innermost part that is running."""
        return self._stack[-1][1]

    def _enter(self, path: str, part: Part | None, *_: Any) -> None:
        self._stack.append((path, part or self.part))

    def _leave(self, *_: Any) -> None:
        self._stack.pop()

    def _wrap(self, module: nn.Module, method: str, path: str, part: Part) -> None:
        run: Callable[..., Any] = getattr(module, method)

        @wraps(run)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            self._enter(path, part)
            try:
                return run(*args, **kwargs)
            finally:
                self._leave()

        setattr(module, method, wrapped)


_ONE_AT_A_TIME = threading.RLock()


class OperationCounter(TorchDispatchMode):
    """Counts the operations that run inside it, on whatever tensors, meta tensors among them.

    Args:
        scopes: of the model that runs; None for what is no module.

    Attributes:
        calls: every operation, in the order they ran.

    Raises:
        UnknownOperationError: an operation that no table has, when it runs.
    """

    def __init__(self, scopes: Scopes | None = None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._scopes = scopes or Scopes(nn.Module())
        self._inside = 0  # functions that are charged as a whole
        self._thread = 0
        self.calls: list[Call] = []

    def __enter__(self) -> OperationCounter:
        _ONE_AT_A_TIME.acquire()
        self._thread = threading.get_ident()
        for function, (kind, macs) in FUNCTIONS.items():
            function.apply = staticmethod(self._charged(function, kind, macs))
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)  # type: ignore[no-untyped-call]
        for function in FUNCTIONS:
            del function.apply  # what was inherited shows again
        _ONE_AT_A_TIME.release()

    def _charged(self, function: Any, kind: OperationKind, macs: Callable[..., int]) -> Callable[..., Any]:
        """`apply` of a function that is charged as a whole."""
        run = function.apply

        def apply(*args: Any) -> Any:
            if threading.get_ident() != self._thread:
                return run(*args)
            self._inside += 1
            try:
                out = run(*args)
            finally:
                self._inside -= 1
            if not self._inside:
                self._record(function.__name__.strip("_"), kind, macs(*args), 0, args, out)
            return out

        return apply

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run one operation and note it."""
        out = func(*args, **(kwargs or {}))
        name = operation_name(func)
        try:
            kind, macs = charge(name, args, kwargs or {}, out)
        except UnknownOperationError as error:
            where = f" (called in {self._scopes.path!r})" if self._scopes.path else ""
            raise UnknownOperationError(f"{str(error)[:-1]}{where}.") from None
        self._record(name, kind, 0 if self._inside else macs, macs, args, out)
        return out

    def _record(self, name: str, kind: OperationKind, macs: int, run: int, args: Any, out: Any) -> None:
        shapes = tuple(tuple(x.shape) for x in tree_leaves(args) if isinstance(x, Tensor))
        results = [tuple(x.shape) for x in tree_leaves(out) if isinstance(x, Tensor)]
        kernel = args[1].untyped_storage()._cdata if "convolution" in kind else 0
        self.calls.append(
            Call(
                operation=name,
                kind=kind,
                path=self._scopes.path,
                part=self._scopes.part,
                macs=macs,
                run=run,
                shapes=shapes,
                out=results[0] if results else (),
                kernel=kernel,
            )
        )


class KnownOperations(TorchDispatchMode):
    """Refuses what no table has, for counters that would pass over it; what works on real numbers is their own.

    Raises:
        UnknownOperationError: such an operation, when it runs.
    """

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run one operation and look it up."""
        out = func(*args, **(kwargs or {}))
        if any(isinstance(x, Tensor) and x.is_meta for x in tree_leaves(out)):
            charge(operation_name(func), args, kwargs or {}, out)
        return out


def count_calls(run: Callable[[], object], scopes: Scopes | None = None) -> list[Call]:
    """The operations of `run`, without gradients."""
    with torch.no_grad(), OperationCounter(scopes) as counter:
        run()
    return counter.calls


def weight_names(model: nn.Module) -> dict[int, str]:
    """Names of a model's parameters and buffers by what `Call.kernel` has of them."""
    tensors = [*model.named_parameters(), *model.named_buffers()]
    return {tensor.untyped_storage()._cdata: name for name, tensor in tensors}
