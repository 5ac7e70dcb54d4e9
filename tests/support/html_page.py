"""A page of a report for tests: as a parser sees it, and as Chromium shows and prints it."""

import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync")
FLAGS += ("--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage")
A4_WIDTH = 680  # CSS pixels between the margins
# Runs in a copy of the page and leaves what it measures in `data-` attributes of the body.
MEASURE = """<script>{
const all = (selector) => [...document.querySelectorAll(selector)];
const box = (element) => element.getBoundingClientRect();
const names = (elements) => elements.map(element => element.tagName).join(' ') || 'none';
const data = document.body.dataset;
const isFolded = (part) => box(part).height < box(part.querySelector('summary')).height + 8;
data.parts = all('details').length;
data.folded = all('details').filter(isFolded).length;
const top = (selector) => box(document.querySelector(selector)).top;
data.leadFirst = top('.lead') < top('figure') && top('figure') < top('table') && top('table') < top('details');
data.leadSeen = box(document.querySelector('figure')).bottom < window.innerHeight;
if (OPEN) all('details').forEach(part => { part.open = true; });
const right = document.documentElement.clientWidth + 1;
data.wide = names(all('svg, table, h1, p, figcaption').filter(element => box(element).right > right));
data.small = all('figure svg').filter(svg => box(svg).width < 500).length;
const text = all('caption, td, th, p, figcaption').filter(element => element.getClientRects().length);
data.thin = names(text.filter(element => box(element).width < 30));
data.scrolls = document.documentElement.scrollWidth > document.documentElement.clientWidth;
data.figures = all('figure svg').length;
}</script></body>"""


class Page(HTMLParser):
    """The tags, text and references of a page. Checks that every tag is closed in order.

    `rows` has the cells of all tables, row by row; `parts` the titles of the folded parts.
    """

    VOID = frozenset({"meta", "br", "path", "use", "link", "img"})

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.references: list[str] = []
        self.tags: list[str] = []
        self.words: list[str] = []
        self.rows: list[list[str]] = []
        self.parts: list[str] = []
        self.feed(path.read_text())
        self.close()
        assert self.open == []
        self.text = " ".join(self.words)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in self.VOID:
            self.open.append(tag)
        self._read_attributes(attributes)
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")
        elif tag == "details":
            assert "open" not in dict(attributes)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self._read_attributes(attributes)

    def _read_attributes(self, attributes: list[tuple[str, str | None]]) -> None:
        for name, value in attributes:
            assert not name.startswith("on"), f"a script in an attribute: {name}"
            if name == "id":
                self.ids.append(value or "")
            if name in ("src", "href", "xlink:href", "data", "action"):
                self.references.append(value or "")
            self.references += re.findall(r"url\(([^)]*)\)", value or "")

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data.strip())
        if "td" in self.open or "th" in self.open:
            self.rows[-1][-1] += data
        if self.open[-2:] == ["summary", "h2"]:
            self.parts.append(data)


def measure(text: str, width: int, folder: Path, *, open_parts: bool = False) -> str:
    """The HTML of a page after `MEASURE` ran in a window of that width; `folder` is for temporary files."""
    assert BROWSER is not None
    copy = folder / "measured.html"
    copy.write_text(text.replace("</body>", MEASURE.replace("OPEN", str(open_parts).lower())))
    command = [BROWSER, *FLAGS, f"--user-data-dir={folder / 'profile'}", f"--window-size={width},1000", "--dump-dom"]
    return subprocess.run([*command, copy.as_uri()], capture_output=True, text=True, timeout=120, check=True).stdout


def print_page(page: Path, folder: Path) -> int:
    """The number of sheets that a page prints on."""
    assert BROWSER is not None
    paper = folder / "page.pdf"
    command = [BROWSER, *FLAGS, f"--user-data-dir={folder / 'profile'}", f"--print-to-pdf={paper}", page.as_uri()]
    subprocess.run(command, capture_output=True, timeout=120, check=True)
    return len(re.findall(rb"/Type\s*/Page\b", paper.read_bytes()))
