"""How the encoders and flow networks came to be that the small profiles start from, as the paper's start from ImageNet.

Trained on the worlds' split `pretrain`, which shares no scene with the others, and scored on `val`. What comes of it is
carried by the suite in `mila.carried`, each file beside the record of its training.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from experiments.profiles import Profile
from experiments.sources import DataName, Source, Split, world_of
from experiments.stages import Data, Evaluate, Train, arguments
from mila.schedule import one_part
from mila.tasks import CITYSCAPES, FLOW, NYUV2, Suite

FRAMES = 24_000
"""Single frames of each world, each of a scene of its own."""
PAIRS = 10_000
"""Pairs of frames with their exact flow."""
SCORED = 300
"""Clips of `val` that show how good they are."""

_ENCODER = one_part(epochs=6, batch=4, lr=4e-3, decay="cosine")
_FLOW = one_part(epochs=6, batch=4, lr=2e-3, decay="cosine")


@dataclass(frozen=True)
class Pretraining:
    """One network to carry.

    Attributes:
        name: of its weights, see `mila.carried`.
        part: of the trained model that is carried, by dotted name.
        train: its training.
        score: on the split `val`.
    """

    name: str
    part: str
    train: Train
    score: Evaluate


def pretrainings(profile: Profile) -> Iterator[Pretraining]:
    """All networks that a profile starts from: of each world the encoders of its depths, and FlowNet-S."""
    for depth in dict.fromkeys(profile.depths.values()):
        for suite in (CITYSCAPES, NYUV2):
            yield _encoder(profile, suite, depth)
    for suite in (CITYSCAPES, NYUV2):
        yield _flownet(profile, suite)


def _encoder(profile: Profile, suite: Suite, depth: int) -> Pretraining:
    """Multi-task training of an encoder with the tasks' decoders on single frames."""
    world = world_of(suite)
    values = arguments(
        depth=depth,
        width=profile.width,
        decoder_norm=profile.decoder_norm,
        zero_init_residual=profile.zero_init_residual,
    )
    data = _data(profile, suite, suite, "pretrain", FRAMES)
    train = Train(f"{world} ResNet-{depth} from nothing", "multi_task", values, data, 0, _ENCODER)
    score = Evaluate(f"score {train.title}", train, _data(profile, suite, suite, "val", SCORED), 0)
    return Pretraining(f"{world}-resnet{depth}", "encoder", train, score)


def _flownet(profile: Profile, suite: Suite) -> Pretraining:
    """FlowNet-S on the world's exact flow."""
    world = world_of(suite)
    values = arguments(width=profile.flow_width, half_resolution=profile.half_resolution)
    data = _data(profile, suite, FLOW, "pretrain", PAIRS)
    train = Train(f"{world} FlowNet-S from nothing", "flownet", values, data, 0, _FLOW)
    score = Evaluate(f"score {train.title}", train, _data(profile, suite, FLOW, "val", SCORED), 0)
    return Pretraining(f"{world}-flownets", "network", train, score)


def _data(profile: Profile, like: Suite, suite: Suite, split: Split, clips: int) -> Data:
    world: DataName = world_of(like)
    height, width = profile.size(like)
    source = Source(world, split, height, width, "video", suite, clips, profile.stride)
    return Data(f"{'flow' if suite == FLOW else 'frames'} {world} {split}", source, 2 if suite == FLOW else 1)
