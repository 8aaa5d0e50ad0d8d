"""Sizes, schedules and weights of a run, beside the paper's."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from experiments.grids.grid import PAPER_INTERVAL, Row
from experiments.models import DEPTHS, WEIGHTS, is_mila
from experiments.plan import Plan
from experiments.profiles import Profile
from experiments.stages import Train, in_order
from experiments.weights import NamedWeights
from mila.schedule import Part, Schedule
from mila.switches import MimicryOptions
from reports.titles import DATASET_TITLES

_NETWORKS = {
    "multi_task": "multi-task-trained encoders",
    "single_task": "single-task-trained encoders",
    "flownet": "FlowNet-S",
}
_PAPER_SCHEDULE = "Adam (0.9, 0.99), learning rate 0.0001, 50 epochs, batch 4"
_PAPER_STARTS = "multi-task-trained encoders; single-task-trained ones for Cross-Stitch (appendix A)"


@dataclass(frozen=True)
class Setting:
    """One line of the comparison of settings."""

    name: str
    ours: str
    paper: str


def settings(plan: Plan) -> list[Setting]:
    """What this run was made with, beside the paper's (Section 4.1, appendix A); only what the rows use."""
    p, paper, split = plan.profile, plan.grid.suite, plan.test_data.source.split
    height, width = p.size(plan.suite)
    depths = used_depths(plan)
    trains = [stage for stage in in_order(plan.stages()) if isinstance(stage, Train)]
    limits = (plan.train_data.source.clips, plan.test_data.source.clips)
    clips = tuple(_clips(limit, embedded=plan.embedded) for limit in limits)
    title, count = DATASET_TITLES[paper.name], plan.train_data.count
    lines = [
        Setting("Input, pixels", f"{height} × {width}", f"{paper.height} × {paper.width}"),
        Setting("Encoders", depths_text(p, depths), f"DeepLab-ResNet{_list([str(depth) for depth in depths])}"),
        Setting("Channels", f"× {p.width:g}", "× 1"),
    ]
    if plan.embedded:
        lines.append(Setting("Time steps a frame", f"{plan.test_data.source.stride}", "consecutive frames"))
    intervals = sorted({dict(stage.arguments)["keyframe_interval"] for stage in trains if _has_interval(stage)})
    if intervals:
        own = {row.label: dict(row.arguments).get("keyframe_interval", PAPER_INTERVAL) for row in plan.grid.rows}
        costed = {row.label: dict(row.measure.arguments) for row in plan.rows if row.measure is not None}
        printed = sorted({own[label] for label, values in costed.items() if "keyframe_interval" in values})
        ours, theirs = (", ".join(map(str, numbers)) for numbers in (intervals, printed))
        lines.append(Setting("Keyframe interval K", ours, theirs))
        if intervals[-1] > 1:
            lines.append(Setting("Offsets in training", _offsets(p.method), "not stated"))
    if p.base is not None:
        lines.append(Setting(f"Profile {p.name}", f"{p.base}, but for: {'; '.join(p.changes) or 'nothing'}", "–"))
    given = options_given(plan)
    if given:
        lines.append(Setting("Options on the command line", ", ".join(given), "–"))
    lines.append(Setting("Augmentation", p.augmentation, "none named"))
    lines.append(Setting("Precision of training", p.precision, "not stated"))
    lines.append(Setting("Initial weights", _initial(p, trains), "ImageNet"))
    if any(row.starts for row in plan.grid.rows):
        lines += [
            Setting("Rows that start from trained networks", _starts(plan.grid.rows), _PAPER_STARTS),
            Setting("Their schedule", schedule_text(p.method, count), _PAPER_SCHEDULE),
        ]
    if mimicking := _mimicking(plan):
        lines.append(Setting("Eq. 3 while encoders are frozen", mimicking, "no such part"))
    used = {stage.schedule for stage in trains}
    if p.encoder in used:
        lines.append(Setting("Schedule of all other networks", schedule_text(p.encoder, count), _PAPER_SCHEDULE))
    if p.scratch in used and p.scratch != p.encoder:
        lines.append(Setting("Schedule from random weights", schedule_text(p.scratch, count), "not stated (SegNet)"))
    lines += [
        Setting("Task weights", _weightings(plan.grid.rows), "equal; uncertainty and DWA in Table 9 (appendix A.1)"),
        Setting("Decoder normalisation", p.decoder_norm, "none named"),
        Setting("Scored states", _states(p), "not stated; MTAN's authors: mean over the last 10 epochs"),
        Setting("Training clips", clips[0], f"the {title} training set"),
        Setting(f"Scored clips ({split})", clips[1], f"the {title} evaluation set"),
    ]
    if plan.flow:
        lines.append(Setting("FlowNet-S", _flow(p), "not stated"))
    return lines


