"""The result of a study of curve laws in sentences: the errors of its predictions on the held-out curves."""

import math

from windtunnel.analysis.curves.score import BaselineComparison, LawScore, PerfectLawScore
from windtunnel.analysis.report.curve_report import CurveReport

MAX_ERROR = 10.0  # as a share: a larger error is written as "over 1,000 %"


def curve_headline(report: CurveReport) -> tuple[str, ...]:
    """Sentences about the main law: its errors, its final losses, and its difference from each baseline."""
    first = report.laws[0]
    replaced: tuple[str, ...] = ()
    if report.main_law != first:
        replaced = (
            f"The first law of the study, {first}, could not be sealed; this report is about {report.main_law}.",
        )
    if report.main_law not in report.fits and report.prediction is None:
        return (*replaced, f"{first} could not be fitted to the {len(report.fitted_runs)} curves of the family.")
    score = report.score
    if score is None:
        waiting = f"{len(report.schedules)} held-out schedules are sealed and not measured yet"
        state = waiting if report.sealed else "the study has no held-out schedules"
        return (*replaced, f"{report.main_law} was fitted to {len(report.fitted_runs)} curves; {state}.")
    final_errors = {other.requested: other.final for other in report.scores}
    compared = [_compare(other, score.final, final_errors[other.baseline]) for other in score.comparisons]
    sentences = [_describe_curves(report, score)]
    if score.law != score.requested:
        sentences.append(f"Cross-validation on the training curves made {score.requested} the law {score.law}.")
    if score.seed_means is not None:
        sentences.append(_describe_seed_means(score, report.perfect_law))
    return (*replaced, *sentences, _describe_final_losses(score, report.seed_noise), *compared)


def format_error(share: float) -> str:
    """An error in per cent."""
    return f"over {100 * MAX_ERROR:,.0f} %" if share > MAX_ERROR else f"{100 * share:.2g} %"


def format_seed_noise_ratio(score: LawScore) -> str:
    """The error of the final losses in standard deviations between seeds."""
    ratio = score.final_in_noise
    return "–" if ratio is None else f"{ratio:.2g}" if ratio < 100 else f"{ratio:,.0f}"


def format_points(share: float) -> str:
    """A difference of errors in percentage points, at most `MAX_ERROR`."""
    if abs(share) > MAX_ERROR:
        return f"{'<' if share < 0 else '>'} {math.copysign(100 * MAX_ERROR, share):+,.0f}"
    return f"{100 * share:+.2g}" if abs(share) < 1 else f"{100 * share:+,.0f}"


def format_points_interval(difference: BaselineComparison) -> str:
    """The 90 % interval of a difference in percentage points."""
    return f"[{', '.join(map(format_points, difference.interval_90 or ()))}]"


def describe_significance(difference: BaselineComparison) -> str:
    """Whether the interval of the difference excludes zero."""
    if difference.interval_90 is None:
        return "not known"
    low, high = difference.interval_90
    if high < 0:
        return "excludes zero, better"
    if low > 0:
        return "excludes zero, worse"
    return "includes zero, indistinguishable"


def _describe_curves(report: CurveReport, score: LawScore) -> str:
    runs = {curve.run for curve in score.curves}
    schedules = sum(any(run in runs for run in schedule.runs) for schedule in report.schedules)
    sizes = len({target.size for target in report.prediction.targets}) if report.prediction is not None else 0
    return (
        f"{report.main_law} predicted {_count(len(score.curves), 'curve')} under {_count(schedules, 'schedule')} at "
        f"{_count(sizes, 'size')} before they were trained: mean relative error "
        f"{format_error(score.mean_abs_relative_error)}, worst point {format_error(score.worst)}."
    )


def _describe_seed_means(score: LawScore, perfect: PerfectLawScore | None) -> str:
    means = score.seed_means
    assert means is not None
    text = f"Curves averaged over seeds: mean error {format_error(means.mean_abs_relative_error)}, "
    text += f"worst point {format_error(means.worst)}"
    if perfect is None:
        return f"{text}."
    mean, worst = perfect.seed_means_mean_abs_relative_error, perfect.seed_means_worst
    return f"{text}; by seed noise alone a perfect law would have {format_error(mean)} and {format_error(worst)}."


def _describe_final_losses(score: LawScore, seed_noise: float | None) -> str:
    text = f"Final losses averaged over seeds: root-mean-square error {format_error(score.final)}"
    if score.final_in_noise is not None and seed_noise is not None:
        text += f", {format_seed_noise_ratio(score)} times the seed noise of {100 * seed_noise:.2g} %"
    inside = [curve.inside_90 for curve in score.curves if curve.inside_90 is not None]
    if inside:
        text += (
            f"; {sum(inside)} of {len(inside)} ({100 * sum(inside) / len(inside):.0f} %) inside their 90 % intervals"
        )
    return f"{text}."


def _compare(difference: BaselineComparison, final_error: float, baseline_error: float) -> str:
    side = "below" if difference.difference < 0 else "above"
    large = abs(difference.difference) > MAX_ERROR
    points = f"over {100 * MAX_ERROR:,.0f}" if large else f"{abs(100 * difference.difference):.2g}"
    text = f"Its mean error is {points} percentage points {side} that of {difference.baseline}"
    if difference.interval_90 is None:
        text += "; with one schedule there is no interval over schedules, so its significance is not known"
    else:
        interval = format_points_interval(difference)
        text += f", 90 % interval over schedules {interval}: {describe_significance(difference)}"
    final_errors = f"error {format_error(final_error)}, {difference.baseline} {format_error(baseline_error)}"
    return f"{text}. Final losses: {final_errors}."


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
