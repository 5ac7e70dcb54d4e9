"""Hydra around a run: compose `configs/`, accept any size by count, and turn Hydra's complaints into one line with the
mend.
"""

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
from windtunnel.train.config.schema import RunRequest, known_keys, parse_request, unknown_key
from windtunnel.train.errors import InputError

CONFIG_MODULE = "windtunnel.configs"
CONFIG_NAME = "config"
COMPLAINTS = (HydraException, OmegaConfBaseException)
_COUNT = re.compile(r"[\d._]+(e\d+)?[kmb]?", re.IGNORECASE)
_NOT_A_NAME = re.compile(r"[+-]?[\d._]+(e[+-]?\d+)?|true|false", re.IGNORECASE)


def compose(overrides: Sequence[str]) -> RunRequest:
    """The request that these overrides make, without running anything. Raises InputError."""
    return parse_request(compose_settings(overrides))


def compose_settings(overrides: Sequence[str]) -> dict[str, Any]:
    """The settings that these overrides make, as nested dicts, not yet checked. Raises InputError."""
    with initialize_config_module(CONFIG_MODULE, version_base="1.3"):
        try:
            return _settings_of(hydra_compose(CONFIG_NAME, overrides=complete(overrides)))
        except COMPLAINTS as error:
            raise InputError(explain(error)) from None


def request_of(config: DictConfig) -> RunRequest:
    """The typed request in a composed configuration."""
    return parse_request(_settings_of(config))


def _settings_of(config: DictConfig) -> dict[str, Any]:
    plain = OmegaConf.to_container(config, resolve=True)
    assert isinstance(plain, dict)
    plain.pop("hydra", None)
    return {str(key): value for key, value in plain.items()}


def complete(arguments: Sequence[str]) -> list[str]:
    """Command-line arguments as Hydra takes them, from what people write."""
    return name_choices(imply_horizon(arguments))


def imply_horizon(arguments: Sequence[str]) -> list[str]:
    """Let `horizon.tokens=2M` do without `horizon=tokens`: naming an amount names its unit."""
    units = {
        argument.split("=", 1)[0].removeprefix("horizon.") for argument in arguments if argument.startswith("horizon.")
    }
    chosen = any(argument.startswith("horizon=") for argument in arguments)
    known = len(units) == 1 and units <= set(known_keys("horizon."))
    return [*arguments, f"horizon={units.pop()}"] if known and not chosen else list(arguments)


@cache
def groups() -> tuple[str, ...]:
    """What can be chosen by name, for example `size`."""
    return tuple(sorted(path.name for path in resources.files(CONFIG_MODULE).iterdir() if _is_group(path)))


def _is_group(path: Traversable) -> bool:
    return path.is_dir() and any(file.name.endswith(".yaml") for file in path.iterdir())


@cache
def choices(group: str) -> list[str]:
    """The files of a group, sizes by size."""
    files = (resources.files(CONFIG_MODULE) / group).iterdir()
    names = [file.name.removesuffix(".yaml") for file in files if file.name.endswith(".yaml")]
    return sorted(names, key=lambda name: (0, parse_count(name), "") if _COUNT.fullmatch(name) else (1, 0, name))


def name_choices(arguments: Sequence[str]) -> list[str]:
    """Let any count be a size, as in `size=123k`, and a number be a choice's name: Hydra reads `size=2e5` as a float,
    which no choice can be, so it is quoted.
    """
    named = []
    for argument in arguments:
        group, _, value = argument.partition("=")
        if group in groups():
            values = value.split(",")
            if group == "size":
                for count in set(values) - set(choices(group)):
                    _offer_size(count)
            values = [f"'{each}'" if _NOT_A_NAME.fullmatch(each) else each for each in values]
            argument = f"{group}={','.join(values)}"
        named.append(argument)
    return named


def _offer_size(count: str) -> None:
    if _COUNT.fullmatch(count):
        shape: dict[str, Any] = dict.fromkeys(("width", "depth", "head_count"))
        ConfigStore.instance().store(group="size", name=count, node={"parameters": count, **shape})


def explain(error: Exception) -> str:
    """Hydra's or OmegaConf's complaint in one line, with the choices there are."""
    text = str(error)
    if isinstance(error, OverrideParseException):
        reason = " ".join(text.partition("See https")[0].split())
        return f"{reason}; write GROUP=CHOICE or GROUP.NAME=VALUE, and put quotes inside quotes: 'data.spec=\"...\"'"
    ambiguous = re.search(r"Ambiguous value for argument '(.*?)'\s*1\. ", text)
    if ambiguous:
        return (
            f"{ambiguous[1]}: several values are for --multirun; a list is written [...], a text with commas in quotes"
        )
    unknown = re.search(r"(?:Could not override|Key) '([^'\s]+)'", text)
    full_key = re.search(r"full_key: (\S+)", text)
    options = re.search(r"Available options in '([^']+)':\s*(.*?)\s*(?:Config search path|$)", text, re.DOTALL)
    absent = re.search(r"Could not find '([^'\s]+)'", text)
    if absent and options:
        group = options[1]
        allowed = choices(group) if group in groups() else options[2].split()
        more = " or any count such as 123k" if group == "size" else ""
        name = absent[1].removeprefix(f"{group}/")
        return f"{group}={name}: no such choice (allowed: {', '.join(allowed)}{more})"
    if unknown and isinstance(error.__cause__ or error, ConfigKeyError | ConfigAttributeError):
        key = full_key[1] if full_key else unknown[1]
        known = known_keys(key)
        if known and not key.startswith("hydra"):
            return unknown_key(key, known if "." in key else list(dict.fromkeys([*known, *groups()])))
    if full_key:
        return f"{full_key[1]}: {text.splitlines()[0]}"
    cause = f" ({str(error.__cause__).splitlines()[0]})" if error.__cause__ and str(error.__cause__) else ""
    return " ".join(text.split()) + cause
