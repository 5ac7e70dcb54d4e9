"""Columns of the run table that are known before training."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from windtunnel.models.accounting import count_parameters, flops_per_token
from windtunnel.train.config.config import RunConfig


def planned_columns(configs: Sequence[RunConfig]) -> dict[str, NDArray[Any]]:
    """One array (P,) per column, under the names of the run table."""
    rows = [_row(config) for config in configs]
    return {name: np.array([row[name] for row in rows]) for name in rows[0]} if rows else {}


def _row(config: RunConfig) -> dict[str, float | str]:
    parameters = count_parameters(config.model)
    flops = flops_per_token(config.model, config.data.sequence_length)
    tokens = float(config.total_tokens)
    return {
        "N": float(parameters.total),
        "N_non_embedding": float(parameters.non_embedding),
        "N_non_embedding_and_head": float(parameters.non_embedding + config.model.vocabulary_size * config.model.width),
        "N_active": float(parameters.active),
        "D": tokens,
        "U": tokens,  # no token repeats unless `max_epochs` allows it
        "C": flops.six_n_total * tokens,
        "C_non_embedding": flops.six_n_non_embedding * tokens,
        "C_non_embedding_and_head": flops.six_n * tokens,
        "C_exact": flops.exact * tokens,
        "C_exact_causal": flops.exact_causal * tokens,
        "M": tokens / parameters.total,
        "S": float(config.schedule.total_steps),
        "B": float(config.tokens_per_step),
        "seed": float(config.seed),
        "rate": config.optimizer.rate,
        "width": float(config.model.width),
        "depth": float(config.model.depth),
        "schedule": config.schedule.shape,
        "decay_shape": config.schedule.decay_shape,
    }
