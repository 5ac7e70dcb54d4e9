"""Hydra around a run: compose `configs/`, accept any count as a size, and put Hydra's errors into one line."""

import re
from collections.abc import Sequence
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Any

from hydra import compose as hydra_compose
from hydra import initialize_config_module
from hydra.core.config_store import ConfigStore
from hydra.errors import HydraException, OverrideParseException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException

from windtunnel.models.family import parse_count
from windtunnel.train.config.schema import RunRequest, parse_request, sibling_keys, unknown_key_message
from windtunnel.train.errors import InputError

CONFIG_MODULE = "windtunnel.configs"
CONFIG_NAME = "config"
HYDRA_ERRORS = (HydraException, OmegaConfBaseException)
_COUNT = re.compile(r"[\d._]+(e\d+)?[kmbt]?", re.IGNORECASE)
_NUMBER_OR_BOOLEAN = re.compile(r"[+-]?[\d._]+(e[+-]?\d+)?|true|false", re.IGNORECASE)


def compose(overrides: Sequence[str]) -> RunRequest:
    """The request that the overrides make. Nothing is prepared or trained. Raises InputError."""
    return parse_request(compose_settings(overrides))


def compose_settings(overrides: Sequence[str]) -> dict[str, Any]:
    """The settings that the overrides make, as nested dicts, not yet validated. Raises InputError."""
    with initialize_config_module(CONFIG_MODULE, version_base="1.3"):
        try:
            return _plain_settings(hydra_compose(CONFIG_NAME, overrides=complete_overrides(overrides)))
        except HYDRA_ERRORS as error:
            raise InputError(format_hydra_error(error)) from None


def request_from_config(config: DictConfig) -> RunRequest:
    """The typed request in a composed configuration. Raises InputError."""
    return parse_request(_plain_settings(config))


def _plain_settings(config: DictConfig) -> dict[str, Any]:
    plain = OmegaConf.to_container(config, resolve=True)
    assert isinstance(plain, dict)
    plain.pop("hydra", None)
    return {str(key): value for key, value in plain.items()}


def complete_overrides(arguments: Sequence[str]) -> list[str]:
    """Command-line arguments in the form that Hydra takes."""
    return quote_choices(infer_horizon_group(arguments))


def infer_horizon_group(arguments: Sequence[str]) -> list[str]:
    """Add `horizon=tokens` to `horizon.tokens=2M`: an amount implies its unit."""
    units = {
        argument.split("=", 1)[0].removeprefix("horizon.") for argument in arguments if argument.startswith("horizon.")
    }
    is_chosen = any(argument.startswith("horizon=") for argument in arguments)
    is_one_unit = len(units) == 1 and units <= set(sibling_keys("horizon."))
    return [*arguments, f"horizon={units.pop()}"] if is_one_unit and not is_chosen else list(arguments)


@cache
def groups() -> tuple[str, ...]:
    """The names of the config groups, for example `size`."""
    return tuple(sorted(path.name for path in resources.files(CONFIG_MODULE).iterdir() if _is_group(path)))


def _is_group(path: Traversable) -> bool:
    return path.is_dir() and any(file.name.endswith(".yaml") for file in path.iterdir())


@cache
def choices(group: str) -> list[str]:
    """The choices of a group; sizes in order of size."""
    files = (resources.files(CONFIG_MODULE) / group).iterdir()
    names = [file.name.removesuffix(".yaml") for file in files if file.name.endswith(".yaml")]
    return sorted(names, key=lambda name: (0, parse_count(name), "") if _COUNT.fullmatch(name) else (1, 0, name))


def format_choices(group: str) -> list[str]:
    """The choices of a group for display: 1M where the file is `1m`. Both are accepted."""
    return [name.upper() if _COUNT.fullmatch(name) and name[-1] in "mb" else name for name in choices(group)]


def quote_choices(arguments: Sequence[str]) -> list[str]:
    """Accept any count as a size (`size=123k`), and quote choices that look like numbers.

    Hydra reads `size=2e5` as a float, which is not a valid choice.
    """
    quoted = []
    for argument in arguments:
        group, _, value = argument.partition("=")
        if group in groups():
            names = value.split(",")
            if group == "size":
                for count in set(names) - set(choices(group)):
                    _register_size(count)
            names = [f"'{name}'" if _NUMBER_OR_BOOLEAN.fullmatch(name) else name for name in names]
            argument = f"{group}={','.join(names)}"
        quoted.append(argument)
    return quoted


def _register_size(count: str) -> None:
    if _COUNT.fullmatch(count):
        shape: dict[str, Any] = dict.fromkeys(("width", "depth", "head_count"))
        ConfigStore.instance().store(group="size", name=count, node={"parameters": count, **shape})


def format_hydra_error(error: Exception) -> str:
    """An error of Hydra or OmegaConf in one line, with the allowed choices."""
    text = str(error)
    if isinstance(error, OverrideParseException):
        reason = " ".join(text.partition("See https")[0].split())
        return f"{reason}; write GROUP=CHOICE or GROUP.NAME=VALUE, and put quotes inside quotes: 'data.spec=\"...\"'"
    ambiguous = re.search(r"Ambiguous value for argument '(.*?)'\s*1\. ", text)
    if ambiguous:
        return (
            f"{ambiguous[1]}: several values need --multirun; write a list as [...], and quote a text that has commas"
        )
    unknown = re.search(r"(?:Could not override|Key) '([^'\s]+)'", text)
    full_key = re.search(r"full_key: (\S+)", text)
    options = re.search(r"Available options in '([^']+)':\s*(.*?)\s*(?:Config search path|$)", text, re.DOTALL)
    absent = re.search(r"Could not find '([^'\s]+)'", text)
    if absent and options:
        return _unknown_choice_message(options[1], absent[1], options[2].split())
    if unknown and isinstance(error.__cause__ or error, ConfigKeyError | ConfigAttributeError):
        key = full_key[1] if full_key else unknown[1]
        allowed = sibling_keys(key)
        if allowed and not key.startswith("hydra"):
            return unknown_key_message(key, allowed if "." in key else list(dict.fromkeys([*allowed, *groups()])))
    if full_key:
        return f"{full_key[1]}: {text.splitlines()[0]}"
    cause = f" ({str(error.__cause__).splitlines()[0]})" if error.__cause__ and str(error.__cause__) else ""
    return " ".join(text.split()) + cause


def _unknown_choice_message(group: str, path: str, hydra_options: Sequence[str]) -> str:
    allowed = format_choices(group) if group in groups() else hydra_options
    more = " or any count such as 123k" if group == "size" else ""
    return f"{group}={path.removeprefix(f'{group}/')}: no such choice (allowed: {', '.join(allowed)}{more})"