def _offsets(schedule: Schedule) -> str:
    twice = [part.name for part in schedule.parts if part.keyframes]
    return "drawn for each batch" + (f"; as keyframes, too, in the part “{_list(twice)}”" if twice else "")


def _mimicking(plan: Plan) -> str:
    """Which terms of Eq. 3 count in a part with frozen encoders; empty where there is no such part, or no such row."""
    if all(part.encoders != "frozen" for part in plan.profile.method.parts):
        return ""
    options = (dict(row.arguments).get("mimicry", MimicryOptions()) for row in plan.grid.rows if is_mila(row.model))
    said = {"none": "none", "l1": "L1", "all": "both"}
    found = dict.fromkeys(said[each.head_start] for each in options if each is not None and each.is_on)
    return ", ".join(found) + (", by row" if len(found) > 1 else "")


def options_given(plan: Plan) -> list[str]:
    """What the command line says otherwise than the grid and the profile do, in its own words.

    Seeds and where clips come from are said elsewhere.
    """
    methods = [row.label for row in plan.grid.own_rows]
    return unusual(plan) + ([f"--method with {_list(methods)}"] if methods else [])


def unusual(plan: Plan) -> list[str]:
    """Those of the options that make all rows others than the paper's."""
    p, source, known = plan.profile, plan.test_data.source, plan.profile.before_options
    interval, asked = known.keyframe_interval or PAPER_INTERVAL, p.keyframe_interval
    suite = plan.suite.name
    usual = {
        "--augmentation": (p.augmentation, known.augmentation),
        "--weights": (weights_given(plan), None),
        "--keyframe-interval": (asked if asked == plan.grid.keyframe_interval else interval, interval),
        "--suite": (suite, suite if plan.has_usual_suite else ""),
        "--split": (source.split, plan.grid.split),
    }
    return [f"{option} {value}" for option, (value, default) in usual.items() if value != default]


def weights_given(plan: Plan) -> str | None:
    """The value of `--weights`, a folder by its name; None where the weights are the profile's, wherever they lie."""
    p, known, world = plan.profile, plan.profile.before_options, plan.test_data.source.world
    if (p.weights, p.flow_weights) == (known.weights, known.flow_weights):
        return None
    if not p.weights:
        return "none" if known.weights else None
    named = {name.replace("{world}", world) for name in (*known.weights.values(), known.flow_weights or "")}
    own = any(found.name not in named for found in _initial_weights(plan).values())
    return Path(next(iter(p.weights.values()))).name if own else None


def _initial_weights(plan: Plan) -> dict[str, NamedWeights]:
    """What all trainings start from, by the arguments that give it."""
    trains = [stage for stage in in_order(plan.stages()) if isinstance(stage, Train)]
    return {str(dict(t.arguments)[name]): known for t in trains for name, known in t.initial_weights().items()}


def used_depths(plan: Plan) -> list[int]:
    """The paper's depths of the DeepLab-ResNets that the rows have, deepest first."""
    found = {value for row in plan.grid.rows for name, value in row.arguments if name in DEPTHS}
    return sorted((depth for depth in found if depth is not None), reverse=True)


