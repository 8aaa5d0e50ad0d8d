"""What each kind of stage does. Runs in a worker process; writes only into the stage's own folder."""

from __future__ import annotations

import contextlib
import errno
import json
import statistics
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import torch

from experiments import ranks
from experiments.attempt import StageTimeoutError, limited, logged
from experiments.models import build
from experiments.stages import Attend, Data, Evaluate, Film, Measure, Stage, Train
from experiments.store import DamagedRecordError, Store
from mila.cost import PUBLISHED, count
from mila.data.packed import PackedClips
from mila.data.prepare import pack
from mila.distributed import LostRankError
from mila.errors import UserError
from mila.evaluation import evaluate, predict
from mila.files import write_atomic, write_json
from mila.tasks import SUITES
from mila.training import DivergedError, Progress, StoppedError, load_checkpoint, save_checkpoint, train
from mila.versions import environment
from mila.video_model import VideoModel
from mila.visualisation import attention, film

_TELL_EVERY = 0.3  # seconds
_LOG_EVERY = 30.0

Stop = Callable[[], bool]


@dataclass(frozen=True)
class Outcome:
    """How an attempt at a stage ended: well, or with an error, which may be one in what the user gave."""

    key: str
    error: str | None = None
    bad_input: bool = False


@dataclass(frozen=True)
class Attempt:
    """What a stage works with.

    Attributes:
        folder: its own, where it writes.
        device: where it computes.
        progress: told how far it is.
        stop: asked by a training after each step, see `mila.training.train`.
    """

    folder: Path
    device: str
    progress: Progress
    stop: Stop | None


def run_stage(
    stage: Stage,
    store: Store,
    device: str,
    *,
    stop: Stop | None = None,
    where: Mapping[str, str] | None = None,
    time_limit: float | None = None,
) -> Outcome:
    """Do a stage unless it is done; two runners on one store do it once, the other waits for the lock.

    An error is written into the stage's folder and returned, never raised; an interruption is raised and leaves the
    stage to be continued.

    Args:
        stage: what to do.
        store: where results go.
        device: where to compute.
        stop: asked by a training after each step, see `mila.training.train`.
        where: what else the record shall say about where it was made.
        time_limit: seconds after which the attempt fails; what its training has saved is kept.

    Raises:
        StoppedError: a training was asked to stop.
    """
    try:
        with store.lock(stage):
            state = store.state(stage)
            if state == "damaged":
                store.record(stage)  # says what is wrong
            if state != "done":
                with logged(store.begin(stage) / "log.txt"), limited(time_limit):
                    _attempt(stage, store, device, stop, where or {})
    except StoppedError:
        raise
    except (DivergedError, StageTimeoutError, DamagedRecordError, LostRankError) as error:
        return _failed(stage, store, str(error), str(error))
    except UserError as error:
        return _failed(stage, store, str(error), str(error), bad_input=True)
    except Exception as error:
        if is_out_of_memory(error):
            return _failed(stage, store, traceback.format_exc(), out_of_memory(stage, device))
        path = store.folder(stage) / "error.txt"
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            sentence = f"the disk is full ({error.filename or store.root}); free some space and run again to continue."
            return _failed(stage, store, traceback.format_exc(), sentence)
        return _failed(stage, store, traceback.format_exc(), f"{type(error).__name__}: {error} (see {path})")
    return Outcome(stage.key)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether Python, PyTorch or CUDA had no memory left."""
    said = str(error)
    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or (
        isinstance(error, RuntimeError) and ("not enough memory" in said or "can't allocate memory" in said)
    )


def out_of_memory(stage: Stage, device: str) -> str:
    """The sentence for people."""
    where = "the GPU" if device == "cuda" else "this machine"
    what = "the profile's batch or frame size" if isinstance(stage, Train) else "the profile's frame size"
    return f"{where} has too little memory; reduce --jobs, or {what}, or use another --device."


def _attempt(stage: Stage, store: Store, device: str, stop: Stop | None, where: Mapping[str, str]) -> None:
    folder = store.folder(stage)
    about = {**environment(device), **where}
    if ranks.ranks() > 1 and isinstance(stage, Train):
        about["processes"] = ranks.ranks()
    print(f"{stage.kind}: {stage.title} on {about['device']}, commit {about['commit']}")
    clock = _Clock(folder)
    result = _EXECUTE[type(stage)](stage, store, Attempt(folder, device, clock.tell, stop))
    finished = datetime.now(timezone.utc).isoformat(timespec="seconds")
    store.finish(stage, result, seconds=clock.seconds, finished=finished, environment=about)
    print(f"finished after {clock.seconds:.1f} s in all")


def _failed(stage: Stage, store: Store, details: str, sentence: str, bad_input: bool = False) -> Outcome:
    with contextlib.suppress(OSError):  # on a full disk there is no place for the reason either
        store.fail(stage, details)
        with logged(store.folder(stage) / "log.txt"):
            print(f"failed: {sentence}")
    return Outcome(stage.key, sentence, bad_input)


class _Clock:
    """Writes how far a stage is, and adds up its seconds over interruptions."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "progress.json"
        try:
            self._before = float(json.loads(self._path.read_text())["seconds"])
        except (OSError, ValueError, KeyError):
            self._before = 0.0
        self._start = time.monotonic()
        self._told, self._logged = 0.0, self._start

    @property
    def seconds(self) -> float:
        return self._before + time.monotonic() - self._start

    def tell(self, done: int, total: int) -> None:
        now = time.monotonic()
        if now - self._told > _TELL_EVERY or done == total:
            self._told = now
            write_json(self._path, {"done": done, "total": total, "seconds": self.seconds})
        if now - self._logged > _LOG_EVERY:
            self._logged = now
            print(f"{done} of {total}, {self.seconds:.0f} s")


