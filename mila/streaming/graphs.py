"""A trained model as graphs, one a kind of step, with the state that they hand on as named inputs and outputs.

`first` names the graphs of the first frames, `cycle` those of every keyframe interval. A step takes the tensors of the
state that it reads and gives those that it changes; what it does not name stays as it is.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind

from mila.errors import UserError, first_line
from mila.streaming.steps import Kind, Rehearsal, Step, rehearse
from mila.video_model import VideoModel

FRAME = "frame"
"""Name of the input that takes the frame."""


@dataclass(frozen=True)
class Graph:
    """One step, exported.

    Attributes:
        program: from (frame, *state) to (*predictions, *new state).
        inputs: names of the state that it takes, in order.
        predictions: names of the tasks, in order.
        outputs: names of the state that it gives, in order.
    """

    program: ExportedProgram
    inputs: tuple[str, ...]
    predictions: tuple[str, ...]
    outputs: tuple[str, ...]

    @property
    def input_names(self) -> list[str]:
        """All inputs in order."""
        return [FRAME, *self.inputs]

    @property
    def output_names(self) -> list[str]:
        """All outputs in order."""
        return [*self.predictions, *(f"next.{name}" for name in self.outputs)]

    @property
    def shapes(self) -> dict[str, list[int]]:
        """Of all inputs and outputs, by name."""
        signature, nodes = self.program.graph_signature, {node.name: node for node in self.program.graph.nodes}
        names = [*zip(self.input_names, signature.user_inputs, strict=True)]
        names += zip(self.output_names, signature.user_outputs, strict=True)
        return {name: list(nodes[str(node)].meta["val"].shape) for name, node in names}


@dataclass(frozen=True)
class Graphs:
    """All steps of a model.

    Attributes:
        graphs: by name: `keyframe`, `non_keyframe`, and those that begin with `first_`.
        first: names of the graphs of the first frames, where they differ from later ones.
        cycle: names of the graphs of a keyframe interval, from the keyframe on: frame t, counted from 0, takes
            `cycle[t % K]`, unless `first` has one for it.
        rehearsal: what the model itself does.
    """

    graphs: Mapping[str, Graph]
    first: tuple[str, ...]
    cycle: tuple[str, ...]
    rehearsal: Rehearsal

    def name_at(self, place: int) -> str:
        """The graph that takes frame `place` of a video."""
        return self.first[place] if place < len(self.first) else self.cycle[place % len(self.cycle)]


def export_graphs(model: VideoModel, height: int, width: int) -> Graphs:
    """Export a model's steps for frames `[1, 3, height, width]`; the model itself stays as it is.

    Raises:
        UserError: its stream cannot be taken apart, or it does something that torch.export does not know.
    """
    model = copy.deepcopy(model).cpu().eval()
    model.for_inference()
    model.requires_grad_(False)
    rehearsal = rehearse(model, height, width)
    interval = model.keyframe_interval
    cycle = rehearsal.kinds[interval : 2 * interval]
    programs = {kind: _export(model, kind, rehearsal, kind.names) for kind in dict.fromkeys(cycle)}
    used = {kind: _used(kind, program) for kind, program in programs.items()}
    first = _first(rehearsal, cycle, used)
    for kind in first:
        if kind not in programs:
            programs[kind] = _export(model, kind, rehearsal, kind.names)
            used[kind] = _used(kind, programs[kind])
    names = _names(first, cycle)
    graphs = {}
    for kind, name in names.items():
        whole = used[kind] == kind.names
        program = programs[kind] if whole else _export(model, kind, rehearsal, used[kind])
        graphs[name] = _graph(program, model, used[kind], rehearsal.changed[kind])
    return Graphs(graphs, tuple(names[kind] for kind in first), tuple(names[kind] for kind in cycle), rehearsal)


def _export(model: VideoModel, kind: Kind, rehearsal: Rehearsal, inputs: Sequence[str]) -> ExportedProgram:
    carried = rehearsal.carried[kind]
    step = Step(model, kind, carried, inputs, rehearsal.changed[kind]).eval()
    try:
        return torch.export.export(step, (rehearsal.frames[0], *(carried[name] for name in inputs)), strict=False)
    except Exception as error:  # of whatever a method of the user's own does
        raise UserError(
            f"{type(model).__name__} cannot be exported, for torch.export does not take its step "
            f"({type(error).__name__}: {first_line(error)}); write that in plain tensor operations."
        ) from error


def _used(kind: Kind, program: ExportedProgram) -> tuple[str, ...]:
    """Names of the state that a step reads, of all that is carried to it."""
    read = {node.name for node in program.graph.nodes if node.op == "placeholder" and node.users}
    given = program.graph_signature.user_inputs[1:]  # without the frame
    return tuple(name for name, node in zip(kind.names, given, strict=True) if node in read)


def _first(rehearsal: Rehearsal, cycle: Sequence[Kind], used: Mapping[Kind, tuple[str, ...]]) -> list[Kind]:
    """The kinds of the first frames, up to the last one that no kind of `cycle` can stand in for.

    One can where all that it reads is carried there already, and it changes the same.
    """
    first = list[Kind]()
    for place, kind in enumerate(rehearsal.kinds):
        steady = cycle[place % len(cycle)]
        same = set(used[steady]) <= set(kind.names) and rehearsal.changed[steady] == rehearsal.changed[kind]
        first.append(steady if same else kind)
    while first and first[-1] == cycle[(len(first) - 1) % len(cycle)]:
        first.pop()
    return first


def _names(first: Sequence[Kind], cycle: Sequence[Kind]) -> dict[Kind, str]:
    """A name for each kind; where several would have the same one, they are counted."""
    names = dict[Kind, str]()
    for kind in dict.fromkeys([*cycle, *first]):
        name = ("" if kind in cycle else "first_") + ("keyframe" if kind.keyframe else "non_keyframe")
        alike = sum(other.rstrip("_0123456789") == name for other in names.values())
        names[kind] = f"{name}_{alike + 1}" if alike else name
    return names


def _graph(program: ExportedProgram, model: VideoModel, inputs: tuple[str, ...], outputs: tuple[str, ...]) -> Graph:
    _drop_unused(program)
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)  # it names files of this machine
    return Graph(program, inputs, tuple(task.name for task in model.suite.tasks), outputs)


def _drop_unused(program: ExportedProgram) -> None:
    """Take parameters and buffers that nothing reads out of a program; in place."""
    signature, nodes = program.graph_signature, {node.name: node for node in program.graph.nodes}
    for spec in list(signature.input_specs):
        kept = spec.kind not in (InputKind.PARAMETER, InputKind.BUFFER) or nodes[str(spec.arg.name)].users
        if not kept:
            program.graph.erase_node(nodes[str(spec.arg.name)])
            signature.input_specs.remove(spec)
            program.state_dict.pop(str(spec.target), None)
    program.graph_module.recompile()
