"""What is light in MILA: the branches that receive and fuse, and what is remembered of a frame from one to the next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

from torch import Tensor, nn

from mila.modules import Fusion, squeeze_excitation

Slot = Literal["key", "non_key"]


@dataclass(frozen=True)
class Emitted:
    """What is kept of a frame.

    Attributes:
        features: one map a branch, `[B, C, h, w]`.
        compared: what each propagation compares.
    """

    features: list[Tensor]
    compared: list[Tensor]


class Branch(nn.Module):
    """SE and fusion: once for all tasks, or once a task.

    Args:
        channels: C of the maps.
        sources: how many maps a keyframe and a non-keyframe receive.
        se: whether a squeeze-excitation block comes first.
        layers: of each fusion, see `Fusion`.
    """

    def __init__(self, channels: int, sources: tuple[int, int], se: bool, layers: int) -> None:
        super().__init__()
        self.se = squeeze_excitation(channels) if se else nn.Identity()
        key, non_key = (Fusion(channels, 1 + n, layers) if n else None for n in sources)
        self.fuse_key, self.fuse_non_key = key, non_key

    def fuse(self, current: Tensor, received: Sequence[Tensor], keyframe: bool) -> Tensor:
        """The current frame's features with what it received, all `[B, C, h, w]`, as one map."""
        fuse = self.fuse_key if keyframe else self.fuse_non_key
        return current if fuse is None else fuse(current, *received)


@dataclass
class Memory:
    """What a stream carries from frame to frame: one `Emitted` a slot."""

    slots: dict[Slot, Emitted] = field(default_factory=dict)

    def tensors(self) -> dict[str, Tensor]:
        """All that is in it, by slot, kind and place."""
        return {
            f"{slot}.{kind}.{place}": tensor
            for slot, emitted in self.slots.items()
            for kind, tensors in (("features", emitted.features), ("compared", emitted.compared))
            for place, tensor in enumerate(tensors)
        }

    @classmethod
    def of(cls, tensors: Mapping[str, Tensor]) -> Memory:
        """The memory that gave these `tensors()`."""
        memory = cls()
        slots: tuple[Slot, ...] = get_args(Slot)
        for slot in slots:
            features, compared = (
                [tensor for name, tensor in sorted(tensors.items(), key=_place) if name.startswith(f"{slot}.{kind}.")]
                for kind in ("features", "compared")
            )
            if features:
                memory.slots[slot] = Emitted(features, compared)
        return memory


def _place(item: tuple[str, Tensor]) -> int:
    return int(item[0].rpartition(".")[2])
