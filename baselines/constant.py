"""The constant predictor: majority class, median depth, mean normal of the training split. What any model must beat."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mila.tasks import VOID, Suite
from mila.video_model import FrameModel


class Constant(FrameModel):
    """Predicts the same at every pixel of every frame. It is fitted, not trained."""

    def __init__(self, suite: Suite) -> None:
        super().__init__(suite)
        self.values = nn.ParameterDict(
            {t.name: nn.Parameter(torch.zeros(t.channels), requires_grad=False) for t in suite.tasks}
        )

    def fit(self, targets: Iterable[Mapping[str, npt.NDArray[Any]]]) -> None:
        """Take majority class, median of valid depths and mean direction of valid normals from target maps."""
        collected: dict[str, list[npt.NDArray[Any]]] = {t.name: [] for t in self.suite.tasks}
        for maps in targets:
            for name, values in collected.items():
                target = maps[name]
                if name == "segmentation":
                    values.append(np.bincount(target[target != VOID], minlength=self.suite.task(name).channels))
                elif name == "depth":
                    values.append(target[target > 0])
                else:
                    values.append(target.reshape(3, -1).sum(1))
        for name, values in collected.items():
            if name == "segmentation":
                majority = torch.tensor(int(np.sum(values, axis=0).argmax()))
                constant = F.one_hot(majority, len(self.values[name])).float()
            elif name == "depth":
                constant = torch.tensor([float(np.median(np.concatenate(values)))])
            else:
                constant = F.normalize(torch.from_numpy(np.sum(values, axis=0)).float(), dim=0)
            self.values[name].data.copy_(constant)

    def predict(self, frame: Tensor) -> dict[str, Tensor]:
        """See `FrameModel.predict`."""
        shape = (frame.shape[0], -1, frame.shape[-2], frame.shape[-1])
        return {name: value[None, :, None, None].expand(shape) for name, value in self.values.items()}
