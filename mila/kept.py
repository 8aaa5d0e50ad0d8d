"""What frozen networks give for the frames of clips: computed once, kept in files, read a batch at a time."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mila.common.files import write_text
from mila.data.clips import frames_needed
from mila.data.packed import PackedClips
from mila.video_model import Encoded, VideoModel, keeps_up

_CHUNK = 16
"""Clips that are encoded at a time. Fixed, so that what is kept does not depend on where a run was interrupted."""

_FINISHED = "finished"

Stored = Mapping[tuple[str, int], tuple[Tensor, ...]]
"""Kept maps of a batch as they are stored: float16 on the CPU, by network and index of the frame in the clip."""


class KeptMaps:
    """Maps of all clips by every network of `VideoModel.training_frames`, in half precision.

    Args:
        model: its networks are in eval mode while they encode, and in the mode they were in afterwards.
        clips: the clips.
        folder: where the maps are kept; finished ones there of the same weights and clips are taken as they are.
        device: where the networks are.

    Raises:
        ValueError: the model has no network whose maps can be kept.
    """

    def __init__(self, model: VideoModel, clips: PackedClips, folder: Path, device: torch.device | str) -> None:
        self._model = model
        wanted = _wanted(model)
        if not wanted:
            raise ValueError(f"{type(model).__name__} has no network whose maps can be kept")
        self._maps: dict[tuple[str, int], list[npt.NDArray[np.float16]]] = {}
        finished, origin = folder / _FINISHED, _origin(model, clips)
        if not finished.exists() or finished.read_bytes() != origin.encode():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            self._encode(clips, folder, wanted, device)
            write_text(finished, origin)
        for network, back in wanted:
            files = sorted(folder.glob(f"{network}-{back}-*.npy"), key=lambda path: int(path.stem.split("-")[-1]))
            self._maps[network, back] = [np.load(file, mmap_mode="r", allow_pickle=False) for file in files]

    @torch.no_grad()
    def _encode(
        self, clips: PackedClips, folder: Path, wanted: Sequence[tuple[str, int]], device: torch.device | str
    ) -> None:
        """Encode every frame that any offset needs, each once by each network."""
        modes = {module: module.training for module in self._model.modules()}
        self._model.eval()
        files = dict[tuple[str, int], list[npt.NDArray[np.float16]]]()
        for start in range(0, len(clips), _CHUNK):
            indices = range(start, min(start + _CHUNK, len(clips)))
            frames, _ = clips.batch(indices, 0, max(back for _, back in wanted), device)
            for network, back in wanted:
                maps = self._model.encode_frames(network, frames[:, -1 - back])
                if start == 0:
                    files[network, back] = [
                        np.lib.format.open_memmap(
                            folder / f"{network}-{back}-{i}.npy", "w+", np.float16, (len(clips), *x.shape[1:])
                        )
                        for i, x in enumerate(maps)
                    ]
                for file, x in zip(files[network, back], maps, strict=True):
                    file[start : indices.stop] = x.half().cpu().numpy()
        for module, mode in modes.items():
            module.training = mode

    def read(self, indices: Sequence[int], length: int, offset: int) -> Stored:
        """What the networks give for clips of `length` frames with the last keyframe `offset` before the end.

        As it is stored; `as_encoded` makes of it what a model takes.
        """
        stored = dict[tuple[str, int], tuple[Tensor, ...]]()
        for network, frames in self._model.training_frames(length, offset).items():
            for t in frames:
                kept = self._maps[network, length - 1 - t]
                maps = (np.stack([file[index] for index in indices]) for file in kept)
                stored[network, t] = tuple(torch.from_numpy(each) for each in maps)
        return stored


def as_encoded(stored: Stored, device: torch.device | str) -> Encoded:
    """From what `KeptMaps.read` gives to what `VideoModel.forward_encoded` takes: float32 on the device."""
    return {
        of: tuple(x.to(device, non_blocking=True).float().contiguous(memory_format=torch.channels_last) for x in maps)
        for of, maps in stored.items()
    }


def _origin(model: VideoModel, clips: PackedClips) -> str:
    """A digest of what maps are computed from: the weights of the encoders, and the clips."""
    digest = hashlib.sha256(json.dumps(clips.manifest(), sort_keys=True).encode())
    for module in model.pretrained():
        for name, value in module.state_dict().items():
            digest.update(name.encode())
            digest.update(value.detach().cpu().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def _wanted(model: VideoModel) -> list[tuple[str, int]]:
    """The networks, and how far before the end of a clip lie the frames that a training encodes at any offset."""
    wanted = set[tuple[str, int]]()
    for offset in range(model.keyframe_interval):
        length = frames_needed(offset, model.history)
        wanted |= {(n, length - 1 - t) for n, frames in model.training_frames(length, offset).items() for t in frames}
    return sorted(wanted)


def kept_bytes(model: VideoModel, height: int, width: int) -> int:
    """Bytes that are kept of a clip of frames of `height` x `width` pixels; 0 for a model without such maps.

    Only shapes are computed: of a model on the meta device, without numbers.
    """
    if not can_keep(model):
        return 0
    frame = torch.empty(1, 3, height, width, device="meta")
    frames = Counter(network for network, _ in _wanted(model))
    return sum(2 * x.numel() * n for network, n in frames.items() for x in model.encode_frames(network, frame))


def can_keep(model: VideoModel) -> bool:
    """Whether a model has a network whose maps can be kept, and is trained from them as it is from frames."""
    is_current = keeps_up(type(model), "training_encoded", "training_forward") and keeps_up(
        type(model), "forward_encoded", "forward"
    )
    return is_current and bool(_wanted(model))
