"""A small configuration with variations."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from windtunnel.models.configuration import ModelConfig, Parametrization

PARAMETRIZATION = Parametrization(
    name="mup", base_width=32, base_depth=2, residual_exponent=1.0, embedding_std=1.0, readout_std=0.0
)
CONFIG = ModelConfig(
    width=32,
    depth=2,
    head_count=2,
    feedforward_width=88,
    vocabulary_size=64,
    activation="swiglu",
    qk_norm=False,
    tied_embedding=False,
    rotary_base=10_000.0,
    norm_epsilon=1e-5,
    z_loss=0.0,
    parametrization=PARAMETRIZATION,
)


@pytest.fixture
def model_config() -> Callable[..., ModelConfig]:
    """Make a configuration from fields of `ModelConfig`, and of its parametrization as `parametrization_<field>`."""

    def make(**overrides: Any) -> ModelConfig:
        prefix = "parametrization_"
        inner = {key.removeprefix(prefix): value for key, value in overrides.items() if key.startswith(prefix)}
        outer = {key: value for key, value in overrides.items() if not key.startswith(prefix)}
        return replace(CONFIG, parametrization=replace(PARAMETRIZATION, **inner), **outer)

    return make
