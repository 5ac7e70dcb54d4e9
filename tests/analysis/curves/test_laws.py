"""Every curve law: its sums against plain loops, its derivatives, and truth recovered from its own curves."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from made_curves import PEAK, WARMUP, curve, of_law, schedules

from analysis.curves.curve import Curve
from analysis.curves.fitting import fit_curves
from analysis.curves.laws import NAMES, curve_law
from analysis.curves.laws.trajectory import specialise
from analysis.curves.rates import Rates
from train.errors import InputError

TRUTH: dict[str, dict[str, float]] = {
    "annealing": {"L0": 2.7, "A": 0.6, "C": 2.0, "alpha": 0.45, "memory": 150.0},
    "instantaneous": {"L0": 2.5, "A": 0.6, "B": 0.15, "alpha": 0.45, "g": 0.8},
    "last-window": {"L0": 2.6, "A": 9.0, "alpha": 0.5},
    "multi-power": {"L0": 2.7, "A": 0.6, "B": 150.0, "alpha": 0.45, "C": 1.5, "beta": 0.6, "gamma": 0.5},
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
    for name in ("annealing", "multi-power", "functional", "instantaneous"):
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


def test_an_unknown_law() -> None:
    with pytest.raises(InputError, match=r"there are annealing, .*did you mean annealing"):
        curve_law("anealing")


def test_curves_share_what_depends_on_their_times_and_nothing_else() -> None:
    law = curve_law("functional")
    values = {"L0": 2.0, "A": 1.0, "F": 0.3, "B": 0.1, "s": 0.5, "p": 1.4, "tau": 1e-2}
    first = curve("cosine")
    twin = replace(first, size=1e6, loss_P=first.loss_P + 1)
    assert twin.times_key == first.times_key
    warm = replace(first, rates=replace(first.rates, warmup=0))
    others = [curve("two-stage"), curve("cosine", every=20), warm]
    assert len({each.times_key for each in (first, *others)}) == 4
    alone = [np.array(law.predict(values, each)) for each in (first, *others)]
    for change in ({"tau": 2e-2}, {"p": 1.5}):  # what is kept of one is not taken for another
        law.predict(values | change, first)
    for each, expected in zip((twin, *others), alone, strict=True):
        np.testing.assert_array_equal(law.predict(values, each), expected)
        assert not np.array_equal(law.predict(values | {"p": 1.5}, each), expected)
