"""Label ids of Cityscapes as 7 categories and as 19 classes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mila.data.__main__ import main
from mila.data.packed import PackedClips
from mila.data.prepare import pack
from mila.data.readers.cityscapes_labels import UNKNOWN, class_table
from mila.data.tools.inspection import inspect
from mila.errors import UserError
from mila.tasks import CITYSCAPES, CITYSCAPES19, CITYSCAPES_METRES, NYUV2, SUITES, VOID
from tests.support.cityscapes import DISPARITY, LABELS, TRAIN_IDS
from tests.support.fake_files import CATEGORY_OF_ID, open_cities, save


def test_label_ids_become_categories_or_train_ids() -> None:
    seven, nineteen = class_table(CITYSCAPES), class_table(CITYSCAPES19)
    categories = ["flat", "construction", "object", "nature", "sky", "human", "vehicle"]
    train_ids = list(TRAIN_IDS)
    for value in range(256):
        if value > 33:  # 255 too, which is the void of trainIds
            assert seven[value] == nineteen[value] == UNKNOWN
        else:
            category = CATEGORY_OF_ID[value]
            assert seven[value] == (VOID if category == "void" else categories.index(category))
            assert nineteen[value] == (train_ids.index(value) if value in train_ids else VOID)
    assert np.array_equal(class_table(CITYSCAPES_METRES), seven)


def test_the_suites() -> None:
    for suite in (CITYSCAPES, CITYSCAPES_METRES, CITYSCAPES19):
        assert SUITES[suite.name] is suite
    assert len(SUITES) == len({suite.name for suite in SUITES.values()})
    (task,) = CITYSCAPES19.tasks
    assert (CITYSCAPES19.height, CITYSCAPES19.width, task.channels) == (1024, 2048, 19)
    assert task.classes == tuple(TRAIN_IDS.values())
    assert task.colours[0] == (128, 64, 128)
    assert task.colours[-1] == (119, 11, 32)
    assert [m.name for m in task.metrics if m.headline] == ["miou"]
    assert CITYSCAPES_METRES.task("segmentation") == CITYSCAPES.task("segmentation")
    assert CITYSCAPES_METRES.task("depth") == NYUV2.task("depth")
    assert CITYSCAPES.task("depth").metrics[0].unit == "disparity / 65535 × 100"


def test_nineteen_classes(cities: Path, tmp_path: Path) -> None:
    (cities / DISPARITY).write_bytes(b"not needed")
    source = open_cities(cities, classes=19)
    assert source.suite is CITYSCAPES19
    clip = source.clip(1, 2)
    assert set(clip.targets) == {"segmentation"}
    labels = clip.targets["segmentation"]
    assert (str(labels.dtype), labels.shape) == ("int64", (32, 64))
    names = [*TRAIN_IDS.values(), None]
    assert [names[i] for i in labels[9]] == [TRAIN_IDS.get(i % 34) for i in range(64)]
    manifest = source.manifest()
    assert (manifest["suite"], manifest["note"]) == ("cityscapes19", "JPEG images")
    assert manifest["targets"] == {"segmentation": 2}
    (cities / DISPARITY).unlink()
    assert open_cities(cities, classes=19).manifest() == manifest
    pack(source, 2, tmp_path / "packed")
    packed = PackedClips(tmp_path / "packed")
    assert packed.suite is CITYSCAPES19
    assert np.array_equal(packed.batch([1], 0, 1)[1]["segmentation"][0].numpy(), labels)


def test_nineteen_classes_know_unknown_labels(cities: Path) -> None:
    save(cities / LABELS, np.full((32, 64), 34, np.uint8))
    with pytest.raises(UserError, match=r"_gtFine_labelIds\.png holds the label id 34"):
        open_cities(cities, classes=19).clip(1, 1)


def write_ids(cities: Path, ids: Any) -> None:
    """These ids in turn, by columns, in all label images."""
    for path in cities.glob("gtFine/*/*/*_labelIds.png"):
        save(path, np.broadcast_to(np.array(ids, np.uint8)[np.arange(64) % len(ids)], (32, 64)))


def prepare(cities: Path, store: Path) -> int:
    words = ["prepare", cities, store, "--splits", "train", "--length", 2, "--height", 32, "--width", 64, "--jobs", 1]
    return main([str(word) for word in words])


def test_train_ids_under_the_name_of_label_ids_are_refused(
    cities: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_ids(cities, [*range(19), 255])
    sentence = (
        f"{cities / LABELS} holds the label id 255, but Cityscapes has the ids 0 to 33, and 255 is the mark of "
        "trainIds; replace it by the official labelIds image."
    )
    with pytest.raises(UserError) as error:
        open_cities(cities).clip(1, 2)
    assert str(error.value) == sentence
    assert sentence in inspect(cities, workers=1, height=32, width=64, length=2).problems
    assert prepare(cities, tmp_path / "store") == 2
    assert "2 clips cannot be read, the first: " in capsys.readouterr().err
    assert not list(tmp_path.glob("store/*/manifest.json"))


def test_a_split_without_high_label_ids_is_warned_of(
    cities: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "warnings" not in open_cities(cities).manifest()
    write_ids(cities, range(19))
    (warning,) = open_cities(cities).manifest()["warnings"]
    assert warning.startswith("no label id above 18 occurs in split train: these are no complete labelIds (trainIds ")
    found = inspect(cities, workers=1, height=32, width=64, length=2)
    assert (found.problems, found.warnings) == ((), (warning,))
    assert prepare(cities, tmp_path / "store") == 0
    assert f"Warning: {warning}." in capsys.readouterr().out
    assert PackedClips(tmp_path / "store" / "train").manifest()["warnings"] == [warning]
    assert main(["inspect", str(tmp_path / "store"), "--no-sheet"]) == 0
    assert f"Warning: {warning}." in capsys.readouterr().out
    save(cities / LABELS, np.broadcast_to(np.arange(64, dtype=np.uint8) % 20, (32, 64)))  # one traffic light
    assert "warnings" not in open_cities(cities).manifest()


@pytest.mark.parametrize("highest", [3, 6])
def test_a_split_without_annotations_is_not_taken_for_train_ids(highest: int, cities: Path) -> None:
    write_ids(cities, range(highest + 1))
    sentence = "split train has no labels but void ones, as the test split, whose labels are not public"
    assert open_cities(cities).manifest()["warnings"] == [sentence]
    write_ids(cities, [7])
    assert "trainIds look so" in open_cities(cities).manifest()["warnings"][0]
