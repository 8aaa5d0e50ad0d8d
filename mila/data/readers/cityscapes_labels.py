"""Label ids of Cityscapes as the classes of a suite, by the label definitions of the package cityscapesscripts."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from cityscapesscripts.helpers.labels import labels

from mila.tasks import CITYSCAPES19, VOID, Suite

UNKNOWN = -2
"""Where `class_table` has no label id."""

HIGHEST_TRAIN_ID = 18
"""Of the 19 classes. Traffic signs, vegetation, sky, people and cars all have higher label ids: a street has some."""


HIGHEST_UNTRAINED_ID = 6
"""Of the label ids before road, which are void to every suite; the published test split holds no other ones."""


def class_table(suite: Suite) -> npt.NDArray[np.int64]:
    """Class index by the value of an 8-bit `labelIds` image, `[256]`: `VOID` where the suite ignores the label.

    With `CITYSCAPES19` a class is a trainId, otherwise a label category. A value that is no label id is `UNKNOWN`, 255
    too: the official tool never draws the id -1 (licence plate), and images of trainIds mark by 255 what is void.
    """
    classes = suite.task("segmentation").classes
    table = np.full(256, UNKNOWN, np.int64)
    for label in (label for label in labels if label.id >= 0):
        name = label.name if suite == CITYSCAPES19 else label.category
        table[label.id] = classes.index(name) if name in classes else VOID
    return table


def label_ids(suite: Suite) -> npt.NDArray[np.uint8]:
    """For each class of a suite one label id that `class_table` maps back to it, `[classes]`.

    Of the labels of a category it is the first, which also has a trainId: road, building, pole, vegetation, sky,
    person, car.
    """
    table = class_table(suite)
    ids = [np.flatnonzero(table == index)[0] for index in range(len(suite.task("segmentation").classes))]
    return np.array(ids, np.uint8)