def _data(stage: Data, _store: Store, attempt: Attempt) -> dict[str, Any]:
    source = stage.source.open()
    if not stage.source.is_packed:
        pack(source, stage.length, attempt.folder / "clips", attempt.progress)
    return {"clips": len(source), "frames": stage.length, "manifest": source.manifest()}


def load_model(stage: Train, store: Store, state_file: str = "model.pt") -> VideoModel:
    """The model of a finished training, with its weights, or those of another of its `Train.states`.

    Raises:
        UserError: the file is damaged or holds another model.
    """
    clips = store.clips(stage.data)
    model = build(stage.model, clips.suite, dict(stage.arguments))
    path = store.folder(stage) / state_file
    state = load_checkpoint(path, stage.key)
    try:
        model.load_state_dict(state["model"])
    except RuntimeError as error:
        raise UserError(
            f"{path} does not hold a {stage.model!r} of these arguments; delete {path.parent} and run again."
        ) from error
    return model


def _train(stage: Train, store: Store, attempt: Attempt) -> dict[str, Any]:
    clips, folder = store.clips(stage.data), attempt.folder
    curve: list[dict[str, float]] = []
    if stage.schedule is None:
        torch.manual_seed(stage.seed)
        model = build(stage.model, clips.suite, dict(stage.arguments))
        model.fit(clips.targets())
    else:
        model = _initial(stage, store, clips)
        with ranks.together(stage.key, attempt.device):
            curve = _run_schedule(
                stage,
                model,
                clips,
                folder,
                attempt.device,
                progress=attempt.progress,
                stop=attempt.stop,
                end_epoch=lambda epoch: _keep(stage, model, folder, epoch, len(clips)),
            )
    save_checkpoint(folder / "model.pt", stage.key, {"model": model.cpu().state_dict()})
    (folder / "checkpoint.pt").unlink(missing_ok=True)
    return {
        "curve": curve,
        "steps": int(curve[-1]["step"]) if curve else 0,
        "clips": len(clips),
        "parameters": sum(p.numel() for p in model.parameters()),
    }


def help_train(stage: Train, store: Store, device: str) -> None:
    """Take part in a training that another process does as a stage; called in its process group. Writes nothing."""
    clips = store.clips(stage.data)
    _run_schedule(stage, _initial(stage, store, clips), clips, store.folder(stage), device)


def _run_schedule(
    stage: Train, model: VideoModel, clips: PackedClips, folder: Path, device: str, **told: Any
) -> list[dict[str, float]]:
    """Train as the stage says, alike on all ranks; `told` are further arguments of `mila.training.train`."""
    assert stage.schedule is not None
    return train(
        model,
        clips,
        stage.schedule,
        stage.seed,
        folder / "checkpoint.pt",
        stage.key,
        weighting=stage.weighting,
        augmentation=stage.augmentation,
        device=device,
        **told,
    )


