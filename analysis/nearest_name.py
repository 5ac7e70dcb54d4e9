"""The name that somebody meant: for error messages."""

from collections.abc import Collection
from difflib import get_close_matches


def did_you_mean(name: str, names: Collection[str]) -> str:
    """`; did you mean X?`, or nothing where no name is near; capital letters and spaces around a name do not count."""
    plain = {each.casefold().strip(): each for each in reversed([*names])}
    found = get_close_matches(name.casefold().strip(), plain, n=1, cutoff=0.75)
    return f"; did you mean {plain[found[0]]}?" if found else ""
