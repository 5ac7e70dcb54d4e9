"""The outcome of a study in about five lines. The details are in its score files and report."""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from windtunnel.analysis.curves.score import LawScore, schedule_key
from windtunnel.analysis.prediction.score import Score
from windtunnel.analysis.prediction.target import format_target
from windtunnel.analysis.report.headline import missing_prediction
from windtunnel.sweeps.pipeline.curve_pipeline import CurvePipelineResult
from windtunnel.sweeps.pipeline.pipeline import PipelineResult
from windtunnel.sweeps.planning.curve_checks import curve_analysis
from windtunnel.sweeps.study.plan import Plan
from windtunnel.train.records import read_record

MAX_ATTENTION_ITEMS = 3
MAX_SHOWN_ERROR = 10.0  # as a share of the loss; above it a law says nothing and its number neither


def summary_lines(plan: Plan, result: PipelineResult, pages: Sequence[Path]) -> list[str]:
    """Targets and measured loss, the study's own prediction, the other laws, what needs attention, the report."""
    lines: list[str] = []
    attention: list[str] = []
    if result.fits:
        lines += _final_loss_lines(result)
        attention += _final_loss_problems(result)
    if result.curves is not None:
        lines += _curve_lines(plan, result.curves)
        attention += _curve_problems(plan, result.curves)
    diverged = sum(read_record(run.folder)["status"] == "diverged" for run in plan.runs)
    if diverged:
        attention.append(f"{_count(diverged, 'run')} diverged")
    if not lines:
        lines.append(f"{_count(len(result.table), 'run')}; the study names no laws")
    if attention:
        more = len(attention) - MAX_ATTENTION_ITEMS
        shown = [*attention[:MAX_ATTENTION_ITEMS], *([f"{more} more in the report"] if more > 0 else [])]
        lines.append(f"attention: {'; '.join(shown)}")
    labels = ("report", "report on curves")
    return [*lines, *(f"{label}: {page}" for label, page in zip(labels, pages, strict=False))]


def _final_loss_lines(result: PipelineResult) -> Iterator[str]:
    own = result.own_law
    assert own is not None
    fit, point = result.fits[own], result.own_point
    if point is None:
        yield f"{fit.law.name}: {fit.status} on {_count(fit.num_points, 'point')}; the study has no targets"
        return
    scores = {name: score for name in result.fits if (score := result.score(name)) is not None}
    measured = next(iter(scores.values()), None)
    if measured is None:
        yield f"target {format_target(point)}: no measured loss to compare with"
    else:
        runs = f"mean of {len(measured.runs)} runs" if len(measured.runs) > 1 else "one run"
        yield f"target {format_target(point)}: measured {measured.mean.loss:.5g} ({runs})"
    if own in scores:
        yield f"{fit.law.name} {_format_prediction(scores[own])}"
    elif result.own_prediction is None:
        yield missing_prediction(fit.law.name, point)
    others = [score for name, score in scores.items() if name != own]
    if others:
        inside = sum(bool(score.mean.inside_90) for score in others)
        outside = [score.prediction.law for score in others if not score.mean.inside_90]
        which = f" (not of {', '.join(outside)})" if outside else ""
        yield f"other laws: the 90 % intervals of {inside} of {len(others)} contain the measured loss{which}"
    if len(result.targets) > 1:
        every = [score for target in range(len(result.targets)) if (score := result.score(own, target)) is not None]
        if every:
            error = np.mean([abs(score.mean.error_percent) for score in every])
            inside = sum(bool(score.mean.inside_90) for score in every)
            yield (
                f"all {len(every)} targets: {fit.law.name} has a mean absolute error of {error:.2f} %, {inside} of "
                f"{len(every)} inside its 90 % intervals"
            )


def _format_prediction(score: Score) -> str:
    low, high = score.prediction.interval_90
    upper = "unbounded" if math.isinf(high) else f"{high:.5g}"
    where = "inside" if score.mean.inside_90 else "OUTSIDE"
    return (
        f"predicted {score.prediction.loss:.5g}, 90 % interval [{low:.5g}, {upper}]: error "
        f"{score.mean.error_percent:+.2f} %, {where} the interval"
    )


