"""The noise of the points of a fit, and the variance of any quantity that the fit determines.

Intervals are computed at a Huber threshold matched to the residuals (1.345 standard deviations, 95 % efficient for
normal noise), whatever the objective of the fit. At a threshold of 1e-3, a fit of noisier points is one of absolute
deviations, whose curvature cannot be estimated from a few dozen points. Squares stay squares. `declared_noise` is the
noise at the threshold of the objective itself; it replaces that curvature by the density of the residuals at zero.

Points of one run (checkpoints, branches of one trunk) share noise. Its variance is split into a part within runs and a
part between runs, both unbiased, with Satterthwaite's degrees of freedom. That needs far fewer runs than a sandwich
estimate over clusters.

Legend: P points, R replicates, K parameters, U runs, S quantities.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from windtunnel.analysis.laws.law import Array
from windtunnel.analysis.solver.coordinates import AT_BOUND
from windtunnel.analysis.solver.levenberg_marquardt import Solution
from windtunnel.analysis.solver.objective import EFFICIENT_DELTA
from windtunnel.analysis.solver.problem import Problem
from windtunnel.analysis.solver.starts import choose_starts

# Smallest declared threshold, in standard deviations: below it a fit is one of absolute deviations anyway.
MIN_DECLARED_DELTA = 0.05
MAX_RUNS_TO_SPLIT = 1500  # with more, the matrices of the split grow and a sandwich estimate is as good
NOISELESS = 1e-11  # smaller relative residuals are rounding


@dataclass(frozen=True)
class ResidualNoise:
    """The optimum at a Huber threshold, and the noise about it."""

    internal_RK: Array
    delta_R1: Array
    value_R: Array  # the Huber sum at the optimum
    inside_R: Array  # mean second derivative of the loss function
    variance_R: Array  # of a point of weight 1
    correction_R: Array  # of the variances of parameters in small samples: Huber's factor, 1 for least squares
    inverse_RKK: Array  # of J'WJ
    degrees: int  # of freedom
    pseudo_RP: Array  # residuals of the equivalent least squares, times the square root of the weights
    jacobian_RKP: Array  # times the square root of the weights


def residual_noise(problem: Problem, internal_RK: Array) -> ResidualNoise:
    """The noise at the threshold matched to the residuals, after refits from the given optimum (R, K)."""
    if problem.objective.kind == "mse":
        delta_R1 = np.full((len(internal_RK), 1), np.inf)
    else:
        delta_R1 = np.maximum(
            EFFICIENT_DELTA * _standard_deviation(problem, internal_RK)[:, None], problem.objective.delta
        )
    noise = _noise_at(problem, internal_RK, delta_R1, delta_R1)
    # Huber 1981, Robust Statistics, section 7.6.
    share = problem.law.num_parameters / np.shape(problem.target)[-1]
    return replace(noise, correction_R=(1.0 + share * (1.0 - noise.inside_R) / noise.inside_R) ** 2)


def declared_noise(problem: Problem, internal_RK: Array, matched: ResidualNoise) -> ResidualNoise | None:
    """The noise of one fit at the threshold of its objective; None where that is the matched one.

    Too few residuals are inside a threshold far below them for their share to be informative. The mean second
    derivative is the threshold times the density of residuals at zero, estimated by a kernel of one standard deviation
    (Koenker 2005, Quantile Regression, section 3.4).
    """
    delta = problem.deltas()[-1]
    if not delta < float(matched.delta_R1[0, 0]):
        return None
    deviation_R1 = _standard_deviation(problem, internal_RK)[:, None]
    delta_R1 = np.maximum(delta, MIN_DECLARED_DELTA * deviation_R1)
    return _noise_at(problem, internal_RK, delta_R1, np.maximum(deviation_R1, delta_R1))


def _standard_deviation(problem: Problem, internal_RK: Array) -> Array:
    """Robust standard deviation of the residuals, without the K smallest, which the parameters absorb: (R,)."""
    replicates = np.arange(len(internal_RK))
    num_points = np.shape(problem.target)[-1]
    residual_RP = problem.objective.residual(problem.predict(internal_RK), problem.rows(problem.target, replicates))
    size_RP = np.sort(np.abs(residual_RP * np.sqrt(problem.rows(problem.weights, replicates))), axis=1)
    deviation_R = 1.4826 * np.median(size_RP[:, min(problem.law.num_parameters, num_points - 1) :], axis=1)
    return np.asarray(deviation_R)


def _noise_at(problem: Problem, internal_RK: Array, delta_R1: Array, width_R1: Array) -> ResidualNoise:
    """The optimum and the noise at a threshold. The mean second derivative is counted within `width_R1`, which is the
    threshold or more.
    """
    replicates = np.arange(len(internal_RK))
    num_points = np.shape(problem.target)[-1]
    degrees = num_points - problem.law.num_parameters
    root_RP = np.sqrt(problem.rows(problem.weights, replicates))
    solution = _optimum_at(problem, internal_RK, delta_R1)
    residual_RP, jacobian_RKP = problem.residual(solution.internal_RK, replicates)
    clipped_RP = np.clip(residual_RP, -delta_R1, delta_R1)
    with np.errstate(invalid="ignore"):  # squares: both are infinite
        kernel_R = np.where(width_R1 > delta_R1, delta_R1 / width_R1, 1.0)[:, 0]
    inside_R = kernel_R * np.mean(np.abs(residual_RP) <= width_R1, axis=1)
    pseudo_RP = root_RP * clipped_RP / inside_R[:, None]
    jacobian_RKP = jacobian_RKP * root_RP[:, None, :]
    gram_RKK = np.matmul(jacobian_RKP, np.swapaxes(jacobian_RKP, 1, 2))
    diagonal_RK = np.maximum(np.einsum("rkk->rk", gram_RKK), 1e-200)
    scale_RK = diagonal_RK**-0.5
    scaled_RKK = gram_RKK * scale_RK[:, :, None] * scale_RK[:, None, :] + 1e-12 * np.eye(gram_RKK.shape[1])
    return ResidualNoise(
        internal_RK=solution.internal_RK,
        delta_R1=delta_R1,
        value_R=solution.value_R,
        inside_R=inside_R,
        variance_R=np.sum(pseudo_RP**2, axis=1) / max(degrees, 1),
        correction_R=np.ones(len(internal_RK)),
        inverse_RKK=np.linalg.inv(scaled_RKK) * scale_RK[:, :, None] * scale_RK[:, None, :],
        degrees=degrees,
        pseudo_RP=pseudo_RP,
        jacobian_RKP=jacobian_RKP,
    )


def _optimum_at(problem: Problem, internal_RK: Array, delta_R1: Array) -> Solution:
    """The optimum at a threshold. A single fit is also solved from its starts: its optimum may lie in another valley
    than that of the declared threshold. Replicates are near their own.
    """
    if len(internal_RK) > 1:
        return problem.solve(internal_RK, [delta_R1], tolerance=1e-12)
    start_RK = np.concatenate([internal_RK, choose_starts(problem)])
    solution = problem.solve(start_RK, [np.broadcast_to(delta_R1, (len(start_RK), 1))], tolerance=1e-12)
    best = [int(np.argmin(solution.value_R))]
    return Solution(solution.internal_RK[best], solution.value_R[best], solution.decrement_R[best], solution.iterations)


def is_noiseless(noise: ResidualNoise) -> bool:
    return bool(np.all(noise.variance_R < NOISELESS**2))


def fix_at_bounds(problem: Problem, noise: ResidualNoise) -> ResidualNoise:
    """The noise with parameters that ended at a bound fixed there: no first-order interval leaves a bound."""
    coordinates = problem.coordinates
    below_RK = noise.internal_RK <= coordinates.lower_K + AT_BOUND
    free_RK = ~(below_RK | (noise.internal_RK >= coordinates.upper_K - AT_BOUND))
    inverse_RKK = noise.inverse_RKK.copy()
    for study in np.flatnonzero(~free_RK.all(axis=1)):
        free = np.flatnonzero(free_RK[study])
        jacobian_KP = noise.jacobian_RKP[study, free]
        scale_K = np.maximum(np.sqrt(np.sum(jacobian_KP**2, axis=1)), 1e-100)
        scaled_KP = jacobian_KP / scale_K[:, None]
        inverse_RKK[study] = 0.0
        inverse_RKK[study][np.ix_(free, free)] = np.linalg.pinv(scaled_KP @ scaled_KP.T) / np.outer(scale_K, scale_K)
    return replace(noise, inverse_RKK=inverse_RKK)


def quantity_noise(
    noise: ResidualNoise, gradient_SK: Array, run_P: NDArray[Any], study_S: NDArray[np.intp] | None = None
) -> tuple[Array, Array, Array, Array]:
    """The noise of quantities with these gradients in internal coordinates, (S,) each: the variance as if points were
    independent with unit variance, the measured variance, the variance of a new run, and the degrees of freedom.

    study_S: the replicate of each quantity; default: one quantity for each replicate.
    """
    study_S = np.arange(len(gradient_SK)) if study_S is None else study_S
    direction_SK = np.matmul(noise.inverse_RKK[study_S], gradient_SK[:, :, None])[:, :, 0]
    unit_S = np.maximum(np.einsum("sk,sk->s", direction_SK, gradient_SK), 1e-300)
    degrees_S = np.full(len(unit_S), float(noise.degrees))
    variance_S = noise.correction_R[study_S] * noise.variance_R[study_S] * unit_S
    new_run_S = noise.variance_R[study_S]
    runs, run_of_P = np.unique(run_P, return_inverse=True)
    if len(runs) == len(run_P) or len(runs) < 3:
        return unit_S, variance_S, new_run_S, degrees_S
    for study in np.unique(study_S):
        jacobian_KP, pseudo_P = noise.jacobian_RKP[study], noise.pseudo_RP[study]
        of_study = np.flatnonzero(study_S == study)
        influence_SP = direction_SK[of_study] @ jacobian_KP
        if len(runs) > MAX_RUNS_TO_SPLIT:
            score_SU = _by_run(influence_SP * pseudo_P, run_of_P, len(runs))
            factor = len(runs) / (len(runs) - 1) * (len(run_P) - 1) / max(noise.degrees, 1)
            variance_S[of_study] = factor * np.sum(score_SU**2, axis=1)
            degrees_S[of_study] = len(runs) - 1
            continue
        split = _split(jacobian_KP, noise.inverse_RKK[study], pseudo_P, run_of_P, len(runs))
        if split is not None:
            share_S2 = np.stack(
                [np.sum(influence_SP**2, axis=1), np.sum(_by_run(influence_SP, run_of_P, len(runs)) ** 2, axis=1)], 1
            )
            variance_S[of_study], degrees_S[of_study] = split.of_shares(share_S2)
            new_run_S[of_study] = split.within + split.between
    return unit_S, variance_S, new_run_S, degrees_S


def _by_run(values_SP: Array, run_of_P: NDArray[np.intp], num_runs: int) -> Array:
    return np.stack([np.bincount(run_of_P, row_P, num_runs) for row_P in values_SP])


@dataclass(frozen=True)
class _Split:
    """Variance of the noise within runs and between runs. The two quadratic forms of the residuals have the expectation
    `expectation_22 @ (within, between)` and the covariance `covariance_22`.
    """

    within: float
    between: float
    expectation_22: Array
    covariance_22: Array
    max_degrees: float

    def of_shares(self, share_S2: Array) -> tuple[Array, Array]:
        """Variance of quantities with these shares of the two, and Satterthwaite's degrees of freedom."""
        variance_S = share_S2 @ np.array([self.within, self.between])
        sensitivity_S2 = np.linalg.solve(self.expectation_22, share_S2.T).T
        uncertainty_S = np.einsum("si,ij,sj->s", sensitivity_S2, self.covariance_22, sensitivity_S2)
        return variance_S, np.clip(2 * variance_S**2 / np.maximum(uncertainty_S, 1e-300), 1.0, self.max_degrees)


