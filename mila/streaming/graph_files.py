"""Folders of exported steps: a file a graph and `description.json`, which says how to loop over them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mila.common.files import write_folder, write_json
from mila.data.clips import MEAN, STD
from mila.errors import UserError
from mila.streaming.description import Description, description_as_json
from mila.streaming.graphs import FRAME, Graphs

TOLERANCE = 1e-4
"""Largest difference of a prediction from the model's own, as a share of the largest value there (of 1 at least)."""

Run = Callable[[str, Mapping[str, Tensor]], list[Tensor]]
"""Runs the graph of a name on inputs by name; gives its outputs in order."""

_HOW = (
    "Frame t, counted from 0, goes through the graph first[t], or cycle[t % keyframe_interval] where first has none. "
    "A graph takes, in the order of `inputs`, the frame and tensors of the state, and gives, in that of `outputs`, "
    "predictions by task and new tensors of the state: next.NAME takes the place of NAME, all others stay as they are. "
    "The state of a new video is empty."
)


def write_graphs(
    folder: Path, graphs: Graphs, description: Description, suffix: str, save: Callable[[Path], Run]
) -> float:
    """Write a folder of graphs once they are seen to predict what the model does.

    Args:
        folder: a new or an empty one; it is written whole or not at all.
        graphs: the steps.
        description: of the model.
        suffix: of a graph's file.
        save: writes all graphs as files into a folder, and gives what runs them from there.

    Returns:
        The largest difference, see `TOLERANCE`.

    Raises:
        UserError: they predict something else, or the folder holds something.
    """
    worst = 0.0

    def write(unfinished: Path) -> None:
        nonlocal worst
        run = save(unfinished)
        worst = difference(run, graphs)
        if not worst <= TOLERANCE:
            raise UserError(
                f"{folder} is not written, for its graphs predict something else than the model (by {worst:.1e}, where "
                f"{TOLERANCE:.0e} is allowed): an operation is exported wrong, or numbers are so large, as with random "
                "weights, that rounding decides; use the model itself (`mila.load`)."
            )
        write_json(unfinished / "description.json", about(graphs, description, suffix))

    write_folder(folder, write)
    return worst


@torch.no_grad()
def difference(run: Run, graphs: Graphs) -> float:
    """How far predictions of graphs are from the model's, at most, over two keyframe intervals and a frame."""
    state = dict[str, Tensor]()
    worst = torch.zeros(())
    rehearsal = graphs.rehearsal
    for place, (frame, expected) in enumerate(zip(rehearsal.frames, rehearsal.predictions, strict=True)):
        name = graphs.name_at(place)
        graph = graphs.graphs[name]
        given = run(name, {FRAME: frame, **{key: state[key] for key in graph.inputs}})
        found = dict(zip(graph.output_names, given, strict=True))
        for task, prediction in expected.items():
            apart = (found[task] - prediction).abs().max() / prediction.abs().max().clamp(min=1)
            worst = torch.maximum(worst, apart)  # what is not a number stays
        state |= {key: found[f"next.{key}"] for key in graph.outputs}
    return float(worst)


def about(graphs: Graphs, description: Description, suffix: str) -> dict[str, Any]:
    """What `description.json` says."""
    frame = next(iter(graphs.graphs.values())).shapes[FRAME]
    return {
        "model": description_as_json(description),
        "classes": list(description.classes),
        "keyframe_interval": len(graphs.cycle),
        "frame": {
            "shape": frame,
            "type": "float32",
            "channels": "RGB",
            "how": "(value / 255 - mean) / std, a channel at a time",
            "mean": list(MEAN),
            "std": list(STD),
        },
        "predictions": {task.name: _ABOUT[task.name] for task in description.suite.tasks},
        "how": _HOW,
        "first": list(graphs.first),
        "cycle": list(graphs.cycle),
        "graphs": {
            name: {
                "file": f"{name}{suffix}",
                "inputs": [{"name": key, "shape": graph.shapes[key]} for key in graph.input_names],
                "outputs": [{"name": key, "shape": graph.shapes[key]} for key in graph.output_names],
            }
            for name, graph in graphs.graphs.items()
        },
    }


_ABOUT = {
    "segmentation": "scores of the classes before softmax",
    "depth": "in the unit of the data set that the model was trained on",
    "normals": "unit vectors; x right, y down, z forward; towards the camera",
    "flow": "(dx, dy) in pixels to the frame before",
}


def torch_run(graphs: Graphs) -> Callable[[Path], Run]:
    """`save` of `write_graphs` for torch.export: files `NAME.pt2`."""

    def save(folder: Path) -> Run:
        for name, graph in graphs.graphs.items():
            torch.export.save(graph.program, folder / f"{name}.pt2")
        modules = {name: torch.export.load(folder / f"{name}.pt2").module() for name in graphs.graphs}
        return lambda name, given: list(modules[name](*given.values()))

    return save
