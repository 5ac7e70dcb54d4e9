"""A checklist for the fit of a scaling law, answered from the table, the fit and the backtest.

Questions: Li et al. 2025, (Mis)Fitting (arXiv 2502.18969). Rules on sizes, checkpoints, seeds and extrapolation:
Choshen et al. 2024 (arXiv 2410.11840). Where the table does not record the answer, the answer says so.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from windtunnel.analysis.comparison.ranking import MIN_COVERAGE, Ranking
from windtunnel.analysis.fitting.result import INTERVAL_LEVEL, Fit
from windtunnel.analysis.prediction.predict import Prediction
from windtunnel.analysis.prediction.target import AXES, MAX_EXTRAPOLATION
from windtunnel.analysis.report.checklist_facts import TableFacts, table_facts
from windtunnel.analysis.report.figures.fitted_rows import fitted_rows
from windtunnel.analysis.report.number_format import format_commit, format_magnitudes
from windtunnel.analysis.tables.conventions import describe_size_convention
from windtunnel.analysis.tables.seeds import MISFIT_RATIO
from windtunnel.analysis.tables.table import WHERE_NOTE, Table

Verdict = Literal["ok", "caution", "unknown"]
NOT_RECORDED = "not in the table"
MIN_SIZES = 4
EARLY_PROGRESS = 0.1  # share of a run before which its checkpoints are dropped
GOOD_ERROR = 0.04
MIN_RATES = 16
POINTS_PER_PARAMETER = 2
# Residuals too large for seed noise; published laws of finished runs of one recipe are off by 1 to 3 %.
IMPLAUSIBLE_RESIDUAL = 0.05


@dataclass(frozen=True)
class ChecklistItem:
    """A question, its answer, the verdict, and the rule behind the verdict."""

    key: str
    question: str
    answer: str
    verdict: Verdict
    rule: str


def answer_checklist(
    table: Table,
    fit: Fit,
    ranking: Ranking | None,
    predictions: Sequence[Prediction] = (),
    commit: str | None = None,
) -> tuple[ChecklistItem, ...]:
    """Every item of the checklist."""
    facts = table_facts(table)
    return (
        _form(fit, ranking),
        _counts(table, facts),
        _schedule(facts),
        _tuning(facts),
        _repetition(fit, facts),
        _selection(table),
        _checkpoints(facts),
        _objective(fit),
        _points(fit, facts),
        _sizes(facts),
        _seeds(fit, facts),
        _residuals(table, fit),
        _intervals(fit),
        _held_out(fit, ranking),
        _extrapolation(predictions),
        _provenance(table, facts, commit),
    )


def _form(fit: Fit, ranking: Ranking | None) -> ChecklistItem:
    answer = f"{fit.law.name}: {fit.law.formula} ({fit.law.citation})"
    verdict: Verdict = "unknown"
    if ranking is not None and ranking.best is not None:
        others = ", ".join(ranked.law for ranked in ranking.laws if ranked.law != fit.law.name)
        if ranking.best == fit.law.name:
            answer, verdict = f"{answer}; the best of the backtest, against {others}", "ok"
        else:
            answer, verdict = f"{answer}; in the backtest {ranking.best} did better", "caution"
    else:
        answer += "; not compared with other forms"
    return ChecklistItem(
        "form", "Which form, and why", answer, verdict, "a form is chosen by held-out error against others"
    )


def _counts(table: Table, facts: TableFacts) -> ChecklistItem:
    rule = "exponents depend on what N and C count (`windtunnel conventions`)"
    question = "What N, D and C count"
    notes = [note for note in table.notes if note.startswith(("C is", "D is", "N is"))]
    if facts.is_records:
        answer = f"{describe_size_convention(table)}; D tokens processed; C = 6 N D of all parameters"
        return ChecklistItem("counts", question, answer, "ok", rule)
    answer = f"N, D and C as in the source; which parameters and FLOPs they count is {NOT_RECORDED}"
    answer += f" ({', '.join(notes)})" if notes else ""
    return ChecklistItem("counts", question, answer, "unknown", rule)


def _schedule(facts: TableFacts) -> ChecklistItem:
    rule = "a law describes finished schedules: before the learning rate has decayed the loss is higher"
    question = "Learning-rate schedule of each point"
    if facts.undecayed is None and facts.mid_run is None:
        answer = f"finished or mid-run: {NOT_RECORDED}"
        answer += f"; schedules {', '.join(facts.schedules)}" if facts.schedules else ""
        return ChecklistItem("schedule", question, answer, "unknown", rule)
    early = max(facts.undecayed or 0, facts.mid_run or 0)
    named = f" ({', '.join(facts.schedules)})" if facts.schedules else ""
    if early:
        answer = f"{early} of {facts.num_rows} rows before the learning rate had decayed{named}"
        return ChecklistItem("schedule", question, answer, "caution", rule)
    if len(facts.schedules) > 1:
        return ChecklistItem(
            "schedule", question, f"finished, of {len(facts.schedules)} schedules{named}", "caution", rule
        )
    return ChecklistItem("schedule", question, f"every row is the end of its own schedule{named}", "ok", rule)


def _tuning(facts: TableFacts) -> ChecklistItem:
    rule = (
        "learning rates tried per size: 4 settings gave no law, 16 an unreliable one, 64 a weak one, 256 an accurate "
        f"one (arXiv 2608.11859); caution below {MIN_RATES}"
    )
    question = "Hyperparameter tuning per scale"
    if facts.rates_per_size is None:
        return ChecklistItem("tuning", question, f"learning rates tried per size: {NOT_RECORDED}", "unknown", rule)
    fewest, most = facts.rates_per_size
    count = f"{fewest}" if fewest == most else f"{fewest} to {most}"
    answer = f"HP-search depth per scale: {count} learning rate{'s' if most > 1 else ''} per size in this table"
    if facts.several_rates_in_a_cell:
        several = facts.several_rates_in_a_cell
        answer += f"; points (N, D) with several learning rates: {several}, all of them fitted"
        return ChecklistItem("tuning", question, answer, "caution", rule)
    return ChecklistItem("tuning", question, answer, "ok" if fewest >= MIN_RATES else "caution", rule)


def _repetition(fit: Fit, facts: TableFacts) -> ChecklistItem:
    rule = "repeated data are worth less than new data: fit a law of unique tokens U, or leave the rows out"
    question = "Data repetition"
    if facts.most_epochs is None or facts.repeated is None:
        return ChecklistItem("repetition", question, f"epochs or unique tokens: {NOT_RECORDED}", "unknown", rule)
    if not facts.repeated:
        answer = f"none: at most {facts.most_epochs:.3g} epochs"
        return ChecklistItem("repetition", question, answer, "ok", rule)
    answer = f"{facts.repeated} of {facts.num_rows} rows repeat data, up to {facts.most_epochs:.3g} epochs"
    has_unique = "U" in fit.law.columns
    answer += "; the law has unique tokens U" if has_unique else f"; {fit.law.name} ignores it"
    return ChecklistItem("repetition", question, answer, "ok" if has_unique else "caution", rule)


def _selection(table: Table) -> ChecklistItem:
    rule = "an exclusion without a reason is hindsight"
    question = "How points were selected"
    answer = f"{len(table)} rows fitted"
    reasons: dict[str, int] = {}
    for exclusion in table.excluded:
        reasons[exclusion.reason] = reasons.get(exclusion.reason, 0) + 1
    if reasons:
        answer += "; left out: " + "; ".join(f"{count} ({reason})" for reason, count in reasons.items())
    where = [note for note in table.notes if WHERE_NOTE in note and not note.startswith("0 of ")]
    on_request = [note for note in table.notes if "on request" in note]
    answer += "".join(f"; {note}" for note in (*where, *on_request))
    if not (reasons or where or on_request):
        answer += ", none left out"
    verdict: Verdict = "caution" if on_request or where else "ok"
    return ChecklistItem("selection", question, answer, verdict, f"{rule}; a condition on the rows has none")


def _checkpoints(facts: TableFacts) -> ChecklistItem:
    rule = f"of a run's checkpoints the first {100 * EARLY_PROGRESS:.0f} % are dropped"
    question = "Checkpoints of one run"
    if facts.mid_run is None or facts.earliest_progress is None:
        if facts.num_runs == facts.num_rows:
            return ChecklistItem(
                "checkpoints", question, "one row for each run, as far as the table records", "unknown", rule
            )
        return ChecklistItem("checkpoints", question, f"progress of each row: {NOT_RECORDED}", "unknown", rule)
    if not facts.mid_run:
        return ChecklistItem("checkpoints", question, "none: each row is the end of a run", "ok", rule)
    answer = f"{facts.mid_run} of {facts.num_rows} rows, the first at {100 * facts.earliest_progress:.3g} % of its run"
    return ChecklistItem(
        "checkpoints", question, answer, "ok" if facts.earliest_progress >= EARLY_PROGRESS else "caution", rule
    )


def _objective(fit: Fit) -> ChecklistItem:
    rule = "independent starts agree, a Newton step gains nothing, and no parameter is at a bound"
    question = "Loss, weights, optimizer, starts and bounds"
    weights = f"weights 1/{fit.objective.partition('@')[2]}²" if "@" in fit.objective else "equal weights"
    answer = f"{fit.objective.partition('@')[0]}, summed, {weights}, Levenberg-Marquardt"
    if not fit.parameters:
        return ChecklistItem("objective", question, f"{answer}; refused ({fit.status}): {fit.reason}", "caution", rule)
    if fit.certificate is not None:
        certificate = fit.certificate
        answer += f"; {certificate.starts_agreeing} of {certificate.starts} starts agree, a Newton step would gain "
        answer += f"{certificate.newton_decrement:.0e}"
        at_bound = ", ".join(certificate.at_bound)
        answer += f"; at a bound: {at_bound}" if at_bound else "; no parameter at a bound"
    answer += f"; {fit.status}"
    verdict: Verdict = "ok" if fit.status in ("converged", "not_identified") else "caution"
    return ChecklistItem("objective", question, answer, verdict, rule)


def _points(fit: Fit, facts: TableFacts) -> ChecklistItem:
    rule = f"refused below parameters + 2 points; caution below {POINTS_PER_PARAMETER} points for each parameter"
    num_parameters = fit.law.num_parameters
    answer = f"{fit.num_points} points of {facts.num_runs} runs or trunks for {num_parameters} parameters"
    enough = fit.num_points >= max(num_parameters + 2, POINTS_PER_PARAMETER * num_parameters)
    return ChecklistItem("points", "Points against parameters", answer, "ok" if enough else "caution", rule)


def _sizes(facts: TableFacts) -> ChecklistItem:
    rule = f"{MIN_SIZES} or 5 sizes at least; several small models are better than one slightly larger"
    if facts.sizes is None:
        return ChecklistItem("sizes", "Model sizes", f"N: {NOT_RECORDED}", "unknown", rule)
    verdict: Verdict = "ok" if facts.sizes >= MIN_SIZES else "caution"
    return ChecklistItem(
        "sizes", "Model sizes", f"{facts.sizes} sizes" if facts.sizes != 1 else "1 size", verdict, rule
    )


def _seeds(fit: Fit, facts: TableFacts) -> ChecklistItem:
    rule = "seeds change a loss by up to 3.5 %: measure the noise with repeated seeds"
    if fit.seed_noise is None or not facts.seed_groups:
        return ChecklistItem(
            "seeds", "Seeds", f"no setting with a second seed: seed noise is {NOT_RECORDED}", "unknown", rule
        )
    answer = (
        f"{facts.seed_rows} rows in {facts.seed_groups} settings differ by seed alone: "
        f"noise {100 * fit.seed_noise:.2g} % of the {fit.law.target}"
    )
    return ChecklistItem("seeds", "Seeds", answer, "ok", rule)


def _residuals(table: Table, fit: Fit) -> ChecklistItem:
    limits = f"{MISFIT_RATIO:g} times the seed noise and {100 * IMPLAUSIBLE_RESIDUAL:g} %"
    rule = f"within {limits}; otherwise the law does not describe the table"
    question = "Residuals against noise"
    if not fit.parameters:
        return ChecklistItem("residuals", question, "none: the fit was refused", "caution", rule)
    residual_P = fitted_rows(table, fit).residual / 100
    spread, noise = float(np.std(residual_P)), fit.seed_noise
    median = float(np.median(np.abs(residual_P)))
    answer = f"standard deviation {100 * spread:.2g} %, half of them below {100 * median:.2g} %"
    if noise:
        answer += f": {spread / noise:.2g} times the seed noise"
    if spread > (min(MISFIT_RATIO * noise, IMPLAUSIBLE_RESIDUAL) if noise else IMPLAUSIBLE_RESIDUAL):
        answer += f"; {fit.law.name} does not describe the table, and intervals count its misfit as noise"
        return ChecklistItem("residuals", question, answer, "caution", rule)
    if not noise:
        return ChecklistItem("residuals", question, f"{answer}; no seed noise to compare with", "unknown", rule)
    return ChecklistItem("residuals", question, answer, "ok", rule)


def _intervals(fit: Fit) -> ChecklistItem:
    rule = "noise is measured, shared within a run, and in every interval; what is not identified has no number"
    question = "Method of the intervals"
    if not fit.parameters:
        return ChecklistItem("intervals", question, "none: the fit was refused", "caution", rule)
    answer = f"{100 * INTERVAL_LEVEL:.0f} % of parameters by {fit.interval_method}, 90 % of predictions by profile; "
    answer += f"noise is shared within {len({str(run) for run in fit.points.run_P})} runs or trunks"
    if fit.not_identified:
        answer += f"; not identified: {', '.join(fit.not_identified)}"
    has_all_intervals = fit.interval_method != "none" and not fit.not_identified
    return ChecklistItem("intervals", question, answer, "ok" if has_all_intervals else "caution", rule)


def _held_out(fit: Fit, ranking: Ranking | None) -> ChecklistItem:
    rule = f"error on held-out larger runs: {100 * GOOD_ERROR:.0f} % is good, up to 20 % can still rank choices"
    question = "Held-out result"
    own = None if ranking is None else next((law for law in ranking.laws if law.law == fit.law.name), None)
    if own is None or own.held_out_mean_abs_relative_error is None:
        return ChecklistItem(
            "held_out",
            question,
            "none: the law could not be fitted to a part of the rows and tested on the rest",
            "unknown",
            rule,
        )
    error, worst = own.held_out_mean_abs_relative_error, own.held_out_worst or 0.0
    answer = f"mean error {100 * error:.2g} %, worst {100 * worst:.2g} %"
    if own.coverage_90 is not None:
        answer += f", {100 * own.coverage_90:.0f} % of outcomes in the 90 % intervals"
    honest = own.coverage_90 is None or own.coverage_90 >= MIN_COVERAGE
    return ChecklistItem("held_out", question, answer, "ok" if error <= GOOD_ERROR and honest else "caution", rule)


def _extrapolation(predictions: Sequence[Prediction]) -> ChecklistItem:
    rule = f"at most {MAX_EXTRAPOLATION:g} times the largest compute of the data"
    question = "Extrapolation"
    if not predictions:
        return ChecklistItem("extrapolation", question, "no prediction in this report", "unknown", rule)
    parts, far = [], False
    for prediction in predictions:
        ratios = [(axis, ratio) for axis in AXES if (ratio := prediction.extrapolation.get(axis)) is not None]
        reach = ", ".join(f"{ratio:.3g} × {axis}" for axis, ratio in ratios)
        parts.append(f"{format_magnitudes(prediction.at)}: {reach}" + ("" if prediction.sealed else " (not sealed)"))
        far = far or prediction.sealed is None or any(ratio > MAX_EXTRAPOLATION for _, ratio in ratios)
    parts = list(dict.fromkeys(parts))  # laws at one target
    return ChecklistItem(
        "extrapolation", question, "; ".join(parts), "caution" if far else "ok", f"{rule}; sealed before training"
    )


def _provenance(table: Table, facts: TableFacts, commit: str | None) -> ChecklistItem:
    rule = "the table and the code at this commit reproduce these numbers"
    answer = f"table sha256 {table.digest[:16]}, analysis at commit {format_commit(commit)}"
    if facts.commits:
        shown = ", ".join(map(format_commit, facts.commits[:3]))
        answer += f", runs at {len(facts.commits)} commit{'s' if len(facts.commits) > 1 else ''} ({shown})"
    if facts.data_sets:
        answer += f", data {', '.join(facts.data_sets[:3])}"
    changed = commit is None or commit.endswith("+changes") or any(run.endswith("+changes") for run in facts.commits)
    verdict: Verdict = "unknown" if commit is None else "caution" if changed or len(facts.commits) > 1 else "ok"
    return ChecklistItem("provenance", "Code and data", answer, verdict, rule)
