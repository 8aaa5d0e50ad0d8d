"""MILA (Section 3): a slow network on keyframes, a fast one in between, features carried across frames by ILA.

Where the paper is silent the default is architecture A of the facts (1.5), which reproduces its cost columns: the slow
features are projected 1x1 to the fast network's channels; a frame is fused with what it receives by concatenation and
a 3x3 convolution; with `task_specific` the SE block, ILA and fusion exist once a task.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from torch import Tensor, nn

from mila.attention import InterFrameLocalAttention, Window
from mila.backbone import DeepLabResNet
from mila.mimicry import Mimicry
from mila.modules import Fusion, Norm, TaskDecoders, squeeze_excitation
from mila.tasks import Suite
from mila.video_model import VideoModel

Slot = Literal["key", "non_key"]


class Concatenation(nn.Module):
    """Propagation that moves nothing: the older frame's features as they are (MultiNet++; Table 3 without ILA)."""

    def embed(self, features: Tensor) -> Tensor:
        """Nothing is compared, so nothing is embedded."""
        return features

    def propagate(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:  # noqa: ARG002
        """`value`, unmoved."""
        return value


@dataclass(frozen=True)
class Emitted:
    """What one branch keeps of a frame: its features and what ILA compares, `[B, C, h, w]` and `[B, C', h, w]`."""

    features: Tensor
    embedding: Tensor


@dataclass
class Memory:
    """What a stream carries from frame to frame: by slot, one `Emitted` a branch."""

    slots: dict[Slot, list[Emitted]] = field(default_factory=dict)


class Branch(nn.Module):
    """SE, propagation and fusion: once for all tasks, or once a task.

    Args:
        channels: C of the maps.
        propagation: `"ila"` or `"concat"`.
        sources: how many maps a keyframe and a non-keyframe receive.
        se: whether a squeeze-excitation block comes first.
        window, embedding, scaled: see `InterFrameLocalAttention`.
    """

    def __init__(
        self,
        channels: int,
        propagation: Literal["ila", "concat"],
        sources: tuple[int, int],
        se: bool,
        window: Window,
        embedding: int,
        scaled: bool,
    ) -> None:
        super().__init__()
        self.se = squeeze_excitation(channels) if se else nn.Identity()
        self.propagation: InterFrameLocalAttention | Concatenation
        if propagation == "ila":
            self.propagation = InterFrameLocalAttention(channels, embedding, window, scaled)
        elif propagation == "concat":
            self.propagation = Concatenation()
        else:
            raise ValueError(f"there is no propagation {propagation!r}; choose 'ila' or 'concat'")
        key, non_key = (Fusion(channels, 1 + n) if n else None for n in sources)
        self.fuse_key, self.fuse_non_key = key, non_key
        self.reuse_embeddings = True

    def emit(self, features: Tensor) -> Emitted:
        """What this frame gives to later ones: features after SE, and `h` of them."""
        return self.keep(self.se(features))

    def keep(self, features: Tensor) -> Emitted:
        """Features to be attended to later, with `h` of them."""
        return Emitted(features, self.propagation.embed(features) if self.reuse_embeddings else features)

    def receive(self, current: Emitted, sources: Sequence[Emitted], keyframe: bool) -> Tensor:
        """The current frame's features fused with what every source gives to it, `[B, C, h, w]`."""
        fuse = self.fuse_key if keyframe else self.fuse_non_key
        if fuse is None:
            return current.features
        return fuse(current.features, *(self._propagate(current, source) for source in sources))

    def _propagate(self, current: Emitted, source: Emitted) -> Tensor:
        if self.reuse_embeddings:
            return self.propagation.propagate(current.embedding, source.embedding, source.features)
        embed = self.propagation.embed
        return self.propagation.propagate(embed(current.features), embed(source.features), source.features)


class MILA(VideoModel):
    """Multi-task learning from videos by inter-frame local attention.

    Args:
        suite: the tasks.
        slow, fast: depths of the two DeepLab-ResNets; 101 and 18 are the paper's (`D101-18`).
        width: factor on every channel count of encoders and decoders; 1 is the paper's.
        keyframe_interval: K; 5 in the paper. With K = 1 every frame is slow, and a frame receives from the one
            before it (Table 10).
        multi_frame: MF, Section 3.1: a non-keyframe receives from the last keyframe and the last non-keyframe, a
            keyframe from the last non-keyframe. Without it non-keyframes receive from the last keyframe only.
        task_specific: TS, Section 3.2.1: SE, ILA and fusion once a task. Without it once for all, and no SE.
        propagation: `"ila"`, or `"concat"` for the older features as they are.
        window: L of Eq. 1, odd, or `"global"`.
        embedding: channels of `h`.
        scaled: divide Eq. 2's inner products by sqrt(embedding).
        propagate: what is carried on: `"encoded"`, a frame's own features after SE, as Section 3.2 says; `"fused"`,
            its features after fusion, so that information can travel further than one step.
        mimicry: factors (alpha, beta) of Eq. 3, (1, 1) in the paper; None trains without. Both networks are compared
            on the keyframe, where the slow one has run anyway.
        decoder_norm: see `TaskDecoder`.
        slow_weights, fast_weights: ImageNet weights, see `DeepLabResNet`.
        zero_init_residual: see `DeepLabResNet`.

    A source that a video has not shown yet (its first frames) is replaced by the current frame itself.
    """

    def __init__(
        self,
        suite: Suite,
        slow: int = 101,
        fast: int = 18,
        *,
        width: float = 1.0,
        keyframe_interval: int = 5,
        multi_frame: bool = True,
        task_specific: bool = True,
        propagation: Literal["ila", "concat"] = "ila",
        window: Window = 5,
        embedding: int = 36,
        scaled: bool = False,
        propagate: Literal["encoded", "fused"] = "encoded",
        mimicry: tuple[float, float] | None = (1.0, 1.0),
        decoder_norm: Norm = "none",
        slow_weights: str | None = None,
        fast_weights: str | None = None,
        zero_init_residual: bool = False,
    ) -> None:
        if propagate not in ("encoded", "fused"):
            raise ValueError(f"propagate is 'encoded' or 'fused', not {propagate!r}")
        history = 0 if not multi_frame else keyframe_interval if propagate == "fused" else 1
        super().__init__(suite, keyframe_interval, history)
        self.multi_frame, self.task_specific, self.propagate = multi_frame, task_specific, propagate
        self.slow = DeepLabResNet(slow, width, slow_weights, zero_init_residual)
        self.fast = DeepLabResNet(fast, width, fast_weights, zero_init_residual)
        channels = self.fast.channels
        self.project = nn.Sequential(
            nn.Conv2d(self.slow.channels, channels, 1, bias=False), nn.BatchNorm2d(channels), nn.ReLU()
        )
        sources = (len(self.sources(True)), len(self.sources(False)))
        self.branches = nn.ModuleList(
            Branch(channels, propagation, sources, task_specific, window, embedding, scaled)
            for _ in range(len(suite.tasks) if task_specific else 1)
        )
        self.decoders = TaskDecoders(suite, channels, width, decoder_norm)
        self.mimicry = Mimicry(channels, *mimicry) if mimicry is not None and any(mimicry) else None

    def charge_embeddings(self, once_a_frame: bool) -> None:
        """`h` once a frame, or on both maps of each propagation, as Eq. 2 is written."""
        for index in range(len(self.branches)):
            self._branch(index).reuse_embeddings = once_a_frame

    def _branch(self, index: int) -> Branch:
        branch = self.branches[index]
        assert isinstance(branch, Branch)
        return branch

    def for_inference(self) -> None:
        """Drop the discriminator."""
        self.mimicry = None

    def sources(self, keyframe: bool) -> tuple[Slot, ...]:
        """From which earlier frames a keyframe or a non-keyframe receives (Section 3.1)."""
        if keyframe:
            if not self.multi_frame:
                return ()
            return ("non_key",) if self.keyframe_interval > 1 else ("key",)
        if self.keyframe_interval == 1:
            return ()  # there are none
        return ("key", "non_key") if self.multi_frame else ("key",)

    def encode(self, frames: Tensor, keyframe: bool) -> Tensor:
        """`[B, 3, H, W]` to `[B, C, h, w]`, by the slow network and its projection or by the fast one."""
        return self.project(self.slow(frames)) if keyframe else self.fast(frames)

    def emit(self, features: Tensor) -> list[Emitted]:
        """What a frame's shared features become in each branch."""
        return [self._branch(i).emit(features) for i in range(len(self.branches))]

    def receive(self, emitted: list[Emitted], memory: Memory, keyframe: bool) -> list[Tensor]:
        """Each branch's features of the current frame, fused with what the memory holds for it."""
        fused = []
        for i, current in enumerate(emitted):
            sources = [memory.slots[s][i] if s in memory.slots else current for s in self.sources(keyframe)]
            fused.append(self._branch(i).receive(current, sources, keyframe))
        return fused

    def remember(self, memory: Memory, emitted: list[Emitted], fused: list[Tensor], keyframe: bool) -> None:
        """Put a frame into the memory, as it was encoded or as it was fused."""
        if self.propagate == "fused":
            emitted = [self._branch(i).keep(f) for i, f in enumerate(fused)]
        memory.slots["key" if keyframe else "non_key"] = emitted

    def decode(self, fused: list[Tensor], size: tuple[int, int]) -> dict[str, Tensor]:
        """Predictions by task from each branch's features."""
        features = fused if self.task_specific else fused * len(self.suite.tasks)
        return self.decoders.predict({t.name: f for t, f in zip(self.suite.tasks, features, strict=True)}, size)

    def _needed(self, length: int, offset: int) -> list[int]:
        """Indices of the frames that can change the last frame's prediction, in order of time."""
        key, last = length - 1 - offset, length - 1
        if self.propagate == "fused":
            return list(range(length))
        wanted = {last}
        for slot in self.sources(offset == 0):
            earlier = (t for t in range(last - 1, -1, -1) if self._is_key(t, key) == (slot == "key"))
            wanted.update([t for t in [next(earlier, None)] if t is not None])
        return sorted(wanted)

    def _is_key(self, frame: int, key: int) -> bool:
        return (frame - key) % self.keyframe_interval == 0

    def _walk(self, clip: Tensor, offset: int, mimic: bool) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Encode every needed frame in one batch a network, walk the light part through time, decode the last."""
        self.check_clip(clip, offset)
        length = clip.shape[1]
        key, last = length - 1 - offset, length - 1
        needed = self._needed(length, offset)
        slow = [t for t in needed if self._is_key(t, key)]
        fast = [t for t in needed if not self._is_key(t, key)] + ([key] if mimic else [])
        of_slow = self._encode_all(clip, slow, keyframe=True)
        of_fast = self._encode_all(clip, fast, keyframe=False)
        own: dict[str, Tensor] = {}
        if mimic and self.mimicry is not None:
            own = self.mimicry(of_slow[key], of_fast[key])

        memory = Memory()
        fused: list[Tensor] = []
        for t in needed:
            keyframe = self._is_key(t, key)
            emitted = self.emit(of_slow[t] if keyframe else of_fast[t])
            if t == last or self.propagate == "fused":
                fused = self.receive(emitted, memory, keyframe)
            if t != last:
                self.remember(memory, emitted, fused, keyframe)
        return self.decode(fused, (clip.shape[-2], clip.shape[-1])), own

    def _encode_all(self, clip: Tensor, frames: list[int], keyframe: bool) -> dict[int, Tensor]:
        if not frames:
            return {}
        batch = clip[:, frames].flatten(0, 1)  # [B * n, 3, H, W]
        features = self.encode(batch, keyframe).unflatten(0, (clip.shape[0], len(frames)))
        return dict(zip(frames, features.unbind(1), strict=True))

    def forward(self, clip: Tensor, offset: int) -> dict[str, Tensor]:
        """See `VideoModel.forward`."""
        return self._walk(clip, offset, mimic=False)[0]

    def training_forward(self, clip: Tensor, offset: int) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Predictions, and the losses of Eq. 3 on the keyframe."""
        return self._walk(clip, offset, mimic=self.mimicry is not None)

    def stream(self) -> MILAStream:
        """See `VideoModel.stream`."""
        return MILAStream(self)


class MILAStream:
    """MILA over a video, frame by frame: the memory and the count of frames seen."""

    def __init__(self, model: MILA) -> None:
        self.model = model
        self.memory = Memory()
        self.frames = 0

    def step(self, frame: Tensor) -> dict[str, Tensor]:
        """Predictions `[B, C, H, W]` by task for the next frame `[B, 3, H, W]`; every K-th is a keyframe."""
        model = self.model
        keyframe = self.frames % model.keyframe_interval == 0
        emitted = model.emit(model.encode(frame, keyframe))
        fused = model.receive(emitted, self.memory, keyframe)
        model.remember(self.memory, emitted, fused, keyframe)
        self.frames += 1
        return model.decode(fused, (frame.shape[-2], frame.shape[-1]))
