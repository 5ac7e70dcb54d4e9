"""A figure as an SVG file, a PNG file, and SVG for the page, where colors follow the theme of the reader."""

import io
import re
from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

from windtunnel.analysis.report.figures.style import BAND_OPACITY, SIZE_THEME, THEME, WIDTH_INCHES, styled

if TYPE_CHECKING:  # matplotlib is slow to import
    from matplotlib.figure import Figure

PNG_DOTS_PER_INCH = 200
FONTS = "'DejaVu Sans', Verdana, 'Liberation Sans', Arial, Helvetica, sans-serif"


@dataclass(frozen=True)
class RenderedFigure:
    """A figure that has been drawn.

    `name` is the stem of its files, `alt` the text for readers who cannot see it, `caption` what it shows, with
    numbers, and `summary` its result in a few words.
    """

    name: str
    title: str
    alt: str
    caption: str
    svg: str
    png: bytes
    summary: str = ""

    def inline(self) -> str:
        """SVG for a page: ids are unique on the page, colors are CSS variables, the width is that of the page."""
        text = self.svg[self.svg.index("<svg") :]
        text = re.sub(r"\bid=\"", f'id="{self.name}-', text)
        text = re.sub(r"url\(#", f"url(#{self.name}-", text)
        text = re.sub(r"href=\"#", f'href="#{self.name}-', text)
        for variable, (light, _) in {**THEME, **SIZE_THEME}.items():
            text = re.sub(rf"{light}\b", f"var(--{variable})", text)
        text = text.replace(f"opacity: {BAND_OPACITY}", "opacity: var(--band)")
        text = re.sub(r"<style.*?</style>", "", text, flags=re.DOTALL)  # would apply to the whole page
        heading, _, rest = text.partition(">")
        heading = re.sub(r' (width|height|version)="[^"]*"', "", heading)
        return f'{heading} role="img" aria-label="{escape(self.alt)}">{rest}'


def render_figure(
    name: str,
    title: str,
    alt: str,
    caption: str,
    paint: Callable[["Figure"], None],
    height_inches: float,
    summary: str = "",
) -> RenderedFigure:
    """Draws the figure that `paint` paints. Equal data give equal bytes: no dates, no random ids."""
    from matplotlib.figure import Figure  # slow to import

    with styled(name):
        figure = Figure(figsize=(WIDTH_INCHES, height_inches), layout="constrained")
        paint(figure)
        vector, raster = io.BytesIO(), io.BytesIO()
        figure.savefig(vector, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
        figure.set_layout_engine("none")  # the PNG keeps the layout of the SVG
        figure.savefig(raster, format="png", dpi=PNG_DOTS_PER_INCH, metadata={"Software": None})
    return RenderedFigure(
        name, title, alt, caption, _clean(vector.getvalue().decode(), title, alt), raster.getvalue(), summary
    )


def _clean(svg: str, title: str, alt: str) -> str:
    """The SVG without document type and metadata, with a title and with fonts that other machines have."""
    svg = re.sub(r"<!DOCTYPE.*?>\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r"\s*<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = svg.replace("'DejaVu Sans'", FONTS)
    begin = svg.index(">", svg.index("<svg")) + 1
    heading = f"\n <title>{escape(title)}</title>\n <desc>{escape(alt)}</desc>"
    return svg[:begin] + heading + svg[begin:]
