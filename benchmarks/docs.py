"""The built site as readers meet it, in headless Chromium, from files and with the network blocked.

    python -m benchmarks.docs build/site [--screens FOLDER]

Every page at the width of a telephone (light) and of a desk (dark): what axe-core finds, what sticks out sideways,
what the page asks for outside of its folder; every link and anchor of it; and whether the search finds something. The
results go to benchmarks/results/docs.csv; exit code 1 where anything is wrong. Needs Debian's `chromium`.
"""

from __future__ import annotations

import argparse
import csv
import shutil
import sys
from dataclasses import asdict, dataclass, fields
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import axe_playwright_python
from playwright.sync_api import Page, sync_playwright

ROOT = Path(__file__).parent.parent
OUT = ROOT / "benchmarks" / "results" / "docs.csv"
PHONE, DESK = 390, 1280
SEARCHED = "interlace"


@dataclass
class Row:
    """What was found on a page; all but the first three columns should be 0 or may be anything that is not serious."""

    page: str
    links: int = 0
    external: int = 0
    broken: int = 0
    requests: int = 0
    sideways: int = 0
    serious: int = 0
    moderate: int = 0

    @property
    def bad(self) -> bool:
        """Whether something must be mended."""
        return bool(self.broken or self.requests or self.sideways or self.serious)


class Links(HTMLParser):
    """The links and the anchors of a page."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.anchors: set[str] = {""}
        self.feed(file.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.anchors |= {value for name in ("id", "name") if (value := found.get(name))}
        target = found.get("href" if tag in ("a", "link") else "src")
        if target:
            self.links.append(target)


def broken_links(site: Path, file: Path, pages: dict[Path, Links]) -> list[str]:
    """The links of a page that lead nowhere."""
    lost = []
    for link in pages[file].links:
        parts = urlsplit(link)
        if parts.scheme or parts.netloc:
            continue
        target = (file.parent / unquote(parts.path)).resolve() if parts.path else file
        anchors = pages[target].anchors if target in pages else {unquote(parts.fragment)}
        if not target.exists() or not target.is_relative_to(site) or unquote(parts.fragment) not in anchors:
            lost.append(f"{file.relative_to(site)}: {link}")
    return lost


def axe_source() -> Path:
    """axe-core's script, which axe-playwright-python holds."""
    return Path(axe_playwright_python.__file__).with_name("axe.min.js")


def faults(page: Page, script: str) -> list[tuple[str, str, str]]:
    """(impact, rule, where) of every element that axe-core complains of."""
    page.evaluate(script)
    found: dict[str, Any] = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        (rule["impact"], rule["id"], " ".join(map(str, node["target"])))
        for rule in found["violations"]
        for node in rule["nodes"]
    ]


def look_at(page: Page, url: str, row: Row, script: str, screen: Path | None) -> list[str]:
    """Open a page in both widths and schemes, and count what is wrong with it into ``row``."""
    said = []
    for width, scheme in ((PHONE, "light"), (DESK, "dark")):
        page.set_viewport_size({"width": width, "height": 900})
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        page.goto(url)
        excess = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
        if excess > 0:
            row.sideways += excess
            said.append(f"{row.page}: sticks out by {excess} pixels at {width}")
        found = faults(page, script)
        serious = [(rule, where) for impact, rule, where in found if impact in ("serious", "critical")]
        row.serious += len(serious)
        row.moderate += len(found) - len(serious)
        for rule in sorted({rule for rule, _ in serious}):
            places = [where for name, where in serious if name == rule]
            said.append(f"{row.page}, {width}, {scheme}: {rule}: {len(places)}, as {places[0]}")
        if screen is not None:
            page.screenshot(path=screen.with_name(f"{screen.name}-{width}-{scheme}.png"))
    return said


def search_results(page: Page, site: Path) -> int:
    """How many pages the site's own search lists."""
    page.goto(f"{(site / 'search.html').as_uri()}?q={SEARCHED}")
    page.wait_for_selector("#search-results li", timeout=20_000)
    page.wait_for_timeout(3000)  # they come one after the other
    return page.locator("#search-results li").count()


def check(site: Path, screens: Path | None) -> tuple[list[Row], list[str]]:
    """A row for each page, and what is wrong in words."""
    pages = {file: Links(file) for file in sorted(site.rglob("*.html"))}
    script = axe_source().read_text()
    rows, said = [], []
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        context = browser.new_context(offline=True)
        page = context.new_page()
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        for file, links in pages.items():
            row = Row(str(file.relative_to(site)), links=len(links.links))
            row.external = sum(bool(urlsplit(link).netloc) for link in links.links)
            lost = broken_links(site, file, pages)
            row.broken = len(lost)
            name = row.page.replace("/", "-").removesuffix(".html")
            said += lost + look_at(page, file.as_uri(), row, script, screens and screens / name)
            outside = {url for url in asked if not url.startswith(("data:", site.as_uri()))}
            row.requests = len(outside)
            said += [f"{row.page}: asks for {url}" for url in outside]
            asked.clear()
            rows.append(row)
        print(f"the search lists {search_results(page, site)} pages for {SEARCHED}")
        browser.close()
    return rows, said


def main() -> int:
    """Check the site, write the results, list the links that lead outside."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("site", type=Path)
    parser.add_argument("--screens", type=Path, help="keep a picture of every page, width and scheme here")
    asked = parser.parse_args()
    site = asked.site.resolve()
    if asked.screens:
        asked.screens.mkdir(parents=True, exist_ok=True)
    rows, said = check(site, asked.screens)
    with OUT.open("w", newline="") as handle:
        writer = csv.DictWriter(handle, [field.name for field in fields(Row)], lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(row) for row in rows)
    outside = {link for file in site.rglob("*.html") for link in Links(file).links if urlsplit(link).netloc}
    print("\n".join(["links that lead outside, not followed:", *sorted(outside)]))
    print("\n".join(said))
    print(f"{len(rows)} pages, {sum(row.bad for row in rows)} with faults")
    return 1 if said else 0


if __name__ == "__main__":
    sys.exit(main())
