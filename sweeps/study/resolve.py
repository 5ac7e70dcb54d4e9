"""From settings to resolved runs, fast enough for thousands: groups are composed once per choice, and what runs have in
common is read and checked once.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from windtunnel.models.family import parse_count
from windtunnel.sweeps.study.grid import Settings
from windtunnel.sweeps.study.load import StudyFile
from windtunnel.sweeps.study.yaml_document import Place
from windtunnel.train.config.compose import choices, compose_settings, groups
from windtunnel.train.config.config import RunConfig
from windtunnel.train.config.resolve import FoundData, configuration, data_spec, find_data
from windtunnel.train.config.schema import DataRequest, RunRequest, parse_request
from windtunnel.train.data.prepare import prepare
from windtunnel.train.errors import InputError

# A study decides these itself.
RESERVED = ("branch_from", "dry_run", "experiment", "runtime.runs_directory", "runtime.data_directory")
Choices = tuple[str, ...]


@dataclass
class Resolver:
    """Resolves the runs of one study. Where runs and prepared data lie is the same for all of them."""

    runs_directory: Path
    data_directory: Path
    _composed: dict[Choices, dict[str, Any]] = field(default_factory=dict)
    _sections: dict[tuple[Choices, str, str], Any] = field(default_factory=dict)
    _data: dict[DataRequest, FoundData] = field(default_factory=dict)

    def request(self, settings: Mapping[str, Any]) -> RunRequest:
        """What a run is asked for. Raises InputError naming the setting."""
        chosen, values = self._split(settings)
        if chosen not in self._composed:
            try:
                composed = compose_settings(chosen)
            except ValueError as error:  # Hydra's own, of a choice that it takes for a number
                raise error if isinstance(error, InputError) else InputError(f"{', '.join(chosen)}: {error}") from None
            paths = {"runs_directory": str(self.runs_directory), "data_directory": str(self.data_directory)}
            self._composed[chosen] = {**composed, "runtime": {**composed["runtime"], **paths}}
        composed = self._composed[chosen]
        # A section (`optimizer`) is what was composed and the values put into it: each such pair is checked once.
        given = dict.fromkeys(composed, "")
        for key, value in values.items():
            section = key.partition(".")[0]
            given[section] = f"{given.get(section, '')}{key}={value!r};"
        keys = [(chosen, section, text) for section, text in given.items()]
        try:
            return RunRequest(**{key[1]: self._sections[key] for key in keys})
        except KeyError:
            pass
        nested = composed
        for key, value in values.items():
            nested = _with(nested, key.split("."), value)
        request = parse_request(nested)
        self._sections.update({key: getattr(request, key[1]) for key in keys})
        return request

    def config(self, request: RunRequest) -> RunConfig:
        """The resolved run; its data are `unprepared` until `prepare_data`. Raises InputError."""
        try:
            if request.data not in self._data:
                self._data[request.data] = find_data(request.data, self.data_directory)
            return configuration(request, self._data[request.data])
        except ValueError as error:  # models may not import train: their complaints about a shape are plain
            raise error if isinstance(error, InputError) else InputError(str(error)) from None

    def prepare_data(self, requests: list[RunRequest], progress: Callable[[str], None]) -> None:
        """Every data set of these runs, made now where it is not there."""
        for spec in dict.fromkeys(data_spec(data) for data in dict.fromkeys(request.data for request in requests)):
            prepare(spec, self.data_directory, progress=progress)
        self._data.clear()

    def _split(self, settings: Mapping[str, Any]) -> tuple[Choices, Settings]:
        """Choices of groups, as overrides, and single settings."""
        chosen, values = [], {}
        for key, value in settings.items():
            if key in RESERVED:
                raise InputError(f"{key}: not for a study file; where runs lie is said on the command line")
            if key == "size" and _is_unnamed_count(value):
                chosen.append("size=custom")  # a size that no file names is its count: composed once for all
                values["size.parameters"] = value
            elif key in groups():
                if not isinstance(value, str):  # Hydra would complain about its own types
                    raise InputError(f"{key}={value}: no such choice; there are {', '.join(choices(key))}")
                chosen.append(f"{key}={value}")
            else:
                values[key] = value
        unit = {key.removeprefix("horizon.") for key in values if key.startswith("horizon.")}
        if len(unit) == 1 and "horizon" not in settings:
            chosen.append(f"horizon={unit.pop()}")  # naming an amount names its unit
        return tuple(chosen), values


def _is_unnamed_count(size: Any) -> bool:
    try:
        parse_count(size)
    except ValueError:
        return False
    return str(size) not in choices("size")


def _with(nested: Mapping[str, Any], path: list[str], value: Any) -> dict[str, Any]:
    """A copy with `optimizer.rate` and the like set; what is no setting is found when the request is parsed."""
    if len(path) == 1:
        return {**nested, path[0]: value}
    inner = nested.get(path[0])
    return {**nested, path[0]: _with(inner if isinstance(inner, dict) else {}, path[1:], value)}


Value = TypeVar("Value")
MOST_SHOWN = 4  # settings of a run in a message


@dataclass(frozen=True)
class BlockPlace:
    """A block of the study: the `number`th of `section`."""

    file: StudyFile
    section: str
    number: int

    def named(self, cell: Settings, work: Callable[..., Value], *arguments: object) -> Value:
        """What `work` gives of these arguments, for the run of a cell. Its InputError gets the line of the setting that
        it is about, else that of the block.
        """
        try:
            return work(*arguments)
        except InputError as error:
            raise self._fault(cell, str(error)) from None

    def _fault(self, cell: Settings, message: str) -> InputError:
        begins = re.split(r"[=:]", message)[0].strip()
        settings = {**self.file.study.fixed, **cell}
        if begins in settings:
            return self.file.fault(self._place_of(begins, cell), message)
        # It is about several settings at once: the first that it speaks of, and of which run.
        # In the data's own messages `evaluation_tokens` is `data.evaluation_tokens`.
        spoken = [key for key in settings if key.endswith(f".{begins}")]
        spoken += [key for key in settings if re.search(rf"(?<![\w.]){re.escape(key)}(?![\w.])", message)]
        kin = [key for key in settings if key.startswith(f"{begins}.")]
        shown = ", ".join(f"{key}={value}" for key, value in list(cell.items())[:MOST_SHOWN])
        place = self._place_of((spoken or kin)[0], cell) if spoken or kin else (self.section, self.number)
        return self.file.fault(place, f"{message} (the run of {shown})" if shown else message)

    def _place_of(self, key: str, cell: Settings) -> Place:
        block = (self.file.study.family if self.section == "family" else self.file.study.targets)[self.number]
        here = (self.section, self.number)
        if key in block.grid:
            values = block.grid[key]
            among = [values.index(cell[key])] if isinstance(values, list) and cell[key] in values else []
            return (*here, "grid", key, *among)
        for number, row in enumerate(block.rows or ()):
            if key in row and row.items() <= cell.items():
                return (*here, "rows", number, key)
        return ("fixed", key)
