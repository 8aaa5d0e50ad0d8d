"""The paper's claims on the paper's own tables."""

from __future__ import annotations

import pytest

from reports.claims.all_claims import CLAIMS
from reports.claims.sources import published
from reports.claims.statements import Verdict
from tests.support.fake_claims import verdict


def by_words(words: str) -> list[Verdict | None]:
    """The verdicts of the paper's own tables on the parts of the one claim with these words."""
    (claim,) = [claim for claim in CLAIMS if words in claim.says]
    return [verdict(s, published) for s in claim.statements]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("by up to 70%” on two", ["holds"]),
        ("up to 90% of FLOPs", ["more than said"] * 2 + ["holds"] * 6),
        ("on-par accuracy", ["less than said", "holds"]),
        ("54% reduction", ["holds", "more than said", "holds", "holds"]),
        ("saving 70% of computational", ["holds"]),
        ("saves 46%", ["does not hold"]),
        ("saving 48%", ["holds"] * 4),
        ("reduces 25%", ["less than said", "holds", "holds", "holds"]),
        ("ranking the 2nd for mIOU", ["in part", "holds", "holds", "holds"]),
        ("more evident when the input size is larger", ["does not hold"] * 2),
        ("takes only 4%", ["holds", "does not hold"]),
        ("more evident in the higher keyframe interval", ["holds"] * 3),
        ("is much faster", ["holds", "holds", None, *["holds"] * 6]),
        ("with minimal computations", ["does not hold"] * 4),
        ("is faster than optical flow", ["holds", "does not hold"]),
        ("a small increase in GFLOPs", ["holds", "holds", "does not hold", "does not hold"]),
        ("heavy task-specific layers", ["holds"] * 4),
        ("robust to non-keyframes", [None] * 4),
        ("combining L1 loss", ["holds", "does not hold"]),
        ("slightly worse performance for normal", ["holds"] * 5),
        ("different weighting strategies", ["holds"] * 2),
        ("originally reported", ["holds"] * 6),
    ],
)
def test_the_paper_s_tables_on_its_claims(words: str, expected: list[Verdict | None]) -> None:
    assert by_words(words) == expected


def test_every_part_names_printed_cells_or_says_why_not() -> None:
    for claim in CLAIMS:
        for statement in claim.statements:
            for cell in statement.cells:
                unprinted = (
                    cell.metric == "latency"
                    or "@" in cell.metric
                    or cell.row in ("Concatenation", "Optical flow, warping")
                    or (cell.metric == "gflops" and cell.table in (3, 4, 6))
                )
                assert (published(cell) is None) == unprinted, cell


def test_every_claim_with_a_number_that_was_asked_for_is_there() -> None:
    words = " ".join(claim.says for claim in CLAIMS)
    for number in ("54%", "46%", "70%", "90%", "48%", "25%", "4%"):
        assert number in words
