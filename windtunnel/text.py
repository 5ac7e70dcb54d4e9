"""What the results of the Python API share: text in terminals and notebooks, and the check of a level."""

import html

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
    if not 0 < level < 1:
        raise InputError(f"level={level}: a level is between 0 and 1, such as 0.9")
