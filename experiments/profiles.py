"""Profiles: how large the networks and how long the schedules are. Every grid runs under every profile."""

from __future__ import annotations

from dataclasses import dataclass

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
        slow, fast: depths of the two DeepLab-ResNets.
        width: factor on every channel count.
        zero_init_residual: see `DeepLabResNet`; the paper starts from ImageNet weights instead.
        decoder_norm: see `TaskDecoder`; the paper names none.
        train_clips, test_clips: how many clips of an embedded world; real data are used whole.
        encoder, method: schedules of the frame-by-frame networks and of the SlowFast methods that start from them.
    """

    name: str
    about: str
    scale: float
    slow: int
    fast: int
    width: float
    zero_init_residual: bool
    decoder_norm: Norm
    train_clips: int
    test_clips: int
    encoder: Schedule
    method: Schedule

    def size(self, suite: Suite) -> tuple[int, int]:
        """(height, width) of the frames for a suite."""
        return round(suite.height * self.scale), round(suite.width * self.scale)


QUICK = Profile(
    name="quick",
    about="Minutes on two cores: narrow networks, small frames, a short schedule and a higher learning rate.",
    scale=0.25,
    slow=34,
    fast=18,
    width=0.125,
    zero_init_residual=True,
    decoder_norm="group",
    train_clips=1000,
    test_clips=100,
    encoder=Schedule(epochs=4.5, batch=4, lr=4e-3, decay="cosine"),
    method=Schedule(epochs=2.5, batch=4, lr=1e-3, decay="cosine"),
)

SMOKE = Profile(
    name="smoke",
    about="Seconds: shows that everything runs; its numbers mean nothing.",
    scale=0.125,
    slow=34,
    fast=18,
    width=0.0625,
    zero_init_residual=True,
    decoder_norm="group",
    train_clips=8,
    test_clips=4,
    encoder=Schedule(epochs=2, batch=4, lr=1e-3),
    method=Schedule(epochs=2, batch=4, lr=1e-3),
)

PROFILES = {profile.name: profile for profile in (QUICK, SMOKE)}
