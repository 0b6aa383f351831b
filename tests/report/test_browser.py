"""The page in a real headless Chromium, from a file and without a network."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.docs import axe_source, faults
from tests.helpers.scored_runs import command

CHROMIUM = shutil.which("chromium")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium: apt-get install chromium"),
]


@pytest.fixture(scope="module")
def file(workshop: Path) -> Path:
    page = workshop / "browsed.html"
    where = ("--runs", workshop / "runs", "--fusions", workshop / "fusions", "--out", page)
    with pytest.MonkeyPatch.context() as patch:
        assert command(patch, "report", "tsn", "tin", "both", *where) == 0
    return page


@pytest.fixture(scope="module")
def browser() -> Iterator[object]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        opened = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.mark.parametrize(("width", "scheme"), [(390, "light"), (1280, "dark")])
def test_the_page_works_on_a_phone_and_on_a_desk(width: int, scheme: str, file: Path, browser: object) -> None:
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme, offline=True)  # type: ignore[attr-defined]
    page = context.new_page()
    said: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(file.as_uri())
    page.wait_for_function(
        "document.querySelectorAll('.chart').length === document.querySelectorAll('.chart[data-drawn] svg').length"
    )
    assert page.locator(".chart svg").count() >= 6
    assert page.locator(".chart svg path").count() > 50
    assert said == []
    assert {url for url in asked if not url.startswith("data:")} == {file.as_uri()}
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    page.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
    serious = [fault for fault in faults(page, axe_source().read_text()) if fault[0] in ("serious", "critical")]
    assert serious == []
    context.close()


def test_tables_sort_and_filter_by_mouse_and_by_keyboard(file: Path, browser: object) -> None:
    page = browser.new_page()  # type: ignore[attr-defined]
    page.goto(file.as_uri())
    table = page.locator("#classes-table-1")
    clips = table.locator("th button", has_text="clips")

    def column(place: int) -> list[str]:
        return [text.strip() for text in table.locator(f"tbody tr:visible td:nth-child({place})").all_inner_texts()]

    clips.click()
    rising = [int(text) for text in column(2)]
    assert rising == sorted(rising)
    assert table.locator("th").nth(1).get_attribute("aria-sort") == "ascending"
    clips.focus()
    page.keyboard.press("Enter")
    assert [int(text) for text in column(2)] == sorted(rising, reverse=True)
    table.locator("th button", has_text="class").first.click()
    names = column(1)
    assert names == sorted(names, key=str.casefold)
    page.locator("#classes-table-1-filter").fill("moving")
    assert column(1) == [name for name in names if "moving" in name]
    assert page.locator("#classes-table-1-count").inner_text().endswith(f"of {len(names)} rows")
    page.close()
