"""Methods of a user's own are tried before anything is trained; each mistake is one sentence with the line."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from experiments.commands.run import main
from experiments.grids import find_grids
from experiments.grids.own import own_row
from experiments.plan import RowPlan, make_plan
from experiments.profiles import SMOKE
from experiments.runner.trial import try_method
from mila.common.user_code import load_file
from mila.errors import UserError
from tests.support.pages import blocks
from tests.support.paths import ROOT

PAGE = ROOT / "docs" / "your_own_method.md"
GATED, PADNET = blocks(PAGE, "python")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    load_file.cache_clear()
    return tmp_path / "method.py"


def planned(file: Path, text: str) -> RowPlan:
    file.write_text(text, encoding="utf-8")
    (grid,) = find_grids("table2")
    plan = make_plan(replace(grid, rows=(own_row(file),)), SMOKE, "street", mode="video")
    return plan.rows[0]


def tried(file: Path, text: str) -> None:
    row = planned(file, text)
    try_method(row.evaluations[0][0].train, row.measure, "cpu")


@pytest.mark.parametrize("text", [GATED, PADNET], ids=["gated keyframe", "PAD-Net"])
def test_the_examples_of_the_page_pass(file: Path, text: str) -> None:
    tried(file, text)


def line_of(text: str, fragment: str) -> int:
    return text[: text.index(fragment)].count("\n") + 1


LAST = "arguments(slow=101, fast=18), PAIR)"


def starting(ours: str, depth: str) -> str:
    """The end of a ROW that starts one part of its model from an encoder."""
    return f'arguments(slow=101, fast=18), (InitialWeights("{ours}", "multi_task", "encoder", "{depth}"),))'


@pytest.mark.parametrize(
    ("old", "new", "at", "sentence"),
    [
        (
            "self.slow = DeepLab",
            "self.slo = DeepLab",
            "self.slow.channels",
            "AttributeError: 'GatedKeyframe' object has no attribute 'slow' (while it was built); mend it.",
        ),
        (
            "clip[:, -1], offset == 0)",
            "clip[:, -1], offset == 1)",
            "def stream",
            "stream and forward predict different",
        ),
        ("clip[:, -1 - offset]", "clip[:, -9 - offset]", "clip[:, -9 - offset]", "IndexError: index -9 is out of"),
        ("return GatedStream(self)", "return None", "def stream", "stream gives a NoneType, which has no step(frame)"),
        ("% self.model.keyframe_interval == 0", "% 3 == 0", "def stream", "at frame 4 of a video, offset 3"),
        ("super().__init__(suite, keyframe_interval)", "super().__init__(suite)", "def __init__", "but has 1; hand it"),
        (
            "__init__(suite, keyframe_interval)",
            "__init__(suite, keyframe_interval, 2)",
            "def __init__",
            "clips of 7 fr",
        ),
        (
            "self.suite.tasks}",
            "self.suite.tasks[:1]}",
            "def forward",
            "predicts segmentation, not segmentation, depth.",
        ),
        (
            "self.fast.channels\n",
            "self.fast.channels // 2\n",
            "ROW =",
            "which do not fit: segmentation.layers.0.weight",
        ),
        ("torch.zeros(channels", "torch.zeros(channels + 1", "features = key if", "RuntimeError: The size of tensor"),
        ("def decode(self, key", "@torch.no_grad()\n    def decode(self, key", "def forward", "do not depend on anyth"),
        ("self.gate.sigmoid() * key", "self.gate.log() * key", "def forward", "segmentation that is not finite, on"),
        (LAST, starting("encodrs", "slow"), "ROW =", "which the model does not have; it has slow, fast, project, dec"),
        (LAST, starting("slow", "fast"), "ROW =", "which do not fit: layer1.0"),
    ],
)
def test_mistakes_are_named(file: Path, old: str, new: str, at: str, sentence: str) -> None:
    text = GATED.replace("import PAIR, Row", "import PAIR, InitialWeights, Row")
    assert old in text
    broken = text.replace(old, new)
    with pytest.raises(UserError, match=re.escape(sentence)) as found:
        tried(file, broken)
    assert str(found.value).startswith(f"{file}, line {line_of(broken, at)}: ")
    assert str(found.value).count("\n") == 0


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ('losses[f"initial {task.name}"]', "losses[task.name]", "has a name that the training curve uses itself"),
        ("return predictions, losses", "return predictions", "gives no (predictions by task, losses by name)"),
        ("task_loss(task.name,", "0 * task_loss(task.name,", None),
        ("targets[task.name])", "targets[task.name]) / 0", "at the first step"),
        ("targets[task.name])", "targets[task.name]).repeat(2)", "is a tensor [2], not a scalar"),
        ("targets[task.name])", "targets['edges'])", "KeyError: 'edges' (while it was trained at offset 0)"),
    ],
)
def test_losses_are_looked_at(file: Path, old: str, new: str, sentence: str | None) -> None:
    assert old in PADNET
    broken = PADNET.replace(old, new)
    if sentence is None:
        tried(file, broken)
        return
    with pytest.raises(UserError, match=re.escape(sentence)):
        tried(file, broken)


def test_nothing_is_done_or_written_where_a_method_is_wrong(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file.write_text(GATED.replace("self.fast = DeepLab", "self.fas = DeepLab"), encoding="utf-8")
    words = ["--grid", "table2", "--profile", "smoke", "--method", str(file), "--results", str(tmp_path / "results")]
    assert main(words) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {file}, line ")
    assert "has no attribute 'fast'" in error
    assert not (tmp_path / "results").exists()


OWN_FRAME_MODEL = """
from baselines.multi_task import MultiTask
from experiments.grids.grid import Row, arguments

class Own(MultiTask):
    def METHOD:
        return {name: -x for name, x in super().CALL.items()}

ROW = Row("Own", None, "Own", arguments(depth=101))
"""


def test_what_a_single_frame_model_gives_for_encoded_frames_is_looked_at(file: Path) -> None:
    call = "forward_encoded(clip, offset, encoded)"
    text = OWN_FRAME_MODEL.replace("METHOD", "forward_encoded(self, clip, offset, encoded)").replace("CALL", call)
    with pytest.raises(UserError, match="at offset 0 forward_encoded and forward predict different"):
        tried(file, text)


def test_a_single_frame_model_with_a_predict_of_its_own_passes(file: Path) -> None:
    """It is trained and scored by that, and keeps no maps."""
    tried(file, OWN_FRAME_MODEL.replace("METHOD", "predict(self, frame)").replace("CALL", "predict(frame)"))


@pytest.mark.slow
def test_a_method_with_losses_of_its_own_becomes_a_row(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file.write_text(PADNET, encoding="utf-8")
    words = ["--grid", "table2", "--profile", "smoke", "--method", str(file), "--rows", "PAD-Net", "--jobs", "1"]
    assert main([*words, "--results", str(tmp_path / "results")]) == 0
    assert "PAD-Net was tried on the tasks of cityscapes" in capsys.readouterr().out
    assert main([*words, "--results", str(tmp_path / "results")]) == 0
    assert "was tried" not in capsys.readouterr().out  # it is trained already
    curves = [path.read_text() for path in (tmp_path / "results" / "store" / "train").glob("*/record.json")]
    assert sum('"initial depth"' in curve for curve in curves) == 1
