"""Profiles: how large the networks and how long the schedules are. Every grid runs under every profile."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from mila.errors import UserError
from mila.names import AugmentationName, Norm, Precision
from mila.schedule import Part, Schedule, one_part
from mila.tasks import Suite

SMALLEST_SIDE = 8
"""Pixels that frames have at least, in height and width: a cell of the encoders' maps."""


@dataclass(frozen=True)
class Profile:
    """Sizes of one way to run the suite.

    Attributes:
        name: on the command line.
        about: one sentence for `--list` and the report.
        scale: frames are the paper's size times this.
        frame_size: (height, width) of the frames of every data set, pixels, in place of `scale`; None for that.
        depths: of the DeepLab-ResNets, by the paper's depth.
        width: factor on every channel count.
        zero_init_residual: see `DeepLabResNet`; the paper starts from ImageNet weights instead.
        decoder_norm: see `TaskDecoder`; the paper names none.
        stride: n, clips of a world take every n-th time step of its scene (`WorldClips`): with frames of 1 / n of the
            paper's size, what moves then moves as many feature cells a frame as at the paper's size.
        train_clips, test_clips: how many clips of an embedded world.
        real_train_clips, real_test_clips: the first so many clips of real data; None for all there are.
        flow_clips: on how many pairs of frames of a world FlowNet-S is trained.
        flow_width: factor on FlowNet-S's channel counts.
        half_resolution: whether FlowNet-S looks at half-resolution frames, as in Accel.
        augmentation: of the training clips, see `mila.data.augment`; the paper names none.
        weights: of the encoders that start from nothing trained here, by the paper's depth: torchvision's names, the
            suite's (`mila.carried`), files, or folders that hold them, see `experiments.weights`; empty for random
            ones. `{world}` in a name is the world whose scenes are like the data's.
        flow_weights: likewise, of FlowNet-S; None for random ones.
        last_epochs: scores are means over the states after each of so many last epochs; 10 is the rule of MTAN's
            authors, whose protocol the paper follows (note 2.6), and nothing is chosen on test data.
        encoder: schedule of the networks that start from `weights`.
        scratch: of those that start from random weights: SegNet.
        method: of the methods that start from networks that were trained here.
        flow: schedule of FlowNet-S on the exact flow of a world.
        precision: what networks compute in while they are trained, see `mila.batch_losses`; the paper names none.
            Scores are always float32.
        keyframe_interval: K of the rows that do not say otherwise; None for the grid's, which is the paper's.
        base: the profile of the suite that a user's own was made from; None for those of the suite.
        changes: what a user's own says otherwise than its base, in words.
        usual: the profile before options of the command line changed it; None where none did.
    """

    name: str
    about: str
    scale: float
    depths: Mapping[int, int]
    width: float
    zero_init_residual: bool
    decoder_norm: Norm
    stride: int
    train_clips: int
    test_clips: int
    flow_clips: int
    flow_width: float
    half_resolution: bool
    augmentation: AugmentationName
    weights: Mapping[int, str]
    flow_weights: str | None
    last_epochs: int
    encoder: Schedule
    scratch: Schedule
    method: Schedule
    flow: Schedule
    precision: Precision = "float32"
    frame_size: tuple[int, int] | None = None
    real_train_clips: int | None = None
    real_test_clips: int | None = None
    keyframe_interval: int | None = None
    base: str | None = None
    changes: tuple[str, ...] = ()
    usual: Profile | None = None

    @property
    def before_options(self) -> Profile:
        """The profile as it is without options of the command line that change it."""
        return self.usual or PROFILES.get(self.name, self)

    def size(self, suite: Suite) -> tuple[int, int]:
        """(height, width) of the frames for a suite.

        Raises:
            UserError: they are too small for the networks.
        """
        height, width = self.frame_size or (round(suite.height * self.scale), round(suite.width * self.scale))
        if min(height, width) < SMALLEST_SIDE:
            raise UserError(
                f"in profile {self.name} frames of {suite.name} have {height} x {width} pixels (height x width), too "
                f"small for the networks; take a larger scale, or a frame_size from {SMALLEST_SIDE} up."
            )
        return height, width


_EIGHTH = {101: "{world}-resnet50", 50: "{world}-resnet34", 34: "{world}-resnet34", 18: "{world}-resnet18"}
"""What the suite carries for the paper's depths, at an eighth of the width (`experiments.pretraining`)."""


def _head_start(epochs: float, *, keyframes: bool = False) -> Part:
    """The new layers alone, on kept maps: a step costs milliseconds."""
    return Part(epochs, 8, 2e-3, decay="cosine", name="new layers", encoders="frozen", keyframes=keyframes)


