"""Every page in a real browser, from a `file://` address: quiet, without network, legible, accessible, sortable."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import combinations
from pathlib import Path
from typing import Literal

import pytest
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]
from playwright.sync_api import Browser, Page

from reports.plots.scatter import Point, scatter

WIDTHS = (1440, 390)
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
TABLES = ("table1-smoke", "table6a-smoke", "table10-smoke", "table4-smoke")
FIGURES = ("figure4b-smoke", "figure5b-smoke", "figure7-smoke")
COSTS = ("costs", "claims-smoke", "latency")


@contextmanager
def opened(
    browser: Browser, path: Path, width: int, scheme: Literal["light", "dark"]
) -> Iterator[tuple[Page, list[str]]]:
    """A page, and what it complained of or asked for beyond itself."""
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page, complaints = context.new_page(), list[str]()
    page.on("console", lambda message: complaints.append(f"console: {message.text}"))
    page.on("pageerror", lambda error: complaints.append(f"error: {error}"))
    page.on("dialog", lambda dialog: complaints.append(f"dialog: {dialog.message}"))
    own = path.as_uri()
    page.on("request", lambda r: None if r.url == own or r.url.startswith("data:") else complaints.append(r.url))
    page.goto(own)
    try:
        yield page, complaints
    finally:
        context.close()


def some_pages(reports: Path) -> list[Path]:
    """The index, all tables, figures and cost pages, and of the stages' pages one of each kind and state."""
    kinds: dict[str, Path] = {}
    for path in sorted((reports / "stages").glob("*.html")):
        text = path.read_text()
        kind = re.search(r"· (\w+) <code>", text)
        state = re.search(r'<th scope="row">State</th><td>(\w+)</td>', text)
        assert kind is not None, path
        assert state is not None, path
        kinds.setdefault(f"{kind[1]} {state[1]}", path)
    assert {
        "Data done",
        "Training done",
        "Score done",
        "Cost done",
        "Attention done",
        "Video done",
        "Score failed",
        "Score damaged",
        "Score waiting",
    } <= set(kinds)
    return [
        reports / "index.html",
        *(reports / f"{name}.html" for name in (*TABLES, *FIGURES, *COSTS)),
        *kinds.values(),
    ]


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", WIDTHS)
def test_pages_are_quiet_fit_and_are_accessible(
    browser: Browser, reports: Path, width: int, scheme: Literal["light", "dark"]
) -> None:
    violations = []
    for path in some_pages(reports):
        with opened(browser, path, width, scheme) as (page, complaints):
            for details in page.locator("details").all():
                details.evaluate("element => element.open = true")
            wide = page.evaluate("document.documentElement.scrollWidth")
            assert wide <= width, f"{path.name} is {wide} pixels wide"
            found = Axe().run(page).response["violations"]
            violations += [
                (path.name, v["id"], n["html"][:200], n["failureSummary"]) for v in found for n in v["nodes"][:1]
            ]
            assert not complaints, (path.name, complaints)
    assert not violations


def test_every_page_opens_quietly(browser: Browser, reports: Path) -> None:
    page, complaints = browser.new_page(), list[str]()
    page.on("console", lambda message: complaints.append(f"{page.url}: {message.text}"))
    page.on("pageerror", lambda error: complaints.append(f"{page.url}: {error}"))
    for path in sorted(reports.rglob("*.html")):
        page.goto(path.as_uri(), wait_until="commit")
    page.close()
    assert not complaints


def column(page: Page, key: str) -> list[str]:
    cells = page.locator(f'table.results >> nth=0 >> tbody td[data-c="{key}"]')
    values: list[str] = cells.evaluate_all("cells => cells.map(cell => cell.dataset.v)")
    return values


def names(page: Page) -> list[str]:
    texts: list[str] = page.locator("table.results >> nth=0 >> tbody th.name").all_inner_texts()
    return [text.splitlines()[0] for text in texts]


@pytest.mark.parametrize("by", ["mouse", "keyboard"])
def test_headers_sort(browser: Browser, reports: Path, by: str) -> None:
    with opened(browser, reports / "table1-smoke.html", 1440, "light") as (page, complaints):
        printed = names(page)
        head = page.locator('th[data-sort="m-depth_abs"]').first
        button = head.locator("button")

        def press() -> None:
            if by == "mouse":
                button.click()
            else:
                button.focus()
                page.keyboard.press("Enter")

        press()
        assert head.get_attribute("aria-sort") == "ascending"  # lower is better: best first
        values = [float(v) for v in column(page, "m-depth_abs")[:-1]]
        assert values == sorted(values)
        assert names(page)[0] == "MILA (ours)"
        assert names(page)[-1] == "Constant predictor"  # which is no rival
        press()
        assert head.get_attribute("aria-sort") == "descending"
        assert names(page)[0] == "D101-SingleTask"
        press()
        assert head.get_attribute("aria-sort") is None
        assert names(page) == printed
        # Another column takes over; rows without a number come last, before the constant predictor.
        press()
        page.locator('th[data-sort="p-gflops"] button').click()
        assert head.get_attribute("aria-sort") is None
        assert names(page)[0] == "MultiNet++*"  # 40 GFLOPs
        assert not complaints


