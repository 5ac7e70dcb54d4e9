"""Curve laws on published curves: printed metrics at printed constants, and the errors of our fits.

The curves are those of the authors of the multi-power law (`mpl_loss_curves`): two sizes with nine schedules each, of
which three are fitted and the others predicted. `auto` is the combination of laws that cross-validation on the fitted
three chooses; each law is printed beside it, the simple ones as baselines. Errors are relative to the loss: as the
authors report them, the mean over test curves of the mean and of the worst error of a curve, then the worst error of
all.
"""

import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from tests.support.paths import PUBLIC_DATA
from windtunnel.analysis.curves.cross_validation import CurveScore, score_curve
from windtunnel.analysis.curves.curve import LossCurve
from windtunnel.analysis.curves.ensemble import fit_named_law
from windtunnel.analysis.curves.fit import CurveFit, fit_curve_law
from windtunnel.analysis.curves.laws import curve_law
from windtunnel.analysis.curves.load import load_curves

FOLDER = PUBLIC_DATA / "mpl_loss_curves" / "loss_curve_repo"
TRAIN = ("cosine_24000", "constant_24000", "wsdcon_9")
TEST = ("constant_72000", "cosine_72000", "wsd_20000_24000", "wsdld_20000_24000", "wsdcon_3", "wsdcon_18")
WARMUP = 2160
NAMES_OF_CONSTANTS = ("L0", "A", "alpha", "B", "C", "beta", "gamma")
CONSTANTS = {
    25: (3.040, 0.525, 0.508, 363.8, 2.066, 0.583, 0.641),
    100: (2.651, 0.601, 0.453, 437.9, 2.132, 0.598, 0.655),
}
# Printed: mean relative error, mean absolute error, R2. Half of the last digit of L0 is 0.00016 of the loss.
PRINTED = {25: (0.00110, 0.00376, 0.9988), 100: (0.00142, 0.00435, 0.9983)}
PRINTED_PRECISION = 0.00016
# Goals for the mean of the mean errors and the mean of the worst errors.
GOALS = {25: (0.0014, 0.0041), 100: (0.0015, 0.0058)}


def curves(size: int, names: Sequence[str]) -> list[LossCurve]:
    return load_curves([str(FOLDER / f"csv_{size}" / f"{name}.csv") for name in names], warmup=WARMUP)


def reason_unavailable() -> str:
    """Why the cases cannot run, or an empty string."""
    return "" if FOLDER.is_dir() else f"no mpl_loss_curves in {PUBLIC_DATA}: set WINDTUNNEL_PUBLIC_DATA"


def metrics_at_printed_constants(size: int) -> tuple[float, float, float]:
    """Mean relative error, mean absolute error and R2; as in the paper, the warm-up counts as a change of the rate."""
    values = dict(zip(NAMES_OF_CONSTANTS, CONSTANTS[size], strict=True))
    relative, absolute, explained = [], [], []
    for curve in curves(size, TEST):
        rising = replace(curve, rates=replace(curve.rates, warmup=0))
        error_P = curve_law("multi-power").predict(values, rising) - curve.loss_P
        relative.append(np.mean(np.abs(error_P) / curve.loss_P))
        absolute.append(np.mean(np.abs(error_P)))
        explained.append(1 - np.sum(error_P**2) / np.sum((curve.loss_P - curve.loss_P.mean()) ** 2))
    return float(np.mean(relative)), float(np.mean(absolute)), float(np.mean(explained))


def format_scores(name: str, scores: Sequence[CurveScore]) -> str:
    mean = np.mean([score.mean_abs_relative_error for score in scores])
    worst = [score.worst for score in scores]
    finals = " ".join(f"{1e4 * score.final:+4.0f}" for score in scores)
    return f"{name:<28} {mean:.5f}  {np.mean(worst):.5f}  {max(worst):.5f}   {finals}"


def fit_over_sizes() -> tuple[CurveFit, dict[int, list[CurveScore]]]:
    """The fit of `auto` to both sizes together, and its scores on their unseen schedules."""

    def sized(size: int, names: Sequence[str]) -> list[LossCurve]:
        return [replace(curve, size=1e6 * size) for curve in curves(size, names)]

    fit, _ = fit_named_law("auto", [curve for size in GOALS for curve in sized(size, TRAIN)])
    return fit, {size: [score_curve(fit, curve) for curve in sized(size, TEST)] for size in GOALS}


def main() -> None:
    if reason_unavailable():
        print(f"skipped: {reason_unavailable()}")
        return
    for size, printed in PRINTED.items():
        metrics = zip(metrics_at_printed_constants(size), printed, strict=True)
        text = ", ".join(f"{ours:.5f} (printed {theirs})" for ours, theirs in metrics)
        print(f"{size}M, multi-power at its printed constants: relative error, absolute error, R2: {text}")
    for size, (mean, worst) in GOALS.items():
        train, test = curves(size, TRAIN), curves(size, TEST)
        start = time.process_time()
        auto, validation = fit_named_law("auto", train)
        print(f"{size}M: cross-validation took {time.process_time() - start:.1f} s; goals: {mean}  {worst}")
        print(f"{'law, by cross-validation':<28} {'mean':<8} {'m.worst':<8} {'worst':<9} final, 1e-4")
        print(f"{format_scores('auto', [score_curve(auto, curve) for curve in test])}  {auto.law.name}", flush=True)
        for inner in validation:
            fit = fit_curve_law(curve_law(inner.law), train)
            scores = format_scores(inner.law, [score_curve(fit, curve) for curve in test])
            error = inner.mean_abs_relative_error
            print(f"{scores}  cross-validation {error:.5f}, {fit.status}, {fit.seconds:.1f} s", flush=True)
    start = time.process_time()
    auto, scores_by_size = fit_over_sizes()
    print(f"both sizes together: {auto.law.name}, {time.process_time() - start:.1f} s")
    for size, (mean, worst) in GOALS.items():
        scores = format_scores(f"auto over sizes, {size}M", scores_by_size[size])
        print(f"{scores}  goals: {mean}  {worst}", flush=True)


if __name__ == "__main__":
    main()
