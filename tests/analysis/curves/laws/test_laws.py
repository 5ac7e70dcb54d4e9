"""Every curve law: its sums against plain loops, its derivatives, and fits that recover its parameters."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from tests.support.synthetic_curves import (
    PEAK,
    TRUTH,
    WARMUP,
    Array,
    make_curve,
    make_query,
    schedules,
    with_law_losses,
)
from windtunnel.analysis.curves.cross_validation import cross_validate
from windtunnel.analysis.curves.fit import fit_curve_law
from windtunnel.analysis.curves.laws import NAMES, curve_law
from windtunnel.analysis.curves.laws.trajectory import specialize
from windtunnel.analysis.curves.problem import CurveProblem
from windtunnel.analysis.curves.schedule_sums import LearningRates
from windtunnel.analysis.solver.objective import parse_objective
from windtunnel.train.errors import InputError


def test_every_law_has_a_truth() -> None:
    assert set(TRUTH) == set(NAMES)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_fit_recovers_the_truth(name: str) -> None:
    law = curve_law(name)
    curves = [make_curve(name, schedule, every=150) for schedule in ("constant", "cosine", "two-stage")]
    fit = fit_curve_law(law, curves)
    assert fit.status == "converged", fit.reason
    assert fit.certificate.starts_agreeing >= 2
    for parameter, value in TRUTH[name].items():
        assert fit.parameters[parameter] == pytest.approx(value, rel=1e-8), parameter
    if law.fitted_points is None:
        unseen = make_curve(name, "decay")
        np.testing.assert_allclose(fit.predict_losses(unseen), unseen.loss_P, rtol=1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_derivatives_equal_finite_differences(name: str) -> None:
    law, values, query = curve_law(name), TRUTH[name], make_query("decay")
    predicted_P, jacobian_KP = law.predict_with_jacobian(values, query)
    np.testing.assert_allclose(predicted_P, law.predict(values, query), rtol=1e-14)
    for index, parameter in enumerate(law.names):
        step = 1e-5 * values[parameter]
        up, down = (law.predict({**values, parameter: values[parameter] + sign * step}, query) for sign in (1, -1))
        difference_P = (up - down) / (2 * step)
        atol = 1e-8 * np.abs(difference_P).max() + 1e-12
        np.testing.assert_allclose(jacobian_KP[index], difference_P, rtol=1e-5, atol=atol)


def sum_over_drops(rate_S: Array, time: int, response: Callable[[int], float]) -> float:
    drops = ((update, rate_S[update - 1] - rate_S[update]) for update in range(WARMUP + 1, time))
    return sum(drop * response(update) for update, drop in drops if drop)


@pytest.mark.parametrize("name", ["cosine", "two-stage", "decay"])
def test_annealing_equals_its_momentum_summed_update_by_update(name: str) -> None:
    values, rate_S, query = TRUTH["annealing"], schedules()[name], make_query(name)
    decay, momentum, second_sum, loss = 1 - 1 / values["memory"], 0.0, 0.0, []
    for update, rate in enumerate(rate_S):
        momentum = decay * momentum + (rate_S[update - 1] - rate if update > WARMUP else 0.0)
        second_sum += momentum
        first_sum = rate_S[: update + 1].sum()
        loss.append(values["L0"] + values["A"] * max(first_sum, 1e-9) ** -values["alpha"] - values["C"] * second_sum)
    expected = np.array(loss)[query.time_P.astype(int) - 1]
    np.testing.assert_allclose(curve_law("annealing").predict(values, query), expected, rtol=1e-5)


@pytest.mark.parametrize("name", ["cosine", "two-stage", "decay"])
def test_multi_power_equals_its_sum_drop_by_drop(name: str) -> None:
    values, rate_S, query = TRUTH["multi-power"], schedules()[name], make_query(name, every=290)
    total_S = np.concatenate([[0.0], np.cumsum(rate_S)])
    expected = []
    for time in query.time_P.astype(int):

        def response(update: int, time: int = time) -> float:
            x = rate_S[update] ** -values["gamma"] * (total_S[time] - total_S[update])
            return float(1 - (1 + values["C"] * x) ** -values["beta"])

        reduction = values["B"] * sum_over_drops(rate_S, time, response)
        expected.append(values["L0"] + values["A"] * total_S[time] ** -values["alpha"] - reduction)
    np.testing.assert_allclose(curve_law("multi-power").predict(values, query), expected, rtol=1e-5)


@pytest.mark.parametrize("name", ["cosine", "two-stage", "decay"])
def test_sublinear_equals_its_sum_drop_by_drop(name: str) -> None:
    values, rate_S, query = TRUTH["sublinear"], schedules()[name], make_query(name, every=290)
    total_S = np.concatenate([[0.0], np.cumsum(rate_S)])
    progress_S = np.concatenate([[0.0], np.cumsum(rate_S ** values["progress_exponent"])])
    expected = []
    for time in query.time_P.astype(int):

        def response(update: int, time: int = time) -> float:
            since = total_S[time] - total_S[update]
            return float(since / (values["memory"] + since))

        reduction = values["B"] * sum_over_drops(rate_S ** values["noise_exponent"], time, response)
        expected.append(values["L0"] + values["A"] * progress_S[time] ** -values["alpha"] - reduction)
    np.testing.assert_allclose(curve_law("sublinear").predict(values, query), expected, rtol=1e-5)


def test_sublinear_at_the_end_of_a_decay_to_zero() -> None:
    """There rate^exponent falls with an unbounded slope in the last updates."""
    rate_S = PEAK * np.minimum(1.0, (3000 - np.arange(3000)) / 600)
    values = TRUTH["sublinear"] | {"noise_exponent": 0.4}
    query = make_query("to zero", every=1, rates=LearningRates.from_updates(rate_S, warmup=0))
    late = query.select(query.time_P >= 2990)
    total_S = np.concatenate([[0.0], np.cumsum(rate_S)])
    progress_S = np.concatenate([[0.0], np.cumsum(rate_S ** values["progress_exponent"])])
    drop_S = np.concatenate([[0.0], -np.diff(rate_S ** values["noise_exponent"])])
    expected = []
    for time in late.time_P.astype(int):
        since_S = total_S[time] - total_S[:time]
        response = np.sum(drop_S[:time] * since_S / (values["memory"] + since_S))
        expected.append(values["L0"] + values["A"] * progress_S[time] ** -values["alpha"] - values["B"] * response)
    np.testing.assert_allclose(curve_law("sublinear").predict(values, late), expected, rtol=2e-4)


@pytest.mark.parametrize("name", ["constant", "cosine", "two-stage"])
def test_functional_equals_its_integral_update_by_update(name: str) -> None:
    values, rate_S, query = TRUTH["functional"], schedules()[name], make_query(name, every=290)
    tau, s, p = values["tau"], values["s"], values["p"]
    total_S = np.concatenate([[0.0], np.cumsum(rate_S)])
    expected = []
    for time in query.time_P.astype(int):
        # Each update is a piece of intrinsic time, over which the kernel is integrated.
        kernel_S = -np.diff((1 + (total_S[time] - total_S[: time + 1]) / tau) ** (1 - p)) / (1 - p)
        source_S = values["F"] * (1 + total_S[:time] / tau) ** -s + values["B"]
        noise = np.sum(kernel_S * source_S * rate_S[:time] / PEAK)
        expected.append(values["L0"] + values["A"] * (1 + total_S[time] / tau) ** -s + noise)
    np.testing.assert_allclose(curve_law("functional").predict(values, query), expected, rtol=5e-5)


def test_rate_that_rises_again_raises_the_loss() -> None:
    rate_S = schedules()["two-stage"].copy()
    rate_S[2000:] = PEAK
    again, never = make_query("two-stage", rates=LearningRates.from_updates(rate_S)), make_query("two-stage")
    for name in ("annealing", "multi-power", "sublinear", "functional", "instantaneous"):
        law = curve_law(name)
        values = {**TRUTH[name], "A": 1e-9}
        difference_P = law.predict(values, again) - law.predict(values, never)
        assert (difference_P[again.time_P > 2100] > 0).all()
        np.testing.assert_allclose(difference_P[again.time_P <= 2000], 0, atol=1e-6)


@pytest.mark.slow
def test_trajectory_over_sizes_and_batch_sizes() -> None:
    truth = {"N_c": 1.5e14, "alpha_N": 0.076, "S_c": 2.6e3, "alpha_S": 0.67, "B_star": 1.7e8, "alpha_B": 0.205}
    queries = [
        replace(make_query("constant", every=300), name=f"{size}-{batch}", size=size, batch=batch)
        for size, batch in ((1e6, 2e4), (1e6, 5e5), (4e6, 1e5), (16e6, 2e4))
    ]
    law = specialize(queries)
    curves = [with_law_losses(law, truth, query) for query in queries]
    for curve in curves:  # the losses solve the implicit equation
        assert curve.size is not None
        assert curve.batch is not None
        critical_P = truth["B_star"] / curve.loss_P ** (1 / truth["alpha_B"])
        updates_P = curve.rate_sums / PEAK / (1 + critical_P / curve.batch)
        expected_P = (truth["N_c"] / curve.size) ** truth["alpha_N"] + (truth["S_c"] / updates_P) ** truth["alpha_S"]
        np.testing.assert_allclose(curve.loss_P, expected_P, rtol=1e-12)
    fit = fit_curve_law(curve_law("trajectory"), curves)
    assert fit.status == "converged", fit.reason
    for parameter, value in truth.items():
        assert fit.parameters[parameter] == pytest.approx(value, rel=1e-7), parameter


def test_status_of_curves_that_do_not_identify_a_law() -> None:
    law, generator = curve_law("annealing"), np.random.default_rng(0)
    constant = make_curve("annealing", "constant")
    noisy = replace(constant, loss_P=constant.loss_P * np.exp(1e-3 * generator.standard_normal(constant.num_points)))
    assert fit_curve_law(law, [noisy]).status in ("not_identified", "edge")
    few = fit_curve_law(law, [constant.select(np.arange(constant.num_points) < 6)])
    assert (few.status, few.parameters) == ("too_few_points", {})
    with pytest.raises(InputError, match="was refused"):
        few.predict_losses(constant)
    cosine = make_curve("annealing", "cosine")
    below_peak = cosine.select(cosine.time_P > 500)  # the trajectory law is fitted to points at the peak rate only
    none = fit_curve_law(curve_law("trajectory"), [below_peak])
    assert (none.status, none.num_points) == ("too_few_points", 0)


def test_unknown_law_lists_the_catalog() -> None:
    with pytest.raises(InputError, match=r"there are annealing, .*did you mean annealing"):
        curve_law("anealing")


@pytest.mark.parametrize(
    ("name", "changed"),
    [("functional", ("tau", "p")), ("sublinear", ("memory", "noise_exponent", "progress_exponent"))],
)
def test_curves_share_cached_results_of_equal_times_only(name: str, changed: tuple[str, ...]) -> None:
    law, values = curve_law(name), TRUTH[name]
    first = make_query("cosine")
    replicate = replace(first, size=1e6, loss_P=first.loss_P + 1)
    assert replicate.times_key == first.times_key
    without_warmup = replace(first, rates=replace(first.rates, warmup=0))
    others = [make_query("two-stage"), make_query("cosine", every=20), without_warmup]
    assert len({curve.times_key for curve in (first, *others)}) == 4
    expected = [np.array(law.predict(values, curve)) for curve in (first, *others)]
    for parameter in changed:  # results of other parameters are not reused
        law.predict(values | {parameter: 1.1 * values[parameter]}, first)
    for curve, expected_P in zip((replicate, *others), expected, strict=True):
        np.testing.assert_array_equal(law.predict(values, curve), expected_P)
        assert not np.array_equal(law.predict(values | {changed[1]: 1.2 * values[changed[1]]}, curve), expected_P)


def test_seed_replicates_are_predicted_once_and_weigh_as_two() -> None:
    law, generator = curve_law("annealing"), np.random.default_rng(0)
    exact = [make_curve("annealing", schedule) for schedule in ("constant", "cosine", "two-stage")]
    noise_P = 1e-3 * generator.standard_normal(exact[0].num_points)
    replicates = [replace(each, loss_P=each.loss_P * np.exp(sign * noise_P)) for each in exact for sign in (1, -1)]
    problem = CurveProblem.from_curves(law, replicates, parse_objective("log-mse"))
    assert len(problem.distinct_curves) == 3
    residual_P, _ = problem.residual(problem.internal(TRUTH["annealing"]))
    first_P, second_P = residual_P.reshape(3, 2, -1)[0]
    np.testing.assert_allclose(first_P, -second_P, atol=1e-12)
    fit = fit_curve_law(law, replicates, "log-mse")  # the noise of the replicates cancels
    for parameter, value in TRUTH["annealing"].items():
        assert fit.parameters[parameter] == pytest.approx(value, rel=1e-6), parameter
    score = cross_validate(law, replicates, "log-mse")  # and is no error of the law
    assert score.mean_abs_relative_error < 1e-6
    assert len(score.ends) == len(replicates)
    assert min(np.abs(score.ends)) > 1e-5  # but the ends of single runs have it
    sized = [replace(each, size=size) for each, size in zip(replicates, (1e6, 2e6) * 3, strict=True)]
    assert len(CurveProblem.from_curves(law, sized, parse_objective("log-mse")).distinct_curves) == 6
