"""Names of the files of `fake_files.write_cities`, and the trainIds of Cityscapes."""

from __future__ import annotations

from tests.support.fake_files import STEM

TRAIN_IDS = {
    **{7: "road", 8: "sidewalk", 11: "building", 12: "wall", 13: "fence", 17: "pole", 19: "traffic light"},
    **{20: "traffic sign", 21: "vegetation", 22: "terrain", 23: "sky", 24: "person", 25: "rider", 26: "car"},
    **{27: "truck", 28: "bus", 31: "train", 32: "motorcycle", 33: "bicycle"},
}
"""Label id and name of the trainIds 0, 1, ..., 18, from the data set's published table of classes."""

DISPARITY = f"disparity/train/bochum/{STEM}_disparity.png"
LABELS = f"gtFine/train/bochum/{STEM}_gtFine_labelIds.png"
ANNOTATED = f"leftImg8bit/train/bochum/{STEM}_leftImg8bit.png"
