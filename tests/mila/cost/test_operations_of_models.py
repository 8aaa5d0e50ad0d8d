"""`complete` against counts by hand: whole models, by part."""

from __future__ import annotations

from typing import Any

import pytest

from baselines.cross_stitch import CrossStitch
from baselines.svc import SVC
from mila.cost.conventions import COMPLETE, count
from mila.model import MILA
from mila.tasks import NYUV2
from mila.video_model import Part, VideoModel
from tests.support.macs_by_hand import conv, resnet

SMALL: dict[str, Any] = {"slow": 18, "fast": 18, "width": 0.0625}  # 32 channels
PIXELS = 9 * 13  # features of 64 x 96
HEADS = (
    sum(PIXELS * (32 * 32 * 9 + 32 * 16 + 16 * classes) for classes in (13, 1, 3))
    + 4 * (13 + 1 + 3) * 65 * 97
    + 6 * 64 * 96
)
ENCODER = resnet(18, 64, 96, (4, 8, 16, 32))
PROJECT = conv(PIXELS, 32, 32, 1, norm=True)
SE = 32 + 2 * 32 * 2 + 32 * PIXELS
EMBED, ATTEND = conv(PIXELS, 32, 36, 3), 25 * PIXELS * (36 + 1 + 32)


def fuse(maps: int) -> int:
    return conv(PIXELS, maps * 32, 32, 3, norm=True)


@pytest.mark.parametrize(
    ("model", "keyframe", "non_keyframe"),
    [
        (
            MILA(NYUV2, **SMALL),
            {
                "encoder": ENCODER + PROJECT,
                "propagation": 3 * (EMBED + ATTEND),
                "fusion": 3 * (SE + fuse(2)),
                "decoders": HEADS,
            },
            {
                "encoder": ENCODER,
                "propagation": 3 * (EMBED + 2 * ATTEND),
                "fusion": 3 * (SE + fuse(3)),
                "decoders": HEADS,
            },
        ),
        (
            SVC(NYUV2, **SMALL),
            {"encoder": 2 * ENCODER + PROJECT, "decoders": HEADS},  # the fast network, for what comes after
            {
                "encoder": ENCODER,
                "propagation": conv(PIXELS, 64, 16, 3)
                + conv(PIXELS, 16, 16, 3)
                + conv(PIXELS, 16, 81, 3)
                + 81 * PIXELS * (1 + 32),
                "fusion": fuse(2) + 2 * fuse(1),
                "decoders": HEADS,
            },
        ),
        (
            CrossStitch(NYUV2, 18, width=0.0625),
            {
                "encoder": 3 * ENCODER,
                "other": 9 * (4 * 17 * 25 + (8 + 16 + 32) * PIXELS),
                "decoders": HEADS,
            },
            None,
        ),
    ],
    ids=["MILA", "SVC", "Cross-Stitch"],
)
def test_models_by_hand(model: VideoModel, keyframe: dict[Part, int], non_keyframe: dict[Part, int] | None) -> None:
    cost = count(model, 64, 96, COMPLETE)
    assert {part: share.keyframe for part, share in cost.parts.items() if share.keyframe} == keyframe
    assert {part: share.non_keyframe for part, share in cost.parts.items() if share.non_keyframe} == (
        non_keyframe or keyframe
    )
    rest = model.keyframe_interval - 1
    expected = (sum(keyframe.values()) + rest * sum((non_keyframe or {}).values())) / (1 + rest)
    assert cost.average == pytest.approx(expected, rel=1e-12)
