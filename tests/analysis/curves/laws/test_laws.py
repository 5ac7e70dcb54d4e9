"""Every curve law: its sums against plain loops, its derivatives, and truth recovered from its own curves."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from tests.support.made_curves import PEAK, WARMUP, curve, of_law, schedules
from windtunnel.analysis.curves.cross_validation import inner_score
from windtunnel.analysis.curves.curve import Curve
from windtunnel.analysis.curves.fit import fit_curves
from windtunnel.analysis.curves.laws import NAMES, curve_law
from windtunnel.analysis.curves.laws.trajectory import specialise
from windtunnel.analysis.curves.problem import CurveProblem
from windtunnel.analysis.curves.schedule_sums import Rates
from windtunnel.analysis.solver.objective import parse_objective
from windtunnel.train.errors import InputError

TRUTH: dict[str, dict[str, float]] = {
    "annealing": {"L0": 2.7, "A": 0.6, "C": 2.0, "alpha": 0.45, "memory": 150.0},
    "instantaneous": {"L0": 2.5, "A": 0.6, "B": 0.15, "alpha": 0.45, "g": 0.8},
    "last-window": {"L0": 2.6, "A": 9.0, "alpha": 0.5},
    "multi-power": {"L0": 2.7, "A": 0.6, "B": 150.0, "alpha": 0.45, "C": 1.5, "beta": 0.6, "gamma": 0.5},
    "sublinear": {
        "L0": 2.7,
        "A": 1.5,
        "B": 20.0,
        "alpha": 0.5,
        "progress_exponent": 0.6,
        "noise_exponent": 0.7,
        "memory": 0.02,
    },
    "functional": {"L0": 2.6, "A": 4.0, "F": 0.3, "B": 0.05, "s": 0.5, "p": 1.5, "tau": 0.02},
    "trajectory": {"L0": 2.7, "S_c": 300.0, "alpha_S": 0.5},
}


def test_every_law_is_tried() -> None:
    assert set(TRUTH) == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_truth_is_recovered(name: str) -> None:
    law = curve_law(name)
    curves = [of_law(law, TRUTH[name], curve(each, every=150)) for each in ("constant", "cosine", "two-stage")]
    found = fit_curves(law, curves)
    assert found.status == "converged", found.reason
    assert found.starts_agreeing >= 2
    for parameter, value in TRUTH[name].items():
        assert found.parameters[parameter] == pytest.approx(value, rel=1e-8), parameter
    if law.fitted is None:
        unseen = of_law(law, TRUTH[name], curve("decay"))
        np.testing.assert_allclose(found.predict(unseen), unseen.loss_P, rtol=1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_derivatives(name: str) -> None:
    law, values, blank = curve_law(name), TRUTH[name], curve("decay")
    predicted_P, jacobian_KP = law.predict_with_jacobian(values, blank)
    np.testing.assert_allclose(predicted_P, law.predict(values, blank), rtol=1e-14)
    for place, parameter in enumerate(law.names):
        step = 1e-5 * values[parameter]
        up, down = (law.predict({**values, parameter: values[parameter] + sign * step}, blank) for sign in (1, -1))
        apart_P = (up - down) / (2 * step)
        np.testing.assert_allclose(jacobian_KP[place], apart_P, rtol=1e-5, atol=1e-8 * np.abs(apart_P).max() + 1e-12)


def loop_over_drops(rate_S: np.ndarray, time: int, felt: Callable[[int], float]) -> float:
    drops = ((update, rate_S[update - 1] - rate_S[update]) for update in range(WARMUP + 1, time))
    return sum(drop * felt(update) for update, drop in drops if drop)


@pytest.mark.parametrize("name", ["cosine", "two-stage", "decay"])
def test_annealing_equals_its_momentum_summed_update_by_update(name: str) -> None:
    values, rate_S, blank = TRUTH["annealing"], schedules()[name], curve(name)
    fade, momentum, second, loss = 1 - 1 / values["memory"], 0.0, 0.0, []
    for update, rate in enumerate(rate_S):
        momentum = fade * momentum + (rate_S[update - 1] - rate if update > WARMUP else 0.0)
        second += momentum
        first = rate_S[: update + 1].sum()
        loss.append(values["L0"] + values["A"] * max(first, 1e-9) ** -values["alpha"] - values["C"] * second)
    expected = np.array(loss)[blank.time_P.astype(int) - 1]
    np.testing.assert_allclose(curve_law("annealing").predict(values, blank), expected, rtol=1e-5)


@pytest.mark.parametrize("name", ["cosine", "two-stage", "decay"])
def test_multi_power_equals_its_sum_drop_by_drop(name: str) -> None:
    values, rate_S, blank = TRUTH["multi-power"], schedules()[name], curve(name, every=290)
    total_S = np.concatenate([[0.0], np.cumsum(rate_S)])
    expected = []
    for time in blank.time_P.astype(int):

        def felt(update: int, time: int = time) -> float:
            x = rate_S[update] ** -values["gamma"] * (total_S[time] - total_S[update])
            return float(1 - (1 + values["C"] * x) ** -values["beta"])

        reduction = values["B"] * loop_over_drops(rate_S, time, felt)
        expected.append(values["L0"] + values["A"] * total_S[time] ** -values["alpha"] - reduction)
    np.testing.assert_allclose(curve_law("multi-power").predict(values, blank), expected, rtol=1e-5)


@pytest.mark.parametrize("name", ["cosine", "two-stage", "decay"])
def test_sublinear_equals_its_sum_drop_by_drop(name: str) -> None:
    values, rate_S, blank = TRUTH["sublinear"], schedules()[name], curve(name, every=290)
    total_S = np.concatenate([[0.0], np.cumsum(rate_S)])
    progress_S = np.concatenate([[0.0], np.cumsum(rate_S ** values["progress_exponent"])])
    expected = []
    for time in blank.time_P.astype(int):

        def felt(update: int, time: int = time) -> float:
            since = total_S[time] - total_S[update]
            return float(since / (values["memory"] + since))

        reduction = values["B"] * loop_over_drops(rate_S ** values["noise_exponent"], time, felt)
        expected.append(values["L0"] + values["A"] * progress_S[time] ** -values["alpha"] - reduction)
    np.testing.assert_allclose(curve_law("sublinear").predict(values, blank), expected, rtol=1e-5)


def test_sublinear_at_the_end_of_a_decay_to_nothing() -> None:
    """Where rate^exponent falls without bound in the last updates."""
    rate_S = PEAK * np.minimum(1.0, (3000 - np.arange(3000)) / 600)
    values = TRUTH["sublinear"] | {"noise_exponent": 0.4}
    blank = curve("to nothing", every=1, rates=Rates.of_updates(rate_S, warmup=0))
    late = blank.points(blank.time_P >= 2990)
    total_S = np.concatenate([[0.0], np.cumsum(rate_S)])
    progress_S = np.concatenate([[0.0], np.cumsum(rate_S ** values["progress_exponent"])])
    drop_S = np.concatenate([[0.0], -np.diff(rate_S ** values["noise_exponent"])])
    expected = []
    for time in late.time_P.astype(int):
        since_S = total_S[time] - total_S[:time]
        felt = np.sum(drop_S[:time] * since_S / (values["memory"] + since_S))
        expected.append(values["L0"] + values["A"] * progress_S[time] ** -values["alpha"] - values["B"] * felt)
    np.testing.assert_allclose(curve_law("sublinear").predict(values, late), expected, rtol=2e-4)


@pytest.mark.parametrize("name", ["constant", "cosine", "two-stage"])
def test_functional_equals_its_integral_update_by_update(name: str) -> None:
    values, rate_S, blank = TRUTH["functional"], schedules()[name], curve(name, every=290)
    tau, s, p = values["tau"], values["s"], values["p"]
    total_S = np.concatenate([[0.0], np.cumsum(rate_S)])
    expected = []
    for time in blank.time_P.astype(int):
        # Each update is a piece of intrinsic time, over which the kernel is integrated.
        kernel_S = -np.diff((1 + (total_S[time] - total_S[: time + 1]) / tau) ** (1 - p)) / (1 - p)
        fed_S = values["F"] * (1 + total_S[:time] / tau) ** -s + values["B"]
        noise = np.sum(kernel_S * fed_S * rate_S[:time] / PEAK)
        expected.append(values["L0"] + values["A"] * (1 + total_S[time] / tau) ** -s + noise)
    np.testing.assert_allclose(curve_law("functional").predict(values, blank), expected, rtol=5e-5)


def test_a_rate_that_rises_again_raises_the_loss() -> None:
    rate_S = schedules()["two-stage"].copy()
    rate_S[2000:] = PEAK
    again, never = curve("two-stage", rates=Rates.of_updates(rate_S)), curve("two-stage")
    for name in ("annealing", "multi-power", "sublinear", "functional", "instantaneous"):
        law = curve_law(name)
        without = {**TRUTH[name], "A": 1e-9}
        difference_P = law.predict(without, again) - law.predict(without, never)
        assert (difference_P[again.time_P > 2100] > 0).all()
        np.testing.assert_allclose(difference_P[again.time_P <= 2000], 0, atol=1e-6)


def test_the_trajectory_law_over_sizes_and_batches() -> None:
    truth = {"N_c": 1.5e14, "alpha_N": 0.076, "S_c": 2.6e3, "alpha_S": 0.67, "B_star": 1.7e8, "alpha_B": 0.205}
    blank = [
        replace(curve("constant", every=300), name=f"{size}-{batch}", size=size, batch=batch)
        for size, batch in ((1e6, 2e4), (1e6, 5e5), (4e6, 1e5), (16e6, 2e4))
    ]
    law = specialise(blank)
    curves = [of_law(law, truth, each) for each in blank]
    for each in curves:  # the root of the implicit equation
        critical_P = truth["B_star"] / each.loss_P ** (1 / truth["alpha_B"])
        least_P = each.sums / PEAK / (1 + critical_P / each.batch)
        expected_P = (truth["N_c"] / each.size) ** truth["alpha_N"] + (truth["S_c"] / least_P) ** truth["alpha_S"]
        np.testing.assert_allclose(each.loss_P, expected_P, rtol=1e-12)
    found = fit_curves(curve_law("trajectory"), curves)
    assert found.status == "converged", found.reason
    for parameter, value in truth.items():
        assert found.parameters[parameter] == pytest.approx(value, rel=1e-7), parameter


def test_what_the_curves_do_not_tell_is_said() -> None:
    law = curve_law("annealing")
    generator = np.random.default_rng(0)
    only: Curve = of_law(law, TRUTH["annealing"], curve("constant"))
    noisy = replace(only, loss_P=only.loss_P * np.exp(1e-3 * generator.standard_normal(only.num_points)))
    found = fit_curves(law, [noisy])
    assert found.status in ("not_identified", "edge")
    few = fit_curves(law, [only.points(np.arange(only.num_points) < 6)])
    assert (few.status, few.parameters) == ("too_few_points", {})
    with pytest.raises(InputError, match="was refused"):
        few.predict(only)
    cosine = of_law(law, TRUTH["annealing"], curve("cosine"))
    none = fit_curves(curve_law("trajectory"), [cosine.points(cosine.time_P > 500)])  # it reads the peak rate alone
    assert (none.status, none.num_points) == ("too_few_points", 0)


def test_an_unknown_law() -> None:
    with pytest.raises(InputError, match=r"there are annealing, .*did you mean annealing"):
        curve_law("anealing")


@pytest.mark.parametrize(
    ("name", "changes"),
    [("functional", ("tau", "p")), ("sublinear", ("memory", "noise_exponent", "progress_exponent"))],
)
def test_curves_share_what_depends_on_their_times_and_nothing_else(name: str, changes: tuple[str, ...]) -> None:
    law, values = curve_law(name), TRUTH[name]
    first = curve("cosine")
    twin = replace(first, size=1e6, loss_P=first.loss_P + 1)
    assert twin.times_key == first.times_key
    warm = replace(first, rates=replace(first.rates, warmup=0))
    others = [curve("two-stage"), curve("cosine", every=20), warm]
    assert len({each.times_key for each in (first, *others)}) == 4
    alone = [np.array(law.predict(values, each)) for each in (first, *others)]
    for each in changes:  # what is kept of one is not taken for another
        law.predict(values | {each: 1.1 * values[each]}, first)
    for each, expected in zip((twin, *others), alone, strict=True):
        np.testing.assert_array_equal(law.predict(values, each), expected)
        assert not np.array_equal(law.predict(values | {changes[1]: 1.2 * values[changes[1]]}, each), expected)


def test_twins_are_worked_out_once_and_weigh_as_two() -> None:
    """Of seeds of one run a law says the same; a fit is of each one's losses all the same."""
    law, generator = curve_law("annealing"), np.random.default_rng(0)
    exact = [of_law(law, TRUTH["annealing"], curve(name)) for name in ("constant", "cosine", "two-stage")]
    noise_P = 1e-3 * generator.standard_normal(exact[0].num_points)
    twins = [replace(each, loss_P=each.loss_P * np.exp(sign * noise_P)) for each in exact for sign in (1, -1)]
    problem = CurveProblem.of(law, twins, parse_objective("log-mse"))
    assert len(problem.unlike) == 3
    residual_P, _ = problem.residual(problem.internal(TRUTH["annealing"]))
    first_P, second_P = residual_P.reshape(3, 2, -1)[0]
    np.testing.assert_allclose(first_P, -second_P, atol=1e-12)
    found = fit_curves(law, twins, "log-mse")  # their noise cancels
    for parameter, value in TRUTH["annealing"].items():
        assert found.parameters[parameter] == pytest.approx(value, rel=1e-6), parameter
    inner = inner_score(law, twins, "log-mse")  # nor is it the law's mistake
    assert inner.mean_abs_relative_error < 1e-6
    assert len(inner.ends) == len(twins)
    assert min(np.abs(inner.ends)) > 1e-5  # what a new run strays by has it all the same
    sized = [replace(each, size=size) for each, size in zip(twins, (1e6, 2e6) * 3, strict=True)]
    assert len(CurveProblem.of(law, sized, parse_objective("log-mse")).unlike) == 6
