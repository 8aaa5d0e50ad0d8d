"""The paper's Figures 1, 4, 5, 7 and 8: grids of rows that tables have, and their pages."""

from __future__ import annotations

import base64
import csv
import io
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from experiments.grids import FIGURES, GRIDS, find_grids
from experiments.grids.figures import FIGURE1, FIGURE4, FIGURE5, FIGURE7, FIGURE8
from experiments.grids.grid import Grid
from experiments.models import build
from experiments.plan import Plan
from experiments.profiles import SMOKE
from experiments.runner.run_stage import run_stage
from experiments.stages import Attend, FollowMotion, PredictVideo, Visual, in_order
from experiments.store import Store
from mila.common.checkpoint import save_checkpoint
from mila.data.packed import PackedClips
from mila.data.prepare import pack
from mila.data.worlds.rendering import STREET_REACH
from mila.errors import UserError
from reports.report import Report, build_report
from tests.support.fake_clips import FakeClips
from tests.support.fake_results import VIDEO_FRAMES, fill, plan_of

ALL = [grid for grids in FIGURES.values() for grid in grids]


def visuals(plan: Plan) -> list[Visual]:
    return [visual for row in plan.rows for visual in row.visuals]


@pytest.mark.parametrize("grid", ALL, ids=[grid.name for grid in ALL])
def test_a_figure_trains_nothing_that_tables_do_not(grid: Grid) -> None:
    of_tables = {
        s.key for table in GRIDS.values() if table.suite == grid.suite for s in plan_of(0, grid=table).stages()
    }
    plan = plan_of(0, grid=grid)
    assert {stage.key for stage in plan.stages() if not isinstance(stage, Visual)} <= of_tables
    assert find_grids(grid.name) == (grid,)
    assert grid.heading.startswith(f"Figure {grid.figure}. ")
    needed = {s.key for s in in_order(list(visuals(plan)))}
    assert {e.train.key for e in visuals(plan)} <= needed


def test_what_is_kept_to_be_looked_at() -> None:
    for grid in (*FIGURE4, *FIGURE5):
        visual, *more = visuals(plan_of(3, 4, grid=grid))
        assert [(type(one), one.train.seed) for one in more] == [(FollowMotion, 3)] * (grid.figure == 4)
        assert isinstance(visual, Attend)
        assert (visual.offset, visual.train.seed) == (4, 3)  # the first seed's
    videos = visuals(plan_of(0, grid=FIGURE7))
    assert [video.train.model for video in videos] == ["mila", "multinetpp", "mila"]  # MTAN has no keyframes
    assert {video.data.length for video in videos} == {1 + STREET_REACH // SMOKE.stride}  # a street has no more
    assert not visuals(plan_of(0, grid=FIGURE1))
    keys = {visuals(plan_of(0, grid=grid))[0].key for grid in (FIGURE4[0], FIGURE5[0])}
    assert len(keys) == 1  # both figures are drawn from one stage
    one = visuals(plan_of(0, grid=FIGURE4[0]))[0]
    assert isinstance(one, Attend)
    assert replace(one, offset=3).key != one.key


def test_a_video_is_as_long_as_the_data_have_clips(monkeypatch: pytest.MonkeyPatch) -> None:
    def at_most(_clips: object, length: int, problems: list[str] | None = None) -> None:  # noqa: ARG001
        if length > 9:
            raise UserError("no clip is that long")

    monkeypatch.setattr("mila.data.worlds.clips.WorldClips.check", at_most)
    assert {video.data.length for video in visuals(plan_of(0, grid=FIGURE8))} == {9}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Report, str]]:
    """The pages of all figures of made-up results."""
    folder = tmp_path_factory.mktemp("figures")
    store = Store(folder / "store")
    pages = {}
    for grid in (FIGURE1, FIGURE4[1], FIGURE5[1], FIGURE7, FIGURE8):
        plan = plan_of(0, grid=grid)
        fill(store, plan)
        report = build_report(plan, store, folder / "reports")
        pages[grid.name] = (report, report.page.read_text())
    return pages


@pytest.mark.slow
def test_weights_are_drawn_for_every_task_and_clip(made: dict[str, tuple[Report, str]]) -> None:
    report, page = made["figure4b"]
    assert "<h1>Figure 4. Attention weights of ILA, NYUd v2</h1>" in page
    folder = report.page.with_suffix("")
    for clip in (0, 1):
        assert f'href="figure4b-smoke/attention-{clip}.svg"' in page
        assert (folder / f"attention-{clip}.svg").is_file()
        lines = list(csv.DictReader((folder / f"attention-{clip}.csv").read_text().splitlines()))
        assert {line["branch"] for line in lines} == {"Segmentation", "Depth", "Normals"}
        of_point = [line for line in lines if (line["branch"], line["point"]) == ("Depth", "1")]
        # Point (1, 2) of a 5 x 6 map: of its 5 x 5 window one row lies above the map.
        assert len(of_point) == 20
        assert {(line["y"], line["x"]) for line in of_point} == {("1", "2")}
        weights = {(int(line["dy"]), int(line["dx"])): float(line["weight"]) for line in of_point}
        assert weights[0, 0] == pytest.approx(13 / 325)
        assert weights[-1, -2] == pytest.approx(20 / 325)
    assert "centre 4.0 %" in page


