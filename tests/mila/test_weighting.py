"""Task weightings: formulas against plain floats, gradients by hand, DWA over a scripted history."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from mila.names import WeightingName
from mila.tasks import CITYSCAPES, NYUV2, Suite
from mila.weighting import DynamicWeightAverage, Geometric, Uncertainty, make_weighting

NAMES: tuple[WeightingName, ...] = ("equal", "uncertainty", "dwa", "geometric")
VALUES = {"segmentation": 2.5, "depth": 0.3, "normals": 0.7}


def names_of(suite: Suite) -> list[str]:
    return [task.name for task in suite.tasks]


def leaves(values: dict[str, float]) -> dict[str, Tensor]:
    return {name: torch.tensor(value, requires_grad=True) for name, value in values.items()}


def gradients(losses: dict[str, Tensor]) -> dict[str, float]:
    return {name: float("nan") if loss.grad is None else loss.grad.item() for name, loss in losses.items()}


@pytest.mark.parametrize("suite", [CITYSCAPES, NYUV2])
@pytest.mark.parametrize("name", NAMES)
def test_formulas(name: WeightingName, suite: Suite) -> None:
    values = {task: VALUES[task] for task in names_of(suite)}
    expected = {
        "equal": sum(values.values()),
        "uncertainty": sum(value / (2 * math.exp(-0.5)) - 0.25 for value in values.values()),
        "dwa": sum(values.values()),
        "geometric": math.prod(values.values()) ** (1 / len(values)),
    }
    total = make_weighting(name, names_of(suite))(leaves(values))
    assert total.shape == ()
    assert total.item() == pytest.approx(expected[name], rel=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_the_order_of_the_losses_does_not_matter(name: WeightingName) -> None:
    weighting = make_weighting(name, list(VALUES))
    weighting.end_epoch({"segmentation": 1.0, "depth": 1.0, "normals": 1.0})
    weighting.end_epoch({"segmentation": 0.2, "depth": 1.0, "normals": 3.0})
    if isinstance(weighting, Uncertainty):
        weighting.log_variances.data = torch.tensor([-1.0, 0.0, 1.0])
    there, back = leaves(VALUES), leaves(dict(reversed(VALUES.items())))
    assert torch.equal(weighting(there), weighting(back))
    weighting(there).backward()
    weighting(back).backward()
    assert gradients(there) == gradients(back)


def test_equal_sums_every_loss_as_it_is() -> None:
    losses = leaves(VALUES)
    weighting = make_weighting("equal", list(VALUES))
    weighting(losses).backward()
    assert gradients(losses) == dict.fromkeys(VALUES, 1.0)
    assert weighting.weights() == {}
    assert weighting.state_dict() == {}


def test_uncertainty_gradients() -> None:
    """Towards a loss 1 / (2 e^s); towards s: -L / (2 e^s) + 1/2, which is 0 at e^s = L."""
    weighting = Uncertainty(list(VALUES), initial=0.4)
    with torch.no_grad():
        weighting.log_variances[1] = math.log(VALUES["depth"])
    s = [0.4, math.log(0.3), 0.4]
    losses = leaves(VALUES)
    total = weighting(losses)
    assert total.item() == pytest.approx(
        sum(value / (2 * math.exp(x)) + x / 2 for value, x in zip(VALUES.values(), s, strict=True)), rel=1e-6
    )
    total.backward()
    factors = {name: 1 / (2 * math.exp(x)) for name, x in zip(VALUES, s, strict=True)}
    assert gradients(losses) == pytest.approx(factors, rel=1e-6)
    assert weighting.weights() == pytest.approx(factors, rel=1e-6)
    assert weighting.log_variances.grad is not None
    assert weighting.log_variances.grad.tolist() == pytest.approx(
        [0.5 - value * factor for value, factor in zip(VALUES.values(), factors.values(), strict=True)], abs=1e-6
    )
    assert weighting.log_variances.grad[1].item() == pytest.approx(0, abs=1e-6)


def test_uncertainty_starts_where_the_public_code_does() -> None:
    weighting = make_weighting("uncertainty", list(VALUES))
    assert [p.tolist() for p in weighting.parameters()] == [[-0.5, -0.5, -0.5]]
    assert weighting.weights() == pytest.approx(dict.fromkeys(VALUES, 0.5 * math.exp(0.5)))


HISTORY = [(3.0, 1.0, 0.5), (1.5, 0.9, 0.6), (1.2, 0.9, 0.3), (1.1, 0.1, 0.31)]
"""Mean losses of segmentation, depth, normals in four epochs."""


@pytest.mark.parametrize(("tasks", "temperature"), [(2, 2.0), (3, 2.0), (3, 0.5)])
def test_dwa_over_a_scripted_history(tasks: int, temperature: float) -> None:
    names = list(VALUES)[:tasks]
    weighting = DynamicWeightAverage(names, temperature)
    for epoch in range(len(HISTORY) + 1):
        expected = [1.0] * tasks
        if epoch >= 2:
            powers = [math.exp(HISTORY[epoch - 1][i] / HISTORY[epoch - 2][i] / temperature) for i in range(tasks)]
            expected = [tasks * power / sum(powers) for power in powers]
        weights = weighting.weights()
        assert list(weights) == names
        assert list(weights.values()) == pytest.approx(expected, rel=1e-6)
        assert sum(weights.values()) == pytest.approx(tasks, rel=1e-6)
        losses = leaves({name: VALUES[name] for name in names})
        total = weighting(losses)
        assert total.item() == pytest.approx(sum(VALUES[n] * w for n, w in zip(names, expected, strict=True)), rel=1e-6)
        total.backward()
        assert list(gradients(losses).values()) == pytest.approx(expected, rel=1e-6)
        if epoch < len(HISTORY):
            weighting.end_epoch(dict(reversed(list(zip(names, HISTORY[epoch], strict=False)))))
    assert list(weighting.parameters()) == []


def test_dwa_weighs_the_slower_task_more_and_the_default_temperature_is_2() -> None:
    weighting = make_weighting("dwa", ["a", "b"])
    weighting.end_epoch({"a": 10.0, "b": 0.1})
    weighting.end_epoch({"a": 5.0, "b": 0.1})
    weights = weighting.weights()
    assert weights["b"] / weights["a"] == pytest.approx(math.exp((1.0 - 0.5) / 2), rel=1e-6)


def test_dwa_with_a_task_that_has_no_annotation() -> None:
    """A mean of 0 gives no rate: 0 / 0 and x / 0 count as 1."""
    weighting = make_weighting("dwa", ["a", "b", "c"])
    weighting.end_epoch({"a": 2.0, "b": 0.0, "c": 0.0})
    weighting.end_epoch({"a": 2.0, "b": 0.0, "c": 4.0})
    assert list(weighting.weights().values()) == pytest.approx([1, 1, 1], rel=1e-6)


def test_dwa_bears_any_rate() -> None:
    weighting = make_weighting("dwa", ["a", "b"])
    weighting.end_epoch({"a": 1e-30, "b": 1.0})
    weighting.end_epoch({"a": 1.0, "b": 1.0})
    assert weighting.weights() == {"a": 2.0, "b": 0.0}


@pytest.mark.parametrize("epochs", [0, 1, 2, 3])
@pytest.mark.parametrize("name", NAMES)
def test_the_state_is_all_there_is(name: WeightingName, epochs: int) -> None:
    one, two = make_weighting(name, list(VALUES)), make_weighting(name, list(VALUES))
    for epoch in range(epochs):
        one.end_epoch(dict(zip(VALUES, HISTORY[epoch], strict=True)))
    for parameter in one.parameters():
        parameter.data += torch.rand(3, generator=torch.Generator().manual_seed(epochs))
    two.load_state_dict(one.state_dict())
    for weighting in (one, two):
        weighting.end_epoch(dict(zip(VALUES, HISTORY[epochs], strict=True)))
    assert two.weights() == one.weights()
    assert torch.equal(two(leaves(VALUES)), one(leaves(VALUES)))


@pytest.mark.parametrize("tasks", [1, 2, 3])
def test_geometric_gradients(tasks: int) -> None:
    """The derivative of the total towards L_i is total / (M L_i)."""
    values = dict(list(VALUES.items())[:tasks])
    losses = leaves(values)
    total = make_weighting("geometric", list(values))(losses)
    total.backward()
    expected = math.prod(values.values()) ** (1 / tasks)
    assert gradients(losses) == pytest.approx({n: expected / (tasks * v) for n, v in values.items()}, rel=1e-5)


def test_geometric_does_not_overflow() -> None:
    values = {"a": 1e30, "b": 1e30, "c": 1e-25}
    assert Geometric(list(values))(leaves(values)).item() == pytest.approx(10 ** (35 / 3), rel=1e-4)


@pytest.mark.parametrize("zero", [0.0, -6e-8, 1e-45])
def test_geometric_leaves_a_loss_of_0_out(zero: float) -> None:
    losses = leaves({"a": 4.0, "b": zero, "c": 9.0})
    total = Geometric(list(losses))(losses)
    total.backward()
    assert total.item() == pytest.approx(6, rel=1e-6)
    assert gradients(losses) == pytest.approx({"a": 6 / (2 * 4), "b": 0, "c": 6 / (2 * 9)}, rel=1e-6)


def test_geometric_of_nothing_is_nothing() -> None:
    losses = leaves({"a": 0.0, "b": 0.0})
    total = Geometric(list(losses))(losses)
    total.backward()
    assert total.item() == 0
    assert gradients(losses) == {"a": 0, "b": 0}


@pytest.mark.parametrize("bad", [math.inf, math.nan])
@pytest.mark.parametrize("name", NAMES)
def test_a_loss_that_is_not_finite_is_not_hidden(name: WeightingName, bad: float) -> None:
    assert not make_weighting(name, ["a", "b"])(leaves({"a": 0.0, "b": bad})).isfinite()


def test_bad_arguments() -> None:
    with pytest.raises(
        ValueError, match=r"no weighting 'gradnorm'; weightings are \['equal', 'uncertainty', 'dwa', 'geometric'\]"
    ):
        make_weighting("gradnorm", ["a"])  # type: ignore[arg-type]
    for tasks in ([], ["a", "a"]):
        with pytest.raises(ValueError, match="at least one task, and each once"):
            make_weighting("equal", tasks)
    with pytest.raises(ValueError, match="temperature must be positive, not 0"):
        DynamicWeightAverage(["a"], 0)
    for losses in ({"a": 1.0}, {"a": 1.0, "b": 1.0, "c": 1.0}):
        with pytest.raises(ValueError, match=r"this weighting is of \['a', 'b'\]"):
            make_weighting("equal", ["a", "b"])(leaves(losses))
