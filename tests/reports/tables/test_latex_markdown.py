"""Tables for papers."""

from __future__ import annotations

from reports.report import Report
from reports.tables.latex_markdown import latex, markdown


def test_latex_is_balanced_and_keeps_blocks_apart(reports: list[Report]) -> None:
    text = reports[0].page.with_suffix(".tex").read_text()
    assert text.count("{") - text.count(r"\{") == text.count("}") - text.count(r"\}")
    tables = text.split(r"\begin{table*}")[1:]
    assert len(tables) == 2
    for table, columns in zip(tables, (11, 11), strict=True):
        assert table.count(r"\begin{tabular}") == table.count(r"\end{tabular}") == 1
        assert rf"{{l{'r' * columns}}}" in table
        body = table[table.index(r"\toprule") : table.index(r"\bottomrule")]
        rows = [line for line in body.splitlines() if line.endswith(r"\\")]
        assert {line.count(" & ") for line in rows} == {columns}
    assert r"MILA (ours) & \textbf{38.1} & \underline{75.1} & \textbf{38.6} & \textbf{16.1} & 23.2" in tables[0]
    assert r"MILA (ours) & \textbf{31.7} $\pm$0.7 & 50.0 $\pm$0.0 & 46.0 $\pm$1.4" in tables[1]
    assert "procedural" not in tables[0]
    assert "measured on procedural videos (rooms)" in tables[1]
    assert r"m $\times$ 100 $\downarrow$" in tables[0]


def test_markdown_has_two_tables(reports: list[Report]) -> None:
    text = reports[0].page.with_suffix(".md").read_text()
    published, measured = text.split("**Measured.**")
    for block in (published, measured):
        lines = [line for line in block.splitlines() if line.startswith("|")]
        assert {line.count("|") for line in lines} == {1 + 1 + 11}
    assert "| MILA (ours) | **38.1** | <u>75.1</u> | **38.6** |" in published
    assert "| MILA (ours) | **31.7** ±0.7 | 50.0 ±0.0 | 46.0 ±1.4 |" in measured
    assert "| Constant predictor |" not in published


def test_names_are_escaped_for_papers() -> None:
    assert latex(r"50 % & a_b \x{~^<|") == (
        r"50 \% \& a\_b \textbackslash{}x\{\textasciitilde{}\textasciicircum{}\textless{}\textbar{}"
    )
    assert markdown("$x^2$") == r"\$x^2\$"  # Markdown has mathematics, too
    assert markdown("a|b *c* <script> & `") == r"a\|b \*c\* \<script\> &amp; \`"
