"""A method of one's own in one file: the example in the docs runs as it stands, and mistakes are named."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

from experiments.commands.run import main
from experiments.grids.own import own_row
from experiments.models import build, label_of
from mila.common.user_code import load_file
from mila.common.versions import code_digest
from mila.errors import UserError
from mila.tasks import CITYSCAPES
from reports.pages.index import read_index
from reports.plots.drawing import width_of
from tests.support.paths import ROOT


@pytest.fixture
def example(tmp_path: Path) -> Path:
    """The file that the page shows, in a folder with a space."""
    page = ROOT / "docs" / "your_own_method.md"
    code, _ = re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.S)
    path = tmp_path / "my methods" / "gated_keyframe.py"
    path.parent.mkdir()
    path.write_text(code, encoding="utf-8")
    return path


def test_the_example_is_short(example: Path) -> None:
    assert len(example.read_text(encoding="utf-8").splitlines()) < 100


@torch.no_grad()
def test_the_example_keeps_the_contract(example: Path) -> None:
    torch.manual_seed(0)
    model = build(own_row(example).model, CITYSCAPES, {"slow": 34, "width": 0.0625, "keyframe_interval": 3}).eval()
    frames = torch.randn(1, 7, 3, 24, 32)
    stream = model.stream()
    for t in range(7):
        streamed, whole = stream.step(frames[:, t]), model(frames[:, : t + 1], t % 3)
        for task, prediction in whole.items():
            torch.testing.assert_close(streamed[task], prediction, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_the_example_becomes_a_row_of_a_table(
    example: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results = tmp_path / "results"
    words = ["--grid", "table2", "--profile", "smoke", "--method", str(example), "--rows", "Gated keyframe"]
    assert main([*words, "--jobs", "1", "--results", str(results)]) == 0
    # its clips, two encoders, itself, five offsets, its cost; the constant predictor and its score
    assert "13 stages run, 0 were done before" in capsys.readouterr().out
    # Its page is beside the table's own, and says whose it is.
    (entry,) = read_index(results / "reports").embedded
    assert (entry.page, list(entry.card.own)) == ("table2-gated_keyframe-smoke.html", ["Gated keyframe"])
    assert entry.card.title.endswith("on Cityscapes, with Gated keyframe")
    assert (results / "reports" / "claims-smoke.html").is_file()  # weighed on what there is
    table = (results / "reports" / "table2-gated_keyframe-smoke.csv").read_text(encoding="utf-8").splitlines()
    ours = [line.split(",") for line in table if line.startswith("Gated keyframe")]
    assert len(ours) >= 5
    means = {line[1]: line[table[0].split(",").index("measured_mean")] for line in ours}
    assert means.pop("delta_mtl") == ""  # without the single-task row there is nothing to compare with
    assert all(float(mean) >= 0 for mean in means.values())


def test_what_identifies_it_is_its_code_and_not_where_it_lies(example: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / example.name
    elsewhere.write_bytes(example.read_bytes())
    assert label_of(f"{example}:GatedKeyframe") == label_of(f"{elsewhere}:GatedKeyframe")
    assert code_digest(str(example)) == code_digest(str(elsewhere))
    elsewhere.write_text(example.read_text(encoding="utf-8").replace("torch.zeros(channels", "torch.ones(channels"))
    code_digest.cache_clear()
    assert code_digest(str(example)) != code_digest(str(elsewhere))


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("ROW = ", "LINE = ", "defines no ROW"),
        ('"GatedKeyframe"', '"Gated"', "no class 'Gated'"),
        ("import torch\n", "import torch\nimport nothing_like_it\n", "ModuleNotFoundError"),
        ("slow=101, fast=18)", "slow=101, speed=18)", "does not take speed"),
        ('"Gated keyframe"', '""', "the label of ROW is ''; give it a name"),
        ('"Gated keyframe"', '" \\t"', "give it a name"),
        ('"Gated keyframe"', "None", "the label of ROW is None; give it a name"),
        ('"Gated keyframe"', '"Gated\\x1b[2J"', "holds the character U+001B, which cannot be seen"),
        ('"Gated keyframe"', '"Gated\\u202e"', "holds the character U+202E"),
        ('"Gated keyframe"', '"two\\nlines"', "holds the character U+000A"),
        ("class GatedKeyframe(VideoModel)", "class GatedKeyframe(nn.Module)", "no class 'GatedKeyframe' that is a"),
    ],
)
def test_mistakes_are_named(example: Path, old: str, new: str, sentence: str) -> None:
    text = example.read_text(encoding="utf-8")
    assert old in text
    example.write_text(text.replace(old, new), encoding="utf-8")
    load_file.cache_clear()
    with pytest.raises(UserError, match=re.escape(sentence)):
        own_row(example)


@pytest.mark.parametrize("label", ["MILA (ours)", "Constant predictor", "MILA  (ours) ", "Gated keyframe"])
def test_labels_that_cannot_be_told_apart_are_refused_before_anything_is_written(
    label: str, example: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = example.with_name("other.py")
    other.write_text(example.read_text(encoding="utf-8").replace('"Gated keyframe"', f'"{label}"'), encoding="utf-8")
    words = ["--grid", "table1", "--profile", "smoke", "--method", str(example), str(other)]
    assert main([*words, "--results", str(tmp_path / "results")]) == 2
    error = capsys.readouterr().err
    assert f"{other}: another row of the table is called {label!r} as well; give ROW another label." in error
    assert not (tmp_path / "results").exists()


def test_a_label_is_drawn_as_plain_text() -> None:
    assert width_of("ours, $5$") > width_of("ours, 5")
    assert width_of(r"$\nothing$ {") > 0
