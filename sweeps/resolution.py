"""From settings to resolved runs, fast enough for thousands: groups are composed once per choice, and single settings
are put into a copy of the result.
"""

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from sweeps.cells import Settings
from train.compose import compose_settings, groups
from train.configuration import RunConfig
from train.data.prepare import prepare
from train.errors import InputError
from train.request import RunRequest, parse_request
from train.resolve import data_spec, resolve

# A study decides these itself.
RESERVED = ("branch_from", "dry_run", "experiment", "runtime.runs_directory", "runtime.data_directory")


@dataclass
class Resolver:
    """Resolves the runs of one study. Where runs and prepared data lie is the same for all of them."""

    runs_directory: Path
    data_directory: Path
    _composed: dict[tuple[str, ...], dict[str, Any]] = field(default_factory=dict)

    def request(self, settings: Mapping[str, Any]) -> RunRequest:
        """What a run is asked for. Raises InputError naming the setting."""
        choices, values = self._split(settings)
        if choices not in self._composed:
            self._composed[choices] = compose_settings(choices)
        nested = copy.deepcopy(self._composed[choices])
        for key, value in values.items():
            _put(nested, key, value)
        nested["runtime"] |= {
            "runs_directory": str(self.runs_directory),
            "data_directory": str(self.data_directory),
        }
        return parse_request(nested)

    def config(self, request: RunRequest) -> RunConfig:
        """The resolved run; its data are `unprepared` until `prepare_data`. Raises InputError."""
        try:
            # As a dry run: thousands of runs need not each look whether their data are there.
            return resolve(replace(request, dry_run=True), (), progress=lambda message: None)[0]
        except ValueError as error:  # models may not import train: their complaints about a shape are plain
            raise error if isinstance(error, InputError) else InputError(str(error)) from None

    def prepare_data(self, requests: list[RunRequest], progress: Callable[[str], None]) -> None:
        """Every data set of these runs, made now where it is not there."""
        for spec in dict.fromkeys(data_spec(request.data) for request in requests):
            prepare(spec, self.data_directory, progress=progress)

    def _split(self, settings: Mapping[str, Any]) -> tuple[tuple[str, ...], Settings]:
        """Choices of groups, as overrides, and single settings."""
        choices, values = [], {}
        for key, value in settings.items():
            if key in RESERVED:
                raise InputError(f"{key}: not for a study file; where runs lie is said on the command line")
            if key in groups():
                choices.append(f"{key}={value}")
            else:
                values[key] = value
        unit = {key.removeprefix("horizon.") for key in values if key.startswith("horizon.")}
        if len(unit) == 1 and "horizon" not in settings:
            choices.append(f"horizon={unit.pop()}")  # naming an amount names its unit
        return tuple(choices), values


def _put(nested: dict[str, Any], key: str, value: Any) -> None:
    """Set `optimizer.rate` and the like; what is no setting is found when the request is parsed."""
    *path, name = key.split(".")
    for part in path:
        inner = nested.get(part)
        if not isinstance(inner, dict):
            inner = nested[part] = {}
        nested = inner
    nested[name] = value
