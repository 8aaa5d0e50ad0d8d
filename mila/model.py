"""MILA (Section 3): a slow network on keyframes, a fast one in between, features carried across frames by ILA.

Where the paper is silent the default is architecture A (note 1.5), which reproduces its cost columns: the slow
features are projected 1x1 to the fast network's channels; a frame is fused with what it receives by concatenation and
a 3x3 convolution; with `task_specific` the SE block, ILA and fusion exist once a task.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from mila.attention import InterFrameLocalAttention, Window
from mila.backbone import DeepLabResNet, scaled_channels
from mila.branch import Branch, Emitted, Memory, Slot
from mila.cosine_attention import CosineAttention
from mila.mimicry import Mimicry
from mila.modules import TaskDecoders
from mila.names import Norm
from mila.propagation import Concatenation, Propagation, Relation
from mila.switches import Architecture, MimicryOptions
from mila.tasks import Suite
from mila.video_model import Encoded, Part, Targets, VideoModel, frames_at


class MILA(VideoModel):
    """Multi-task learning from videos by inter-frame local attention.

    Args:
        suite: the tasks.
        slow, fast: depths of the two DeepLab-ResNets; 101 and 18 are the paper's (`D101-18`). `fast=None` with
            `keyframe_interval=1` is the slow-only model of Table 10.
        width: factor on every channel count of encoders and decoders; 1 is the paper's.
        keyframe_interval: K; 5 in the paper. With K = 1 every frame is slow, and a frame receives from the one
            before it (Table 10).
        multi_frame: MF, Section 3.1: a non-keyframe receives from the last keyframe and the last non-keyframe, a
            keyframe from the last non-keyframe. Without it non-keyframes receive from the last keyframe only.
        task_specific: TS, Section 3.2.1: SE, ILA and fusion once a task. Without it once for all, and no SE.
        propagation: `"ila"`; `"concat"` for the older features as they are; `"none"` for no older features at all; or
            whatever makes a `Propagation` for a number of channels (`baselines.slow_fast` has optical flow and SVC).
        window: L of Eq. 1, odd, or `"global"`.
        architecture: see `mila.switches.Architecture`.
        mimicry: Eq. 3, see `mila.switches.MimicryOptions`; None trains without. Both networks are compared on the
            keyframe, where the slow one has run anyway.
        decoder_norm: see `TaskDecoder`.
        slow_weights, fast_weights: ImageNet weights, see `DeepLabResNet`.
        zero_init_residual: see `DeepLabResNet`.

    A source that a video has not shown yet (its first frames) is replaced by the current frame itself.

    Raises:
        ValueError: switches that name nothing or contradict each other.
    """

    attends: ClassVar[bool] = True

    # Squeeze-excitation stands in the branches, before what it feeds, and belongs to fusion with them.
    parts: ClassVar[Mapping[str, Part]] = {
        **VideoModel.parts,
        "slow": "encoder",
        "fast": "encoder",
        "project": "encoder",
        "branches": "fusion",
    }

    def __init__(
        self,
        suite: Suite,
        slow: int = 101,
        fast: int | None = 18,
        *,
        width: float = 1.0,
        keyframe_interval: int = 5,
        multi_frame: bool = True,
        task_specific: bool = True,
        propagation: Literal["ila", "concat", "none"] | Callable[[int], Propagation] = "ila",
        window: Window = 5,
        architecture: Architecture = Architecture(),
        mimicry: MimicryOptions | None = MimicryOptions(),
        decoder_norm: Norm = "none",
        slow_weights: str | None = None,
        fast_weights: str | None = None,
        zero_init_residual: bool = False,
    ) -> None:
        mimics = mimicry is not None and mimicry.is_on
        if fast is None and (keyframe_interval != 1 or mimics):
            raise ValueError("without a fast network every frame is a keyframe and nothing mimics: K = 1, mimicry None")
        receives = multi_frame and propagation != "none"
        history = 0 if not receives else keyframe_interval if architecture.propagate == "fused" else 1
        super().__init__(suite, keyframe_interval, history)
        self.multi_frame, self.task_specific, self.propagate = multi_frame, task_specific, architecture.propagate
        self.slow = DeepLabResNet(slow, width, slow_weights, zero_init_residual)
        self.fast = None if fast is None else DeepLabResNet(fast, width, fast_weights, zero_init_residual)
        channels = scaled_channels(512, width) if self.fast is None else self.fast.channels
        self.project = nn.Sequential(
            nn.Conv2d(self.slow.channels, channels, 1, bias=False), nn.BatchNorm2d(channels), nn.ReLU()
        )
        branches = len(suite.tasks) if task_specific else 1
        self.propagations = nn.ModuleList()
        if propagation != "none":
            make = _propagation_maker(propagation, window, architecture)
            first = make(channels)
            own = branches if first.compares == "features" else 1
            if first.chained and first.compares != "frame":
                raise ValueError("features can be carried from frame to frame only by what compares frames")
            if first.compares == "fast" and self.fast is None:
                raise ValueError("this propagation compares the fast network's features, and there is no fast network")
            self.propagations.extend([first, *(make(channels) for _ in range(own - 1))])
        sources = (len(self.sources(True)), len(self.sources(False)))
        self.branches = nn.ModuleList(
            Branch(channels, sources, task_specific, architecture.fusion_layers) for _ in range(branches)
        )
        self.decoders = TaskDecoders(suite, channels, width, decoder_norm)
        self.mimicry = Mimicry(channels, mimicry) if mimicry is not None and mimics else None

    def branch(self, index: int) -> Branch:
        """One of the branches: a task's, or the one that all share."""
        branch = self.branches[index]
        assert isinstance(branch, Branch)
        return branch

    def propagation_of(self, branch: int) -> Propagation:
        """The propagation of a branch: its own, or the one that all share."""
        propagation = self.propagations[min(branch, len(self.propagations) - 1)]
        assert isinstance(propagation, Propagation)
        return propagation

    @property
    def _compares(self) -> str:
        return self.propagation_of(0).compares if len(self.propagations) else "nothing"

    @property
    def chained(self) -> bool:
        """Whether features are carried from each frame to the next one; see `Propagation.chained`."""
        return bool(len(self.propagations)) and self.propagation_of(0).chained

    def charge_embeddings(self, once_a_frame: bool) -> None:
        """`h` once a frame, or on both maps of each propagation, as Eq. 2 is written."""
        for index in range(len(self.propagations)):
            self.propagation_of(index).reuse_embeddings = once_a_frame

    def for_inference(self) -> None:
        """Drop the discriminator."""
        self.mimicry = None

    def sources(self, keyframe: bool) -> tuple[Slot, ...]:
        """From which earlier frames a keyframe or a non-keyframe receives (Section 3.1)."""
        if not len(self.propagations):
            return ()
        if keyframe:
            if not self.multi_frame:
                return ()
            return ("non_key",) if self.keyframe_interval > 1 else ("key",)
        if self.keyframe_interval == 1:
            return ()  # there are none
        return ("key", "non_key") if self.multi_frame else ("key",)

    def encode(self, frames: Tensor, keyframe: bool) -> Tensor:
        """`[B, 3, H, W]` to `[B, C, h, w]`, by the slow network and its projection or by the fast one."""
        features: Tensor = self.project(self.slow(frames)) if keyframe or self.fast is None else self.fast(frames)
        return features

    def compared_fast(self, frame: Tensor, encoded: Tensor, keyframe: bool) -> Tensor | None:
        """The fast network's features of a frame whose features are `encoded`, if the propagation compares those."""
        if self._compares != "fast" or self.fast is None:
            return None
        return self.fast(frame) if keyframe else encoded

    def emit(self, frame: Tensor, encoded: Tensor, fast: Tensor | None) -> Emitted:
        """What is kept of a frame.

        Args:
            frame: `[B, 3, H, W]`.
            encoded: its features `[B, C, h, w]`.
            fast: the fast network's features of it, where the propagation compares those.
        """
        features = [self.branch(i).se(encoded) for i in range(len(self.branches))]
        compared = {"features": features, "fast": [fast], "frame": [frame], "nothing": []}[self._compares]
        return Emitted(features, [self.propagation_of(i).embed(x) for i, x in enumerate(compared) if x is not None])

    def carry(self, memory: Memory, frame: Tensor, keyframe: bool, relation: Relation | None = None) -> None:
        """Chained propagation: bring what the frame will receive, and later ones after it, on to the frame.

        Args:
            memory: brought from the frame before to this one.
            frame: `[B, 3, H, W]`.
            keyframe: whether it is one.
            relation: to the frame before, where it is known already.
        """
        propagation = self.propagation_of(0)
        compared = propagation.embed(frame)
        for slot in self.sources(keyframe):
            if slot in memory.slots:
                older = memory.slots[slot]
                relation = relation or propagation.relate(compared, older.compared[0])
                memory.slots[slot] = Emitted([propagation.move(relation, f) for f in older.features], [compared])

    def receive(self, current: Emitted, memory: Memory, keyframe: bool) -> list[Tensor]:
        """Each branch's features of the current frame, fused with what the memory holds for it."""
        received: list[list[Tensor]] = [[] for _ in self.branches]
        for slot in self.sources(keyframe):
            older = memory.slots.get(slot, current)
            relations = [] if self.chained else self._relate(current, older)
            for i, features in enumerate(older.features):
                relation = relations[min(i, len(relations) - 1)] if relations else None
                received[i].append(features if relation is None else self.propagation_of(i).move(relation, features))
        return [self.branch(i).fuse(current.features[i], maps, keyframe) for i, maps in enumerate(received)]

    def _relate(self, current: Emitted, older: Emitted) -> list[Relation]:
        pairs = zip(current.compared, older.compared, strict=True)
        return [self.propagation_of(i).relate(*pair) for i, pair in enumerate(pairs)]

    def remember(self, memory: Memory, emitted: Emitted, fused: list[Tensor], keyframe: bool) -> None:
        """Put a frame into the memory, as it was encoded or as it was fused, if any later frame receives from it."""
        slot: Slot = "key" if keyframe else "non_key"
        if slot not in self.sources(True) + self.sources(False):
            return
        if self.propagate == "fused":
            own = self._compares == "features"
            compared = [self.propagation_of(i).embed(f) for i, f in enumerate(fused)] if own else emitted.compared
            emitted = Emitted(fused, compared)
        memory.slots[slot] = emitted

    def decode(self, fused: list[Tensor], size: tuple[int, int]) -> dict[str, Tensor]:
        """Predictions by task from each branch's features."""
        features = fused if self.task_specific else fused * len(self.suite.tasks)
        return self.decoders.predict({t.name: f for t, f in zip(self.suite.tasks, features, strict=True)}, size)

    def _needed(self, length: int, offset: int) -> list[int]:
        """Indices of the frames whose features can change the last frame's prediction, in order of time."""
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

    def pretrained(self) -> list[nn.Module]:
        """See `VideoModel.pretrained`: both networks, and a propagation that is one itself."""
        return [*super().pretrained(), *(p for p in self.propagations if isinstance(p, Propagation) and p.pretrained)]

    def encoded_frames(self, length: int, offset: int) -> Mapping[str, Sequence[int]]:
        """See `VideoModel.encoded_frames`; the networks are `slow` and `fast`."""
        key, last = length - 1 - offset, length - 1
        needed = self._needed(length, offset)
        slow = {t for t in needed if self._is_key(t, key)}
        fast = set(needed) - slow
        if self._compares == "fast":
            fast |= slow if self.sources(True) else slow - {last}  # a last frame that receives nothing compares nothing
        return {name: sorted(frames) for name, frames in (("slow", slow), ("fast", fast)) if frames}

    def encode_frames(self, network: str, frames: Tensor) -> tuple[Tensor, ...]:
        """See `VideoModel.encode_frames`; before the slow network's projection."""
        encoder = self.slow if network == "slow" else self.fast
        assert encoder is not None
        return (encoder(frames),)

    def forward_encoded(self, clip: Tensor, offset: int, encoded: Encoded) -> dict[str, Tensor]:
        """See `VideoModel.forward_encoded`."""
        self.check_clip(clip, offset)
        return self._walk(clip, offset, *self._features(encoded))

    def _features(self, encoded: Encoded) -> tuple[dict[int, Tensor], dict[int, Tensor]]:
        """What each network gave, by frame, the slow one's projected in one batch."""
        slow = {t: maps[0] for (network, t), maps in encoded.items() if network == "slow"}
        fast = {t: maps[0] for (network, t), maps in encoded.items() if network == "fast"}
        if not slow:
            return slow, fast
        batch = torch.cat(list(slow.values())) if len(slow) > 1 else next(iter(slow.values()))
        return dict(zip(slow, self.project(batch).chunk(len(slow)), strict=True)), fast

    def _walk(
        self, clip: Tensor, offset: int, of_slow: Mapping[int, Tensor], of_fast: Mapping[int, Tensor]
    ) -> dict[str, Tensor]:
        """Walk the light part through time from every needed frame's features, and decode the last."""
        last = clip.shape[1] - 1
        key = last - offset
        needed = self._needed(clip.shape[1], offset)
        relations = self._relate_all(clip, range(needed[0], last + 1), key)
        memory = Memory()
        fused: list[Tensor] = []
        for t in range(needed[0], last + 1):
            keyframe = self._is_key(t, key)
            if t in relations:
                self.carry(memory, clip[:, t], keyframe, relations[t])
            if t in needed:
                emitted = self.emit(clip[:, t], of_slow[t] if keyframe else of_fast[t], of_fast.get(t))
                if t == last or self.propagate == "fused":
                    fused = self.receive(emitted, memory, keyframe)
                if t != last:
                    self.remember(memory, emitted, fused, keyframe)
        return self.decode(fused, (clip.shape[-2], clip.shape[-1]))

    def _relate_all(self, clip: Tensor, frames: range, key: int) -> dict[int, Relation]:
        """How each frame that receives relates to the frame before it, in one batch; of chained propagation alone."""
        order = [t for t in frames[1:] if self.sources(self._is_key(t, key))] if self.chained else []
        if not order:
            return {}
        propagation = self.propagation_of(0)
        current, older = (propagation.embed(frames_at(clip, [t - d for t in order]).flatten(0, 1)) for d in (0, 1))
        relation = [x.unflatten(0, (clip.shape[0], len(order))).unbind(1) for x in propagation.relate(current, older)]
        return {t: tuple(x[i] for x in relation) for i, t in enumerate(order)}

    def forward(self, clip: Tensor, offset: int) -> dict[str, Tensor]:
        """See `VideoModel.forward`."""
        self.check_clip(clip, offset)
        return self.forward_encoded(clip, offset, self.encode_clip(clip, self.encoded_frames(clip.shape[1], offset)))

    def training_frames(self, length: int, offset: int) -> Mapping[str, Sequence[int]]:
        """See `VideoModel.training_frames`; Eq. 3 compares both networks on the keyframe."""
        needed, key = self.encoded_frames(length, offset), length - 1 - offset
        if self.mimicry is None or not self.mimicry.takes_part:
            return needed
        return {network: sorted({key, *needed.get(network, ())}) for network in ("slow", "fast")}

    def training_forward(
        self, clip: Tensor, offset: int, targets: Targets
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Predictions, and the losses of Eq. 3 on the keyframe."""
        if self.mimicry is None or not self.mimicry.begins:
            return self(clip, offset), {}
        self.check_clip(clip, offset)
        encoded = self.encode_clip(clip, self.training_frames(clip.shape[1], offset))
        return self.training_encoded(clip, offset, encoded, targets)

    def training_encoded(
        self,
        clip: Tensor,
        offset: int,
        encoded: Encoded,
        targets: Targets,  # noqa: ARG002
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """See `VideoModel.training_encoded`."""
        self.check_clip(clip, offset)
        needed = {(network, t) for network, ts in self.encoded_frames(clip.shape[1], offset).items() for t in ts}
        if self.mimicry is None or not self.mimicry.begins:
            return self.forward_encoded(clip, offset, {at: maps for at, maps in encoded.items() if at in needed}), {}
        key = clip.shape[1] - 1 - offset
        of_slow, of_fast = self._features(encoded)
        own = self.mimicry(of_slow[key], of_fast[key])
        for_fast = {t: x for t, x in of_fast.items() if ("fast", t) in needed}
        return self._walk(clip, offset, of_slow, for_fast), own

    def set_progress(self, share: float, head_start: bool = False) -> None:
        """See `VideoModel.set_progress`; Eq. 3 may begin late, or grow."""
        if self.mimicry is not None:
            self.mimicry.progress, self.mimicry.in_head_start = share, head_start

    def kind_of_step(self) -> Hashable | None:
        """See `VideoModel.kind_of_step`; while the reversal grows, each is one of its own."""
        mimicry = self.mimicry
        if mimicry is None:
            return ()
        if mimicry.options.ramp:
            return None
        return mimicry.begins, mimicry.in_head_start

    def watched(self) -> dict[str, Tensor]:
        """See `VideoModel.watched`: how often the discriminator is right."""
        mimicry = self.mimicry
        if mimicry is None or mimicry.accuracy is None or not mimicry.begins:
            return {}
        return {"mimicry_accuracy": mimicry.accuracy}

    def rate_factors(self) -> dict[str, float]:
        """See `VideoModel.rate_factors`: that of the discriminator."""
        if self.mimicry is None or self.mimicry.discriminator is None:
            return {}
        return {"mimicry.discriminator": self.mimicry.options.discriminator_rate}

    def stream(self) -> MILAStream:
        """See `VideoModel.stream`."""
        return MILAStream(self)


def _propagation_maker(
    kind: str | Callable[[int], Propagation], window: Window, architecture: Architecture
) -> Callable[[int], Propagation]:
    if not isinstance(kind, str):
        return kind
    if kind == "ila":
        if architecture.cosine != "none":
            return lambda channels: CosineAttention(
                channels, architecture.embedding, window, architecture.temperature, architecture.cosine == "learned"
            )
        return lambda channels: InterFrameLocalAttention(channels, architecture.embedding, window, architecture.scaled)
    if kind == "concat":
        return lambda channels: Concatenation()  # noqa: ARG005
    raise ValueError(f"there is no propagation {kind!r}; choose 'ila', 'concat' or 'none'")


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
        encoded = model.encode(frame, keyframe)
        if model.chained:
            model.carry(self.memory, frame, keyframe)
        emitted = model.emit(frame, encoded, model.compared_fast(frame, encoded, keyframe))
        fused = model.receive(emitted, self.memory, keyframe)
        model.remember(self.memory, emitted, fused, keyframe)
        self.frames += 1
        return model.decode(fused, (frame.shape[-2], frame.shape[-1]))

    def carried(self) -> dict[str, Tensor]:
        """See `ResumableStream.carried`: the memory."""
        return self.memory.tensors()

    def resume(self, carried: Mapping[str, Tensor], frames: int) -> None:
        """See `ResumableStream.resume`."""
        self.memory, self.frames = Memory.of(carried), frames
