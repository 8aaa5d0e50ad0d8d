"""Propagation: how features of an earlier frame reach the current one. ILA is one way; the SlowFast model takes any.

A propagation compares two frames (`relate`) and carries feature maps over by what it found (`move`). What it compares
says how it is used: its own branch's features (ILA), which each branch does for itself; or something that all branches
have in common (the fast network's features, the image), which is done once for all of them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, Literal

from torch import Tensor, nn

Compared = Literal["features", "fast", "frame"]
Relation = tuple[Tensor, ...]
"""What a propagation found by comparing two frames: weights, kernels, flow. The first dimension is the batch."""


class Propagation(nn.Module, ABC):
    """Base of all propagations.

    Attributes:
        compares: what of a frame is looked at: `"features"`, the maps that a branch propagates, `[B, C, h, w]`;
            `"fast"`, the fast network's features of the frame, whichever network encodes it, `[B, C, h, w]`;
            `"frame"`, the normalised image, `[B, 3, H, W]`.
        chained: features are carried from each frame to the next one, through all frames in between, and not from
            their own frame to the current one at once. Only for what compares `"frame"`.
        moves: whether features can come from another place than their own.
        pretrained: whether it is a network that begins trained, and not a new layer (`VideoModel.pretrained`).
        reuse_embeddings: `embed` once a frame, or in every `relate` anew; the result is the same.
    """

    compares: ClassVar[Compared] = "features"
    chained: ClassVar[bool] = False
    moves: ClassVar[bool] = True
    pretrained: ClassVar[bool] = False
    reuse_embeddings: bool = True

    def embed(self, compared: Tensor) -> Tensor:
        """What is kept of a frame to be compared with others; with `reuse_embeddings` off, `compared` as it is."""
        return compared

    @abstractmethod
    def relate(self, current: Tensor, older: Tensor) -> Relation:
        """How the current frame's pixels relate to the older frame's, from what `embed` gave for each."""

    @abstractmethod
    def move(self, relation: Relation, value: Tensor) -> Tensor:
        """The older frame's features `[B, C, h, w]`, brought to the current frame's pixels."""

    def weights(self, relation: Relation) -> Tensor | None:  # noqa: ARG002
        """With what weight each of the older frame's pixels counts; None where that is not how features are moved.

        `[B, h, w, L, L]` over the window around each pixel, or `[B, h, w, h, w]` over the whole map.
        """
        return None

    def forward(self, current: Tensor, older: Tensor, value: Tensor) -> Tensor:
        """`value`, features of the older frame, at the pixels of the current one; all three steps in one."""
        return self.move(self.relate(self.embed(current), self.embed(older)), value)


class Concatenation(Propagation):
    """Propagation that moves nothing: the older frame's features as they are (MultiNet++; Table 3 without ILA)."""

    moves: ClassVar[bool] = False

    def relate(self, current: Tensor, older: Tensor) -> Relation:  # noqa: ARG002
        """Nothing is compared."""
        return ()

    def move(self, relation: Relation, value: Tensor) -> Tensor:  # noqa: ARG002
        """`value`, unmoved."""
        return value
