"""The contract of every model in the suite: a clip in, predictions of its last frame out; and the same as a stream."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any, ClassVar, Literal, Protocol, runtime_checkable

import numpy.typing as npt
import torch
from torch import Tensor, nn

from mila.modules import TaskDecoder
from mila.tasks import Suite

Part = Literal["encoder", "propagation", "fusion", "decoders", "other"]
"""The parts that a model's cost is split by; "other" is what the single-frame methods add to their encoders."""


Encoded = Mapping[tuple[str, int], tuple[Tensor, ...]]
"""What networks gave for frames of a clip: maps by (name of the network, index of the frame)."""

Targets = Mapping[str, Tensor]
"""Target maps of frames by task: `segmentation` int64 `[B, H, W]`, `depth` `[B, 1, H, W]`, `normals` `[B, 3, H, W]`, as
`mila.tasks` lays down."""

_ENCODERS = ("encoder", "encoders", "slow", "fast")


@runtime_checkable
class Stream(Protocol):
    """A model over a video, frame by frame."""

    def step(self, frame: Tensor) -> dict[str, Tensor]:
        """Predictions `[B, C, H, W]` by task for the next frame `[B, 3, H, W]` of the video."""
        ...


@runtime_checkable
class ResumableStream(Stream, Protocol):
    """A stream whose next step depends on the frame, its place in the video and some tensors, and on nothing else."""

    def carried(self) -> dict[str, Tensor]:
        """What is carried on to the next frame, by name; which names there are may depend on the place alone."""
        ...

    def resume(self, carried: Mapping[str, Tensor], frames: int) -> None:
        """Go on from what `carried` gave after so many frames; only whether they are a multiple of K may matter."""
        ...


