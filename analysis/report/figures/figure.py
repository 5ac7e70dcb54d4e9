"""A figure drawn once, as an SVG file, a PNG file, and SVG for the page, where colours follow the reader's theme."""

import io
import re
from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

from windtunnel.analysis.report.figures.style import BAND_OPACITY, THEME, WIDTH_INCHES, size_theme, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PNG_DOTS_PER_INCH = 200
FONTS = "'DejaVu Sans', Verdana, 'Liberation Sans', Arial, Helvetica, sans-serif"


@dataclass(frozen=True)
class Drawing:
    """name: of its files. alt: what one sees. caption: what it says, with its numbers."""

    name: str
    title: str
    alt: str
    caption: str
    svg: str
    png: bytes

    def inline(self) -> str:
        """SVG inside a page: its ids are its own, its colours the page's variables, its width the page's."""
        text = self.svg[self.svg.index("<svg") :]
        text = re.sub(r"\bid=\"", f'id="{self.name}-', text)
        text = re.sub(r"url\(#", f"url(#{self.name}-", text)
        text = re.sub(r"href=\"#", f'href="#{self.name}-', text)
        for variable, (light, _) in {**THEME, **size_theme()}.items():
            text = re.sub(rf"{light}\b", f"var(--{variable})", text)
        text = text.replace(f"opacity: {BAND_OPACITY}", "opacity: var(--band)")
        text = re.sub(r"<style.*?</style>", "", text, flags=re.DOTALL)  # it would be the page's; the page has it
        heading, _, rest = text.partition(">")
        heading = re.sub(r' (width|height|version)="[^"]*"', "", heading)
        return f'{heading} role="img" aria-label="{escape(self.alt)}">{rest}'


def draw(
    name: str, title: str, alt: str, caption: str, paint: Callable[["Figure"], None], height_inches: float
) -> Drawing:
    """The figure that `paint` paints. Equal data give equal bytes: no dates, no random ids."""
    from matplotlib.figure import Figure

    with styled(name):
        figure = Figure(figsize=(WIDTH_INCHES, height_inches), layout="constrained")
        paint(figure)
        vector, raster = io.BytesIO(), io.BytesIO()
        figure.savefig(vector, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
        figure.set_layout_engine("none")  # the layout is found, and is the same for both
        figure.savefig(raster, format="png", dpi=PNG_DOTS_PER_INCH, metadata={"Software": None})
    return Drawing(name, title, alt, caption, _tidy(vector.getvalue().decode(), title, alt), raster.getvalue())


def _tidy(svg: str, title: str, alt: str) -> str:
    """Without the document type and the empty metadata; with a title, and fonts that other machines have too."""
    svg = re.sub(r"<!DOCTYPE.*?>\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r"\s*<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = svg.replace("'DejaVu Sans'", FONTS)
    begin = svg.index(">", svg.index("<svg")) + 1
    heading = f"\n <title>{escape(title)}</title>\n <desc>{escape(alt)}</desc>"
    return svg[:begin] + heading + svg[begin:]