def _together(epochs: float, lr: float) -> Part:
    """All layers, at a rate that keeps what the encoders have learned.

    The rate of methods was chosen on the validation split (street, quick, one seed): at 2e-4 Eq. 3 as printed takes 3.5
    points of mIoU from MILA w/o MF&TS between keyframes, at 2e-5 a quarter of a point; without it 2e-4 costs nothing.
    """
    return Part(epochs, 4, lr, decay="cosine", encoders="fixed_norm")


QUICK = Profile(
    name="quick",
    about="Some 15 minutes a table on two cores: narrow networks, small frames, short schedules.",
    scale=0.25,
    depths={101: 50, 50: 34, 34: 34, 18: 18},
    width=0.125,
    zero_init_residual=True,
    decoder_norm="group",
    stride=4,
    train_clips=1000,
    test_clips=300,
    flow_clips=1000,
    augmentation="none",
    weights=_EIGHTH,
    flow_weights="{world}-flownets",
    last_epochs=1,
    encoder=Schedule((_head_start(12), _together(1.1, lr=1e-4))),
    scratch=one_part(epochs=4.5, batch=4, lr=8e-4, decay="cosine"),
    flow_width=0.125,
    half_resolution=False,  # at half of these frames motion is less than a pixel
    method=Schedule((_head_start(7.5, keyframes=True), _together(1.1, lr=2e-5))),
    flow=one_part(epochs=1, batch=4, lr=3e-4, decay="cosine"),
)

STUDY = replace(
    QUICK,
    name="study",
    about="A night on a laptop, minutes on a GPU: the networks of quick on more clips, for three seeds.",
    train_clips=3000,
    flow_clips=3000,
    encoder=Schedule((_head_start(8), _together(2, lr=1e-4))),
    scratch=one_part(epochs=4, batch=4, lr=1.5e-3, decay="cosine"),
    method=Schedule((_head_start(7, keyframes=True), _together(1, lr=2e-5))),
)

SMOKE = Profile(
    name="smoke",
    about="Seconds: shows that everything runs; its numbers mean nothing.",
    scale=0.125,
    depths={101: 50, 50: 34, 34: 34, 18: 18},
    width=0.0625,
    zero_init_residual=True,
    decoder_norm="group",
    stride=4,
    train_clips=8,
    test_clips=4,
    flow_clips=8,
    augmentation="none",
    weights={},
    flow_weights=None,
    last_epochs=1,
    encoder=one_part(epochs=2, batch=4, lr=1e-3),
    scratch=one_part(epochs=2, batch=4, lr=1e-3),
    flow_width=0.0625,
    half_resolution=True,
    method=one_part(epochs=2, batch=4, lr=1e-3),
    flow=one_part(epochs=2, batch=4, lr=1e-3),
)

_DEPTHS = {101: 101, 50: 50, 34: 34, 18: 18}
_PUBLISHED = one_part(epochs=50, batch=4, lr=1e-4, decay="step")
_FLOW = one_part(epochs=20, batch=8, lr=1e-4, decay="cosine")
"""FlowNet-S on the worlds' exact flow; the paper does not say what its own was trained on."""

REFERENCE = Profile(
    name="reference",
    about="The paper's networks and frame sizes on the embedded videos; one GPU, some five hours for all tables.",
    scale=1.0,
    depths=_DEPTHS,
    width=1.0,
    zero_init_residual=True,
    decoder_norm="group",
    stride=1,
    train_clips=2000,
    test_clips=500,
    flow_clips=10000,
    augmentation="none",
    weights={},
    flow_weights=None,
    last_epochs=1,
    encoder=one_part(epochs=20, batch=4, lr=3e-4, decay="cosine"),
    scratch=one_part(epochs=20, batch=4, lr=3e-4, decay="cosine"),
    flow_width=1.0,
    half_resolution=True,
    method=one_part(epochs=10, batch=4, lr=1e-4, decay="cosine"),
    flow=_FLOW,
)

PAPER = Profile(
    name="paper",
    about="The published protocol (Section 4.1, appendix A), for Cityscapes and NYUd v2 on a GPU.",
    scale=1.0,
    depths=_DEPTHS,
    width=1.0,
    zero_init_residual=False,
    decoder_norm="none",
    stride=1,
    train_clips=2975,
    test_clips=500,
    flow_clips=10000,
    augmentation="none",
    weights={depth: f"ResNet{depth}_Weights.IMAGENET1K_V1" for depth in _DEPTHS},
    flow_weights=None,
    last_epochs=10,
    encoder=_PUBLISHED,
    scratch=_PUBLISHED,
    flow_width=1.0,
    half_resolution=True,
    method=_PUBLISHED,
    flow=_FLOW,
)

PROFILES = {profile.name: profile for profile in (QUICK, STUDY, SMOKE, REFERENCE, PAPER)}
