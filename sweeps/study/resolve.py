"""Resolves the settings of runs into configurations, fast enough for thousands of runs.

Config groups are composed once per choice. What runs have in common is read and checked once.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from windtunnel.models.family import parse_count
from windtunnel.sweeps.study.grid import Settings
from windtunnel.train.config.compose import choices, compose_settings, format_choices, groups
from windtunnel.train.config.config import RunConfig
from windtunnel.train.config.resolve import DataDescription, data_spec, describe_data, make_config
from windtunnel.train.config.schema import DataRequest, RunRequest, parse_request
from windtunnel.train.data.prepare import prepare
from windtunnel.train.errors import InputError

# A study decides these itself.
RESERVED_KEYS = ("branch_from", "dry_run", "experiment", "runtime.runs_directory", "runtime.data_directory")
Choices = tuple[str, ...]  # of config groups: ("data=prose", "size=25k")


@dataclass
class Resolver:
    """Resolves the runs of one study, which share the folders of runs and of prepared data."""

    runs_directory: Path
    data_directory: Path
    _composed: dict[Choices, dict[str, Any]] = field(default_factory=dict)
    _sections: dict[tuple[Choices, str, str], Any] = field(default_factory=dict)
    _data: dict[DataRequest, DataDescription] = field(default_factory=dict)

    def request(self, settings: Mapping[str, Any]) -> RunRequest:
        """The validated request of a run. Raises InputError naming the setting."""
        chosen, values = _split(settings)
        composed = self._compose(chosen)
        # A section (`optimizer`) is the composed one with the values put into it. Each such pair is validated once.
        texts = dict.fromkeys(composed, "")
        for key, value in values.items():
            section = key.partition(".")[0]
            texts[section] = f"{texts.get(section, '')}{key}={value!r};"
        keys = [(chosen, section, text) for section, text in texts.items()]
        try:
            return RunRequest(**{key[1]: self._sections[key] for key in keys})
        except KeyError:
            pass
        nested = composed
        for key, value in values.items():
            nested = _set_value(nested, key.split("."), value)
        request = parse_request(nested)
        self._sections.update({key: getattr(request, key[1]) for key in keys})
        return request

    def config(self, request: RunRequest) -> RunConfig:
        """The resolved configuration. Its data hash is `unprepared` until `prepare_data`. Raises InputError."""
        try:
            if request.data not in self._data:
                self._data[request.data] = describe_data(request.data, self.data_directory)
            return make_config(request, self._data[request.data])
        except ValueError as error:  # `models` does not import `train`: its errors are plain ValueErrors
            raise error if isinstance(error, InputError) else InputError(str(error)) from None

    def prepare_data(self, requests: list[RunRequest], progress: Callable[[str], None]) -> None:
        """Prepare the datasets of these runs that are missing."""
        for spec in dict.fromkeys(data_spec(data) for data in dict.fromkeys(request.data for request in requests)):
            prepare(spec, self.data_directory, progress=progress)
        self._data.clear()

    def _compose(self, chosen: Choices) -> dict[str, Any]:
        if chosen not in self._composed:
            try:
                composed = compose_settings(chosen)
            except ValueError as error:  # Hydra's own, where a choice looks like a number
                raise error if isinstance(error, InputError) else InputError(f"{', '.join(chosen)}: {error}") from None
            paths = {"runs_directory": str(self.runs_directory), "data_directory": str(self.data_directory)}
            self._composed[chosen] = {**composed, "runtime": {**composed["runtime"], **paths}}
        return self._composed[chosen]


def _split(settings: Mapping[str, Any]) -> tuple[Choices, Settings]:
    """The choices of config groups, as overrides, and the values of single settings."""
    chosen, values = [], {}
    for key, value in settings.items():
        if key in RESERVED_KEYS:
            raise InputError(f"{key}: not for a study file: the plan sets it")
        if key == "size" and _is_unnamed_count(value):
            chosen.append("size=custom")  # composed once for all sizes that no file names
            values["size.parameters"] = value
        elif key in groups():
            if not isinstance(value, str):  # Hydra's message would be about its own types
                raise InputError(f"{key}={value}: no such choice; there are {', '.join(format_choices(key))}")
            chosen.append(f"{key}={value}")
        else:
            values[key] = value
    units = {key.removeprefix("horizon.") for key in values if key.startswith("horizon.")}
    if len(units) == 1 and "horizon" not in settings:
        chosen.append(f"horizon={units.pop()}")  # an amount implies its unit
    return tuple(chosen), values


def _is_unnamed_count(size: Any) -> bool:
    try:
        parse_count(size)
    except ValueError:
        return False
    return str(size) not in choices("size")


def _set_value(nested: Mapping[str, Any], path: list[str], value: Any) -> dict[str, Any]:
    """A copy with one value set. Unknown keys are found when the request is parsed."""
    if len(path) == 1:
        return {**nested, path[0]: value}
    inner = nested.get(path[0])
    return {**nested, path[0]: _set_value(inner if isinstance(inner, dict) else {}, path[1:], value)}
