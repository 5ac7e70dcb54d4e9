"""From settings to resolved runs, fast enough for thousands: groups are composed once per choice, and what runs have in
common is read and checked once.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from models.family import parse_count
from sweeps.cells import Settings
from train.compose import choices, compose_settings, groups
from train.configuration import RunConfig
from train.data.prepare import prepare
from train.errors import InputError
from train.request import DataRequest, RunRequest, parse_request
from train.resolve import FoundData, configuration, data_spec, find_data

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
