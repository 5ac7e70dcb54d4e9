"""The one exception that means: what the user asked for cannot be done, and here is the mend."""

from collections.abc import Collection
from difflib import get_close_matches


class InputError(ValueError):
    """Bad input. The message is one line: what is wrong, where, and the mend. The command prints it and exits with
    status 2.
    """


def did_you_mean(name: str, names: Collection[str]) -> str:
    """`; did you mean X?`, or nothing where no name is near; capital letters and spaces around a name do not count."""
    plain = {each.casefold().strip(): each for each in reversed([*names])}
    found = get_close_matches(name.casefold().strip(), plain, n=1, cutoff=0.75)
    return f"; did you mean {plain[found[0]]}?" if found else ""
