"""Graphs as files: ONNX Runtime and torch.export give what the stream gives, of every model of the suite."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch
from torch import Tensor

from baselines.multi_task import MultiTask
from baselines.slow_fast import SlowFast
from baselines.svc import SVC
from mila.errors import UserError
from mila.model import MILA
from mila.streaming.description import Description
from mila.streaming.graph_files import Run, torch_run, write_graphs
from mila.streaming.graphs import Graphs, export_graphs
from mila.streaming.onnx_files import WEIGHTS, check_packages, onnx_run
from mila.tasks import CITYSCAPES, CITYSCAPES7, NYUV2, Suite
from mila.video_model import VideoModel
from tests.support.all_models import MODELS
from tests.support.fake_models import experienced
from tests.support.saved_models import HEIGHT, WIDTH

SHORT: dict[Any, dict[str, Any]] = {MILA: {"window": 3}, SlowFast: {"kernel": 3, "window": 3}, SVC: {"kernel": 3}}
"""Switches that make small graphs."""


def small(label: str, suite: Suite | None = None) -> VideoModel:
    """A small model with random weights; of one task where an exported task takes long."""
    torch.manual_seed(0)
    make, switches = MODELS[label]
    suite = suite or (CITYSCAPES7 if make in SHORT else CITYSCAPES)
    return experienced(make(suite, **{"width": 0.0625, **SHORT.get(make, {}), **switches}))


def about(graphs: Graphs, suite: Suite = CITYSCAPES) -> Description:
    return Description("a model", "mila.model", "MILA", {}, suite, HEIGHT, WIDTH, len(graphs.cycle))


EXPORTED = ("K=1", "cosine", "Accel", "SegNet MTAN")
TO_ONNX = ("MILA", "svc", "SVC", "MTAN", "Cross-Stitch", "single task")
"""A model of each way of computing: exports take seconds each. All others agreed when they were last tried."""


@pytest.mark.slow
@pytest.mark.parametrize("label", [*EXPORTED, *TO_ONNX])
def test_models_are_exported(label: str, tmp_path: Path) -> None:
    graphs = export_graphs(small(label), HEIGHT, WIDTH)
    write_graphs(tmp_path / "torch", graphs, about(graphs), ".pt2", torch_run(graphs))  # compares them
    assert {path.stem for path in (tmp_path / "torch").glob("*.pt2")} == set(graphs.graphs)
    if label in TO_ONNX:
        write_graphs(tmp_path / "onnx", graphs, about(graphs), ".onnx", onnx_run(graphs))
        assert {path.stem for path in (tmp_path / "onnx").glob("*.onnx")} == set(graphs.graphs)
    for path in (tmp_path / "onnx").glob("*.onnx"):
        model = onnx.load(path)
        assert {node.domain for node in model.graph.node} <= {"", "ai.onnx"}


@pytest.mark.slow
def test_a_folder_of_graphs_says_how_to_loop_and_names_no_file_of_this_machine(tmp_path: Path) -> None:
    graphs = export_graphs(small("multi task", NYUV2), HEIGHT, WIDTH)
    folder = tmp_path / "new" / "graphs"
    assert write_graphs(folder, graphs, about(graphs, NYUV2), ".onnx", onnx_run(graphs)) < 1e-5
    assert sorted(path.name for path in folder.iterdir()) == ["description.json", "keyframe.onnx", WEIGHTS]
    said = json.loads((folder / "description.json").read_text())
    assert (said["first"], said["cycle"], said["keyframe_interval"]) == ([], ["keyframe"], 1)
    assert said["graphs"]["keyframe"] == {
        "file": "keyframe.onnx",
        "inputs": [{"name": "frame", "shape": [1, 3, HEIGHT, WIDTH]}],
        "outputs": [
            {"name": name, "shape": [1, channels, HEIGHT, WIDTH]}
            for name, channels in (("segmentation", 13), ("depth", 1), ("normals", 3))
        ],
    }
    assert said["frame"]["mean"] == [0.485, 0.456, 0.406]
    assert said["classes"][0] == "bed"
    content = (folder / "keyframe.onnx").read_bytes()
    assert str(Path(torch.__file__).parent).encode() not in content
    assert b"tests/support" not in content
    with pytest.raises(UserError, match="graphs is there already; give the name of a new folder, or delete it first"):
        write_graphs(folder, graphs, about(graphs), ".onnx", onnx_run(graphs))


@pytest.mark.slow
def test_equal_weights_are_written_once(tmp_path: Path) -> None:
    model = small("K=1")
    graphs = export_graphs(model, HEIGHT, WIDTH)
    write_graphs(tmp_path / "graphs", graphs, about(graphs), ".onnx", onnx_run(graphs))
    assert set(graphs.graphs) == {"keyframe", "first_keyframe"}
    used = sum(x.numel() * 4 for name, x in model.named_parameters() if not name.startswith(("mimicry", "fast")))
    assert (tmp_path / "graphs" / WEIGHTS).stat().st_size < 1.5 * used  # each begins at a page


def test_what_predicts_something_else_is_not_written(tmp_path: Path) -> None:
    torch.manual_seed(0)
    graphs = export_graphs(experienced(MultiTask(CITYSCAPES, 18, width=0.0625)), HEIGHT, WIDTH)
    save = torch_run(graphs)

    def wrong(folder: Path) -> Run:
        right = save(folder)

        def run(name: str, given: Mapping[str, Tensor]) -> list[Tensor]:
            return [prediction * 1.01 for prediction in right(name, given)]

        return run

    with pytest.raises(UserError, match="graphs is not written, for its graphs predict something else than the model"):
        write_graphs(tmp_path / "graphs", graphs, about(graphs), ".pt2", wrong)
    assert not list(tmp_path.iterdir())
    (tmp_path / "graphs").mkdir()  # an empty one may be there
    assert write_graphs(tmp_path / "graphs", graphs, about(graphs), ".pt2", save) < 1e-5
    assert [path.name for path in tmp_path.iterdir()] == ["graphs"]


def test_missing_packages_are_named_with_the_command_that_installs_them(monkeypatch: pytest.MonkeyPatch) -> None:
    check_packages()
    monkeypatch.setattr("mila.streaming.onnx_files.find_spec", lambda name: None if name != "onnx" else object())
    with pytest.raises(UserError) as error:
        check_packages()
    assert str(error.value) == (
        "--onnx needs onnxscript, onnxruntime; install it with: pip install onnxscript onnxruntime"
    )
