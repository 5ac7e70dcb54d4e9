"""YAML files validated by pydantic models. Every error is one line that names the file, the line and the fix."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from reprlib import repr as shorten
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from windtunnel.train.errors import InputError

MAX_VALUES = 200_000  # in one file, with aliases expanded
MAX_DEPTH = 60  # of nested lists and mappings
Location = Sequence[str | int]  # ("family", 0, "grid", "size")
Model = TypeVar("Model", bound=BaseModel)


class _RefusedError(yaml.MarkedYAMLError):
    """Valid YAML that no file of ours needs."""


class _Loader(yaml.SafeLoader):
    """Reads booleans as YAML 1.2 does, so that `off` is a string, as in `logging.wandb: off`. Refuses duplicate keys,
    aliases that contain themselves, and files of excessive depth or size.
    """

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self._depth = 0
        self._extents: dict[int, tuple[int, int]] = {}  # node id -> number of values, depth

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise _refused(mark, _TOO_DEEP)
        is_alias = self.check_event(yaml.AliasEvent)
        node = super().compose_node(parent, index)
        self._depth -= 1
        if node is None:
            return None
        if not is_alias:
            self._extents[id(node)] = self._measure(node)
        elif id(node) not in self._extents:
            raise _refused(mark, "an alias refers to a value that contains it: write the value out")
        return node

    def _measure(self, node: yaml.Node) -> tuple[int, int]:
        if isinstance(node, yaml.MappingNode):
            _check_duplicates(node)
            inner = [part for pair in node.value for part in pair]
        else:
            inner = node.value if isinstance(node, yaml.SequenceNode) else []
        extents = [self._extents[id(part)] for part in inner]
        values = 1 + sum(number for number, _ in extents)
        depth = 1 + max((depth for _, depth in extents), default=0)
        if values > MAX_VALUES:
            raise _refused(node.start_mark, f"over {MAX_VALUES:,} values with aliases expanded: shorten it")
        if depth > MAX_DEPTH:
            raise _refused(node.start_mark, _TOO_DEEP)
        return values, depth

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except ValueError as error:  # an impossible date, a number of too many digits
            raise _refused(node.start_mark, f"invalid value {shorten(node.value)}: {error}".split(";")[0]) from None


_TOO_DEEP = f"lists and mappings are nested over {MAX_DEPTH} deep: flatten them"
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:bool" or first in "tTfF"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def _refused(mark: yaml.Mark | None, message: str) -> _RefusedError:
    return _RefusedError(problem=message, problem_mark=mark)


def _check_duplicates(node: yaml.MappingNode) -> None:
    seen: set[str] = set()
    for key, _ in node.value:
        name = str(key.value)
        if name in seen:
            raise _refused(key.start_mark, f"duplicate key {name!r}: keep one")
        seen.add(name)


@dataclass(frozen=True)
class YamlDocument:
    """A mapping read from a file, with the nodes that hold the line of each value."""

    path: Path
    text: str
    content: dict[str, Any]
    root: yaml.Node

    def error_at(self, location: Location, message: str) -> InputError:
        """An error that names the line of a location such as ("family", 0, "grid", "size")."""
        return InputError(f"{self.path}:{line_of(self.root, location)}: {message}")

    @contextmanager
    def located(self, location: Location, prefix: str = "") -> Iterator[None]:
        """Errors raised inside get the line of a location, and a prefix."""
        try:
            yield
        except InputError as error:
            raise self.error_at(location, f"{prefix}{error}") from None

    def validate(self, model: type[Model]) -> Model:
        """The content as that model. Raises InputError for the first mistake."""
        try:
            return model.model_validate(self.content)
        except ValidationError as error:
            raise self._first_mistake(error, model) from None

    def _first_mistake(self, error: ValidationError, model: type[BaseModel]) -> InputError:
        mistakes = error.errors(include_url=False)
        # A union reports one mistake for each of its members. The deepest one is about the intended member.
        first = max(mistakes, key=lambda mistake: (len(mistake["loc"]), mistake["type"] == "extra_forbidden"))
        location = first["loc"]
        name = ".".join(str(part) for part in location if not str(part).startswith(("list[", "LogRange", "function-")))
        message = str(first.get("ctx", {}).get("error", first["msg"]))
        if first["type"] == "extra_forbidden":
            message = f"no such key; there are {', '.join(_allowed_keys(location, model))}"
        elif first["type"] == "missing":
            message = "must be given"
        # A rule over several keys is reported at their mapping. Its message begins with the key to look at.
        line = line_of(self.root, (*location, message.split(":")[0]))
        return InputError(" ".join(f"{self.path}:{line}: {name}: {message}".replace(": : ", ": ").split()))


def read_text(path: Path) -> str:
    """The text of a file. Raises InputError where it cannot be read."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        raise InputError(f"{path}: cannot be read ({reason})") from None


def parse_document(text: str, path: Path, expected: str) -> YamlDocument:
    """The mapping in a text. `expected` is the message where the text is not a mapping. Raises InputError with the
    line.
    """
    try:
        loader = _Loader(text)
        root = loader.get_single_node()
        content = None if root is None else loader.construct_document(root)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        position = getattr(error, "position", 0)  # of a character that YAML does not allow
        line = (mark.line if mark else text.count("\n", 0, position)) + 1
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        kind = "" if isinstance(error, _RefusedError) else "not valid YAML: "
        raise InputError(f"{path}:{line}: {kind}{problem}") from None
    if root is None or not isinstance(content, dict):
        raise InputError(f"{path}: {expected}")
    return YamlDocument(path, text, content, root)


def line_of(root: yaml.Node, location: Location) -> int:
    """The line (from 1) of the deepest part of a location that is in the file."""
    node, line = root, root.start_mark.line
    for step in location:
        if isinstance(node, yaml.MappingNode):
            matches = [(key, value) for key, value in node.value if key.value == str(step)]
            if not matches:
                continue  # the name of a member of a union, which is not in the file
            key, node = matches[0]
            line = key.start_mark.line
        elif isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
            node = node.value[step]
            line = node.start_mark.line
    return int(line) + 1


def _allowed_keys(location: Location, root: type[BaseModel]) -> list[str]:
    model: Any = root
    for step in location[:-1]:
        annotation = (
            model.model_fields[step].annotation if isinstance(step, str) and step in model.model_fields else None
        )
        for part in getattr(annotation, "__args__", (annotation,)):
            inner = getattr(part, "__args__", (part,))[0]
            if isinstance(inner, type) and hasattr(inner, "model_fields"):
                model = inner
    return [field.alias or name for name, field in model.model_fields.items()]
