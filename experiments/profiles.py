"""Profiles: how large the networks and how long the schedules are. Every grid runs under every profile."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mila.data.augment import AugmentationName
from mila.modules import Norm
from mila.tasks import Suite
from mila.training import Schedule


@dataclass(frozen=True)
class Profile:
    """Sizes of one way to run the suite.

    Attributes:
        name: on the command line.
        about: one sentence for `--list` and the report.
        scale: frames are the paper's size times this.
        depths: of the DeepLab-ResNets, by the paper's depth.
        width: factor on every channel count.
        zero_init_residual: see `DeepLabResNet`; the paper starts from ImageNet weights instead.
        decoder_norm: see `TaskDecoder`; the paper names none.
        train_clips, test_clips: how many clips of an embedded world; real data are used whole.
        flow_clips: on how many pairs of frames of a world FlowNet-S is trained.
        flow_width: factor on FlowNet-S's channel counts.
        half_resolution: whether FlowNet-S looks at half-resolution frames, as in Accel.
        augmentation: of the training clips, see `mila.data.augment`; the paper names none.
        encoder, method: schedules of the networks that start from nothing and of the methods that start from them.
        flow: schedule of FlowNet-S on the exact flow of a world.
    """

    name: str
    about: str
    scale: float
    depths: Mapping[int, int]
    width: float
    zero_init_residual: bool
    decoder_norm: Norm
    train_clips: int
    test_clips: int
    flow_clips: int
    flow_width: float
    half_resolution: bool
    augmentation: AugmentationName
    encoder: Schedule
    method: Schedule
    flow: Schedule

    def size(self, suite: Suite) -> tuple[int, int]:
        """(height, width) of the frames for a suite."""
        return round(suite.height * self.scale), round(suite.width * self.scale)


QUICK = Profile(
    name="quick",
    about="Minutes on two cores: narrow networks, small frames, a short schedule and a higher learning rate.",
    scale=0.25,
    depths={101: 50, 50: 34, 18: 18},
    width=0.125,
    zero_init_residual=True,
    decoder_norm="group",
    train_clips=1000,
    test_clips=100,
    flow_clips=3000,
    augmentation="none",
    encoder=Schedule(epochs=4.5, batch=4, lr=4e-3, decay="cosine"),
    flow_width=0.125,
    half_resolution=False,  # at half of these frames motion is less than a pixel
    method=Schedule(epochs=2.5, batch=4, lr=1e-3, decay="cosine"),
    flow=Schedule(epochs=6, batch=4, lr=2e-3, decay="cosine"),
)

SMOKE = Profile(
    name="smoke",
    about="Seconds: shows that everything runs; its numbers mean nothing.",
    scale=0.125,
    depths={101: 50, 50: 34, 18: 18},
    width=0.0625,
    zero_init_residual=True,
    decoder_norm="group",
    train_clips=8,
    test_clips=4,
    flow_clips=8,
    augmentation="none",
    encoder=Schedule(epochs=2, batch=4, lr=1e-3),
    flow_width=0.0625,
    half_resolution=True,
    method=Schedule(epochs=2, batch=4, lr=1e-3),
    flow=Schedule(epochs=2, batch=4, lr=1e-3),
)

PROFILES = {profile.name: profile for profile in (QUICK, SMOKE)}
