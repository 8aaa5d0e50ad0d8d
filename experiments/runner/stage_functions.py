"""What each kind of stage does: from a stage and the store to the result of its record.

Runs in a worker process; writes only into the stage's own folder. What one kind of stage alone needs is imported in its
function: a worker that renders clips needs no counter.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from experiments.models import build, without_weights
from experiments.runner import process_group
from experiments.runner.attempt import Attempt
from experiments.runner.dropping import dropped_states
from experiments.runner.kept_model import keep_description, keep_source
from experiments.stage_files import CLIP_SUMS
from experiments.stages import Attend, Data, Evaluate, FollowMotion, Measure, PredictVideo, Stage, Train
from experiments.store import Store
from mila.clip_sums import ClipSums, save_clip_sums
from mila.common.checkpoint import load_checkpoint, save_checkpoint
from mila.common.files import write_atomic
from mila.common.types import Progress
from mila.data.packed import PackedClips
from mila.data.prepare import pack
from mila.errors import UserError
from mila.tasks import SUITES
from mila.video_model import VideoModel

if TYPE_CHECKING:
    from mila.evaluation import Scored
    from mila.training import Callbacks


def _data(stage: Data, _store: Store, attempt: Attempt) -> dict[str, Any]:
    source = stage.source.open()
    if source.manifest() != stage.manifest:
        raise UserError(f"{stage.title}: the data changed since this run began; run again.")
    if not stage.source.is_packed:
        pack(source, stage.length, attempt.folder / "clips", attempt.progress)
    return {"clips": len(source), "frames": stage.length, "manifest": stage.manifest}


def load_model(stage: Train, store: Store, state_file: str = "model.pt") -> VideoModel:
    """The model of a finished training, with its weights, or those of another of its `Train.states`.

    Raises:
        UserError: the file is damaged or holds another model.
    """
    clips = store.clips(stage.data)
    model = build(stage.model, clips.suite, without_weights(stage.arguments))  # those files may be gone by now
    path = store.folder(stage) / state_file
    state = load_checkpoint(path, stage.key, store.digest(stage, state_file))
    try:
        model.load_state_dict(state["model"])
    except RuntimeError as error:
        raise UserError(
            f"{path} does not hold a {stage.model!r} of these arguments; delete {path.parent} and run again."
        ) from error
    return model


def _train(stage: Train, store: Store, attempt: Attempt) -> dict[str, Any]:
    from mila.training import Callbacks

    clips, folder = store.clips(stage.data), attempt.folder
    keep_source(stage, folder)
    curve: list[dict[str, float]] = []
    if stage.schedule is None:
        torch.manual_seed(stage.seed)
        model = build(stage.model, clips.suite, dict(stage.arguments))
        model.fit(clips.targets())
    else:
        model = _initial(stage, store, clips)
        with process_group.together(stage.key, attempt.device):
            callbacks = Callbacks(
                attempt.progress, lambda epoch: _keep(stage, model, folder, epoch, len(clips)), attempt.stop
            )
            curve = _run_schedule(stage, model, clips, folder, attempt.device, callbacks)
    save_checkpoint(folder / "model.pt", stage.key, {"model": model.cpu().state_dict()})
    steps = int(curve[-1]["step"]) if curve else 0
    keep_description(stage, clips, model.keyframe_interval, folder, steps=steps)
    (folder / "checkpoint.pt").unlink(missing_ok=True)
    return {
        "curve": curve,
        "steps": steps,
        "clips": len(clips),
        "parameters": sum(p.numel() for p in model.parameters()),
    }


def join_training(stage: Train, store: Store, device: str) -> None:
    """Take part in a training that another process does as a stage; called in its process group. Writes nothing."""
    clips = store.clips(stage.data)
    _run_schedule(stage, _initial(stage, store, clips), clips, store.folder(stage), device)


def _run_schedule(
    stage: Train,
    model: VideoModel,
    clips: PackedClips,
    folder: Path,
    device: str,
    callbacks: Callbacks | None = None,
) -> list[dict[str, float]]:
    """Train as the stage says, alike on all ranks."""
    from mila.training import Checkpoint, train
    from mila.training_steps import Recipe

    assert stage.schedule is not None
    recipe = Recipe(stage.schedule, stage.seed, stage.weighting, stage.augmentation, stage.precision)
    checkpoint = Checkpoint(folder / "checkpoint.pt", stage.key)
    return train(model, clips, recipe, checkpoint, device=device, callbacks=callbacks)


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
    """Score the stage's offset, and those of the stages that are done along with it."""
    clips = store.clips(stage.data)
    shown = picture_indices(len(clips), stage.pictures)
    stages = {attempt.folder: stage, **{f: s for f, s in attempt.along.items() if isinstance(s, Evaluate)}}
    offsets = [each.offset for each in stages.values()]
    scored = _score(stage, offsets, store, attempt.device, attempt.progress, shown)
    for folder, each in stages.items():
        states = {name: by_offset[each.offset] for name, by_offset in scored.items()}
        sums = {name: state.sums for name, state in states.items()}
        metrics, by_state = _metrics(sums)
        write_atomic(folder / CLIP_SUMS, partial(save_clip_sums, states=sums))
        _keep_arrays(folder / "pictures.npz", states["model.pt"].pictures)
        attempt.results[each.key] = {
            "offset": each.offset,
            "metrics": metrics,
            "states": by_state,
            "clips": len(clips),
            "pictures": shown,
        }
    return attempt.results.pop(stage.key)


