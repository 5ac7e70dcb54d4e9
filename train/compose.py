"""Hydra around a run: compose `configs/`, accept any size by count, and turn Hydra's complaints into one line with the
mend.
"""

import re
from collections.abc import Sequence
from importlib import resources
from typing import Any

from hydra import compose as hydra_compose
from hydra import initialize_config_module
from hydra.core.config_store import ConfigStore
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from train.errors import InputError
from train.request import RunRequest, known_keys, parse_request, unknown_key

CONFIG_MODULE = "configs"
CONFIG_NAME = "config"
COMPLAINTS = (HydraException, OmegaConfBaseException)


def compose(overrides: Sequence[str]) -> RunRequest:
    """The request that these overrides make, without running anything. Raises InputError."""
    offer_counts_as_sizes(overrides)
    with initialize_config_module(CONFIG_MODULE, version_base="1.3"):
        try:
            config = hydra_compose(CONFIG_NAME, overrides=imply_horizon(overrides))
            return request_of(config)
        except COMPLAINTS as error:
            raise InputError(explain(error)) from None


def request_of(config: DictConfig) -> RunRequest:
    """The typed request in a composed configuration."""
    plain = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    assert isinstance(plain, dict)
    plain.pop("hydra", None)
    return parse_request({str(key): value for key, value in plain.items()})


def imply_horizon(arguments: Sequence[str]) -> list[str]:
    """Let `horizon.tokens=2M` do without `horizon=tokens`: naming an amount names its unit."""
    units = {
        argument.split("=", 1)[0].removeprefix("horizon.") for argument in arguments if argument.startswith("horizon.")
    }
    chosen = any(argument.startswith("horizon=") for argument in arguments)
    known = len(units) == 1 and units <= set(known_keys("horizon."))
    return [*arguments, f"horizon={units.pop()}"] if known and not chosen else list(arguments)


def offer_counts_as_sizes(overrides: Sequence[str]) -> None:
    """Let `size=123k` name a group choice without a file of its own: any count is a size."""
    named = {path.name.removesuffix(".yaml") for path in (resources.files(CONFIG_MODULE) / "size").iterdir()}
    shape: dict[str, Any] = dict.fromkeys(("width", "depth", "head_count"))
    for override in overrides:
        if override.startswith("size="):
            for name in override.removeprefix("size=").split(","):
                if name not in named and re.fullmatch(r"[\d._]+(e\d+)?[kKmMbB]?", name):
                    ConfigStore.instance().store(group="size", name=name, node={"parameters": name, **shape})


def explain(error: Exception) -> str:
    """Hydra's or OmegaConf's complaint in one line, with the choices there are."""
    text = str(error)
    missing = re.search(r"Key '([^']+)' (?:is not in struct|not in '[^']*')\s*full_key: (\S+)", text)
    if missing:
        return unknown_key(missing[2], known_keys(missing[2]))
    absent = re.search(r"Could not (?:find|override) '([^'\s]+)'", text)
    options = re.search(r"Available options in '([^']+)':\s*(.*?)\s*(?:Config search path|$)", text, re.DOTALL)
    if absent and options:
        choices = ", ".join(options[2].split())
        return f"{absent[1].replace('/', '=', 1)}: no such choice (allowed for {options[1]}: {choices})"
    unset = re.search(r"Missing mandatory value: (\S+)", text)
    if unset:
        return f"{unset[1]}: must be given; write {unset[1]}=..."
    cause = f" ({str(error.__cause__).splitlines()[0]})" if error.__cause__ and str(error.__cause__) else ""
    return " ".join(text.split()) + cause
