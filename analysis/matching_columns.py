"""Laws that read a group of columns, named by a pattern such as `weight_*`, made for the columns a table has."""

from collections.abc import Iterable
from fnmatch import fnmatchcase

from analysis.law import Law
from train.errors import InputError

# Of our own tables: a setting of the optimizer, whose name a pattern of domains (`weight_*`) would match.
NO_PROPORTION = ("weight_decay",)


def for_table(law: Law, names: Iterable[str]) -> Law:
    """`law` itself, or, where it reads patterns, the law of the columns that match, in the table's order. Raises
    InputError where none does.
    """
    if law.specialise is None or not any("*" in column for column in law.columns):
        return law
    every = [name for name in names if name not in NO_PROPORTION]
    matching = [name for name in every if any(fnmatchcase(name, pattern) for pattern in law.columns)]
    if not matching:
        raise InputError(
            f"law {law.name}: no column matches {'+'.join(law.columns)}; the table has {', '.join(sorted(every))}: "
            f"write {law.name.partition(':')[0]}:COLUMN+COLUMN or {law.name.partition(':')[0]}:PATTERN"
        )
    return law.specialise(matching)
