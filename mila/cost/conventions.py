"""What a model costs: multiply-accumulates, parameters and convolutions under a named convention, by part.

The counters run a copy of the model without numbers in it (meta tensors), so the paper's own input sizes take seconds
and the model is left as it was. One keyframe and one non-keyframe are counted in the middle of a stream and averaged
over the keyframe interval, as the paper does (note 1.4). The conventions:

- `PUBLISHED` is how the paper's GFLOPs columns count (note 1): thop's multiply-accumulates, decoders left out, `h`
  on both maps of each propagation. thop sees modules alone; what it charges differently is listed by
  `mila.cost.comparison`.
- `EXECUTED` is what thop sees of the run itself: decoders included, `h` once a frame.
- `COMPLETE` is everything that is computed, decoders, warping and attention's own sums included, charged by
  `mila.cost.operations`; local attention as Eqs. 1 and 2 define it, L x L neighbours a pixel.
- `BANDED` is the same with local attention as the banded matrix products that run on a CPU (`mila.kernels.band`), and
  so with the multiplications by the zeros of the bands.
"""

from __future__ import annotations

import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from mila.cost.counter import KnownOperations, Parts, Scopes, count_calls, weight_names
from mila.cost.steps import Step, check_size, meta_copy, without_numbers
from mila.video_model import Part, VideoModel


@dataclass(frozen=True)
class Convention:
    """What is charged.

    Attributes:
        name: how reports call it.
        decoders: whether the part `decoders` is charged.
        reuse_embeddings: whether ILA's `h` is charged once a frame, or on both maps of each propagation.
        counter: thop, which sees modules alone, or the operations that run.
        attention: local attention as it is defined, or as the banded products that run; of no effect on thop.
    """

    name: str
    decoders: bool
    reuse_embeddings: bool
    counter: Literal["thop", "operations"] = "thop"
    attention: Literal["defined", "banded"] = "defined"


PUBLISHED = Convention("published", decoders=False, reuse_embeddings=False)
EXECUTED = Convention("executed", decoders=True, reuse_embeddings=True)
COMPLETE = Convention("complete", decoders=True, reuse_embeddings=True, counter="operations")
BANDED = Convention("banded", decoders=True, reuse_embeddings=True, counter="operations", attention="banded")


@dataclass(frozen=True)
class Share:
    """The cost of a part, or of the whole.

    Attributes:
        keyframe, non_keyframe, average: multiply-accumulates of a keyframe, a non-keyframe, and the average frame.
        parameters: charged.
        conv_layers: convolutions: the modules where thop counts, the kernels that run where operations are counted.
    """

    keyframe: float
    non_keyframe: float
    average: float
    parameters: int
    conv_layers: int

    @property
    def gflops(self) -> float:
        """The average in the paper's unit: 10^9 multiply-accumulates (it calls them GFLOPs)."""
        return self.average / 1e9


@dataclass(frozen=True)
class Cost(Share):
    """The cost of a model under a convention.

    Attributes:
        parts: the share of every part that is charged; they add up to the whole.
    """

    parts: Mapping[Part, Share]


@dataclass(frozen=True)
class Tally:
    """One run: multiply-accumulates by part, and the convolutions of each part by name."""

    macs: Mapping[Part, float]
    convolutions: frozenset[tuple[Part, str]]


def count(model: VideoModel, height: int, width: int, convention: Convention = PUBLISHED) -> Cost:
    """Count a model's cost a frame at `height` x `width` pixels. The model itself is not touched.

    Raises:
        UserError: an impossible size; an operation that no counter knows, or one that needs numbers.
    """
    check_size(height, width)
    model = meta_copy(model)
    model.for_inference()
    model.charge_embeddings(once_a_frame=convention.reuse_embeddings)
    interval = model.keyframe_interval
    with without_numbers(model):
        frame = torch.empty(1, 3, height, width)
        tally = tallier(model, Step(model, interval, frame), convention)
        keyframe = tally(frame)
        non_keyframe = tally(frame) if interval > 1 else keyframe
    return _cost(model, keyframe, non_keyframe, convention)


def tallier(model: nn.Module, run: nn.Module, convention: Convention) -> Callable[..., Tally]:
    """What counts a run of `run` on meta tensors.

    Args:
        model: what is counted, a copy: hooks are left behind in it. Parts are named in it.
        run: what has it as its attribute `model`.
        convention: only its counter and its attention matter here.
    """
    parts, names = Parts(model), weight_names(model)
    scopes = Scopes(model) if convention.counter == "operations" else None

    def thop(*inputs: Tensor) -> Tally:
        macs: dict[Part, float] = defaultdict(float)
        for path, charged in thop_modules(run, *inputs).items():
            macs[parts.of(path.removeprefix("model."))] += charged
        convolutions = {(parts.of(name), name) for name, m in model.named_modules() if isinstance(m, _ConvNd)}
        return Tally(macs, frozenset(convolutions))

    def operations(*inputs: Tensor) -> Tally:
        macs: dict[Part, float] = defaultdict(float)
        convolutions = set()
        for call in count_calls(lambda: run(*inputs), scopes):
            macs[call.part] += call.macs if convention.attention == "defined" else call.run
            if call.kernel:
                convolutions.add((call.part, names.get(call.kernel, call.path)))
        return Tally(macs, frozenset(convolutions))

    return thop if convention.counter == "thop" else operations


class _OnMeta(nn.Module):
    """A module that makes its own tensors without numbers, while thop's sums around it are real numbers."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, *inputs: Tensor) -> Any:
        with torch.device("meta"), KnownOperations():  # type: ignore[no-untyped-call]
            return self.module(*inputs)


def thop_modules(module: nn.Module, *inputs: Tensor) -> dict[str, float]:
    """What thop charges each leaf of a module for meta tensors, by dotted name. It leaves hooks and buffers behind."""
    with warnings.catch_warnings(), torch.device("cpu"):
        warnings.simplefilter("ignore", DeprecationWarning)  # thop's own
        from thop import profile

        _, _, layers = profile(_OnMeta(module), inputs, verbose=False, ret_layer_info=True)
    return {path.removeprefix("module").removeprefix("."): macs for path, macs in _leaves(layers, "")}


def _leaves(layers: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, float]]:
    for name, (macs, _, children) in layers.items():
        if children:
            yield from _leaves(children, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", macs


def _cost(model: VideoModel, keyframe: Tally, non_keyframe: Tally, convention: Convention) -> Cost:
    interval, parts = model.keyframe_interval, Parts(model)
    charged = [part for part in get_args(Part) if convention.decoders or part != "decoders"]
    parameters: Counter[Part] = Counter()
    for name, parameter in model.named_parameters():
        parameters[parts.of(name)] += parameter.numel()
    layers = Counter(part for part, _ in keyframe.convolutions | non_keyframe.convolutions)

    def share(some: Collection[Part]) -> Share:
        key, other = (float(sum(tally.macs.get(part, 0.0) for part in some)) for tally in (keyframe, non_keyframe))
        held, convolutions = (sum(counted[part] for part in some) for counted in (parameters, layers))
        return Share(key, other, (key + (interval - 1) * other) / interval, held, convolutions)

    return Cost(**vars(share(charged)), parts={part: share([part]) for part in charged})
