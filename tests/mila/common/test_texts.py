"""Text files as editors write them: with a byte order mark they are read, in UTF-16 they are refused by name."""

from __future__ import annotations

import codecs
from collections.abc import Callable
from pathlib import Path

import pytest

from experiments.slurm.site import read_site
from mila.common.files import read_text
from mila.data.readers.cityscapes_files import metres_times_pixels
from mila.data.readers.nyuv2_camera import read_camera
from mila.errors import UserError
from tests.support.fake_files import open_split, write_plain

REFUSED: dict[str, Callable[[str], bytes]] = {
    "UTF-16 of Notepad": lambda text: text.encode("utf-16"),
    "UTF-16, big-endian": lambda text: codecs.BOM_UTF16_BE + text.encode("utf-16-be"),
    "UTF-16 without a mark": lambda text: text.encode("utf-16-le"),
    "UTF-32": lambda text: text.encode("utf-32"),
}
CAMERA = '{"width": 64, "height": 48, "fx": 50.5, "fy": 51, "cx": 32, "cy": 24, "undistorted": true, "border": 0}'


def test_a_byte_order_mark_is_no_text(tmp_path: Path) -> None:
    path = tmp_path / "words.txt"
    for encoding in ("utf-8", "utf-8-sig"):
        path.write_text("straße\n", encoding=encoding)
        assert read_text(path) == "straße\n"
    path.write_bytes(b"")
    assert read_text(path) == ""


def read_list(path: Path) -> object:
    return len(open_split(path.parent, "train", mode="still", height=24, width=32))


def read_cityscapes_camera(path: Path) -> object:
    return metres_times_pixels(path)


def read_nyu_camera(path: Path) -> object:
    return read_camera(path.parent, None).fx


FILES: dict[str, tuple[str, Callable[[Path], object], object]] = {
    "train.txt": ("0\n2\n", read_list, 2),
    "camera.json": (CAMERA, read_nyu_camera, 50.5),
    "a_camera.json": ('{"extrinsic": {"baseline": 0.5}, "intrinsic": {"fx": 2000}}', read_cityscapes_camera, 1000),
    "site.toml": ('partition = "cpu"\n', read_site, {"partition": "cpu"}),
}


@pytest.mark.parametrize("name", FILES)
def test_files_that_people_write(name: str, tmp_path: Path) -> None:
    text, read, expected = FILES[name]
    path = write_plain(tmp_path) / name
    path.write_text(text, encoding="utf-8-sig")
    assert read(path) == expected
    for encode in REFUSED.values():
        path.write_bytes(encode(text))
        with pytest.raises(UserError) as error:
            read(path)
        assert str(error.value) == f"{path} is text in UTF-16 or UTF-32; save it as UTF-8."