class VideoModel(nn.Module, ABC):
    """Base of all models.

    Attributes:
        suite: the tasks it predicts.
        keyframe_interval: K; 1 for a model that looks at single frames.
        history: frames before the last keyframe that can change the prediction; a clip may hold more or fewer.
        parts: to which part of the cost submodules and methods belong, by dotted name; what is called inside them
            belongs to the same part unless it is named itself. A `Propagation` needs no name; what has none is "other".
        attends: whether inter-frame local attention is what the model is about, so that grids keep its maps (Figures 4
            and 5) and audits its `h`.
    """

    parts: ClassVar[Mapping[str, Part]] = {
        "encoder": "encoder",
        "encoders": "encoder",
        "decoders": "decoders",
        "decoders.predict": "decoders",
    }
    attends: ClassVar[bool] = False

    def __init__(self, suite: Suite, keyframe_interval: int = 1, history: int = 0) -> None:
        super().__init__()
        if keyframe_interval < 1:
            raise ValueError(f"the keyframe interval must be at least 1, not {keyframe_interval}")
        self.suite, self.keyframe_interval, self.history = suite, keyframe_interval, history

    @abstractmethod
    def forward(self, clip: Tensor, offset: int) -> dict[str, Tensor]:
        """Predictions of the last frame.

        Args:
            clip: `[B, T, 3, H, W]`, normalised as `mila.data.clips.normalise` does.
            offset: o in 0..K-1; the last keyframe is frame T - 1 - o.

        Returns:
            `[B, C, H, W]` by task.

        Raises:
            ValueError: an offset outside 0..K-1, or a clip that does not reach back to the keyframe.
        """

    @abstractmethod
    def stream(self) -> Stream:
        """A fresh stream; its first frame is a keyframe. The model must be in eval mode for exact agreement."""

    def training_forward(
        self, clip: Tensor, offset: int, targets: Targets
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Predictions as `forward` gives them, and the model's own losses by name (scalars), if it has any.

        Args:
            clip: see `forward`.
            offset: likewise.
            targets: of the clips' last frames, for losses of a model's own beside those of the tasks, which are
                computed anyhow: of predictions on the way to the last ones, for one (`mila.losses.task_loss`). No
                prediction may depend on them.
        """
        del targets  # of no use to a model without losses of its own
        return self(clip, offset), {}

    def set_progress(self, share: float, head_start: bool = False) -> None:
        """Told before each step of a training, for losses of a model's own that begin late or grow; ignored by default.

        Args:
            share: of the steps of the schedule's part that are made, in [0, 1).
            head_start: whether the part freezes the encoders.
        """

    def kind_of_step(self) -> Hashable | None:
        """What decides which operations the next step of a training makes, beside the shapes and offsets of its batch.

        On a GPU steps are recorded, one of each kind, and replayed with other numbers (`mila.recorded_steps`). A replay
        misses what is not done by tensors, such as to count steps. So each class speaks for itself alone, and not for
        what derives from it, and None, the default, is never recorded. `()` says that all steps are of one kind.
        """
        return None

    def watched(self) -> dict[str, Tensor]:
        """What the training curve keeps beside the losses of the latest `training_forward`: scalars, means over clips.

        They are not minimised. None by default.
        """
        return {}

    def rate_factors(self) -> dict[str, float]:
        """Factors on the learning rate of submodules, by dotted name; of none by default."""
        return {}

    def pretrained(self) -> list[nn.Module]:
        """What may begin as trained networks: the encoders, by the names that the suite's models give them.

        A training of the new layers alone leaves these as they are.
        """
        return [module for name, module in self.named_children() if name in _ENCODERS]

    def encoded_frames(self, length: int, offset: int) -> Mapping[str, Sequence[int]]:  # noqa: ARG002
        """Which frames of a clip each network encodes for a prediction, by the network's name.

        Only networks whose maps depend on the one frame: those can be kept, and shared between offsets. Empty, the
        default, for a model that has none, or does not say so; it is then run as a whole.
        """
        return {}

    def encode_frames(self, network: str, frames: Tensor) -> tuple[Tensor, ...]:
        """Maps `[B, C, h, w]` that a network of `encoded_frames` gives for frames `[B, 3, H, W]`."""
        raise NotImplementedError(f"{type(self).__name__} has no network {network!r} whose maps can be kept")

    def forward_encoded(self, clip: Tensor, offset: int, encoded: Encoded) -> dict[str, Tensor]:
        """As `forward`, with what the networks of `encoded_frames` gave for the frames that it names."""
        raise NotImplementedError(f"{type(self).__name__} has no network whose maps can be kept")

    def training_frames(self, length: int, offset: int) -> Mapping[str, Sequence[int]]:
        """As `encoded_frames`, for a step of a training; a model's own losses may look at more frames."""
        return self.encoded_frames(length, offset)

    def training_encoded(
        self, clip: Tensor, offset: int, encoded: Encoded, targets: Targets
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """As `training_forward`, with what the networks gave for the frames that `training_frames` names."""
        del targets
        return self.forward_encoded(clip, offset, encoded), {}

    def encode_clip(self, clip: Tensor, frames: Mapping[str, Sequence[int]]) -> Encoded:
        """Encode frames of a clip `[B, T, 3, H, W]`, given by their indices, in one batch a network."""
        encoded = dict[tuple[str, int], tuple[Tensor, ...]]()
        for network, order in frames.items():
            maps = self.encode_frames(network, frames_at(clip, order).flatten(0, 1))
            by_frame = [m.unflatten(0, (clip.shape[0], len(order))).unbind(1) for m in maps]
            encoded |= {(network, t): each for t, each in zip(order, zip(*by_frame, strict=True), strict=True)}
        return encoded

    def fit(self, targets: Iterable[Mapping[str, npt.NDArray[Any]]]) -> None:  # noqa: ARG002
        """Learn from the training split's target maps alone; only for a model that has nothing to train."""
        raise TypeError(f"{type(self).__name__} is trained, not fitted: it needs a schedule")

    def for_inference(self) -> None:
        """Drop what only training needs; for counting cost. Nothing by default."""

    def charge_embeddings(self, once_a_frame: bool) -> None:
        """Compute what a propagation compares once a frame, or anew in every propagation; the result is the same.

        The second is how the paper's cost columns charge it. Nothing to switch by default.
        """

    def last_layers(self) -> list[str]:
        """Dotted names of the layers that give predictions, which stay in float32 where all others are in bfloat16."""
        found = [(name, module) for name, module in self.named_modules() if isinstance(module, TaskDecoder)]
        return [f"{name}.layers.{len(decoder.layers) - 1}" for name, decoder in found]

    def check_clip(self, clip: Tensor, offset: int) -> None:
        """Raise `ValueError` where clip and offset do not belong together."""
        if clip.dim() != 5 or clip.shape[2] != 3:
            raise ValueError(f"a clip is [B, T, 3, H, W], not {list(clip.shape)}")
        if not 0 <= offset < self.keyframe_interval:
            raise ValueError(
                f"offset {offset} is not in 0..{self.keyframe_interval - 1} (K = {self.keyframe_interval})"
            )
        if clip.shape[1] <= offset:
            raise ValueError(f"a clip of {clip.shape[1]} frames has no keyframe {offset} frames before its last one")


def frames_at(clip: Tensor, order: Sequence[int]) -> Tensor:
    """Frames of a clip `[B, T, 3, H, W]` by their indices, `[B, len(order), 3, H, W]`.

    To index by a list would copy the list to the device, which no CUDA graph can hold.
    """
    return torch.stack([clip[:, t] for t in order], 1) if len(order) > 1 else clip[:, order[0] : order[0] + 1]


def keeps_up(model: type[VideoModel], encoded: str, whole: str) -> bool:
    """Whether a class's method for encoded frames is at least as new as the one for whole clips.

    An older one, of a class that it derives from, knows nothing of what the new one does.

    Args:
        model: the class.
        encoded: name of the method that is given encoded frames.
        whole: name of the method that is given whole clips.
    """
    order = model.__mro__

    def newest(name: str) -> int:
        return next((i for i, cls in enumerate(order) if name in vars(cls)), len(order))

    is_frame = whole == "forward" and issubclass(model, FrameModel)
    frame = "predict" if is_frame else whole  # what a single-frame model's `forward` does
    return newest(encoded) <= min(newest(whole), newest(frame))


class FrameModel(VideoModel):
    """Base of the models that look at one frame at a time: every frame is a keyframe, and history is of no use."""

    def __init__(self, suite: Suite) -> None:
        super().__init__(suite)

    @abstractmethod
    def predict(self, frame: Tensor) -> dict[str, Tensor]:
        """Predictions `[B, C, H, W]` by task for frames `[B, 3, H, W]`."""

    def forward(self, clip: Tensor, offset: int) -> dict[str, Tensor]:
        """See `VideoModel.forward`; only the last frame is looked at, whatever the offset of the other models is."""
        self.check_clip(clip, offset)
        return self.predict(clip[:, -1])

    def stream(self) -> Stream:
        """See `VideoModel.stream`."""
        return _FrameStream(self)

    def __call__(self, *args: Any, **kwargs: Any) -> dict[str, Tensor]:
        """As `nn.Module`, with the type of `forward`."""
        predictions: dict[str, Tensor] = super().__call__(*args, **kwargs)
        return predictions


class EncodedFrameModel(FrameModel):
    """Base of the single-frame models in which one network looks at the frame, and the rest at its maps alone."""

    @abstractmethod
    def encode(self, frame: Tensor) -> tuple[Tensor, ...]:
        """Maps `[B, C, h, w]` of frames `[B, 3, H, W]`."""

    @abstractmethod
    def decode(self, maps: tuple[Tensor, ...], size: tuple[int, int]) -> dict[str, Tensor]:
        """Predictions `[B, C, H, W]` by task from these maps; `size` is (height, width) of the frames."""

    def predict(self, frame: Tensor) -> dict[str, Tensor]:
        """See `FrameModel.predict`."""
        return self.decode(self.encode(frame), (frame.shape[-2], frame.shape[-1]))

    def encoded_frames(self, length: int, offset: int) -> Mapping[str, Sequence[int]]:  # noqa: ARG002
        """See `VideoModel.encoded_frames`."""
        return {"encoder": (length - 1,)}

    def encode_frames(self, network: str, frames: Tensor) -> tuple[Tensor, ...]:  # noqa: ARG002
        """See `VideoModel.encode_frames`; there is one network."""
        return self.encode(frames)

    def forward_encoded(self, clip: Tensor, offset: int, encoded: Encoded) -> dict[str, Tensor]:
        """See `VideoModel.forward_encoded`."""
        self.check_clip(clip, offset)
        return self.decode(encoded["encoder", clip.shape[1] - 1], (clip.shape[-2], clip.shape[-1]))


class _FrameStream:
    def __init__(self, model: FrameModel) -> None:
        self._model = model

    def step(self, frame: Tensor) -> dict[str, Tensor]:
        return self._model.predict(frame)

    def carried(self) -> dict[str, Tensor]:
        return {}

    def resume(self, carried: Mapping[str, Tensor], frames: int) -> None:
        pass