def _final_loss_problems(result: PipelineResult) -> Iterator[str]:
    for name, fit in result.fits.items():
        if name == result.own_law and fit.status != "converged":
            yield _format_status(name, fit.status, fit.reason)
    sealed = [name for name in result.fits if result.prediction(name) is not None]
    scored = [name for name in sealed if result.score(name) is not None]
    others = [name for name in result.fits if name != result.own_law]
    if result.targets:
        yield from _named("not sealed", [name for name in others if name not in sealed])
        yield from _named("not scored", [name for name in sealed if name not in scored])
    own = result.own_score
    if own is not None:
        yield from own.notes


def _curve_lines(plan: Plan, curves: CurvePipelineResult) -> Iterator[str]:
    laws = curve_analysis(plan).laws
    score = _own_curve_score(curves)
    if score is None:
        fitted = f"{len(curves.fits)} of {len(laws)} curve laws fitted"
        yield f"{fitted}; {'no target has a curve yet' if curves.sealed else 'no curve of a target was predicted'}"
        return
    targets = next(sealed.targets for sealed in curves.sealed if sealed.requested == score.requested)
    sizes = len({target.size for target in targets})
    schedules = len({schedule_key(target) for target in targets})
    yield (
        f"targets: {_count(len(score.curves), 'curve')} under {_count(schedules, 'schedule')} at "
        f"{_count(sizes, 'size')}, none of them fitted"
    )
    law = score.requested if score.requested == score.law else f"{score.requested} ({score.law})"
    text = f"{law}: mean error {_percent(score.mean_abs_relative_error)}, worst point {_percent(score.worst)}"
    if curves.perfect_law is not None:
        perfect = curves.perfect_law
        text += f"; a perfect law: {_percent(perfect.mean_abs_relative_error)}, {_percent(perfect.worst)}"
    yield text
    text = f"final losses: root mean square error {_percent(score.final)}"
    if score.final_in_noise is not None:
        text += f", {score.final_in_noise:.2g} times the seed noise"
    inside = [curve.inside_90 for curve in score.curves if curve.inside_90 is not None]
    if inside:
        text += f"; {sum(inside)} of {len(inside)} inside their 90 % intervals"
    yield text
    others = [
        f"{other.requested} {_percent(other.mean_abs_relative_error)}" for other in curves.scores if other != score
    ]
    if others:
        yield f"mean error of the other laws: {', '.join(others)}"


def _own_curve_score(curves: CurvePipelineResult) -> LawScore | None:
    """The score of the study's own law, or where that was not sealed of the first law that was."""
    return next(iter(curves.scores), None)


def _curve_problems(plan: Plan, curves: CurvePipelineResult) -> Iterator[str]:
    laws = curve_analysis(plan).laws
    own = curves.fits.get(laws[0])
    if own is not None and own.status != "converged":
        yield _format_status(laws[0], own.status, own.reason)
    sealed = [each.requested for each in curves.sealed]
    score = _own_curve_score(curves)
    if score is not None and score.requested != laws[0]:
        yield f"the study's own law, {laws[0]}, was not sealed: the numbers are those of {score.requested}"
    yield from _named("not fitted", [name for name in laws if name not in curves.fits])
    if plan.targets:
        yield from _named("not sealed", [name for name in curves.fits if name not in sealed])


def _format_status(law: str, status: str, reason: str) -> str:
    return f"status of the fit of {law}: {status}" + (f" ({reason})" if reason else "")


def _named(problem: str, laws: Sequence[str]) -> Iterator[str]:
    if laws:
        yield f"{problem}: {', '.join(laws)}"


def _percent(share: float) -> str:
    return f"over {100 * MAX_SHOWN_ERROR:,.0f} %" if share > MAX_SHOWN_ERROR else f"{100 * share:.2g} %"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
