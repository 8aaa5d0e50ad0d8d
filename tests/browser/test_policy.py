"""The content policy of the pages in a real browser: their own script and styles work, nothing else does."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Browser

PAGES = ("index.html", "table1-smoke.html", "figure7-smoke.html", "costs.html", "claims-smoke.html", "latency.html")
PLANTED = """
<script>document.title = "planted";</script>
<img src="x" onerror="document.title = 'planted'" alt="">
<img src="https://example.org/x.png" alt="">
<link rel="stylesheet" href="https://example.org/x.css">
<a id="planted" href="javascript:void(document.title = 'planted')">planted</a>
<iframe src="https://example.org/"></iframe>
"""


@pytest.mark.parametrize("name", PAGES)
def test_planted_markup_does_nothing(browser: Browser, reports: Path, tmp_path: Path, name: str) -> None:
    text = (reports / name).read_text()
    path = tmp_path / name
    path.write_text(text.replace("</main>", f"{PLANTED}</main>"))
    page, asked, refused = browser.new_page(), set[str](), set[str]()
    page.on("request", lambda request: asked.add(request.url))
    page.on("requestfailed", lambda request: refused.add(request.url) if request.failure == "csp" else None)
    page.goto(path.as_uri())
    title = page.title()
    page.locator("#planted").click()
    page.wait_for_timeout(100)
    assert page.title() == title != "planted"
    others = {url for url in asked if url != path.as_uri() and not url.startswith("data:")}
    assert others == refused  # by the policy, before anything left the machine
    assert "https://example.org/x.png" in refused
    page.close()


def test_styles_and_pictures_of_the_page_are_shown(browser: Browser, reports: Path) -> None:
    page = browser.new_page(color_scheme="dark")
    page.goto((reports / "figure7-smoke.html").as_uri())
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") not in ("rgb(255, 255, 255)", "")
    loaded = page.locator("img").evaluate_all("images => images.map(image => image.complete && image.naturalWidth > 0)")
    assert loaded
    assert all(loaded)
    page.goto((reports / "index.html").as_uri())
    widths = page.locator(".bar span").evaluate_all("spans => spans.map(span => span.style.width)")
    assert "100.0%" in widths or "100%" in widths
    page.close()