@pytest.mark.parametrize(
    ("name", "region", "key"),
    [
        ("latency", "Times, ", "stream"),
        ("costs", "Memory of", "state"),
        ("costs", "Costs of the models", "complete-average"),
    ],
)
def test_tables_of_costs_sort(browser: Browser, reports: Path, name: str, region: str, key: str) -> None:
    with opened(browser, reports / f"{name}.html", 1440, "light") as (page, complaints):
        table = page.locator(f'[aria-label^="{region}"] table').first
        head = table.locator(f'th[data-sort="{key}"]')
        head.locator("button").click()
        assert head.get_attribute("aria-sort") == "ascending"  # cheapest first
        values = table.locator(f'td[data-c="{key}"]').evaluate_all("cells => cells.map(cell => Number(cell.dataset.v))")
        assert values == sorted(values)
        assert all(values)
        head.locator("button").click()
        back = table.locator(f'td[data-c="{key}"]').evaluate_all("cells => cells.map(cell => Number(cell.dataset.v))")
        assert back == values[::-1]
        assert not complaints


@pytest.mark.parametrize("name", COSTS)
def test_links_of_costs_lead_somewhere(browser: Browser, reports: Path, name: str) -> None:
    with opened(browser, reports / f"{name}.html", 1440, "light") as (page, _):
        targets = set(page.locator("a").evaluate_all("links => links.map(link => link.getAttribute('href'))"))
        assert len(targets) > 3
        for target in targets:
            place, _, part = target.partition("#")
            file = reports / (place or f"{name}.html")
            assert file.is_file(), target
            assert not part or f'id="{part}"' in file.read_text(), target


def test_wide_plots_scroll_inside_their_box(browser: Browser, reports: Path) -> None:
    with opened(browser, reports / "costs.html", 390, "light") as (page, _):
        inside, box = page.locator(".splits .scroll").first.evaluate("box => [box.scrollWidth, box.clientWidth]")
        assert inside > box
        assert box <= 390


@pytest.mark.parametrize("rows", [6, 11])
def test_labels_of_close_points_do_not_cover_each_other(browser: Browser, rows: int) -> None:
    """As they are drawn: the boxes of all texts of a plot."""
    draw = random.Random(rows)
    points = [
        Point(
            f"Variant {i} of it", 64 + draw.random(), 50 + 4 * draw.random(), None, 0.1, 100 + i if rows > 6 else None
        )
        for i in range(1, rows + 1)
    ]
    figure = scatter("a", points, higher=True, titles=("Title", "below"), x_label="GFLOPs", description="", data="")
    page = browser.new_page(viewport={"width": 1200, "height": 900})
    page.set_content(f"<div style='width: 440px'>{figure.svg}</div>")
    texts = page.locator("svg text").evaluate_all(
        """texts => texts.map((text) => {
            const box = text.getBoundingClientRect();
            return [text.textContent, box.left, box.top + box.height * .2, box.right, box.bottom - box.height * .2];
        })"""  # the height of a line is more than that of its letters
    )
    page.close()
    numbers = [str(100 + i) for i in range(1, rows + 1)] if rows > 6 else []
    assert sorted(text for text, *_ in texts if text in numbers) == sorted(2 * numbers)  # at its point and in the list
    for (text, *a), (other, *b) in combinations(texts, 2):
        apart = a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]
        assert apart, (text, other)


def test_rows_without_numbers_sort_last(browser: Browser, reports: Path) -> None:
    with opened(browser, reports / "table10-smoke.html", 1440, "light") as (page, _):
        missing = names(page)[:3]
        page.locator('th[data-sort="m-miou"] button').first.click()
        assert names(page)[3:6] == missing
        assert missing[0] == "<script>alert('x')</script>"  # just a name


def test_numbers_lead_to_their_stages(browser: Browser, reports: Path) -> None:
    with opened(browser, reports / "table1-smoke.html", 1440, "light") as (page, _):
        cell = page.locator("tr", has=page.locator("th", has_text="MILA (ours)")).locator('td[data-c="m-miou"] a').first
        place = cell.get_attribute("href")
        assert place is not None
        inside = page.locator(f"{place} tbody a").first
        assert not inside.is_visible()
        cell.click()
        assert inside.is_visible()  # the closed details opened
        inside.click()
        assert "/stages/" in page.url
        assert "MILA (ours), seed 0, offset 0" in page.locator("h1").inner_text()
        page.get_by_role("link", name="All reports").click()
        assert page.url == (reports / "index.html").as_uri()


def test_headers_stay_in_sight(browser: Browser, reports: Path) -> None:
    with opened(browser, reports / "table1-smoke.html", 390, "light") as (page, _):
        page.set_viewport_size({"width": 390, "height": 400})
        tops = page.evaluate(
            """() => {
                const table = document.querySelector("table.results"), box = table.parentElement;
                box.scrollTop = 200;
                box.scrollLeft = 200;
                const at = (element) => element.getBoundingClientRect();
                const name = table.querySelector("tbody th.name");
                return [at(box).top, at(table.tHead).top, at(box).left, at(name).left, box.scrollTop];
            }"""
        )
        assert tops[4] == 200
        assert tops[0] == tops[1]
        assert tops[2] == tops[3]


def test_print_shows_whole_tables(browser: Browser, reports: Path) -> None:
    with opened(browser, reports / "table1-smoke.html", 1440, "dark") as (page, _):
        page.emulate_media(media="print", color_scheme="light")
        hidden = page.evaluate(
            """() => [...document.querySelectorAll(".scroll")].filter(
                (box) => getComputedStyle(box).overflowX !== "visible").length"""
        )
        assert hidden == 0
        assert len(page.pdf(format="A4", landscape=True)) > 10_000