def depths_text(profile: Profile, depths: list[int]) -> str:
    """The profile's networks for the paper's: `DeepLab-ResNet50 for 101, 18 for 18`."""
    return "DeepLab-ResNet" + ", ".join(f"{profile.depths[depth]} for {depth}" for depth in depths)


def cost_networks(plan: Plan) -> str:
    """What the cost is counted with, in words: the rows' networks as the paper has them."""
    names = [f"ResNet{depth}" for depth in used_depths(plan)]
    names += ["SegNet"] * any(row.model.startswith("segnet") for row in plan.grid.rows)
    names += ["FlowNet-S"] * bool(plan.flow)
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def _states(profile: Profile) -> str:
    return "the final one" if profile.last_epochs == 1 else f"mean over the last {profile.last_epochs} epochs"


def _has_interval(stage: Train) -> bool:
    return "keyframe_interval" in dict(stage.arguments)


def schedule_text(schedule: Schedule, clips: int) -> str:
    """A schedule in words, part by part, on a training set of `clips` clips."""
    return "; then ".join(_part(part, clips, named=len(schedule.parts) > 1) for part in schedule.parts)


def _part(part: Part, clips: int, named: bool) -> str:
    decay = "" if part.decay == "none" else f", {part.decay} decay"
    rate, epochs = f"learning rate {part.lr:g}{decay}", f"{part.epochs:g} epochs ({part.steps(clips):,} steps)"
    words = f"Adam {part.betas}, {rate}, {epochs}, batch {part.batch}"
    encoders = {"trained": "", "fixed_norm": ", batch norm of the encoders fixed", "frozen": ", encoders frozen"}
    return f"{part.name}: {words}{encoders[part.encoders]}" if named else words


def _clips(limit: int | None, *, embedded: bool) -> str:
    if limit is None:
        return "all there are"
    return f"{limit}" if embedded else f"the first {limit}"


def _initial(profile: Profile, trains: list[Train]) -> str:
    given = {
        str(dict(stage.arguments)[name]): known
        for stage in trains
        for name, known in stage.initial_weights().items()
        if name in WEIGHTS.values()
    }
    files = [f"{Path(value).name} (SHA-256 {str(w.digest)[:8]}…)" for value, w in given.items() if w.name == "file"]
    carried = [known.name for known in given.values() if known.name != "file" and known.digest]
    words = ["ImageNet"] * (len(given) > len(files) + len(carried))
    words += [f"encoders trained on other scenes of the worlds: {_list(sorted(carried))}"] * bool(carried)
    words += [f"the user's own: {_list(sorted(files))}"] * bool(files)
    if words:
        return "; ".join(words)
    return "random, residual branches zero" if profile.zero_init_residual else "random"


def _starts(rows: tuple[Row, ...]) -> str:
    """The rows by what they start from."""
    groups: dict[str, list[str]] = {}
    for row in rows:
        if row.starts:
            networks = dict.fromkeys(_NETWORKS[start.network] for start in row.starts)
            groups.setdefault(" and ".join(networks), []).append(row.label)
    return "; ".join(f"{_list(labels)}: from {networks}" for networks, labels in groups.items())


def _weightings(rows: tuple[Row, ...]) -> str:
    """How the task losses are weighted; the rows by name where they differ."""
    groups: dict[str, list[str]] = {}
    for row in rows:
        groups.setdefault(row.weighting, []).append(row.label)
    if len(groups) == 1:
        return next(iter(groups))
    return "; ".join(f"{_list(labels)}: {weighting}" for weighting, labels in groups.items())


def _flow(profile: Profile) -> str:
    frames = "half-resolution frames" if profile.half_resolution else "full-resolution frames"
    pairs = f"{profile.flow_clips} pairs of frames"
    return f"channels × {profile.flow_width:g}, {frames}; {schedule_text(profile.flow, profile.flow_clips)}, {pairs}"


def _list(words: list[str]) -> str:
    """Labels that hold commas themselves are told apart by a stronger sign."""
    return (" | " if any("," in word for word in words) else ", ").join(words)
