"""Seed replicates (curves that differ in their seed alone) combined into one curve.

Legend: P points, S seeds.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from windtunnel.analysis.curves.curve import LossCurve
from windtunnel.analysis.laws.law import Array


def align_seeds(replicates: Sequence[LossCurve]) -> tuple[LossCurve, Array]:
    """The replicate with the fewest points, and the log losses of all replicates at its times: (S, P). Replicates may
    differ in their logging interval.
    """
    sparsest = min(replicates, key=lambda curve: curve.num_points)
    logs = [np.interp(sparsest.time_P, curve.time_P, np.log(curve.loss_P)) for curve in replicates]
    return sparsest, np.array(logs)


def mean_over_seeds(replicates: Sequence[LossCurve]) -> LossCurve:
    """The curve with the geometric mean of the losses of the replicates."""
    sparsest, log_SP = align_seeds(replicates)
    return replace(sparsest, loss_P=np.exp(log_SP.mean(axis=0)))
