"""Is it right, before it is fast: attention against double, optimised streams against plain ones, trainings continued.

Random weights of the real architectures; everything is said as a relative difference, beside the tolerance.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor

from experiments.benchmarks.sizes import ROWS, Sizes, model_of
from experiments.costs.speed import Measured
from mila.attention import local_attention
from mila.cuda_graphs import CudaGraphs
from mila.data.packed import PackedClips
from mila.errors import StoppedError
from mila.schedule import one_part
from mila.streaming.optimise import optimise
from mila.training import Callbacks, Checkpoint, train
from mila.training_steps import CHECK_EVERY, Recipe, Training
from mila.video_model import Stream

_STEPS = 4
_LONG = 5000
"""Steps of a training of which the first are made."""

ATTENTION = {torch.float32: 1e-4, torch.bfloat16: 2e-2}
"""Tolerances by type: rounding of products and sums over 512 channels and 25 to 225 neighbours."""
STREAM = {"float32": 2e-3, "bfloat16": 0.1}
"""Of the mean size of the predictions; random weights of a hundred layers spread rounding more than trained ones."""
CONTINUED = {"cpu": 0.0, "cuda": 1e-2}
"""A training that was interrupted is the same on a CPU; on a GPU sums come in another order."""


def attention(device: str, channels: int) -> Iterator[Measured]:
    """Local attention and its gradients on the device against the same in double on the CPU."""
    generator = torch.Generator().manual_seed(0)
    for window in (3, 5, 15):
        shapes = ((2, 36, 17, 23), (2, 36, 17, 23), (2, channels, 17, 23))
        exact = [torch.randn(shape, generator=generator, dtype=torch.float64) / 2 for shape in shapes]
        for dtype, most in ATTENTION.items():
            rounded = [x.to(dtype).double() for x in exact]  # what both see
            expected = _with_gradients(rounded, window)
            found = _with_gradients([x.to(device, dtype) for x in rounded], window)
            worst = max(_difference(a, b) for a, b in zip(found, expected, strict=True))
            name = f"attention, L = {window}, {str(dtype).removeprefix('torch.')}, and its gradients"
            yield Measured(name, worst, "relative difference", most=most)


def _with_gradients(inputs: list[Tensor], window: int) -> list[Tensor]:
    query, key, value = (x.clone().requires_grad_() for x in inputs)
    out = local_attention(query, key, value, window)
    alone = local_attention(query.detach(), key.detach(), value.detach(), window)  # no gradient: perhaps another kernel
    return [out.detach(), alone, *torch.autograd.grad(out.square().sum(), (query, key, value))]


def _difference(found: Tensor, expected: Tensor) -> float:
    """The largest difference, relative to the largest value."""
    found, expected = found.detach().double().cpu(), expected.detach().double().cpu()
    return float((found - expected).abs().max() / expected.abs().max().clamp(min=1e-12))


def streams(sizes: Sizes, device: str) -> Iterator[Measured]:
    """Optimised streams against plain ones, both precisions, over a keyframe interval and a frame."""
    for row in ROWS:
        model = model_of(row, sizes).to(device).eval()
        height, width = sizes.networks.size(model.suite)
        shape, generator = (1, 3, height, width), torch.Generator().manual_seed(0)
        frames = [torch.randn(shape, generator=generator).to(device) for _ in range(model.keyframe_interval + 1)]
        with _exact_convolutions():
            plain = _streamed(model.stream(), frames)
            for precision, most in STREAM.items():
                optimised = optimise(model, "float32" if precision == "float32" else "bfloat16")
                fast = _streamed(optimised.stream(), frames)
                differences = [
                    float((ours[task] - theirs[task]).abs().mean() / theirs[task].abs().mean())
                    for ours, theirs in zip(fast, plain, strict=True)
                    for task in theirs
                ]
                name = f"{row}, optimised ({optimised.about}) against plain"
                yield Measured(name, max(differences), "mean relative difference", most=most)


@contextmanager
def _exact_convolutions() -> Iterator[None]:
    """Inside, float32 is float32 on a GPU as well, and not TF32."""
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = before


@torch.no_grad()
def _streamed(stream: Stream, frames: list[Tensor]) -> list[dict[str, Tensor]]:
    return [stream.step(frame) for frame in frames]


def continued(sizes: Sizes, clips: PackedClips, device: str, folder: Path) -> Measured:
    """A training of MILA that was interrupted half-way, and one that was not: losses and weights."""
    whole, whole_losses = _trained(sizes, clips, device, folder / "whole", None)
    parts, part_losses = _trained(sizes, clips, device, folder / "parts", _STEPS // 2)
    weights = float((whole - parts).norm() / whole.norm())
    losses = max(abs(part_losses[name] / value - 1) for name, value in whole_losses.items())
    return Measured(
        f"MILA, {_STEPS} steps continued from a checkpoint against uninterrupted ones",
        max(weights, losses),
        "relative difference of weights and losses",
        most=CONTINUED[device],
    )


def replayed(sizes: Sizes, clips: PackedClips, device: str, folder: Path) -> Iterator[Measured]:
    """On a GPU, steps of MILA that are recorded and replayed against the same steps as they come: weights.

    Raises:
        RuntimeError: a step waits for the device.
    """
    if device != "cuda":
        return
    weights = list[Tensor]()
    for name, record in (("plain", None), ("recorded", CudaGraphs())):
        model, batch = model_of("MILA", sizes), min(4, len(clips))
        epochs = _LONG / max(1, len(clips) // batch)  # so that no point of the curve is due
        training = Training(
            model, clips, Recipe(one_part(epochs=epochs, batch=batch), seed=0), device, folder / name, record=record
        )
        while training.done < CHECK_EVERY[device]:
            training.step()
        with _no_waiting():
            while training.done < 2 * CHECK_EVERY[device] - 1:
                training.step()
        training.close()
        weights.append(torch.cat([p.detach().flatten().double().cpu() for p in model.parameters()]))
    name = f"MILA, {training.done} steps recorded and replayed against the same as they come"
    worst = float((weights[0] - weights[1]).norm() / weights[0].norm())
    yield Measured(name, worst, "relative difference of weights", most=CONTINUED[device])


@contextmanager
def _no_waiting() -> Iterator[None]:
    """Inside, what waits for the GPU raises `RuntimeError`."""
    before = torch.cuda.get_sync_debug_mode()
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode(before)


def _trained(
    sizes: Sizes, clips: PackedClips, device: str, folder: Path, stop_after: int | None
) -> tuple[Tensor, dict[str, float]]:
    """All weights, and the last losses."""
    batch = min(4, len(clips))
    recipe = Recipe(one_part(epochs=_STEPS / max(1, len(clips) // batch), batch=batch), seed=0)
    checkpoint = Checkpoint(folder / "checkpoint.pt", "continued", seconds=0.0)
    folder.mkdir(parents=True)
    done: list[int] = []

    def stop() -> bool:
        return len(done) == stop_after

    callbacks = Callbacks(progress=lambda steps, _: done.append(steps), stop=stop)
    model = model_of("MILA", sizes)
    try:
        curve = train(model, clips, recipe, checkpoint, device=device, callbacks=callbacks)
    except StoppedError:
        model = model_of("MILA", sizes)
        curve = train(model, clips, recipe, checkpoint, device=device)
    weights = torch.cat([p.detach().flatten().double().cpu() for p in model.parameters()])
    return weights, {name: value for name, value in curve[-1].items() if name != "step" and value}
