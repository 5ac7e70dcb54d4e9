"""Routed language models: bilinear in the logarithms of size and of a saturating count of experts.

log10 L = a log10 N + b log10 E' + c log10 N log10 E' + d, with N the parameters one token sees and
1/E' = 1/(E - 1 + 1/(1/E_start - 1/E_max)) + 1/E_max, so that E' is E_start for one expert and never above E_max.
"""

from typing import Any

import numpy as np

from windtunnel.analysis.laws.law import Array, Columns, Law, Parameter, Values

LOG_10 = float(np.log(10.0))


def effective_experts(values: Values, experts_P: Array) -> Any:
    """E', the saturating count of experts: (R, P). NaN where E_start is not below E_max."""
    gap_R1 = 1.0 / values["E_start"] - 1.0 / values["E_max"]
    first_R1 = 1.0 / np.where(gap_R1.real > 0, gap_R1, np.nan)
    return 1.0 / (1.0 / (experts_P - 1.0 + first_R1) + 1.0 / values["E_max"])


def predict(values: Values, columns: Columns) -> Any:
    log_N = np.log10(columns["N"])
    log_E_RP = np.log(effective_experts(values, columns["experts"])) / LOG_10
    exponent_RP = values["a"] * log_N + values["b"] * log_E_RP + values["c"] * log_N * log_E_RP + values["d"]
    return np.exp(LOG_10 * exponent_RP)


def starts(columns: Columns, target_P: Array) -> dict[str, Array]:
    """Given E', the logarithm of the loss is linear in the other parameters."""
    log_N, log_L = np.log10(columns["N"]), np.log10(target_P)
    rows = []
    for start in (1.0, 1.3, 2.0, 4.0):
        for most in (30.0, 100.0, 300.0, 1e3, 1e4):
            fixed = {"E_start": np.array([[start]]), "E_max": np.array([[most]])}
            log_E = np.log10(effective_experts(fixed, columns["experts"])[0])
            design = np.stack([log_N, log_E, log_N * log_E, np.ones_like(log_N)], axis=1)
            rows.append([*np.linalg.lstsq(design, log_L, rcond=None)[0], start, most])
    return dict(zip(("a", "b", "c", "d", "E_start", "E_max"), np.array(rows).T, strict=True))


LAW = Law(
    name="routed",
    title="Size and expert count of routed models",
    formula="log10 L = a log10 N + b log10 E' + c log10 N log10 E' + d; "
    "1/E' = 1/(experts - 1 + 1/(1/E_start - 1/E_max)) + 1/E_max",
    citation="Clark et al. 2022, arXiv 2202.01169",
    grid="at least 4 sizes x 4 expert counts, one router, one token budget, dense models as 1 expert",
    columns=("N", "experts"),
    objective="log-mse",
    parameters=(
        Parameter("a", "exponent of size for one effective expert", positive=False),
        Parameter("b", "exponent of the effective expert count at N = 1", positive=False),
        Parameter("c", "interaction: above 0, experts help less as size grows", positive=False),
        Parameter("d", "log10 of the loss at N = 1 with one effective expert", positive=False),
        Parameter("E_start", "effective experts of a dense model", lower=1e-3, upper=1e3),
        Parameter("E_max", "effective experts in the limit of many", lower=1.5, upper=1e9),
    ),
    predict=predict,
    starts=starts,
)
