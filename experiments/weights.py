"""Initial weights as profiles name them, and the files that are meant: by a name, by a path, or in a folder.

In a folder a file is found by how torchvision names what it downloads (`resnet101-63fe2227.pth`; how its name goes on
does not matter), or by how the suite names what it carries (`street-resnet101.pt`); FlowNet-S by `flownets`.
"""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from experiments.models import build
from experiments.profiles import Profile
from mila.carried import CARRIED, find_weights
from mila.data.contents import content_digests
from mila.errors import UserError
from mila.tasks import FLOW

FLOWNET = "flownets"
_ENDINGS = (".pt", ".pth", ".tar")


class NamedWeights(NamedTuple):
    """What initial weights are, wherever their file lies.

    Attributes:
        name: torchvision's or the suite's, for what those have; else `"file"`.
        digest: SHA-256 of the file's bytes; None where the name says it all.
    """

    name: str
    digest: str | None


def name_weights(weights: str | Path) -> NamedWeights:
    """What a model's argument for initial weights gives it.

    Raises:
        UserError: its file changes while it is read.
        OSError: its file cannot be read.
    """
    path = find_weights(weights)
    if path is None:
        return NamedWeights(str(weights), None)
    digest = _digest(path)
    if path.parent == CARRIED or _is_carried(path.name, digest):
        return NamedWeights(path.stem, digest)
    downloaded = torchvision_names().get(digest[:8])
    return NamedWeights("file", digest) if downloaded is None else NamedWeights(downloaded, None)


def replace_weights(profile: Profile, given: str) -> Profile:
    """The profile with the weights that `--weights` gives: `none`, or a folder.

    FlowNet-S keeps the profile's weights where the folder has none.

    Raises:
        UserError: there is no such folder.
    """
    if given == "none":
        return replace(profile, weights={}, flow_weights=None)
    folder = Path(given).absolute()
    if not os.path.isdir(folder):  # noqa: PTH112  # which bears any text
        what = "is a file" if os.path.isfile(folder) else "does not exist"  # noqa: PTH113
        raise UserError(
            f"--weights {given} {what}; give the folder that holds the weights, or none (docs/your_own_profile.md)."
        )
    flow = str(folder) if _files_in(folder, FLOWNET, rf"\w+-{FLOWNET}") else profile.flow_weights
    return replace(profile, weights=dict.fromkeys(profile.depths, str(folder)), flow_weights=flow)


def encoder_weights(profile: Profile, depth: int, world: str) -> str:
    """The name or the absolute path of an encoder's weights.

    Args:
        profile: has weights for it.
        depth: the paper's.
        world: whose scenes are like those of the data.

    Raises:
        UserError: the folder has no such file, or several; or the weights are of another network.
    """
    ours, width = profile.depths[depth], profile.width
    with _said_of(profile, f"weights {depth}"):
        found = _found(profile.weights[depth], world, f"resnet{ours}", lambda *file: _check_encoder(*file, ours, width))
        if profile.base is not None and find_weights(found) is None:
            _check_name(found, ours, width)
    return found


def flownet_weights(profile: Profile, world: str) -> str | None:
    """The same of FlowNet-S; None for random ones."""
    if profile.flow_weights is None:
        return None
    with _said_of(profile, "flow_weights"):
        return _found(profile.flow_weights, world, FLOWNET, lambda *file: _check_flownet(*file, profile.flow_width))


@contextmanager
def _said_of(profile: Profile, what: str) -> Iterator[None]:
    """Lets an error name the user's own profile, and what is always possible there."""
    try:
        yield
    except UserError as error:
        if profile.base is None:
            raise
        key = what.split()[0]
        raise UserError(f'profile {profile.name}, {what}: {str(error).rstrip(".")}, or {key} = "none".') from error


def _found(weights: str, world: str, network: str, check: Callable[[str, int], None]) -> str:
    weights = weights.replace("{world}", world)
    path = find_weights(weights)
    if path is None and Path(weights).is_dir():
        path = _only_file(Path(weights), network, world)
    if path is None:
        return weights
    found = weights if path.parent == CARRIED else str(path.absolute())
    check(found, path.stat().st_mtime_ns)
    return found


def _only_file(folder: Path, network: str, world: str) -> Path:
    files = _files_in(folder, network, f"{world}-{network}")
    if not files:
        raise UserError(
            f"{folder} holds no weights of {network}: no file there is called {network}-….pth, as torchvision names "
            f"what it downloads, or {world}-{network}.pt; put it there."
        )
    if len(files) > 1:
        names = ", ".join(path.name for path in files)
        raise UserError(
            f"{folder} holds several weights of {network} ({names}); leave one of them there, or name it in a profile "
            "of your own (docs/your_own_profile.md)."
        )
    return files[0]


def _files_in(folder: Path, *names: str) -> list[Path]:
    """The files of weights that have one of these names (regular expressions), however it goes on but with a digit."""
    wanted = re.compile(rf"({'|'.join(names)})(?!\d)", re.IGNORECASE)
    try:
        return sorted(p for p in folder.iterdir() if p.suffix in _ENDINGS and wanted.match(p.name) and p.is_file())
    except OSError as error:
        raise UserError(f"{folder} cannot be read ({error.strerror}); make it readable for this user.") from error


def _check_name(name: str, depth: int, width: float) -> None:
    """See that torchvision has weights of this name, and that they are of the network."""
    from torchvision.models import get_weight

    try:
        get_weight(name)
    except (ValueError, KeyError) as error:
        raise UserError(f"torchvision has no weights {name!r}; give those of a ResNet{depth}") from error
    if not name.startswith(f"ResNet{depth}_") or width != 1:
        raise UserError(
            f"{name!r} are of another network than DeepLab-ResNet{depth} at width {width:g}; give weights of this one"
        )


@lru_cache(maxsize=64)  # tables share their encoders
def _check_encoder(weights: str, _version: int, depth: int, width: float) -> None:
    """See that weights fit, by loading them where nothing is kept."""
    import torch  # naming weights does without

    from mila.backbone import DeepLabResNet

    with torch.device("meta"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch's, that nothing is copied to where there is nothing
        DeepLabResNet(depth, width, weights)


@lru_cache(maxsize=16)
def _check_flownet(weights: str, _version: int, width: float) -> None:
    import torch

    with torch.device("meta"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        build("flownet", FLOW, {"width": width, "weights": weights})


def _digest(path: Path) -> str:
    return content_digests([path])[path]


def _is_carried(name: str, digest: str) -> bool:
    carried = CARRIED / name
    return carried.is_file() and _digest(carried) == digest


@lru_cache(maxsize=1)
def torchvision_names() -> dict[str, str]:
    """Of its ResNets' weights, by the first digits of their files' SHA-256, which the files' names end with."""
    from torchvision.models import get_model_weights, list_models

    names = [name for name in list_models() if re.fullmatch(r"resnet\d+", name)]
    return {entry.url[-12:-4]: str(entry) for name in names for entry in get_model_weights(name)}
