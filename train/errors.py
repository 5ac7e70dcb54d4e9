"""Errors about what the user passed in."""

from collections.abc import Collection
from difflib import get_close_matches


class InputError(ValueError):
    """Invalid user input. The message is one line: what is wrong, where, and how to fix it.

    The command prints it and exits with status 2.
    """


def did_you_mean(name: str, names: Collection[str]) -> str:
    """`; did you mean X?` with the nearest of `names`, or an empty string if none is near.

    Case and surrounding spaces do not count.
    """
    plain = {candidate.casefold().strip(): candidate for candidate in reversed([*names])}
    matches = get_close_matches(name.casefold().strip(), plain, n=1, cutoff=0.75)
    return f"; did you mean {plain[matches[0]]}?" if matches else ""
