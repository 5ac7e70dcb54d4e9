"""What every page is made of: its frame, paragraphs, figures and tables. All text of the data is escaped."""

from collections.abc import Iterable, Mapping, Sequence
from html import escape

from windtunnel.analysis.report.figures.figure import Drawing
from windtunnel.analysis.report.figures.style import THEME, size_theme


def document(
    title: str,
    source: str,
    lines: Sequence[str],
    bodies: Mapping[str, str],
    headings: Mapping[str, str],
    *,
    refused: bool = False,
) -> str:
    """The page: it needs nothing else. lines: what it says first. bodies: sections by name, as HTML, in their order."""
    parts = [
        "<!DOCTYPE html>",
        '<html lang="en">',
        "<head>",
        '<meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{escape(title)}</title>",
        f"<style>\n{style_sheet()}\n</style>",
        "</head>",
        "<body>",
        "<header>",
        f"<h1>{escape(title)}</h1>",
        f'<p class="source">{escape(source)}</p>',
        f'<div class="headline{" refused" if refused else ""}">{"".join(map(paragraph, lines))}</div>',
        "</header>",
        '<nav aria-label="Sections"><ul>'
        + "".join(f'<li><a href="#{name}">{escape(headings[name])}</a></li>' for name in bodies)
        + "</ul></nav>",
        "<main>",
        *(
            f'<section aria-labelledby="{name}">\n<h2 id="{name}">{escape(headings[name])}</h2>\n{body}\n</section>'
            for name, body in bodies.items()
        ),
        "</main>",
        "</body>",
        "</html>",
    ]
    return "\n".join(parts) + "\n"


def paragraph(text: str) -> str:
    return f"<p>{escape(text)}</p>"


def figure(drawings: Mapping[str, Drawing], name: str) -> str:
    """Nothing where it was not drawn."""
    if name not in drawings:
        return ""
    drawing = drawings[name]
    return (
        f'<figure id="figure-{name}">\n<div class="plot">{drawing.inline()}</div>\n'
        f"<figcaption>{escape(drawing.caption)}</figcaption>\n</figure>"
    )


def table(
    caption: str, header: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: Sequence[int] = (), kind: str = ""
) -> str:
    """rows: cells as HTML, the first of each a heading. numbers: columns that are set to the right."""

    def mark(place: int) -> str:
        return ' class="number"' if place in numbers else ""

    heads = "".join(f'<th scope="col"{mark(place)}>{escape(text)}</th>' for place, text in enumerate(header))
    body = "\n".join(
        f'<tr><th scope="row"{mark(0)}>{first}</th>'
        + "".join(f"<td{mark(place)}>{cell}</td>" for place, cell in enumerate(cells, start=1))
        + "</tr>"
        for first, *cells in rows
    )
    return (
        f'<div class="wide"><table{f" class={kind}" if kind else ""}><caption>{escape(caption)}</caption>'
        f"<thead><tr>{heads}</tr></thead>\n<tbody>\n{body}\n</tbody></table></div>"
    )


def percent(value: float | None, form: str = ".3g") -> str:
    return "–" if value is None else f"{100 * value:{form}} %"


STYLE = """
:root { color-scheme: light dark; LIGHT }
@media screen and (prefers-color-scheme: dark) { :root { DARK } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 48rem; padding: 1.5rem 1.25rem 4rem; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 .25rem; }
h2 { font-size: 1.2rem; margin: 2.5rem 0 .5rem; }
h3 { font-size: 1rem; margin: 1.5rem 0 .25rem; }
p { margin: .5rem 0; }
.source, figcaption, .rule, caption { color: var(--muted); font-size: .875rem; }
.headline { border-left: 4px solid var(--blue); padding: .25rem 0 .25rem 1rem; margin: 1.25rem 0; }
.headline p:first-child { font-size: 1.1rem; font-weight: 600; }
.headline.refused { border-color: var(--red); }
nav ul { display: flex; flex-wrap: wrap; gap: .25rem 1.25rem; padding: 0; margin: 1rem 0; list-style: none; }
a { color: var(--blue); }
figure { margin: 1rem 0 2rem; }
.plot { overflow-x: auto; }
figure svg { display: block; width: 100%; height: auto; min-width: 36rem; }
figure svg * { stroke-linejoin: round; }
figcaption { margin-top: .5rem; }
.wide { overflow-x: auto; margin: .5rem 0 1rem; }
.wide table:not(.checklist) { min-width: 34rem; }
table { border-collapse: collapse; width: 100%; font-size: .875rem; line-height: 1.4; }
caption { text-align: left; padding-bottom: .375rem; }
th, td { text-align: left; vertical-align: top; padding: .375rem .75rem .375rem 0;
  border-bottom: 1px solid var(--grid); }
thead th { border-bottom-color: var(--muted); font-weight: 600; }
thead th { overflow-wrap: normal; }
tbody th { font-weight: 600; min-width: 7.5em; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; overflow-wrap: normal;
  white-space: nowrap; }
.verdict { display: inline-block; min-width: 4.6em; padding: 0 .5em; border-radius: 1em; border: 1px solid currentColor;
  text-align: center; font-size: .8125rem; font-weight: 600; white-space: nowrap; overflow-wrap: normal; }
.ok { color: var(--green-text); } .caution { color: var(--red); } .unknown { color: var(--muted); }
.open { color: var(--red); }
code { font-size: .875em; }
td code, th code { white-space: nowrap; }
.checklist th:first-child { width: 11.5em; }
.checklist th:last-child, .checklist td:last-child { width: 6em; padding-right: 0; }
@media (max-width: 40rem) {
  .checklist, .checklist caption, .checklist tbody, .checklist tr, .checklist th, .checklist td { display: block;
    width: auto !important; border: 0; padding: .125rem 0; }
  .checklist thead { display: none; }
  .checklist tr { border-bottom: 1px solid var(--grid); padding: .5rem 0; }
}
@page { size: A4; margin: 14mm 15mm; }
@media print {
  :root { font-size: 9.5pt; }
  body { max-width: none; padding: 0; font-size: 1rem; line-height: 1.4; background: none; orphans: 2; widows: 2; }
  nav { display: none; }
  h2 { margin-top: 1.5rem; }
  h3 { margin-top: 1rem; }
  figure { margin: .5rem 0 1rem; }
  figure svg { max-width: 158mm; max-height: 100mm; margin: 0 auto; }
  th, td { padding-top: .2rem; padding-bottom: .2rem; }
  figure svg, .wide table:not(.checklist) { min-width: 0; }
  .plot, .wide { overflow: visible; }
  .plot, tr { break-inside: avoid; }
  .plot, h2, h3, caption, thead { break-after: avoid; }
  a { color: inherit; text-decoration: none; }
  .verdict { border-color: currentColor; print-color-adjust: exact; -webkit-print-color-adjust: exact; }
}
"""


def style_sheet() -> str:
    """The sheet, with the colours of the figures as variables."""
    colours = {**THEME, "band": ("0.16", "0.3"), "green-text": ("#00704f", "#3fd0a4"), **size_theme()}
    light = "; ".join(f"--{name}: {pair[0]}" for name, pair in colours.items())
    dark = "; ".join(f"--{name}: {pair[1]}" for name, pair in colours.items())
    return STYLE.replace("LIGHT", light).replace("DARK", dark).strip()
