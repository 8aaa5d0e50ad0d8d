"""Every Python block of the pages runs, and what it shows is so: the README's stream, the loop around ONNX graphs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import mila
from mila.__main__ import main
from mila.data.clips import normalise
from tests.support.fake_videos import fake_frames, write_video
from tests.support.pages import PAGES, blocks, name_of
from tests.support.paths import ROOT
from tests.support.saved_models import KEY, small_mila, write_training

WITH_PYTHON = [page for page in PAGES if blocks(page, "python")]
USE = ROOT / "docs" / "use_a_trained_model.md"


@pytest.mark.slow
@pytest.mark.parametrize("page", WITH_PYTHON, ids=name_of)
def test_every_block_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    if page == USE:
        write_training(tmp_path / "results", small_mila())
        write_video(tmp_path / "drive.mp4", fake_frames(4))
        assert main(["export", KEY, "--onnx", "graphs"]) == 0
    torch.manual_seed(0)
    values: dict[str, Any] = {"__name__": "page"}
    for block in blocks(page, "python"):
        exec(compile(block, str(page), "exec"), values)
    if page == ROOT / "README.md":
        assert set(values["streamed"]) == set(values["predictions"]) == {"segmentation", "depth", "normals"}
        for task, prediction in values["predictions"].items():
            torch.testing.assert_close(values["streamed"][task], prediction, rtol=1e-4, atol=1e-4)
    if page == USE:
        check_loop(values)


@torch.no_grad()
def check_loop(values: dict[str, Any]) -> None:
    """The loop of the page predicts what the model does, twice."""
    images = values["images"]
    assert len(images) > 2 * values["graphs"].about["keyframe_interval"]
    for video in (images, images[::-1]):
        stream = mila.load("results", KEY).stream()
        for image, found in zip(video, values["graphs"].predict(video), strict=True):
            expected = stream.step(normalise(torch.tensor(image.transpose(2, 0, 1)[None].copy())))
            assert set(found) == set(expected)
            for task, prediction in expected.items():
                torch.testing.assert_close(torch.from_numpy(found[task]), prediction, rtol=1e-4, atol=1e-4)


def test_there_are_blocks_to_run() -> None:
    assert {name_of(page) for page in WITH_PYTHON} >= {"README.md", "docs/your_own_method.md", name_of(USE)}
