"""The console of every command: no character ends it, no text is taken for markup."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import pytest
from rich.table import Table
from rich.text import Text

from mila.common.console import make_console
from tests.support.paths import ROOT

NASTY = "run [v2] a[/q] [red]:smile: [/]"


def printed(monkeypatch: pytest.MonkeyPatch, encoding: str, text: object) -> str:
    """What a command prints to a file of this encoding, through its console and through `print`."""
    out = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(out, encoding, errors="strict"))
    make_console().print(text)
    print(text if isinstance(text, str) else "")
    sys.stdout.flush()
    return out.getvalue().decode(encoding)


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "utf-8", "utf-16"])
def test_no_character_ends_a_command(monkeypatch: pytest.MonkeyPatch, encoding: str) -> None:
    text = printed(monkeypatch, encoding, "288 × 384 ↑ ± 表 \udcff")
    assert text.count("288 ") == 2
    assert text.count("384 ") == 2
    assert text.splitlines()[0].endswith(" ?")  # a file name's byte that is no character


def test_characters_become_such_as_look_alike_one_for_one(monkeypatch: pytest.MonkeyPatch) -> None:
    assert printed(monkeypatch, "ascii", "288 × 384, ±0.1 ↑ ≤ 0.7 ✓ – “MILA” ü").splitlines()[0] == (
        '288 x 384, ~0.1 ^ < 0.7 + - "MILA" ?'
    )
    assert printed(monkeypatch, "latin-1", "288 × 384, ±0.1 ü ↑").splitlines()[0] == "288 × 384, ±0.1 ü ^"
    assert printed(monkeypatch, "utf-8", "288 × 384 ↑ ü").splitlines()[0] == "288 × 384 ↑ ü"


def test_tables_stay_aligned(monkeypatch: pytest.MonkeyPatch) -> None:
    table = Table("metric", "value")
    table.add_row("mIoU ↑", "31.7 ±0.2")
    table.add_row("Abs. ✗", "表")
    lines = [line.rstrip() for line in printed(monkeypatch, "ascii", table).splitlines() if line.strip()]
    assert len({len(line) for line in lines if "表" not in line}) <= 2  # a wide character takes two columns


def test_brackets_and_colons_are_text(monkeypatch: pytest.MonkeyPatch) -> None:
    assert printed(monkeypatch, "utf-8", NASTY).splitlines() == [NASTY, NASTY]
    table = Table(NASTY, box=None, title=NASTY)
    table.add_row(NASTY)
    assert printed(monkeypatch, "utf-8", table).count(NASTY) == 3


def test_what_is_bold_says_so_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    assert printed(monkeypatch, "utf-8", Text.assemble((NASTY, "bold"), " rest")).splitlines()[0] == f"{NASTY} rest"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
def test_output_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    words = [
        sys.executable,
        "-m",
        "mila.data",
        "export",
        "rooms",
        str(tmp_path / "rooms"),
        "--train",
        "1",
        "--test",
        "1",
    ]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*words, "--height", "24", "--width", "32"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "error: No space left on device; the same command continues."
    assert "Traceback" not in done.stderr
