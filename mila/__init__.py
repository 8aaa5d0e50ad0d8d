"""MILA: multi-task learning from videos via efficient inter-frame attention (the method and its data).

`mila.load` gives a trained model, see `mila.streaming.saved`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mila.streaming.saved import load

__all__ = ["load"]


def __getattr__(name: str) -> Any:
    """`load` is imported when it is asked for."""
    if name == "load":
        from mila.streaming.saved import load

        return load
    raise AttributeError(f"module 'mila' has no attribute {name!r}")
