"""Every model of the suite, with the switches that make it another one: by name, what makes it and its arguments."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from baselines.cross_stitch import CrossStitch
from baselines.flow_warping import Accel
from baselines.mtan import MTAN
from baselines.multi_task import MultiTask
from baselines.multinetpp import MultiNetPP
from baselines.segnet import SegNetCrossStitch, SegNetMTAN
from baselines.single_task import SingleTask
from baselines.slow_fast import SlowFast
from baselines.svc import SVC
from mila.model import MILA
from mila.switches import Architecture
from mila.video_model import VideoModel

MODELS: dict[str, tuple[Callable[..., VideoModel], dict[str, Any]]] = {
    "single task": (SingleTask, {"depth": 18}),
    "multi task": (MultiTask, {"depth": 34}),
    "MultiNet++": (MultiNetPP, {"slow": 34}),
    "MILA": (MILA, {"slow": 50}),
    "w/o TS": (MILA, {"slow": 34, "task_specific": False}),
    "w/o MF": (MILA, {"slow": 34, "multi_frame": False}),
    "w/o MF&TS": (MILA, {"slow": 34, "multi_frame": False, "task_specific": False}),
    "fused": (MILA, {"slow": 34, "architecture": Architecture(propagate="fused")}),
    "fused w/o MF": (MILA, {"slow": 34, "architecture": Architecture(propagate="fused"), "multi_frame": False}),
    "cosine": (MILA, {"slow": 34, "architecture": Architecture(cosine="learned")}),
    "concat": (MILA, {"slow": 34, "propagation": "concat"}),
    "K=1": (MILA, {"slow": 34, "keyframe_interval": 1}),
    "K=2": (MILA, {"slow": 34, "keyframe_interval": 2}),
    "K=3, global": (
        MILA,
        {"slow": 34, "keyframe_interval": 3, "window": "global", "architecture": Architecture(scaled=True)},
    ),
    "none": (SlowFast, {"slow": 34, "propagation": "none"}),
    "slow only": (MILA, {"slow": 50, "fast": None, "keyframe_interval": 1, "mimicry": None}),
    "flow": (SlowFast, {"slow": 34, "propagation": "flow", "flow_width": 0.0625, "keyframe_interval": 3}),
    "flow w/o MF&TS": (
        SlowFast,
        {
            "slow": 34,
            "propagation": "flow",
            "flow_width": 0.0625,
            "multi_frame": False,
            "task_specific": False,
            "half_resolution": False,
        },
    ),
    "fused flow": (
        SlowFast,
        {
            "slow": 34,
            "propagation": "flow",
            "flow_width": 0.0625,
            "keyframe_interval": 3,
            "architecture": Architecture(propagate="fused"),
        },
    ),
    "svc": (SlowFast, {"slow": 34, "propagation": "svc", "keyframe_interval": 3}),
    "fused svc": (
        SlowFast,
        {"slow": 34, "propagation": "svc", "keyframe_interval": 3, "architecture": Architecture(propagate="fused")},
    ),
    "SVC": (SVC, {"slow": 34}),
    "Accel": (Accel, {"slow": 34, "flow_width": 0.0625}),
    "Accel, R50 update": (Accel, {"slow": 34, "fast": 50, "flow_width": 0.0625, "keyframe_interval": 3}),
    "MTAN": (MTAN, {"depth": 34}),
    "MTAN, R50": (MTAN, {"depth": 50}),
    "Cross-Stitch": (CrossStitch, {"depth": 18}),
    "Cross-Stitch, scalar": (CrossStitch, {"depth": 50, "units": "scalar"}),
    "SegNet MTAN": (SegNetMTAN, {}),
    "SegNet Cross-Stitch": (SegNetCrossStitch, {}),
    "SegNet Cross-Stitch, public": (SegNetCrossStitch, {"form": "public"}),
}
