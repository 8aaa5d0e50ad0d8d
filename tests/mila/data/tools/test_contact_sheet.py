"""The contact sheet: pixels of known colour at known places, and what is written on it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mila.data.clips import Clip
from mila.data.colours import NOT_ANNOTATED
from mila.data.tools.canvas import ALARM, RULE, Canvas, text_width, wrapped
from mila.data.tools.contact_sheet import contact_sheet
from mila.data.worlds.clips import WorldClips
from mila.errors import UserError
from mila.tasks import NYUV2, NYUV2_40, VOID, Suite
from tests.support.fake_files import STEM, open_cities
from tests.support.mtan_trees import open_tree, write_nyu_tree

FIRST, LAST = (11, 22, 33), (44, 55, 66)
HEIGHT, WIDTH = 48, 64
TIMES, GAP = 6, 16  # a panel is 384 pixels wide


class Known:
    """Frames of one colour each; wall to the left, a chair to the right; depth in two steps; a floor."""

    height, mode = HEIGHT, "pan"
    suite: Suite = NYUV2

    def __init__(
        self, count: int = 2, longest: int = 9, broken: Sequence[int] = (), without_depth: bool = False
    ) -> None:
        self.width = WIDTH
        self.count, self.longest, self.broken, self.without_depth = count, longest, broken, without_depth
        self.asked: list[tuple[int, int]] = []

    def __len__(self) -> int:
        return self.count

    def clip(self, index: int, length: int) -> Clip:
        self.asked.append((index, length))
        if index in self.broken:
            raise UserError(f"file {index} is broken; mend it.")
        columns = np.arange(self.width)
        frames = np.empty((length, 3, HEIGHT, self.width), np.uint8)
        frames[:] = np.array(FIRST)[:, None, None]
        frames[-1] = np.array(LAST)[:, None, None]
        labels = np.where(columns < self.width // 2, 11, 3) * np.ones((HEIGHT, 1), np.int64)
        labels[:4] = VOID
        depth = np.where(columns < self.width // 2, 1, 4) * np.ones((1, HEIGHT, 1), np.float32)
        normals = np.zeros((3, HEIGHT, self.width), np.float32)
        normals[1, 4:] = -1
        return Clip(frames, {"segmentation": labels, "depth": depth * (not self.without_depth), "normals": normals})

    def check(self, length: int, problems: list[str] | None = None) -> None:  # noqa: ARG002
        if length > self.longest:
            raise UserError("too long")

    def files(self, index: int) -> list[Path]:  # noqa: ARG002
        return []

    def manifest(self) -> dict[str, Any]:
        return {"dataset": "nyuv2", "split": "test"}


def draw(source: Any, path: Path, **options: Any) -> np.ndarray[Any, Any]:
    contact_sheet(source, path, **options)
    with Image.open(path) as image:
        assert (image.format, image.mode) == ("PNG", "RGB")
        return np.asarray(image)


def panels(sheet: np.ndarray[Any, Any], colour: tuple[int, int, int], width: int = WIDTH) -> list[tuple[int, int]]:
    """Upper left corners of the pictures that are of this one colour, from top to bottom."""
    same = (sheet == colour).all(2)
    rows = np.flatnonzero(same.any(1))
    tops = rows[np.flatnonzero(np.diff(rows, prepend=-9) > 1)]
    found = [(int(top), int(np.flatnonzero(same[top])[0])) for top in tops]
    assert int(same.sum()) == len(found) * HEIGHT * width * min(384 // width, 384 // HEIGHT) ** 2
    return found


def test_pictures_have_known_colours_at_known_places(tmp_path: Path) -> None:
    sheet = draw(Known(), tmp_path / "sheet.png")
    first, last = panels(sheet, FIRST), panels(sheet, LAST)
    step = WIDTH * TIMES + GAP
    assert [(y, x + step) for y, x in first] == last
    assert [y for y, _ in first] == [first[0][0], first[0][0] + HEIGHT * TIMES + GAP]
    task = NYUV2.task("segmentation")
    for y, x in last:
        labels, depth, normals = (
            sheet[y : y + HEIGHT * TIMES, x + n * step : x + n * step + WIDTH * TIMES] for n in (1, 2, 3)
        )
        void, half = 4 * TIMES, WIDTH * TIMES // 2
        assert (labels[:void] == NOT_ANNOTATED).all()
        assert (labels[void:, :half] == task.colours[11]).all()
        assert (labels[void:, half:] == task.colours[3]).all()
        assert np.abs(depth[:, :half] - (68.0, 1.0, 84.0)).max() <= 1  # viridis from end to end
        assert np.abs(depth[:, half:] - (253.0, 231.0, 37.0)).max() <= 1
        assert (normals[:void] == NOT_ANNOTATED).all()
        assert (normals[void:] == (128, 255, 128)).all()
    below = sheet[last[-1][0] + HEIGHT * TIMES + 2 :]
    for colour in (*task.colours, NOT_ANNOTATED):
        assert (below == colour).all(2).sum() >= 14 * 14, f"the key lacks {colour}"


@pytest.mark.parametrize("suite", [NYUV2, NYUV2_40], ids=lambda suite: suite.name)
@pytest.mark.parametrize("width", [64, 9])
def test_the_key_has_every_class_and_stays_in_its_column(tmp_path: Path, suite: Suite, width: int) -> None:
    source = Known(count=1)
    source.suite, source.width = suite, width
    sheet = draw(source, tmp_path / "sheet.png")
    ((_, x),) = panels(sheet, LAST, width)
    room = max(width * TIMES, 300)
    key = sheet[int(np.flatnonzero((sheet == RULE).all(2).sum(1) > sheet.shape[1] // 2)[-1]) + 1 :]
    key = key[:, x + room + GAP - 1 : x + 2 * room + 2 * GAP - 1]
    for colour in (*suite.task("segmentation").colours, NOT_ANNOTATED):
        assert (key == colour).all(2).sum() >= 14 * 14, f"the key lacks {colour}"
    assert (key[:, -GAP + 1 :] == 255).all()  # nothing runs into the next column
    assert (key[-40:] == 255).all()  # nor is anything cut off below


def test_what_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = record(monkeypatch)
    draw(Known(count=9), tmp_path / "sheet.png", rows=3)
    for text in ("NYUd v2, test", "3 of 9 clips, evenly spread  ·  mode pan  ·  48 × 64 pixels (height × width)"):
        assert text in texts
    for text in ("First frame", "4 frames before", "Annotated frame", "Segmentation", "13 classes", "Depth", "m"):
        assert text in texts
    assert [text for text in texts if text.startswith("clip ")] == ["clip 0", "clip 4", "clip 8"]
    assert [*NYUV2.task("segmentation").classes, "not annotated"] == texts[
        texts.index("bed") : texts.index("window") + 2
    ]
    assert [text for text in texts if text in ("1.0", "2.5", "4.0")] == ["1.0", "2.5", "4.0"]
    assert "one linear scale for all clips;" in texts


def test_a_clip_of_one_frame_has_no_first_frame(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = record(monkeypatch)
    sheet = draw(Known(), tmp_path / "sheet.png", length=1, title="Mine")
    assert not panels(sheet, FIRST)
    assert len(panels(sheet, LAST)) == 2
    assert "First frame" not in texts
    assert "Mine" in texts


@pytest.mark.parametrize(("longest", "expected"), [(9, 5), (5, 5), (3, 3), (1, 1)])
def test_clips_are_as_long_as_the_source_has_them(tmp_path: Path, longest: int, expected: int) -> None:
    source = Known(longest=longest)
    draw(source, tmp_path / "sheet.png")
    assert source.asked == [(0, expected), (1, expected)]


def test_what_cannot_be_read_is_said_in_its_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = record(monkeypatch)
    sheet = draw(Known(count=3, broken=[1]), tmp_path / "sheet.png")
    (above, x), (below, _) = panels(sheet, LAST)
    assert below - above == 2 * (HEIGHT * TIMES + GAP)
    between = sheet[above + HEIGHT * TIMES + 2 : below - 2]
    assert (between == ALARM).all(2).any()
    assert not (between[:, x:] == NYUV2.task("segmentation").colours[11]).all(2).any()
    assert "file 1 is broken; mend it." in texts
    nothing = draw(Known(count=2, broken=[0, 1]), tmp_path / "sheet.png")
    assert not panels(nothing, LAST)


def test_a_target_that_nothing_is_annotated_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = record(monkeypatch)
    sheet = draw(Known(count=1, without_depth=True), tmp_path / "sheet.png")
    ((y, x),) = panels(sheet, LAST)
    depth = sheet[y : y + HEIGHT * TIMES, x + 2 * (WIDTH * TIMES + GAP) :][:, : WIDTH * TIMES]
    assert (depth[:100] == NOT_ANNOTATED).all()
    assert (depth == 255).all(2).any()  # the words
    assert texts.count("not annotated") == 4  # and once in every key


def test_names_are_those_of_the_files(tmp_path: Path, cities: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = record(monkeypatch)
    draw(open_cities(cities, classes=19), tmp_path / "sheet.png", length=2)
    assert "Cityscapes, train" in texts
    assert "aachen_000001_000019" in "".join(texts)
    assert STEM in "".join(texts)
    texts.clear()
    draw(open_tree(write_nyu_tree(tmp_path / "tree")), tmp_path / "sheet.png")
    assert [text for text in texts if text in ("0", "1", "2")] == ["0", "1", "2"]


def test_metres_of_a_street_have_a_logarithmic_scale(
    tmp_path: Path,
    cities: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    texts = record(monkeypatch)
    camera = cities / f"camera/train/bochum/{STEM}_camera.json"
    camera.parent.mkdir(parents=True)
    camera.write_text('{"extrinsic": {"baseline": 0.5}, "intrinsic": {"fx": 2000}}', encoding="utf-8")
    draw(open_cities(cities, depth="metres"), tmp_path / "sheet.png", length=2)
    assert "one logarithmic scale for all clips;" in texts
    # disparities p of 0 to 2047 are 256000 / (p - 1) metres; ends: 1 % of them from either side
    low, middle, high = (float(text) for text in texts if text.replace(".", "").isdigit() and "." in text)
    assert low == pytest.approx(256000 / 2026, rel=0.01)
    assert high == pytest.approx(256000 / 21, rel=0.05)
    assert middle == pytest.approx((low * high) ** 0.5, rel=0.001)
    texts.clear()
    draw(open_cities(cities), tmp_path / "sheet.png", length=2)
    assert "one linear scale for all clips;" in texts  # disparity


def test_a_world_and_a_large_frame(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = record(monkeypatch)
    sheet = draw(WorldClips("street", "val", clips=1, height=200, width=800), tmp_path / "sheet.png", length=2)
    assert "Embedded world street, val" in texts
    assert "disparity / 65535, larger is nearer;" in texts
    assert sheet.shape[1] < 4 * 384 + 400


def test_nothing_half_written_and_no_place_to_write(tmp_path: Path) -> None:
    path = tmp_path / "été 1" / "sheet.png"
    draw(Known(), path)
    before = path.read_bytes()
    draw(Known(), path)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]
    with pytest.raises(UserError, match=r"sheet\.png/a\.png cannot be written"):
        contact_sheet(Known(), path / "a.png")
    for options, message in (({"rows": 0}, "sheet of 0 clips"), ({"length": 10}, "too long")):
        with pytest.raises(UserError, match=message):
            contact_sheet(Known(), path, **options)  # type: ignore[arg-type]
    assert path.read_bytes() == before


def test_letters() -> None:
    canvas = Canvas(100, 400)
    ends = [canvas.text(10, 10, "Depth", **how) for how in ({}, {"bold": True}, {"size": 32})]
    assert 10 + text_width("Depth") == ends[0] < ends[1] < ends[2]
    assert canvas.image.getpixel((399, 99)) == (255, 255, 255)


def test_lines_are_broken_where_words_end() -> None:
    text = "/data/städte 1/gtFine/train/aachen_000001_000019_gtFine_labelIds.png, " + "x" * 200
    lines = wrapped(text, 150)
    assert "".join(lines) == text
    assert all(text_width(line) <= 150 for line in lines)
    assert all(line[-1] in " _/," for line in lines[:3])
    assert wrapped("short", 150) == ["short"]


def record(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Everything that is written from now on."""
    texts: list[str] = []
    write = Canvas.text

    def text(self: Canvas, x: int, y: int, text: str, **how: Any) -> int:
        texts.append(text)
        return write(self, x, y, text, **how)

    monkeypatch.setattr(Canvas, "text", text)
    return texts
