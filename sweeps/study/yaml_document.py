"""YAML files typed by pydantic models. A mistake is one line that names the file, its line, and the mend."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from reprlib import repr as shortened
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from windtunnel.train.errors import InputError

Place = Sequence[str | int]
Model = TypeVar("Model", bound=BaseModel)


class _Loader(yaml.SafeLoader):
    """YAML 1.2's booleans: `off` is a word, as in `logging.wandb: off`. What looks like a value and is none, such as an
    impossible date, is a mistake at its line.
    """

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except ValueError as error:
            reason = f"{shortened(node.value)} is no value ({str(error).split(';')[0]})"
            raise yaml.constructor.ConstructorError(None, None, reason, node.start_mark) from None


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in found if tag != "tag:yaml.org,2002:bool" or first in "tTfF"]
    for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


@dataclass(frozen=True)
class YamlDocument:
    """A mapping with where it was read, so that what turns out wrong later can be placed too."""

    path: Path
    text: str
    content: dict[str, Any]
    root: yaml.Node

    def fault(self, place: Place, message: str) -> InputError:
        """The error of something wrong at a place such as ("family", 0, "grid", "size")."""
        return InputError(f"{self.path}:{line_of(self.root, place)}: {message}")

    def typed(self, model: type[Model]) -> Model:
        """The content as that model. Raises InputError naming the line of the first mistake."""
        try:
            return model.model_validate(self.content)
        except ValidationError as error:
            raise self._first_mistake(error, model) from None

    def _first_mistake(self, error: ValidationError, model: type[BaseModel]) -> InputError:
        mistakes = error.errors(include_url=False)
        # A union complains once for each member: the deepest complaint is about what was most nearly meant.
        first = max(mistakes, key=lambda mistake: (len(mistake["loc"]), mistake["type"] == "extra_forbidden"))
        place = first["loc"]
        name = ".".join(str(part) for part in place if not str(part).startswith(("list[", "LogRange", "function-")))
        message = str(first.get("ctx", {}).get("error", first["msg"]))
        if first["type"] == "extra_forbidden":
            message = f"no such key; there are {', '.join(_known(place, model))}"
        elif first["type"] == "missing":
            message = "must be given"
        # A rule over several keys is broken at their mapping; its message begins with the key to look at.
        where = f"{self.path}:{line_of(self.root, (*place, message.split(':')[0]))}"
        return InputError(" ".join(f"{where}: {name}: {message}".replace(": : ", ": ").split()))


def read_text(path: Path) -> str:
    """Raises InputError where there is no readable text."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        raise InputError(f"{path}: cannot be read ({reason})") from None


def parse_document(text: str, path: Path, expected: str) -> YamlDocument:
    """The mapping in a text; `expected` says what it should have been where it is none. Raises InputError naming the
    line.
    """
    try:
        refuse_deep(text, path)
        root = yaml.compose(text, _Loader)
        if root is not None:
            refuse_unreadable(root, path)
        content = yaml.load(text, _Loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        position = getattr(error, "position", 0)  # of a character that no YAML may hold
        where = f"{path}:{(mark.line if mark else text.count(chr(10), 0, position)) + 1}"
        raise InputError(
            f"{where}: not YAML: {getattr(error, 'problem', None) or str(error).splitlines()[0]}"
        ) from None
    if root is None or not isinstance(content, dict):
        raise InputError(f"{path}: {expected}")
    return YamlDocument(path, text, content, root)


def line_of(root: yaml.Node, place: Place) -> int:
    """The line (from 1) of the deepest part of a place that the file has."""
    node, line = root, root.start_mark.line
    for step in place:
        if isinstance(node, yaml.MappingNode):
            found = [(key, value) for key, value in node.value if key.value == str(step)]
            if not found:
                continue  # a member of a union, which is no place in the file
            key, node = found[0]
            line = key.start_mark.line
        elif isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
            node = node.value[step]
            line = node.start_mark.line
    return int(line) + 1


def _known(place: Place, root: type[BaseModel]) -> list[str]:
    model: Any = root
    for step in place[:-1]:
        annotation = (
            model.model_fields[step].annotation if isinstance(step, str) and step in model.model_fields else None
        )
        for part in getattr(annotation, "__args__", (annotation,)):
            inner = getattr(part, "__args__", (part,))[0]
            if isinstance(inner, type) and hasattr(inner, "model_fields"):
                model = inner
    return [field.alias or name for name, field in model.model_fields.items()]


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
