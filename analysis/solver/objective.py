"""The objective of a fit, as named data: `log-huber:1e-3`, `log-lad`, `log-mse`, `huber:D`, `lad`, `mse`.

`log-` means residuals of the logarithm. `log-huber:seed-noise` derives the threshold from the seed noise of the table;
once known, it is part of the name: `log-huber:seed-noise=0.0054`. A name may end in `@COLUMN`: points are then weighted
by 1/COLUMN**2, where COLUMN is the standard deviation of each point's residual (its seed noise). Values are sums over
points, not means.

Legend: P points, R replicates.
"""

import math
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from windtunnel.analysis.laws.law import Array, Columns
from windtunnel.train.errors import InputError, did_you_mean

Kind = Literal["huber", "lad", "mse"]
KINDS: tuple[Kind, ...] = get_args(Kind)
DEFAULT_DELTA = 1e-3
# Huber threshold in standard deviations with 95 % efficiency for normal noise.
EFFICIENT_DELTA = 1.345
SEED_NOISE = "seed-noise"
# Least absolute deviations are approximated by a Huber objective of this delta, in the unit of the residuals.
LAD_DELTA = 1e-6


@dataclass(frozen=True)
class Objective:
    """`delta` is the Huber threshold: infinite for squares, `LAD_DELTA` for absolute deviations."""

    kind: Kind
    log: bool
    delta: float
    noise_column: str | None = None
    from_seeds: bool = False  # the threshold follows from the seed noise of a table

    @property
    def name(self) -> str:
        delta = f"{SEED_NOISE}={self.delta:g}" if self.from_seeds else f"{self.delta:g}"
        kind = f"huber:{delta}" if self.kind == "huber" else self.kind
        return ("log-" if self.log else "") + kind + (f"@{self.noise_column}" if self.noise_column else "")

    def residual(self, prediction_RP: NDArray[Any], target_RP: Array) -> NDArray[Any]:
        """Residuals; not finite where the logarithm of a prediction does not exist."""
        if not self.log:
            return prediction_RP - target_RP
        with np.errstate(divide="ignore", invalid="ignore"):
            difference_RP: NDArray[Any] = np.log(prediction_RP) - np.log(target_RP)
        return difference_RP

    def of_residual(self, residual: Array) -> Array:
        """The contribution of each point to the objective."""
        if self.kind == "mse":
            return np.square(residual)
        size = np.abs(residual)
        if self.kind == "lad":
            return size
        return np.where(size <= self.delta, 0.5 * residual**2, self.delta * (size - 0.5 * self.delta))

    def value(self, prediction_RP: Array, target_RP: Array, weights_RP: Array | float = 1.0) -> Array:
        """The objective, summed over points: (R,)."""
        values_RP = self.of_residual(self.residual(prediction_RP, target_RP)) * weights_RP
        return np.asarray(np.where(np.isfinite(values_RP), values_RP, np.inf).sum(axis=-1))

    def weights(self, columns: Columns, num_points: int) -> Array:
        """The weight of each point, of mean 1: (P,)."""
        if self.noise_column is None:
            return np.ones(num_points)
        if self.noise_column not in columns:
            raise InputError(
                f"objective {self.name}: no column {self.noise_column}; the table has {', '.join(sorted(columns))}"
            )
        noise_P = np.asarray(columns[self.noise_column], dtype=np.float64)
        bad = np.flatnonzero(~(np.isfinite(noise_P) & (noise_P > 0)))
        if len(bad):
            raise InputError(
                f"objective {self.name}: {self.noise_column} is {noise_P[bad[0]]:g} in row {bad[0] + 1}; "
                "it must be above 0"
            )
        weights_P = noise_P**-2.0
        return np.asarray(weights_P / weights_P.mean())


def parse_objective(text: "str | Objective", seed_noise: float | None = None) -> Objective:
    """The objective of that name. seed_noise: of the table to fit, for an objective that derives its threshold from it.

    Raises InputError for an unknown name; the message lists the objectives.
    """
    if isinstance(text, Objective):
        return text
    body, at, noise_column = text.partition("@")
    log = body.startswith("log-")
    kind, colon, number = body.removeprefix("log-").partition(":")
    known = "log-huber:DELTA (a number or seed-noise), log-lad, log-mse, huber:DELTA, lad, mse, each also with @COLUMN"
    if kind not in KINDS or (number and kind != "huber"):
        names = [prefix + name for prefix in ("log-", "") for name in KINDS]
        raise InputError(f"no objective named {text!r}; there are {known}{did_you_mean(body.partition(':')[0], names)}")
    if (at and not noise_column) or (colon and not number):
        raise InputError(f"objective {text!r}: write what follows its {'@' if at else ':'}; there are {known}")
    delta = math.inf if kind == "mse" else LAD_DELTA
    seeds, _, resolved = number.partition("=")
    from_seeds = log and seeds == SEED_NOISE
    if from_seeds and not resolved:
        if seed_noise is None:
            raise InputError(
                f"objective {text!r}: the table has no repeated seeds to measure the noise with; "
                "add some, or name a number such as log-huber:1e-3"
            )
        delta = float(f"{max(DEFAULT_DELTA, EFFICIENT_DELTA * seed_noise):.4g}")
    elif kind == "huber":
        number = resolved if from_seeds else number
        try:
            delta = float(number) if number else DEFAULT_DELTA
        except ValueError:
            delta = math.nan
        if not 0 < delta < math.inf:
            raise InputError(f"objective {text!r}: the Huber delta must be a number above 0, such as log-huber:1e-3")
    named: Kind = "huber" if kind == "huber" else "lad" if kind == "lad" else "mse"
    return Objective(named, log, delta, noise_column or None, from_seeds)
