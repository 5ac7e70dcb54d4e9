"""Learning curve of the best model size at every amount of data, and the growth of that size (`hestness:growth`)."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from windtunnel.analysis.laws.law import Array, Columns, Law, Parameter, Values
from windtunnel.train.errors import InputError

CITATION = "Hestness et al. 2017, arXiv 1712.00409"
GRID = "at least 5 amounts of data a factor 2 apart, at each 4 sizes or more trained to their validation minimum"


def predict(values: Values, columns: Columns) -> Any:
    return values["gamma"] + values["alpha"] * np.exp(values["beta_g"] * np.log(columns["D"]))


def jacobian(values: Values, columns: Columns) -> Array:
    log_D = np.log(columns["D"])
    term_RP = np.exp(values["beta_g"] * log_D)
    return np.stack([term_RP, values["alpha"] * term_RP * log_D, np.ones_like(term_RP)], axis=1)


def best_sizes(columns: Mapping[str, NDArray[Any]]) -> NDArray[np.bool_]:
    """The rows of the size with the lowest mean loss at each D: (P,). All rows where the table has no N or loss."""
    if "N" not in columns or "loss" not in columns:
        return np.ones(len(columns["D"]), dtype=bool)
    chosen_P = np.zeros(len(columns["D"]), dtype=bool)
    for data in np.unique(columns["D"]):
        same_data_P = columns["D"] == data
        sizes = np.unique(columns["N"][same_data_P])
        means = [float(np.mean(columns["loss"][same_data_P & (columns["N"] == size)])) for size in sizes]
        chosen_P |= same_data_P & (columns["N"] == sizes[int(np.argmin(means))])
    return chosen_P


def predict_size(values: Values, columns: Columns) -> Any:
    return values["alpha_s"] * np.exp(values["beta_p"] * np.log(columns["D"]))


GROWTH = Law(
    name="hestness:growth",
    title="Growth of the best model size with data",
    formula="N = alpha_s * D^beta_p",
    citation=CITATION,
    grid=GRID,
    columns=("D",),
    target="N",
    objective="log-mse",
    parameters=(
        Parameter("alpha_s", "best size at D = 1, parameters"),
        Parameter("beta_p", "exponent of growth", positive=False, lower=-5.0, upper=5.0),
    ),
    predict=predict_size,
    linear=("alpha_s",),
    start_grid={"beta_p": (0.2, 0.4, 0.6, 0.8, 1.0, 1.3)},
    couplings=(("alpha_s", "beta_p", "1/D"),),
    rows=best_sizes,
)


def named_part(names: Sequence[str]) -> Law:
    """`hestness:growth`. Raises InputError for any other name."""
    if list(names) != ["growth"]:
        raise InputError(f"hestness:{'+'.join(names)} is not a law; there are hestness and hestness:growth")
    return GROWTH


LAW = Law(
    name="hestness",
    title="Learning curve of the best size at every amount of data",
    formula="L = gamma + alpha * D^beta_g, at the size that is best for each D",
    citation=CITATION,
    grid=GRID,
    columns=("D",),
    parameters=(
        Parameter("alpha", "amplitude, nats per token at D = 1"),
        Parameter("beta_g", "exponent of generalization, below 0", positive=False, lower=-10.0, upper=0.0),
        Parameter("gamma", "irreducible loss, nats per token"),
    ),
    predict=predict,
    jacobian=jacobian,
    linear=("alpha", "gamma"),
    start_grid={"beta_g": (-0.02, -0.03, -0.05, -0.08, -0.12, -0.18, -0.25, -0.35, -0.5, -0.7, -1.0, -1.4)},
    couplings=(("alpha", "beta_g", "1/D"),),
    rows=best_sizes,
    specialize=named_part,
)
