"""A method of a user's own, tried before anything is trained: what is wrong with it is one sentence about its file.

It is built, its initial weights are fitted, it is trained for a step at every offset, run on clips and as a stream, and
its cost is counted; on noise, at the size of the profile's networks. That takes seconds, and a table takes hours.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from experiments.models import build, file_of, without_weights
from experiments.runner.blame import WrongMethodError, blaming, doing
from experiments.runner.stage_functions import measure_cost
from experiments.stages import Measure, Start, Train
from mila.data.clips import frames_needed
from mila.kept import can_keep
from mila.losses import task_loss
from mila.tasks import VOID, Suite
from mila.video_model import Stream, Targets, VideoModel

_LARGEST = 256 * 512
"""Pixels of a frame; larger ones are halved until they are no more, as the trial is about the method, not its size."""
_CLIPS = 2
_TOLERANCE = {"cpu": 1e-3, "cuda": 1e-2}
"""Largest difference of two predictions that should be the same, of their largest value."""
_NOISE = 0.1
"""Added to parameters that begin all alike, such as gates at 0, which would hide what stands behind them."""

Predictions = dict[str, Tensor]


def try_method(stage: Train, measure: Measure | None, device: str) -> None:
    """Try the method that a training is of.

    Args:
        stage: of a model in a user's file; nothing of it is done.
        measure: its cost; None where it is not asked for.
        device: where to compute.

    Raises:
        UserError: what is wrong, with the file and, as far as it can be told, the line.
    """
    file = file_of(stage.model)
    assert file is not None
    with torch.random.fork_rng(), blaming(file, stage, device):
        torch.manual_seed(stage.seed)
        _Trial(file, stage, device).run()
        if measure is not None:
            with doing("its cost was counted"):
                measure_cost(measure)


class _Trial:
    """One trial of a method."""

    def __init__(self, file: Path, stage: Train, device: str) -> None:
        self._file, self._stage, self._device = file, stage, device
        source = stage.data.source
        self._suite, self._height, self._width = source.suite, source.height, source.width
        while self._height * self._width > _LARGEST:
            self._height, self._width = (self._height + 1) // 2, (self._width + 1) // 2

    def run(self) -> None:
        """See `try_method`."""
        model = self._build()
        self._check_attributes(model)
        for start in self._stage.starts:
            self._fit(model, start)
        _unsettle(model)
        model.to(self._device)
        interval = model.keyframe_interval
        frames = torch.randn(_CLIPS, interval + model.history + 1, 3, self._height, self._width, device=self._device)
        targets = _fake_targets(self._suite, self._height, self._width, self._device)
        self._train(model, frames, targets)
        model.eval()
        with torch.no_grad():
            self._compare_training(model, frames, targets)
            self._compare_stream(model, frames)
        self._reload(model)

    def _build(self) -> VideoModel:
        with doing("it was built"):
            return build(self._stage.model, self._suite, without_weights(self._stage.arguments))

    def _check_attributes(self, model: VideoModel) -> None:
        given = dict(self._stage.arguments).get("keyframe_interval")
        if given is not None and model.keyframe_interval != given:
            raise WrongMethodError(
                f"the model is given keyframe_interval={given}, but has {model.keyframe_interval}; hand it on: "
                "super().__init__(suite, keyframe_interval).",
                "__init__",
            )
        needed = frames_needed(model.keyframe_interval - 1, model.history)
        if needed > self._stage.data.length:
            raise WrongMethodError(
                f"with history {model.history} it needs clips of {needed} frames, and the table's have "
                f"{self._stage.data.length}; ask for less history.",
                "__init__",
            )
        if not any(p.requires_grad for p in model.parameters()):
            raise WrongMethodError("the model has no parameter that could be trained; give it some.", "__init__")

    def _fit(self, model: VideoModel, start: Start) -> None:
        """Compare a part of the model with what its initial weights come from."""
        try:
            ours = model.get_submodule(start.ours).state_dict()
        except AttributeError as error:
            parts = ", ".join(name for name, _ in model.named_children())
            raise WrongMethodError(
                f"ROW gives initial weights to {start.ours!r}, which the model does not have; it has {parts}.", "ROW"
            ) from error
        with torch.device("meta"):
            network = build(start.stage.model, start.stage.data.source.suite, without_weights(start.stage.arguments))
        theirs = network.get_submodule(start.theirs).state_dict()
        wrong = [name for name in {**theirs, **ours} if _shape(theirs, name) != _shape(ours, name)]
        if wrong:
            raise WrongMethodError(
                f"ROW gives {start.ours!r} the weights of {start.stage.title}, which do not fit: {wrong[0]} is "
                f"{_shape(theirs, wrong[0])} there and {_shape(ours, wrong[0])} here"
                + (f", and {len(wrong) - 1} more do not" if len(wrong) > 1 else "")
                + "; give that part the same layers, or another start.",
                "ROW",
            )

    def _train(self, model: VideoModel, frames: Tensor, targets: Targets) -> None:
        """A step at every offset, without the optimiser."""
        model.train()
        for offset in range(model.keyframe_interval):
            clip = frames[:, -frames_needed(offset, model.history) :]
            with doing(f"it was trained at offset {offset}"):
                model.set_progress(0.0)
                predictions, own = self._training_forward(model, clip, offset, targets)
                self._check(predictions, "training_forward")
                losses = {t.name: task_loss(t.name, predictions[t.name], targets[t.name]) for t in self._suite.tasks}
                self._check_losses(own)
                total = torch.stack([*losses.values(), *own.values()]).sum()
                if not total.requires_grad:
                    raise WrongMethodError(
                        f"at offset {offset} its predictions do not depend on anything that could be trained; compute "
                        "them without torch.no_grad and detach.",
                        "forward",
                    )
                total.backward()

    @staticmethod
    def _training_forward(
        model: VideoModel, clip: Tensor, offset: int, targets: Targets
    ) -> tuple[Predictions, dict[str, Tensor]]:
        found: object = model.training_forward(clip, offset, targets)
        if not (isinstance(found, tuple) and len(found) == 2 and all(isinstance(each, dict) for each in found)):
            raise WrongMethodError(
                "training_forward gives no (predictions by task, losses by name); return both.", "training_forward"
            )
        predictions, own = found
        return predictions, own

    def _check_losses(self, own: Mapping[str, Tensor]) -> None:
        for name, loss in own.items():
            wrong = None
            if name in (*self._tasks, "step") or name.startswith("weight_"):
                wrong = "has a name that the training curve uses itself; rename it"
            elif not isinstance(loss, Tensor) or loss.dim() != 0:
                wrong = f"is {_kind(loss)}, not a scalar tensor; take its mean"
            elif not bool(loss.isfinite()):
                wrong = f"is {float(loss.detach())} at the first step; find out where that comes from"
            if wrong is not None:
                raise WrongMethodError(f"the loss {name!r} of training_forward {wrong}.", "training_forward")

    @property
    def _tasks(self) -> list[str]:
        return [task.name for task in self._suite.tasks]

    def _check(self, predictions: object, method: str) -> None:
        """Predictions `[B, C, H, W]` of every task, and of nothing else."""
        if not isinstance(predictions, dict) or set(predictions) != set(self._tasks):
            found = ", ".join(map(str, predictions)) if isinstance(predictions, dict) else _kind(predictions)
            raise WrongMethodError(f"{method} predicts {found}, not {', '.join(self._tasks)}.", method)
        for task in self._suite.tasks:
            prediction = predictions[task.name]
            expected = (_CLIPS, task.channels, self._height, self._width)
            if not isinstance(prediction, Tensor) or tuple(prediction.shape) != expected:
                raise WrongMethodError(
                    f"{method} gives {_kind(prediction)} for {task.name}, not [B, C, H, W] = {list(expected)}.", method
                )
            if not bool(prediction.isfinite().all()):
                raise WrongMethodError(f"{method} gives {task.name} that is not finite, on frames of noise.", method)

    def _compare_training(self, model: VideoModel, frames: Tensor, targets: Targets) -> None:
        """What is trained must be what is scored: `forward`, and both with kept maps where the model has these."""
        for offset in range(model.keyframe_interval):
            clip = frames[:, -frames_needed(offset, model.history) :]
            with doing(f"it was run at offset {offset}"):
                expected = model(clip, offset)
                self._check(expected, "forward")
                found, own = self._training_forward(model, clip, offset, targets)
                self._same(found, expected, f"at offset {offset} training_forward and forward", "training_forward")
                if not can_keep(model):
                    continue
                kept = model.encode_clip(clip, model.encoded_frames(clip.shape[1], offset))
                found = model.forward_encoded(clip, offset, kept)
                self._same(found, expected, f"at offset {offset} forward_encoded and forward", "forward_encoded")
                kept = model.encode_clip(clip, model.training_frames(clip.shape[1], offset))
                found, losses = model.training_encoded(clip, offset, kept, targets)
                self._same(found, expected, f"at offset {offset} training_encoded and forward", "training_encoded")
                if set(losses) != set(own):
                    raise WrongMethodError(
                        f"training_encoded has the losses {_names(losses)}, training_forward {_names(own)}; give both "
                        "the same.",
                        "training_encoded",
                    )

    def _compare_stream(self, model: VideoModel, frames: Tensor) -> None:
        with doing("its stream was made"):
            stream: object = model.stream()
        if not isinstance(stream, Stream):
            raise WrongMethodError(f"stream gives {_kind(stream)}, which has no step(frame).", "stream")
        for t in range(frames.shape[1]):
            offset = t % model.keyframe_interval
            with doing(f"its stream was at frame {t + 1} of a video"):
                streamed = stream.step(frames[:, t])
                self._check(streamed, "stream().step")
            with doing(f"it was run at offset {offset} on a clip of {t + 1} frames"):
                whole = model(frames[:, : t + 1], offset)
            self._same(streamed, whole, f"at frame {t + 1} of a video, offset {offset}, stream and forward", "stream")

    def _same(self, found: Predictions, expected: Predictions, what: str, method: str) -> None:
        self._check(found, method)
        for task, prediction in expected.items():
            largest = max(float(prediction.abs().max()), 1.0)
            difference = float((found[task] - prediction).abs().max()) / largest
            if difference > _TOLERANCE.get(torch.device(self._device).type, 1e-3):
                raise WrongMethodError(
                    f"{what} predict different {task} (by {difference:.1g} of its range); both must see the same "
                    "frames.",
                    method,
                )

    def _reload(self, model: VideoModel) -> None:
        """Its weights are saved and loaded into a fresh one to be scored."""
        with doing("its weights were loaded into another one"):
            self._build().load_state_dict({name: value.cpu() for name, value in model.state_dict().items()})


def _unsettle(model: VideoModel) -> None:
    """Parameters that are all alike get some noise."""
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.is_floating_point() and bool((parameter == parameter.flatten()[:1].squeeze()).all()):
                parameter.add_(_NOISE * torch.randn_like(parameter))


def _fake_targets(suite: Suite, height: int, width: int, device: str) -> Targets:
    """Targets of noise, some of it not annotated."""
    size = (height, width)
    valid = torch.rand(_CLIPS, 1, *size) > 0.1
    makers: dict[str, Callable[[int], Tensor]] = {
        "segmentation": lambda classes: torch.where(valid[:, 0], torch.randint(classes, (_CLIPS, *size)), VOID),
        "depth": lambda _: (1 + torch.rand(_CLIPS, 1, *size)) * valid,
        "normals": lambda _: torch.nn.functional.normalize(torch.randn(_CLIPS, 3, *size), dim=1) * valid,
        "flow": lambda _: torch.randn(_CLIPS, 2, *size),
    }
    return {task.name: makers[task.name](task.channels).to(device) for task in suite.tasks}


def _shape(state: Mapping[str, Tensor], name: str) -> str:
    return str(list(state[name].shape)) if name in state else "missing"


def _names(losses: Mapping[str, Tensor]) -> str:
    return ", ".join(map(repr, losses)) or "none"


def _kind(value: object) -> str:
    return f"a tensor {list(value.shape)}" if isinstance(value, Tensor) else f"a {type(value).__name__}"
