"""What no YAML file here may hold, found before it is turned into values: keys that stand twice, of which YAML would
silently take the last, and aliases that stand for more than can be read, or for themselves.
"""

from pathlib import Path

import yaml

from train.errors import InputError

MOST_VALUES = 200_000  # that a file may stand for, aliases written out
MOST_DEPTH = 60  # of lists and mappings in each other
TOO_DEEP = f"lists and mappings lie over {MOST_DEPTH} deep in each other: no file needs that"


def refuse_unreadable(root: yaml.Node, path: Path) -> None:
    """Raises InputError naming the line."""
    _Walk(path).measure(root)


class _Walk:
    """Looks at each node once: aliases share theirs."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._measured: dict[int, tuple[int, int]] = {}
        self._within: set[int] = set()

    def measure(self, node: yaml.Node) -> tuple[int, int]:
        """How many values a node stands for, and how deep they lie."""
        if id(node) in self._measured:
            return self._measured[id(node)]
        if id(node) in self._within:
            raise self._fault(node, "an alias stands for a value within itself: write it out")
        if len(self._within) > MOST_DEPTH:
            raise self._fault(node, TOO_DEEP)
        self._within.add(id(node))
        if isinstance(node, yaml.MappingNode):
            self._refuse_twins(node)
            inner = [part for pair in node.value for part in pair]
        else:
            inner = node.value if isinstance(node, yaml.SequenceNode) else []
        found = [self.measure(part) for part in inner]
        values, depth = 1 + sum(number for number, _ in found), 1 + max((deep for _, deep in found), default=0)
        if values > MOST_VALUES:
            raise self._fault(node, f"stands for over {MOST_VALUES:,} values, its aliases written out: shorten it")
        if depth > MOST_DEPTH:
            raise self._fault(node, TOO_DEEP)
        self._within.remove(id(node))
        self._measured[id(node)] = values, depth
        return values, depth

    def _refuse_twins(self, node: yaml.MappingNode) -> None:
        seen: set[str] = set()
        for key, _ in node.value:
            name = str(key.value)
            if name in seen:
                raise self._fault(key, f"{name} stands here for the second time")
            seen.add(name)

    def _fault(self, node: yaml.Node, message: str) -> InputError:
        return InputError(f"{self._path}:{node.start_mark.line + 1}: {message}")


def refuse_deep(text: str, path: Path) -> None:
    """Raises InputError naming the line at which a text goes deeper than it can be read, before it is."""
    depth = 0
    for event in yaml.parse(text, yaml.SafeLoader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MOST_DEPTH:
            line = event.start_mark.line + 1 if event.start_mark else 1
            raise InputError(f"{path}:{line}: {TOO_DEEP}")