def _split(
    jacobian_KP: Array, inverse_KK: Array, pseudo_P: Array, run_of_P: NDArray[np.intp], num_runs: int
) -> _Split | None:
    """Equates two quadratic forms of the residuals to their expectations; None without variance between runs."""
    summed_KU = _by_run(jacobian_KP, run_of_P, num_runs)
    between_UU = np.diag(np.bincount(run_of_P, minlength=num_runs).astype(np.float64))
    between_UU -= summed_KU.T @ inverse_KK @ summed_KU
    squared_UU = between_UU @ between_UU
    trace_0 = float(len(pseudo_P) - len(jacobian_KP))
    trace_1, trace_2 = float(np.trace(between_UU)), float(np.trace(squared_UU))
    trace_3, trace_4 = float(np.sum(between_UU * squared_UU)), float(np.sum(squared_UU * squared_UU))
    form_2 = np.array([float(pseudo_P @ pseudo_P), float(np.sum(np.bincount(run_of_P, pseudo_P, num_runs) ** 2))])
    expectation_22 = np.array([[trace_0, trace_1], [trace_1, trace_2]])
    if np.linalg.cond(expectation_22) > 1e10:
        return None
    within, between = (float(part) for part in np.linalg.solve(expectation_22, form_2))
    if between <= 0:
        return None
    within = max(within, 0.0)
    cross = within * between
    covariance_22 = 2 * np.array(
        [
            [
                within**2 * trace_0 + 2 * cross * trace_1 + between**2 * trace_2,
                within**2 * trace_1 + 2 * cross * trace_2 + between**2 * trace_3,
            ],
            [
                within**2 * trace_1 + 2 * cross * trace_2 + between**2 * trace_3,
                within**2 * trace_2 + 2 * cross * trace_3 + between**2 * trace_4,
            ],
        ]
    )
    return _Split(within, between, expectation_22, covariance_22, trace_0)
