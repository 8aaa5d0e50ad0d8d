"""Raw predictions come back from their files as they were."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mila.common.types import Array
from mila.data.readers.images import read_depth, read_labels
from mila.tasks import CITYSCAPES, NYUV2, Suite
from mila.video.frames import Frame
from mila.video.predict import Prediction
from mila.video.raw import RawKind, RawWriter, describe_raw


def _tasks(suite: Suite) -> dict[str, Array]:
    random = np.random.default_rng(0)
    normals = random.normal(size=(3, 9, 7)).astype(np.float32)
    values = {
        "segmentation": random.integers(0, len(suite.task("segmentation").classes), (9, 7), np.uint8),
        "depth": random.uniform(0, 1 if suite is CITYSCAPES else 10, (1, 9, 7)).astype(np.float32),
        "normals": normals / np.linalg.norm(normals, axis=0),
    }
    return {task.name: values[task.name] for task in suite.tasks}


def _written(folder: Path, suite: Suite, kind: RawKind, tasks: dict[str, Array]) -> RawWriter:
    writer = RawWriter(folder, suite, kind)
    writer.write(Prediction(Frame(np.zeros((9, 7, 3), np.uint8), Fraction(0), "one"), 0, 0, tasks, 0.1))
    return writer


def test_npz_keeps_every_value(tmp_path: Path) -> None:
    tasks = _tasks(NYUV2)
    _written(tmp_path / "raw", NYUV2, "npz", tasks)
    with np.load(tmp_path / "raw" / "one.npz") as found:
        assert set(found) == {"segmentation", "depth", "normals"}
        for name, values in tasks.items():
            assert found[name].dtype == values.dtype
            assert np.array_equal(found[name], values)


@pytest.mark.parametrize(("suite", "steps"), [(NYUV2, 1000), (CITYSCAPES, 65535)], ids=["metres", "disparity"])
def test_png_keeps_classes_and_depth_to_a_step(tmp_path: Path, suite: Suite, steps: int) -> None:
    tasks = _tasks(suite)
    writer = _written(tmp_path, suite, "png", tasks)
    assert np.array_equal(read_labels(tmp_path / "segmentation" / "one.png"), tasks["segmentation"])
    depth, bits = read_depth(tmp_path / "depth" / "one.png")
    assert bits == 16
    np.testing.assert_allclose(depth / steps, tasks["depth"][0], atol=0.51 / steps)
    assert writer.clipped == 0


def test_png_keeps_normals_to_a_step_in_the_encoding_of_the_data_sets(tmp_path: Path) -> None:
    tasks = _tasks(NYUV2)
    _written(tmp_path, NYUV2, "png", tasks)
    found = np.asarray(Image.open(tmp_path / "normals" / "one.png")) / 255 * 2 - 1
    np.testing.assert_allclose(found.transpose(2, 0, 1), tasks["normals"], atol=1.01 / 255)


def test_depth_that_no_png_holds_is_counted(tmp_path: Path) -> None:
    tasks = _tasks(NYUV2)
    tasks["depth"][0, 0, :5] = 80, 65.535, np.nan, -3, np.inf
    writer = _written(tmp_path, NYUV2, "png", tasks)
    assert writer.clipped == 3
    assert read_depth(tmp_path / "depth" / "one.png")[0][0, :5].tolist() == [65534, 65534, 0, 0, 65534]


def test_more_classes_than_a_byte_counts(tmp_path: Path) -> None:
    tasks = _tasks(NYUV2) | {"segmentation": np.full((9, 7), 299, np.int16)}
    _written(tmp_path, NYUV2, "png", tasks)
    assert np.asarray(Image.open(tmp_path / "segmentation" / "one.png")).max() == 299


def test_the_description_says_how_to_read_them() -> None:
    about = describe_raw(NYUV2, "png", "raw/")
    assert about["segmentation"]["classes"][4] == {"index": 4, "name": "floor", "rgb": [222, 241, 23]}
    assert about["depth"]["files"] == "raw/depth/FRAME.png"
    assert (about["depth"]["unit"], about["depth"]["values"][:24]) == ("metres", "number of 16 bits / 1000")
    assert describe_raw(CITYSCAPES, "png")["depth"]["unit"] == "disparity / 65535"
    assert describe_raw(NYUV2, "npz")["normals"]["files"] == "FRAME.npz, array 'normals'"
