"""What the Python API shares: results as text in terminals and notebooks, and checks of arguments."""

import html
from collections.abc import Sequence

from windtunnel.train.errors import InputError


class Text:
    """A result that is shown as its lines of text, also in a notebook."""

    def _lines(self) -> list[str]:
        raise NotImplementedError

    def __repr__(self) -> str:
        return "\n".join(self._lines())

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(repr(self))}</pre>"


def check_level(level: float) -> None:
    """Raises InputError unless the level is between 0 and 1."""
    if not isinstance(level, int | float) or not 0 < level < 1:
        raise InputError(f"level={level}: a level is between 0 and 1, such as 0.9")


def check_count(name: str, value: int) -> None:
    """Raises InputError unless the value is a whole number of at least 0."""
    if not isinstance(value, int) or value < 0:
        raise InputError(f"{name}={value}: give a whole number of at least 0")


def law_names(laws: str | Sequence[str]) -> list[str]:
    """The laws as a list; one name alone is a list of one. Raises InputError where there is none."""
    names = [laws] if isinstance(laws, str) else list(laws)
    if not names or not all(isinstance(name, str) and name for name in names):
        raise InputError(f"laws={laws!r}: name one or more laws, such as laws=['chinchilla', 'general']")
    return names
