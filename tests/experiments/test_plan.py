"""Plans: which stages a grid becomes, which of them tables share, and what the stages start from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from experiments.grids import GRIDS
from experiments.plan import make_plan
from experiments.profiles import PAPER, QUICK, SMOKE
from experiments.stages import Data, Evaluate, Train, in_order
from mila.schedule import one_part
from mila.tasks import CITYSCAPES19, FLOW
from tests.support.fake_files import write_plain
from tests.support.smoke_plans import smoke_plan, trains_of


def test_table1_is_laid_out_without_repetition() -> None:
    stages = in_order(smoke_plan().stages())
    kinds = [stage.kind for stage in stages]
    # constant, single task, slow and fast encoder, two MTANs, two Cross-Stitches, MultiNet++, three MILAs; four of them
    # with K = 5 offsets
    assert {kind: kinds.count(kind) for kind in kinds} == {"data": 2, "train": 12, "evaluate": 7 + 4 * 5, "measure": 10}
    place = {stage.key: i for i, stage in enumerate(stages)}
    assert all(place[needed.key] < place[stage.key] for stage in stages for needed in stage.needs)


def test_tables_that_share_a_row_train_it_once() -> None:
    two, six, eight, nine, ten = (trains_of(f"table{n}") for n in ("2", "6a", "8", "9", "10"))
    for ours, theirs in (
        (eight["MTAN-SegNet"], two["MTAN-SegNet"]),
        (eight["MTAN-ResNet101"], two["MTAN*"]),
        (eight["Cross-Stitch-ResNet101"], two["Cross-Stitch*"]),
        (six["ILA (ours)"], two["MILA w/o MF&TS"]),
        (nine["Equal"], two["MILA (ours)"]),
        (ten["D101-Multi"], two["D101-MultiTask"]),
        (ten["D18-Multi"], nine["Equal"].starts[1].stage),
    ):
        assert ours.key == theirs.key
    assert trains_of("table6b")["ILA (ours)"].key == trains_of("table1")["MILA w/o MF&TS"].key
    three, four = trains_of("table3"), trains_of("table4")
    assert three["ILA, L1, adversarial"].key == two["MILA w/o MF&TS"].key
    assert four["5 × 5"].key == two["MILA (ours)"].key
    assert len({train.key for train in (*three.values(), *four.values())}) == 11  # with the constant


def test_longer_intervals_get_longer_clips_and_more_offsets() -> None:
    whole = smoke_plan(grid=GRIDS["table5"], data="street")
    assert whole.test_data.length == 11
    assert whole.suite.name == "cityscapes7"
    offsets = {row.label: len(row.evaluations[0]) for row in whole.rows}
    assert offsets["D101-18, K = 5, ILA (ours)"] == 5
    assert offsets["D101-34, K = 10, optical flow (Accel)"] == 10
    cost = {row.label: row.measure for row in whole.rows}["D101-34, K = 10, ILA (ours)"]
    assert cost is not None
    assert (cost.suite, dict(cost.arguments)["fast"]) == (CITYSCAPES19, 34)


def test_the_papers_protocol() -> None:
    whole = make_plan(GRIDS["table2"], PAPER, "street", mode="video")
    trains = {t.title: t for t in in_order(whole.stages()) if isinstance(t, Train)}
    single, ours = trains["street D101-SingleTask, seed 0"], trains["street MILA (ours), seed 0"]
    assert dict(single.arguments)["weights"] == "ResNet101_Weights.IMAGENET1K_V1"
    assert dict(single.arguments)["depth"] == 101
    assert not [name for name in dict(ours.arguments) if "weights" in name]  # it starts from encoders trained here
    assert dict(ours.starts[1].stage.arguments)["weights"] == "ResNet18_Weights.IMAGENET1K_V1"
    for train in (single, ours):
        assert train.schedule == one_part(epochs=50, batch=4, lr=1e-4, betas=(0.9, 0.99), decay="step")
        assert train.states(2975) == (*(f"epoch-{epoch:04d}.pt" for epoch in range(41, 50)), "model.pt")
    assert (whole.test_data.source.height, whole.test_data.source.width) == (256, 512)
    assert dict(ours.arguments)["width"] == 1


def test_flownet_learns_from_frames_as_far_apart_as_those_it_is_for(tmp_path: Path) -> None:
    """Real videos are taken frame by frame, clips of `quick` every fourth time step."""
    embedded = make_plan(GRIDS["table6b"], QUICK, "rooms", mode="video")
    real = make_plan(GRIDS["table6b"], QUICK, "nyuv2", mode="pan", root=write_plain(tmp_path))
    for whole, stride in ((embedded, 4), (real, 1)):
        sources = [s.data.source for s in in_order(whole.stages()) if isinstance(s, Train) and s.model == "flownet"]
        assert [(source.name, source.stride) for source in sources] == [("rooms", stride)]
        assert whole.test_data.source.stride == stride


def test_rows_start_from_the_encoders_of_appendix_a() -> None:
    rows = trains_of("table1")
    multi, single = rows["D101-MultiTask"].key, rows["D101-SingleTask"].key
    for label in ("MultiNet++*", "MILA w/o MF&TS", "MILA w/o TS", "MILA (ours)"):
        starts = {start.ours: start.stage for start in rows[label].starts}
        assert starts["slow"].key == multi
        assert dict(starts["fast"].arguments)["depth"] == SMOKE.depths[18]
        assert starts["decoders"].key == starts["fast"].key
    assert {s.stage.key for s in rows["MTAN*"].starts} == {multi}
    assert {s.stage.key for s in rows["Cross-Stitch*"].starts} == {single}
    for label in ("D101-SingleTask", "D101-MultiTask", "MTAN-SegNet", "Cross-Stitch-SegNet"):
        assert rows[label].starts == ()
        assert rows[label].schedule == SMOKE.encoder
    assert rows["MTAN*"].schedule == SMOKE.method


def test_augmentation_is_the_profiles_and_for_clips_with_targets_of_the_tasks() -> None:
    rows = trains_of("table6b", replace(SMOKE, augmentation="default"))
    trained = {t.title: t for row in rows.values() for t in (row, *(start.stage for start in row.starts))}
    assert {title: t.augmentation for title, t in trained.items()} == {
        title: "none" if "FlowNet" in title or "constant" in title else "default" for title in trained
    }


def test_precision_is_the_profiles_in_every_training() -> None:
    rows = trains_of("table6b", replace(SMOKE, precision="bfloat16"))
    trained = {t.title: t for row in rows.values() for t in (row, *(start.stage for start in row.starts))}
    assert any("FlowNet" in title for title in trained)
    assert {title: t.config()["precision"] for title, t in trained.items()} == {
        title: "float32" if "constant" in title else "bfloat16" for title in trained
    }


def test_flow_rows_start_from_flownet_trained_on_the_worlds_exact_flow() -> None:
    for name, world in (("table6a", "street"), ("table6b", "rooms")):
        rows = trains_of(name)
        for label in ("Optical flow, warping", "Accel: flow, score fusion"):
            (flow,) = (start.stage for start in rows[label].starts if start.stage.model == "flownet")
            assert flow.data.source.suite == FLOW
            assert flow.data.source.name == world
            assert flow.data.source.split == "train"
        whole = smoke_plan(grid=GRIDS[name], data=world)
        assert [(e.train.key, e.data.source.split) for e in whole.flow] == [(flow.key, "test")]
        assert not [s for s in whole.stages(["SVC"]) if isinstance(s, Evaluate) and s.data.source.suite == FLOW]


def test_cost_is_counted_at_the_papers_size_whatever_the_profile() -> None:
    for profile in (SMOKE, QUICK):
        measure = {row.label: row.measure for row in smoke_plan(profile=profile).rows}["MILA (ours)"]
        assert measure is not None
        assert measure.config()["size"] == [288, 384]
        assert measure.config()["arguments"] == {"slow": 101, "fast": 18, "keyframe_interval": 5}  # the paper's


def test_seeds_multiply_trainings_and_their_scores() -> None:
    one, three = (in_order(smoke_plan(seeds=seeds).stages()) for seeds in ((0,), (0, 1, 2)))
    count = {n: sum(isinstance(s, kind) for s in three) for n, kind in (("train", Train), ("data", Data))}
    assert count == {"train": 3 * 11 + 1, "data": 2}
    assert {s.key for s in one} < {s.key for s in three}
