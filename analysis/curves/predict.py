"""The predicted loss curve of a schedule, and the interval of its final loss.

The interval combines the bootstrap distribution of the parameters with the residual of a whole curve at its end
(`end_noise`): both of the fitted curves and of each when it was predicted from the others. Few curves determine that
residual, so its quantiles are those of Student's t, with one degree of freedom less than there were curves.

Legend: P points, R replicates, Q quantiles.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import ndtri, stdtrit

from windtunnel.analysis.curves.curve import LossCurve
from windtunnel.analysis.laws.law import Array

INTERVAL_LEVEL = 0.90
NUM_QUANTILES = 200
NOTED_LENGTH_RATIO = 1.01  # a schedule longer than the longest fitted curve by this factor gets a note


@dataclass(frozen=True)
class CurvePrediction:
    """The predicted loss at the times of a schedule.

    law, status: of the fit. curve: the schedule. loss_P: nats per token, at `curve.time_P`. interval_90: of the last
    loss; None where the fit has no replicates. beyond: the length of the schedule relative to the longest fitted curve.
    """

    law: str
    status: str
    curve: LossCurve
    loss_P: Array
    interval_90: tuple[float, float] | None
    beyond: float

    @property
    def final_loss(self) -> float:
        return float(self.loss_P[-1])

    @property
    def notes(self) -> list[str]:
        longer = f"{self.beyond:.3g} times as long as the longest fitted curve"
        return [*self.curve.notes, *([longer] if self.beyond > NOTED_LENGTH_RATIO else [])]

    def to_dict(self) -> dict[str, Any]:
        return {
            "law": self.law,
            "status": self.status,
            "schedule": self.curve.name,
            "final": {
                "step": float(self.curve.time_P[-1]),
                "loss": self.final_loss,
                "interval_90": None if self.interval_90 is None else list(self.interval_90),
            },
            "extrapolation": {"steps": self.beyond},
            "curve": {"step": self.curve.time_P.tolist(), "loss": self.loss_P.tolist()},
        }


def final_loss_interval(
    final_R: Array, noise: float, num_curves: int, level: float = INTERVAL_LEVEL
) -> tuple[float, float]:
    """The interval of the final loss of a new run, from that of each replicate and the noise of a curve at its end.
    `num_curves` is the number of curves that the noise was estimated from; 0 where unknown.
    """
    share_Q = (np.arange(NUM_QUANTILES) + 0.5) / NUM_QUANTILES
    noise_Q = noise * (stdtrit(num_curves - 1, share_Q) if num_curves > 1 else ndtri(share_Q))
    ends = (1 - level) / 2, (1 + level) / 2
    low, high = np.quantile(final_R[:, None] * np.exp(noise_Q), ends, method="hazen")  # as share_Q is defined
    return float(low), float(high)
