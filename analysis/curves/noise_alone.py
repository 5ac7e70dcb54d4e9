"""What a law that is exactly right would still be off, because runs stray by their seed: the floor of every score.

Twins tell it: how far each lies from the mean of its target's runs, times sqrt(S / (S - 1)), is as large as how far it
lies from the law, and that over sqrt(S) as large as how far their mean does. The worst point of means is expected over
which of the seeds of a size stands for it under every schedule: runs of one seed share most of their training.

Legend: P points, S seeds of a target, Z sizes, R replicates.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from analysis.curves.curve import Curve
from analysis.curves.curve_seal import PredictedCurve
from analysis.curves.twins import together

REPLICATES = 400


@dataclass(frozen=True)
class NoiseAlone:
    """Shares of the loss, as a law's scores are: of runs, and expected of means over seeds."""

    mean_abs_relative_error: float
    worst: float
    seed_means_mean_abs_relative_error: float
    seed_means_worst: float

    def document(self) -> dict[str, Any]:
        return asdict(self)


def noise_alone(targets: Sequence[PredictedCurve], curves: Mapping[str, Curve]) -> NoiseAlone | None:
    """Over the targets that have twins; None where none has. `curves` are the trained ones by run."""
    twinned = [target for target in targets if len(target.runs) > 1]
    if not twinned:
        return None
    sizes = sorted({target.size for target in twinned})
    most = max(len(target.runs) for target in twinned)
    seed_RZ = np.random.default_rng(0).integers(most, size=(REPLICATES, len(sizes)))
    errors, worst, mean_errors, mean_worst = [], [], [], []
    for target in twinned:
        sparse, log_SP = together([curves[run] for run in target.runs])
        log_SP = log_SP[:, (sparse.time_P >= target.step[0]) & (sparse.time_P <= target.step[-1])]
        seeds = len(log_SP)
        apart_SP = np.abs(log_SP - log_SP.mean(axis=0)) * np.sqrt(seeds / (seeds - 1))
        of_mean_SP = apart_SP / np.sqrt(seeds)
        errors += apart_SP.mean(axis=1).tolist()
        worst.append(apart_SP.max())
        mean_errors.append(of_mean_SP.mean())
        mean_worst.append(of_mean_SP.max(axis=1)[seed_RZ[:, sizes.index(target.size)] % seeds])
    expected_worst = float(np.mean(np.max(mean_worst, axis=0)))
    return NoiseAlone(float(np.mean(errors)), float(np.max(worst)), float(np.mean(mean_errors)), expected_worst)