def _initial(stage: Train, store: Store, clips: PackedClips) -> VideoModel:
    """The model as its training begins."""
    torch.manual_seed(stage.seed)
    model = build(stage.model, clips.suite, dict(stage.arguments))
    for start in stage.starts:
        theirs = load_model(start.stage, store).get_submodule(start.theirs)
        model.get_submodule(start.ours).load_state_dict(theirs.state_dict())
    return model


def _keep(stage: Train, model: VideoModel, folder: Path, epoch: int, clips: int) -> None:
    """Keep the state after an epoch, if it is one of those that are scored."""
    name = f"epoch-{epoch:04d}.pt"
    if name in stage.states(clips):
        state = {key: value.cpu() for key, value in model.state_dict().items()}
        save_checkpoint(folder / name, stage.key, {"model": state})


def _evaluate(stage: Evaluate, store: Store, attempt: Attempt) -> dict[str, Any]:
    clips = store.clips(stage.data)
    metrics, states, model = _score(stage, store, attempt.device, attempt.progress)
    shown = picture_indices(len(clips), stage.pictures)
    _keep_arrays(attempt.folder / "pictures.npz", predict(model, clips, stage.offset, shown, attempt.device))
    return {"offset": stage.offset, "metrics": metrics, "states": states, "clips": len(clips), "pictures": shown}


def score(
    stage: Evaluate, store: Store, device: str, progress: Progress
) -> tuple[dict[str, float], dict[str, dict[str, float]]]:
    """The metrics at the stage's offset: their means over the states that the training kept, and each state's own."""
    return _score(stage, store, device, progress)[:2]


def _score(
    stage: Evaluate, store: Store, device: str, progress: Progress
) -> tuple[dict[str, float], dict[str, dict[str, float]], VideoModel]:
    """What `score` returns, and the model in its final state."""
    clips = store.clips(stage.data)
    names = stage.train.states(len(store.clips(stage.train.data)))
    states = {}
    for place, name in enumerate(names):

        def tell(done: int, total: int, place: int = place) -> None:
            progress(place * total + done, len(names) * total)

        model = load_model(stage.train, store, name)
        states[name] = evaluate(model, clips, stage.offset, device=device, progress=tell)
    first = next(iter(states.values()))
    return {metric: statistics.fmean(state[metric] for state in states.values()) for metric in first}, states, model


def picture_indices(clips: int, pictures: int) -> list[int]:
    """Which clips are kept as pictures: evenly spread over the split, chosen by no result."""
    pictures = min(clips, pictures)
    return [(2 * i + 1) * clips // (2 * pictures) for i in range(pictures)]


def _measure(stage: Measure, _store: Store, _attempt: Attempt) -> dict[str, Any]:
    suite = SUITES[stage.suite]
    with torch.device("meta"):  # counting needs shapes, not half a gigabyte of numbers
        model = build(stage.model, suite, dict(stage.arguments))
    cost = count(model, suite.height, suite.width, PUBLISHED)
    return {
        "gflops": cost.gflops,
        "keyframe": cost.keyframe / 1e9,
        "non_keyframe": cost.non_keyframe / 1e9,
        "parameters": cost.parameters,
        "height": suite.height,
        "width": suite.width,
        "convention": PUBLISHED.name,
    }


def _attend(stage: Attend, store: Store, attempt: Attempt) -> dict[str, Any]:
    clips = store.clips(stage.data)
    shown = picture_indices(len(clips), stage.pictures)
    maps = attention(load_model(stage.train, store), clips, shown, stage.offset, attempt.device)
    _keep_arrays(attempt.folder / "attention.npz", maps)
    return {"offset": stage.offset, "pictures": shown, "window": maps["weights"].shape[-1]}


def _film(stage: Film, store: Store, attempt: Attempt) -> dict[str, Any]:
    clips, model = store.clips(stage.data), load_model(stage.train, store)
    _keep_arrays(attempt.folder / "film.npz", film(model, clips, range(len(clips)), attempt.device))
    return {"clips": len(clips), "frames": clips.length, "keyframe_interval": model.keyframe_interval}


def _keep_arrays(path: Path, arrays: Mapping[str, torch.Tensor]) -> None:
    values = {name: array.numpy() for name, array in arrays.items()}
    write_atomic(path, lambda file: np.savez_compressed(file, allow_pickle=False, **values))


_EXECUTE: dict[type[Stage], Callable[[Any, Store, Attempt], dict[str, Any]]] = {
    Data: _data,
    Train: _train,
    Evaluate: _evaluate,
    Measure: _measure,
    Attend: _attend,
    Film: _film,
}
