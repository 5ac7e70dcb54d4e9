"""What every page is made of: its frame, paragraphs, figures and tables. All text of the data is escaped."""

from collections.abc import Iterable, Mapping, Sequence
from html import escape

from analysis.report.drawing import Drawing
from analysis.report.page_style import style_sheet


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
