"""Exported steps as ONNX files, which share one file of weights, and ONNX Runtime to check them."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mila.errors import UserError, first_line
from mila.streaming.graph_files import Run
from mila.streaming.graphs import Graph, Graphs

PACKAGES = ("onnx", "onnxscript", "onnxruntime")
WEIGHTS = "weights.bin"
"""File of the weights of all graphs."""

_SMALL = 1024  # bytes: what stays in a graph's own file
_PAGE = 4096  # bytes: where weights begin, so that a file can be mapped into memory


def check_packages() -> None:
    """`UserError` where a package is missing that an export to ONNX needs."""
    missing = [name for name in PACKAGES if find_spec(name) is None]
    if missing:
        raise UserError(f"--onnx needs {', '.join(missing)}; install it with: pip install {' '.join(missing)}")


def onnx_run(graphs: Graphs) -> Callable[[Path], Run]:
    """`save` of `mila.streaming.graph_files.write_graphs` for ONNX: files `NAME.onnx` and `weights.bin`."""

    def save(folder: Path) -> Run:
        import onnx

        models = {name: _to_onnx(name, graph) for name, graph in graphs.graphs.items()}
        _share_weights(models, folder)
        for name, model in models.items():
            path = folder / f"{name}.onnx"
            path.write_bytes(model.SerializeToString())
            onnx.checker.check_model(str(path))
        return _runtime(folder, graphs)

    return save


def _to_onnx(name: str, graph: Graph) -> Any:
    """A graph as a `ModelProto`."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the exporter, about itself
            program = torch.onnx.export(
                graph.program,
                dynamo=True,
                verbose=False,
                input_names=graph.input_names,
                output_names=graph.output_names,
            )
    except Exception as error:  # of whatever a method of the user's own does
        raise UserError(
            f"the graph {name} cannot be exported to ONNX ({type(error).__name__}: {first_line(error)}); "
            "use --torch-export, or write that in operations that ONNX has."
        ) from error
    assert program is not None
    model = program.model_proto
    for part in (*model.graph.node, *model.graph.value_info, *model.graph.input, *model.graph.output):
        part.ClearField("metadata_props")  # where in the files of this machine it comes from
    return model


def _share_weights(models: Mapping[str, Any], folder: Path) -> None:
    """Put the weights of all models into one file, each once; the models refer to it."""
    from onnx.external_data_helper import set_external_data

    places = dict[bytes, int]()
    with (folder / WEIGHTS).open("wb") as file:
        for model in models.values():
            for tensor in model.graph.initializer:
                content = tensor.raw_data
                if len(content) < _SMALL:
                    continue
                digest = hashlib.sha256(content).digest()
                if digest not in places:
                    file.write(bytes(-file.tell() % _PAGE))
                    places[digest] = file.tell()
                    file.write(content)
                set_external_data(tensor, WEIGHTS, offset=places[digest], length=len(content))
                tensor.ClearField("raw_data")


def _runtime(folder: Path, graphs: Graphs) -> Run:
    """Runs the files in a folder by ONNX Runtime, on the CPU."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors
    sessions = {
        name: onnxruntime.InferenceSession(str(folder / f"{name}.onnx"), options, providers=["CPUExecutionProvider"])
        for name in graphs.graphs
    }

    def run(name: str, given: Mapping[str, Tensor]) -> list[Tensor]:
        feeds = {key: tensor.numpy() for key, tensor in given.items()}
        outputs = sessions[name].run(graphs.graphs[name].output_names, feeds)
        return [torch.from_numpy(output) for output in outputs]

    return run