def score(
    stage: Evaluate, store: Store, device: str, progress: Progress
) -> tuple[dict[str, float], dict[str, dict[str, float]]]:
    """The metrics at the stage's offset: their means over the states that are there, and each state's own."""
    states = _score(stage, (stage.offset,), store, device, progress, remaining=True)
    return _metrics({name: scored[stage.offset].sums for name, scored in states.items()})


def _score(
    stage: Evaluate,
    offsets: Sequence[int],
    store: Store,
    device: str,
    progress: Progress,
    shown: Sequence[int] = (),
    *,
    remaining: bool = False,
) -> dict[str, dict[int, Scored]]:
    """What came out by state, the final one last, and by offset; with pictures of that state alone.

    With `remaining` of the states that were not dropped, see `experiments.runner.dropping`.
    """
    from mila.evaluation import evaluate_offsets

    clips = store.clips(stage.data)
    names = stage.train.states(len(store.clips(stage.train.data)))
    if dropped_states(stage.train, store):
        if not remaining:
            folder = store.folder(stage.train)
            raise UserError(
                f"the states of {stage.train.title} before its last one were dropped once they were scored; to score "
                f"it anew, delete {folder} and run again with --keep-states."
            )
        names = names[-1:]
    states = {}
    for place, name in enumerate(names):

        def progress_of_all(done: int, total: int, place: int = place) -> None:
            progress(place * total + done, len(names) * total)

        model = load_model(stage.train, store, name)
        kept = shown if name == names[-1] else ()
        states[name] = evaluate_offsets(model, clips, offsets, shown=kept, device=device, progress=progress_of_all)
    return states


def _metrics(sums: Mapping[str, ClipSums]) -> tuple[dict[str, float], dict[str, dict[str, float]]]:
    states = {name: clips.metrics() for name, clips in sums.items()}
    first = next(iter(states.values()))
    return {metric: statistics.fmean(state[metric] for state in states.values()) for metric in first}, states


def picture_indices(clips: int, pictures: int) -> list[int]:
    """Which clips are kept as pictures: evenly spread over the split, chosen by no result."""
    pictures = min(clips, pictures)
    return [(2 * i + 1) * clips // (2 * pictures) for i in range(pictures)]


def _measure(stage: Measure, _store: Store, _attempt: Attempt) -> dict[str, Any]:
    return measure_cost(stage)


def measure_cost(stage: Measure) -> dict[str, Any]:
    """Count what a stage asks for."""
    from mila.cost.conventions import PUBLISHED, count

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
    from mila.visualisation import attention

    clips = store.clips(stage.data)
    shown = picture_indices(len(clips), stage.pictures)
    maps = attention(load_model(stage.train, store), clips, shown, stage.offset, attempt.device)
    _keep_arrays(attempt.folder / "attention.npz", maps)
    return {"offset": stage.offset, "pictures": shown, "window": maps["weights"].shape[-1]}


def _follow_motion(stage: FollowMotion, store: Store, attempt: Attempt) -> dict[str, Any]:
    from mila.data.worlds.clips import WorldClips
    from mila.motion import follow

    clips, world = store.clips(stage.data), stage.data.source.open()
    assert isinstance(world, WorldClips)
    shown = picture_indices(len(clips), stage.clips)
    found = follow(
        load_model(stage.train, store),
        clips,
        shown,
        lambda index: world.motion(index, stage.interval - 1),
        attempt.device,
        attempt.progress,
    )
    return {"clips": len(shown), "interval": stage.interval, "agreement": found}


def _predict_video(stage: PredictVideo, store: Store, attempt: Attempt) -> dict[str, Any]:
    from mila.visualisation import predict_video

    clips, model = store.clips(stage.data), load_model(stage.train, store)
    _keep_arrays(attempt.folder / "film.npz", predict_video(model, clips, range(len(clips)), attempt.device))
    return {"clips": len(clips), "frames": clips.length, "keyframe_interval": model.keyframe_interval}


def _keep_arrays(path: Path, arrays: Mapping[str, torch.Tensor]) -> None:
    values = {name: array.numpy() for name, array in arrays.items()}
    write_atomic(path, lambda file: np.savez_compressed(file, allow_pickle=False, **values))


StageFunction = Callable[[Any, Store, Attempt], dict[str, Any]]

STAGE_FUNCTIONS: dict[type[Stage], StageFunction] = {
    Data: _data,
    Train: _train,
    Evaluate: _evaluate,
    Measure: _measure,
    Attend: _attend,
    FollowMotion: _follow_motion,
    PredictVideo: _predict_video,
}
"""What does each kind of stage."""
