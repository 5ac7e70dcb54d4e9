"""Equal scientific configurations have equal ids in any process, order and wording; unequal ones have unequal ids."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import Any

import pytest

from tests.support.paths import ROOT
from windtunnel.models.configuration import ModelConfig, Parametrization
from windtunnel.train.config.config import DataConfig, LoggingConfig, OptimizerConfig, RunConfig, RuntimeConfig
from windtunnel.train.config.run_id import compact_count, run_id, scientific_hash, scientific_part
from windtunnel.train.schedules import Schedule

CONFIG = RunConfig(
    model=ModelConfig(
        64, 4, 4, 168, 256, "swiglu", False, False, 1e4, 1e-6, 0.0, Parametrization("mup", 32, 2, 1.0, 1.0, 0.0)
    ),
    optimizer=OptimizerConfig(6e-3, 1024, 0.9, 0.95, 1e-8, 0.1, 1.0),
    schedule=Schedule("wsd", 2000, 400, 400, "1-sqrt", 0.0, 0.0),
    data=DataConfig("a" * 64, 256, 128, None, None, 1.0, 131072, spec="speeches", folder="speeches-0123456789"),
    seed=0,
    runtime=RuntimeConfig("auto", "auto", "auto", 0, 0, "runs", "data", 60.0, 1),
    logging=LoggingConfig(10, (), "off", "windtunnel", None, ()),
)
GOLDEN = "5053295f894987242834cdddd72e19861b9e5e7eaa0dbfdaa17c90622031eaae"


def leaves(node: Any, path: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], bool]]:
    """Every leaf field of the configuration and whether it is scientific."""
    paths = []
    for f in fields(node):
        value, scientific_field = getattr(node, f.name), f.metadata.get("identity", True)
        if is_dataclass(value):
            inner = leaves(value, (*path, f.name))
            paths += [(inner_path, is_scientific and scientific_field) for inner_path, is_scientific in inner]
        else:
            paths.append(((*path, f.name), scientific_field))
    return paths


def changed(node: Any, path: tuple[str, ...]) -> Any:
    """`node` with another value in the leaf at `path`, set without validation."""
    copy = replace(node)
    if len(path) > 1:
        value = changed(getattr(node, path[0]), path[1:])
    else:
        old = getattr(node, path[0])
        value = {bool: lambda: not old, int: lambda: old + 8, float: lambda: old + 0.5, str: lambda: old + "x"}.get(
            type(old), lambda: (3,)
        )()
    object.__setattr__(copy, path[0], value)
    return copy


def test_hash_has_not_changed() -> None:
    assert scientific_hash(CONFIG) == GOLDEN
    assert run_id(CONFIG) == f"195k-speeches-wsd-2.05m-s0-{GOLDEN[:10]}"


@pytest.mark.parametrize(
    ("path", "is_scientific"),
    leaves(CONFIG),
    ids=lambda value: ".".join(value) if isinstance(value, tuple) else str(value),
)
def test_exactly_the_scientific_fields_change_the_hash(path: tuple[str, ...], is_scientific: bool) -> None:
    assert (scientific_hash(changed(CONFIG, path)) != scientific_hash(CONFIG)) == is_scientific


@pytest.mark.slow
def test_run_id_is_equal_in_other_processes() -> None:
    script = (
        "from tests.train.config.test_run_id import CONFIG; from windtunnel.train.config.run_id import run_id\n"
        "print(run_id(CONFIG))"
    )
    for hash_seed in ("0", "1"):
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            [sys.executable, "-c", script], env=environment, check=True, capture_output=True, text=True
        )
        assert done.stdout.strip() == run_id(CONFIG)


def test_new_field_at_its_neutral_value_keeps_the_hash() -> None:
    @dataclass(frozen=True)
    class Later(OptimizerConfig):
        later_momentum: float = field(default=0.0, metadata={"neutral": 0.0})

    later = Later(**{f.name: getattr(CONFIG.optimizer, f.name) for f in fields(CONFIG.optimizer)})
    assert scientific_hash(replace(CONFIG, optimizer=later)) == scientific_hash(CONFIG)
    used = replace(later, later_momentum=0.5)
    assert scientific_hash(replace(CONFIG, optimizer=used)) != scientific_hash(CONFIG)


def test_scientific_part_does_not_depend_on_key_order() -> None:
    content = scientific_part(CONFIG)
    reversed_content = dict(reversed(content.items()))
    assert json.dumps(content, sort_keys=True) == json.dumps(reversed_content, sort_keys=True)


@pytest.mark.parametrize(
    ("overrides", "equivalent"),
    [
        (["horizon=tokens", "horizon.tokens=5120", "horizon.steps=null"], ["horizon=steps", "horizon.steps=40"]),
        (["horizon=tokens", "horizon.tokens=5.12e3", "horizon.steps=null"], ["horizon=steps", "horizon.steps=40"]),
        (["schedule=constant"], ["schedule.decay_fraction=0"]),
        (["schedule=constant"], ["schedule=constant", "schedule.decay_shape=linear", "schedule.final_fraction=0.1"]),
        (["seed=1"], ["seed=1", "runtime.threads=2", "logging.every_steps=2"]),
    ],
)
def test_equivalent_overrides_have_one_run_id(configure, overrides: list[str], equivalent: list[str]) -> None:
    assert run_id(configure(*overrides)) == run_id(configure(*equivalent))


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (999, "999"),
        (24_600, "25k"),
        (2_048_000, "2.05m"),
        (999_900, "1m"),
        (10**9, "1b"),
        (83_000, "83k"),
        (9_998_336, "10m"),
    ],
)
def test_compact_count(count: int, text: str) -> None:
    assert compact_count(count) == text
