"""What a trained model is, apart from its weights: enough to build it again. Needs no PyTorch.

A finished training keeps it beside its weights, and an exported file carries it along.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from types import ModuleType
from typing import Any

from mila import switches
from mila.tasks import Suite, suite_as_json, suite_from_json

DESCRIPTION, METHOD = "model.json", "method.py"
"""Files of a finished training: what its model is, and the source of a method of the user's own."""

FORMAT = 1
"""Raise it with every change of what a description says."""


@dataclass(frozen=True)
class Description:
    """A trained model in words and numbers.

    Attributes:
        title: of its training.
        code: the suite's module that its class is in, or the name of the user's file, which ends in `.py`.
        name: of its class.
        arguments: of the class's constructor as JSON has them, see `arguments_as_json`, without initial weights.
        suite: its tasks, with their classes and colours.
        height, width: of the frames that it was trained on, pixels.
        keyframe_interval: K; 1 for a model that looks at single frames.
        digest: SHA-256 of the user's file; None for a model of the suite.
        provenance: where it comes from: hash and seed of its training, its data, versions, when, and so on.
    """

    title: str
    code: str
    name: str
    arguments: Mapping[str, Any]
    suite: Suite
    height: int
    width: int
    keyframe_interval: int
    digest: str | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_own(self) -> bool:
        """Whether the model is in a file of a user's own."""
        return self.digest is not None

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes of its segmentation, by index; empty where it has none."""
        return next((task.classes for task in self.suite.tasks if task.name == "segmentation"), ())


def description_as_json(description: Description) -> dict[str, Any]:
    """A description as JSON has it."""
    values = {name: getattr(description, name) for name in Description.__dataclass_fields__}
    return {"format": FORMAT, **values, "suite": suite_as_json(description.suite)}


def description_from_json(values: Mapping[str, Any]) -> Description:
    """The description that `description_as_json` gave.

    Raises:
        ValueError: it is none, or of another version of the suite.
    """
    given = dict(values)
    found = given.pop("format", None)
    if found != FORMAT:
        raise ValueError(f"it has format {found!r}, and this version of the suite reads {FORMAT}")
    if set(given) != set(Description.__dataclass_fields__):
        raise ValueError("it is no description of a model")
    types: dict[str, type | tuple[type, ...]] = {"title": str, "code": str, "name": str, "arguments": Mapping}
    types |= {"height": int, "width": int, "keyframe_interval": int, "provenance": Mapping, "digest": (str, type(None))}
    if not all(isinstance(given[name], kind) for name, kind in types.items()):
        raise ValueError("it is no description of a model")
    if given["code"].endswith(".py") != (given["digest"] is not None):
        raise ValueError("a file of a user's own has a digest, and nothing else has")
    return Description(**{**given, "suite": suite_from_json(given["suite"])})


def arguments_as_json(arguments: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """Constructor arguments as JSON has them; of a dataclass, such as `mila.switches.Architecture`, name and fields.

    Initial weights (names and files) are left out: whoever has trained weights does not need them.
    """
    return {n: _as_json(value) for n, value in arguments if not (n.endswith("weights") and isinstance(value, str))}


def _as_json(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return {
            "class": type(value).__name__,
            "fields": {f.name: _as_json(getattr(value, f.name)) for f in fields(value)},
        }
    return [_as_json(one) for one in value] if isinstance(value, list | tuple) else value


def arguments_from_json(arguments: Mapping[str, Any], own: ModuleType | None = None) -> dict[str, Any]:
    """Constructor arguments from what `arguments_as_json` gave; lists are tuples.

    Args:
        arguments: by name.
        own: the user's file that the model is in, which may have dataclasses of its own.

    Raises:
        ValueError: a dataclass that neither `mila.switches` nor the user's file has, or one that does not take these
            fields.
    """
    return {name: _from_json(value, own) for name, value in arguments.items()}


def _from_json(value: Any, own: ModuleType | None) -> Any:
    if isinstance(value, list):
        return tuple(_from_json(one, own) for one in value)
    if not isinstance(value, Mapping):
        return value
    name, given = value.get("class"), value.get("fields")
    kind = next((vars(place)[name] for place in (switches, own) if place is not None and name in vars(place)), None)
    if not (isinstance(kind, type) and is_dataclass(kind) and isinstance(given, Mapping)):
        raise ValueError(f"there are no switches {name!r}")
    try:
        return kind(**{n: _from_json(v, own) for n, v in given.items()})
    except TypeError as error:
        raise ValueError(f"{name} does not take these fields ({error})") from error
