"""How the losses of several tasks become one (Table 9): equal, uncertainty, dynamic weight average, geometric.

A weighting sees the tasks' losses alone. What a model adds of its own (Mimicry's losses) is summed unweighted beside
its total: Eq. 3 has factors of its own, alpha and beta, and its gradient reversal would follow the weights otherwise.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from mila.names import WeightingName


class Weighting(nn.Module, ABC):
    """Base of all weightings. What it learns and remembers is in its state dict, so a training can be continued.

    Args:
        tasks: the names of the M tasks; their order is that of every `[M]` tensor here.

    Attributes:
        learns_from_epochs: whether `end_epoch` does anything. To know the means of an epoch is to wait for the device.

    Raises:
        ValueError: no task, or one twice.
    """

    learns_from_epochs: ClassVar[bool] = False

    def __init__(self, tasks: Sequence[str]) -> None:
        super().__init__()
        if not tasks or len(set(tasks)) < len(tasks):
            raise ValueError(f"a weighting needs at least one task, and each once, not {list(tasks)}")
        self.tasks = tuple(tasks)

    def forward(self, losses: Mapping[str, Tensor]) -> Tensor:
        """One scalar to minimise from the tasks' losses (scalars by name).

        Raises:
            ValueError: losses of other tasks than the weighting was made for.
        """
        if set(losses) != set(self.tasks):
            raise ValueError(f"this weighting is of {list(self.tasks)}, not of {list(losses)}")
        return self.total(torch.stack([losses[task] for task in self.tasks]))

    @abstractmethod
    def total(self, losses: Tensor) -> Tensor:
        """The scalar to minimise, from the losses `[M]`."""

    def weights(self) -> dict[str, float]:
        """The factor on each task's loss at present; empty for a weighting that has no factors to watch."""
        return {}

    def end_epoch(self, means: Mapping[str, float]) -> None:
        """Called at the end of each epoch with each task's mean loss over it, where `learns_from_epochs`."""


class Equal(Weighting):
    """The sum of the losses; what the paper uses everywhere but in Table 9 (Section A.1)."""

    def total(self, losses: Tensor) -> Tensor:
        """The sum of the L_i."""
        return losses.sum()


class Uncertainty(Weighting):
    """Homoscedastic uncertainty (Kendall et al. 2018): the logarithm s_i of each task's variance is learned.

    One form for all tasks, classification or regression, as in MTAN's public code (note 4.7). The optimiser that
    trains the model trains s as well.

    Args:
        tasks: see `Weighting`.
        initial: s_i before training; -0.5 as in MTAN's public code, a factor of 0.82.
    """

    def __init__(self, tasks: Sequence[str], initial: float = -0.5) -> None:
        super().__init__(tasks)
        self.log_variances = nn.Parameter(torch.full((len(self.tasks),), initial))

    def total(self, losses: Tensor) -> Tensor:
        """The sum of L_i / (2 e^s_i) + s_i / 2; negative where the losses are small."""
        return (losses * self._factors() + self.log_variances / 2).sum()

    def weights(self) -> dict[str, float]:
        """1 / (2 e^s_i) by task."""
        return dict(zip(self.tasks, self._factors().tolist(), strict=True))

    def _factors(self) -> Tensor:
        return torch.exp(-self.log_variances) / 2


class DynamicWeightAverage(Weighting):
    """DWA (Liu et al. 2019): a task whose loss falls more slowly than the others' weighs more in the next epoch.

    The factors are 1 in the first two epochs, then M softmax(r_i / T), where r_i = L_i[t-1] / L_i[t-2] and L_i[t] is
    the mean loss of task i over epoch t (note 4.7). They sum to M. A task with a mean of 0 two epochs ago (none of
    its pixels is annotated) has no rate: its r_i is taken as 1, as if its loss had stayed.

    Args:
        tasks: see `Weighting`.
        temperature: T; 2 in Liu et al. A larger one makes the factors more alike.

    Raises:
        ValueError: a temperature that is not positive.
    """

    learns_from_epochs: ClassVar[bool] = True
    factors: Tensor
    last_means: Tensor

    def __init__(self, tasks: Sequence[str], temperature: float = 2.0) -> None:
        super().__init__(tasks)
        if not temperature > 0:
            raise ValueError(f"the temperature must be positive, not {temperature}")
        self.temperature = temperature
        self.register_buffer("factors", torch.ones(len(self.tasks)))
        # Means of the last epoch; NaN before the first has ended. Double, because that is how they are summed up.
        self.register_buffer("last_means", torch.full((len(self.tasks),), torch.nan, dtype=torch.float64))

    def total(self, losses: Tensor) -> Tensor:
        """The sum of the w_i L_i."""
        return (losses * self.factors).sum()

    def weights(self) -> dict[str, float]:
        """w_i by task."""
        return dict(zip(self.tasks, self.factors.tolist(), strict=True))

    def end_epoch(self, means: Mapping[str, float]) -> None:
        """Set the factors of the next epoch."""
        now = torch.tensor([means[task] for task in self.tasks], dtype=torch.float64, device=self.last_means.device)
        if not self.last_means.isnan().any():
            rates = torch.where(self.last_means > 0, now / self.last_means, 1.0)
            self.factors.copy_(len(self.tasks) * torch.softmax(rates / self.temperature, 0))
        self.last_means.copy_(now)


class Geometric(Weighting):
    """The geometric mean of the losses (MultiNet++, Chennupati et al. 2019): no loss's unit matters.

    The gradient towards loss i is total / (M L_i), which has no bound at 0. A loss of 0 is one of a batch in which
    nothing of the task is annotated (see `task_loss`), or cannot get better; the formula would give a total of 0 and
    teach the other tasks nothing from that batch. It is left out instead: the mean is that of the other tasks' losses,
    M their number, and the gradient towards it 0. With all losses 0 the total and its gradient are 0. The border is
    the smallest normal number of the losses' type, below which 1 / L_i is infinite; rounding can take a loss of
    `1 - cosine` below 0 too.
    """

    def total(self, losses: Tensor) -> Tensor:
        """(product of the L_i) ^ (1 / M), over the losses that are not 0."""
        zero = losses <= torch.finfo(losses.dtype).tiny  # NaN is not: it must reach the total
        logs = torch.where(zero, 1.0, losses).log()
        mean = (logs.sum() / (~zero).sum().clamp(min=1)).exp()
        return mean * (~zero).any()


_WEIGHTINGS: dict[str, type[Weighting]] = {
    "equal": Equal,
    "uncertainty": Uncertainty,
    "dwa": DynamicWeightAverage,
    "geometric": Geometric,
}


def make_weighting(name: WeightingName, tasks: Sequence[str]) -> Weighting:
    """The weighting called `name` for the tasks named `tasks`, as its paper has it.

    Raises:
        ValueError: unknown name.
    """
    if name not in _WEIGHTINGS:
        raise ValueError(f"there is no weighting {name!r}; weightings are {list(_WEIGHTINGS)}")
    return _WEIGHTINGS[name](tasks)
