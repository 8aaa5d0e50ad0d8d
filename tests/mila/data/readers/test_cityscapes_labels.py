"""Label ids of Cityscapes as 7 categories and as 19 classes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mila.data.packed import PackedClips
from mila.data.prepare import pack
from mila.data.readers.cityscapes_labels import UNKNOWN, class_table
from mila.errors import UserError
from mila.tasks import CITYSCAPES, CITYSCAPES19, CITYSCAPES_METRES, NYUV2, SUITES, VOID
from tests.support.cityscapes import DISPARITY, LABELS, TRAIN_IDS
from tests.support.fake_files import CATEGORY_OF_ID, open_cities, save


def test_label_ids_become_categories_or_train_ids() -> None:
    seven, nineteen = class_table(CITYSCAPES), class_table(CITYSCAPES19)
    categories = ["flat", "construction", "object", "nature", "sky", "human", "vehicle"]
    train_ids = list(TRAIN_IDS)
    for value in range(256):
        if value == 255:  # the id -1, licence plate
            assert (seven[value], nineteen[value]) == (6, VOID)
        elif value > 33:
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
