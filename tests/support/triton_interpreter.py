"""Triton's interpreter, made fit for tests of our kernels: right in bfloat16, and not slower than it must be.

To be imported only where the interpreter runs: in a process that started with TRITON_INTERPRET=1.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import triton.language as tl
from triton.runtime import interpreter


def mend(monkeypatch: pytest.MonkeyPatch) -> None:
    """Mend two faults of the interpreter of Triton 3.8.

    It multiplies matrices of bfloat16 as the 16-bit integers in which it keeps them; and on every call of a device
    function it patches the whole language anew, once for each of our helpers.
    """
    builder: Any = interpreter.InterpreterBuilder
    multiply, seen = builder.create_dot, set[int]()

    def create_dot(self: Any, a: Any, b: Any, *others: Any) -> Any:
        return multiply(self, _widened(a), _widened(b), *others)

    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        if id(self.fn.__globals__) not in seen:
            interpreter._patch_lang(self.fn)
            seen.add(id(self.fn.__globals__))
        return self.rewrite()(*args, **kwargs)

    monkeypatch.setattr(builder, "create_dot", create_dot)
    monkeypatch.setattr(interpreter.InterpretedFunction, "__call__", call)


def _widened(x: Any) -> Any:
    if x.dtype.scalar != tl.bfloat16:
        return x
    return interpreter.TensorHandle((x.data.astype(np.uint32) << 16).view(np.float32), tl.float32)
