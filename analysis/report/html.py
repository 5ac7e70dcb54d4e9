"""Rendering of pages from the templates of this folder. Every text is escaped unless it is `Markup`."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from windtunnel.analysis.report.figures.style import BAND_OPACITY, SIZE_THEME, THEME
from windtunnel.analysis.report.number_format import format_commit

# CSS variable: light value, dark value
PAGE_THEME = {**THEME, "band": (f"{BAND_OPACITY}", "0.3"), "green-text": ("#00704f", "#3fd0a4"), **SIZE_THEME}


@dataclass(frozen=True)
class HtmlTable:
    """A table of text cells; the first cell of each row is its heading. `numbers` are the right-aligned columns."""

    caption: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    numbers: Sequence[int] = ()
    kind: str = ""


def render(template: str, **content: Any) -> str:
    """The page of a template: one HTML file that needs no other. Equal content gives equal bytes."""
    light, dark = ("; ".join(f"--{name}: {pair[side]}" for name, pair in PAGE_THEME.items()) for side in (0, 1))
    return _environment().get_template(template).render(theme={"light": light, "dark": dark}, **content)


def code(text: str) -> Markup:
    return Markup("<code>{}</code>").format(text)


def keep_together(text: str) -> Markup:
    """Text that breaks into lines only after a comma."""
    return Markup(", ").join(Markup('<span class="nowrap">{}</span>').format(part) for part in text.split(", "))


def warning(text: str) -> Markup:
    """Text in the color of warnings."""
    return Markup('<span class="warning">{}</span>').format(text)


def verdict(word: str) -> Markup:
    """A verdict of the checklist: ok, caution or unknown."""
    return Markup('<span class="verdict {0}">{0}</span>').format(word)


def with_note(text: str, note: str) -> Markup:
    """Text with a smaller line below it."""
    return Markup('{}<br><span class="note">{}</span>').format(text, note)


def seal_table(seals: Iterable[tuple[str, str | None, str | None, str | None]]) -> HtmlTable | None:
    """Law, time, hash and commit of each sealed prediction; None where nothing is sealed."""
    rows = [
        [law, time or "–", code(sealed[:16]), format_commit(commit)] for law, time, sealed, commit in seals if sealed
    ]
    if not rows:
        return None
    return HtmlTable("Predictions sealed before their targets were trained", ("law", "sealed", "seal", "commit"), rows)


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("windtunnel.analysis.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
