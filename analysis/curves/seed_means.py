"""Curves that differ in their seed alone, as one.

Legend: P points, S seeds.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from windtunnel.analysis.curves.curve import Curve
from windtunnel.analysis.laws.law import Array


def together(twins: Sequence[Curve]) -> tuple[Curve, Array]:
    """The logarithms of the losses of twins where the one that is logged least is, and that one: (S, P). How often runs
    are logged is none of their science, so twins may differ in it.
    """
    sparse = min(twins, key=lambda curve: curve.num_points)
    return sparse, np.array([np.interp(sparse.time_P, curve.time_P, np.log(curve.loss_P)) for curve in twins])


def mean_of(twins: Sequence[Curve]) -> Curve:
    """Their mean, of the logarithms of their losses."""
    sparse, log_SP = together(twins)
    return replace(sparse, loss_P=np.exp(log_SP.mean(axis=0)))