@pytest.mark.slow
def test_features_are_drawn_and_compared(made: dict[str, tuple[Report, str]]) -> None:
    report, page = made["figure5b"]
    lines = list(csv.DictReader((report.page.with_suffix("") / "features-1.csv").read_text().splitlines()))
    features = np.arange(2 * 3 * 5 * 6.0).reshape(2, 3, 30)
    squared = features[:, ::-1] ** 2
    after = next(
        x for x in lines if (x["place"], x["branch"], x["other branch"]) == ("after fusion", "Segmentation", "Normals")
    )
    assert float(after["correlation"]) == pytest.approx(np.corrcoef(squared[1, 0], squared[1, 2])[0, 1], abs=1e-6)
    over_all = np.corrcoef(squared[:, 0].ravel(), squared[:, 1].ravel())[0, 1]
    assert f'<td>Segmentation and depth</td><td class="number">{over_all:.2f}</td>' in page


@pytest.mark.slow
@pytest.mark.parametrize("name", ["figure7", "figure8"])
def test_an_animation_moves_and_can_stand_still(name: str, made: dict[str, tuple[Report, str]]) -> None:
    report, page = made[name]
    image = re.search(r'<img class="animation" [^>]*src="data:image/png;base64,([^"]+)"', page)
    still = re.search(
        r'<source media="\(prefers-reduced-motion: reduce\), print" srcset="data:image/png;base64,([^"]+)"', page
    )
    assert image is not None
    assert still is not None
    with Image.open(io.BytesIO(base64.b64decode(image[1]))) as moving:
        # Frames that are alike are stored once, with the time of both.
        assert getattr(moving, "n_frames", 1) > 1
        first = np.asarray(moving.convert("RGB"))
    assert (report.page.with_suffix("") / "animation.png").read_bytes() == base64.b64decode(image[1])
    with Image.open(io.BytesIO(base64.b64decode(still[1]))) as standing:
        assert getattr(standing, "n_frames", 1) == 1
        assert np.asarray(standing.convert("RGB")).shape == first.shape
    assert f"{VIDEO_FRAMES} frames" in page
    assert page.index('id="animation"') < page.index('id="pictures"') < page.index('class="results')


@pytest.mark.slow
def test_figure_1_begins_with_its_plot(made: dict[str, tuple[Report, str]]) -> None:
    _, page = made["figure1"]
    assert page.index("tradeoff-miou-measured") < page.index('class="results')
    assert 'id="animation"' not in page


@pytest.mark.slow
def test_the_index_leads_to_every_figure(made: dict[str, tuple[Report, str]]) -> None:
    index = made["figure8"][0].index.read_text()
    for name in made:
        assert f'href="{name}-smoke.html"' in index
    assert "not drawn yet" not in index


def test_pages_of_figures_that_are_not_run_say_so(tmp_path: Path) -> None:
    for grid in (FIGURE4[0], FIGURE7):
        report = build_report(plan_of(0, grid=grid), Store(tmp_path / "store"), tmp_path)
        assert "not run" in report.page.read_text()
    assert "No finished network yet." in (tmp_path / "figure4a-smoke.html").read_text()


@pytest.mark.slow
def test_visuals_are_made_by_stages(tmp_path: Path) -> None:
    """The three kinds of stages, on a network as it is before training."""
    plan, store = plan_of(0, grid=FIGURE8), Store(tmp_path)
    video = next(visual for visual in visuals(plan) if visual.train.model == "mila")
    assert isinstance(video, PredictVideo)
    attend = Attend("attention", video.train, plan.test_data, offset=4)
    follow = FollowMotion("motion", video.train, plan.test_data, interval=5, clips=1)
    for stage in (video.data, plan.train_data, plan.test_data):
        store.begin(stage)
        pack(FakeClips(2, plan.suite, *plan.profile.size(plan.suite)), 6, store.folder(stage) / "clips")
        store.finish(stage, {}, seconds=1.0, finished="", environment={})
    store.begin(video.train)
    network = build(video.train.model, plan.suite, dict(video.train.arguments))
    save_checkpoint(store.folder(video.train) / "model.pt", video.train.key, {"model": network.state_dict()})
    for visual in (video, attend, follow):
        assert run_stage(visual, store, "cpu").error is None
    height, width = plan.profile.size(plan.suite)
    with np.load(store.folder(video) / "film.npz") as arrays:
        assert arrays["stream/normals"].shape == (2, 6, 3, height, width)
    with np.load(store.folder(attend) / "attention.npz") as arrays:
        assert arrays["weights"].shape[:2] == (2, 3)
    assert store.record(video).result == {"clips": 2, "frames": 6, "keyframe_interval": 5}
    assert store.record(attend).result == {"offset": 4, "pictures": [0, 1], "window": 5}
    found = store.record(follow).result
    assert (found["clips"], found["interval"], len(found["agreement"])) == (1, 5, 12)
    assert {(e["offset"], e["branch"]) for e in found["agreement"]} == {
        (offset, task.name) for offset in (1, 2, 3, 4) for task in plan.suite.tasks
    }
    assert all(0 < e["entropy"] <= 1 and e["epe"] > 0 and e["cells"] for e in found["agreement"])
    assert isinstance(store.clips(video.data), PackedClips)
