"""The checklist that a fit of a scaling law must answer, answered from the table, the fit and what was computed.

The questions are those of Li et al. 2025, (Mis)Fitting (arXiv 2502.18969), and the rules on sizes, checkpoints, seeds
and extrapolation of Choshen et al. 2024 (arXiv 2410.11840). Where the table does not say, the answer is that.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from windtunnel.analysis.comparison.backtest import OVERCONFIDENT, Ranking
from windtunnel.analysis.fitting.result import INTERVAL_LEVEL, Fit
from windtunnel.analysis.prediction.predict import Prediction, describe
from windtunnel.analysis.prediction.target import AXES, FARTHEST
from windtunnel.analysis.report.checklist_facts import Facts, facts_of
from windtunnel.analysis.report.figures.fitted_rows import fitted_rows
from windtunnel.analysis.tables.conventions import what_size_counts
from windtunnel.analysis.tables.seeds import MISFIT
from windtunnel.analysis.tables.table import BY_WHERE, Table

Verdict = Literal["ok", "caution", "unknown"]
NOT_SAID = "not in the table"
LEAST_SIZES = 4
FIRST_SHARE = 0.1
GOOD_ERROR = 0.04
LEAST_RATES = 16
POINTS_PER_PARAMETER = 2
# No seed moves a loss so far; the laws printed for finished runs of one recipe are off by 1 to 3 %.
IMPLAUSIBLE = 0.05


@dataclass(frozen=True)
class Item:
    """One question, its answer, how far to trust it, and the rule that says so."""

    key: str
    question: str
    answer: str
    verdict: Verdict
    rule: str


def checklist(
    table: Table,
    fit: Fit,
    ranking: Ranking | None,
    predictions: Sequence[Prediction] = (),
    commit: str | None = None,
) -> tuple[Item, ...]:
    """Every item, in the order a reader asks."""
    facts = facts_of(table)
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


def _form(fit: Fit, ranking: Ranking | None) -> Item:
    answer = f"{fit.law.name}: {fit.law.formula} ({fit.law.citation})"
    verdict: Verdict = "unknown"
    if ranking is not None and ranking.best is not None:
        rivals = ", ".join(each.law for each in ranking.laws if each.law != fit.law.name)
        if ranking.best == fit.law.name:
            answer, verdict = f"{answer}; the best of the back-test, against {rivals}", "ok"
        else:
            answer, verdict = f"{answer}; in the back-test {ranking.best} did better", "caution"
    else:
        answer += "; chosen on request, compared with no other form"
    return Item("form", "Which form, and why", answer, verdict, "a form is chosen by held-out error against rivals")


def _counts(table: Table, facts: Facts) -> Item:
    rule = "exponents move with what N and C count: `windtunnel audit` shows how far"
    question = "What N, D and C count"
    said = [note for note in table.notes if note.startswith(("C is", "D is", "N is"))]
    if facts.is_records:
        answer = f"{what_size_counts(table)}; D tokens processed; C = 6 N D of all parameters"
        return Item("counts", question, answer, "ok", rule)
    answer = "N, D and C as the source counts them: which parameters and FLOPs is " + NOT_SAID
    answer += f" ({', '.join(said)})" if said else ""
    return Item("counts", question, answer, "unknown", rule)


def _schedule(facts: Facts) -> Item:
    rule = "a law is of finished schedules: a rate that has not decayed leaves loss on the table"
    question = "Learning-rate schedule of each point"
    if facts.undecayed is None and facts.mid_run is None:
        answer = f"finished or mid-run: {NOT_SAID}"
        answer += f"; schedules {', '.join(facts.schedules)}" if facts.schedules else ""
        return Item("schedule", question, answer, "unknown", rule)
    early = max(facts.undecayed or 0, facts.mid_run or 0)
    named = f" ({', '.join(facts.schedules)})" if facts.schedules else ""
    if early:
        answer = f"{early} of {facts.num_rows} rows before the learning rate had decayed{named}"
        return Item("schedule", question, answer, "caution", rule)
    if len(facts.schedules) > 1:
        return Item("schedule", question, f"finished, of {len(facts.schedules)} schedules{named}", "caution", rule)
    return Item("schedule", question, f"every row is the end of its own schedule{named}", "ok", rule)


def _tuning(facts: Facts) -> Item:
    rule = (
        f"rates tried per size beside every exponent: 4 settings gave no law, 16 an unreliable, 64 a weak, 256 an "
        f"accurate one (arXiv 2608.11859); caution below {LEAST_RATES}"
    )
    question = "Hyper-parameter tuning per scale"
    if facts.rates_per_size is None:
        return Item("tuning", question, f"learning rates tried per size: {NOT_SAID}", "unknown", rule)
    fewest, most = facts.rates_per_size
    count = f"{fewest}" if fewest == most else f"{fewest} to {most}"
    answer = f"HP-search depth per scale: {count} learning rate{'s' if most > 1 else ''} per size in this table"
    if facts.several_rates_in_a_cell:
        answer += f"; {facts.several_rates_in_a_cell} settings of N and D are fitted at several rates, not at the best"
        return Item("tuning", question, answer, "caution", rule)
    return Item("tuning", question, answer, "ok" if fewest >= LEAST_RATES else "caution", rule)


def _repetition(fit: Fit, facts: Facts) -> Item:
    rule = "repeated data is worth less than new data: fit a law that reads U, or leave the rows out"
    question = "Data repetition"
    if facts.most_epochs is None or facts.repeated is None:
        return Item("repetition", question, f"epochs or unique tokens: {NOT_SAID}", "unknown", rule)
    if not facts.repeated:
        answer = f"none: at most {facts.most_epochs:.3g} epochs"
        return Item("repetition", question, answer, "ok", rule)
    answer = f"{facts.repeated} of {facts.num_rows} rows repeat data, up to {facts.most_epochs:.3g} epochs"
    reads = "U" in fit.law.columns
    answer += "; the law reads unique tokens U" if reads else f"; {fit.law.name} does not know of it"
    return Item("repetition", question, answer, "ok" if reads else "caution", rule)


def _selection(table: Table) -> Item:
    rule = "an exclusion without a reason is hindsight"
    question = "How points were selected"
    answer = f"{len(table)} rows fitted"
    reasons: dict[str, int] = {}
    for each in table.excluded:
        reasons[each.reason] = reasons.get(each.reason, 0) + 1
    if reasons:
        answer += "; left out: " + "; ".join(f"{count} ({reason})" for reason, count in reasons.items())
    where = [note for note in table.notes if BY_WHERE in note and not note.startswith("0 of ")]
    asked = [note for note in table.notes if "on request" in note]
    answer += "".join(f"; {note}" for note in (*where, *asked))
    if not (reasons or where or asked):
        answer += ", none left out"
    verdict: Verdict = "caution" if asked or where else "ok"
    return Item("selection", question, answer, verdict, f"{rule}; a condition (--where) carries none")


def _checkpoints(facts: Facts) -> Item:
    rule = f"of a run's checkpoints the first {100 * FIRST_SHARE:.0f} % are dropped"
    question = "Checkpoints of one run"
    if facts.mid_run is None or facts.earliest_progress is None:
        if facts.num_runs == facts.num_rows:
            return Item("checkpoints", question, "one row each run, as far as the table says", "unknown", rule)
        return Item("checkpoints", question, f"how far along each row was: {NOT_SAID}", "unknown", rule)
    if not facts.mid_run:
        return Item("checkpoints", question, "none: each row is the end of a run", "ok", rule)
    answer = f"{facts.mid_run} of {facts.num_rows} rows, the first at {100 * facts.earliest_progress:.3g} % of its run"
    return Item("checkpoints", question, answer, "ok" if facts.earliest_progress >= FIRST_SHARE else "caution", rule)


def _objective(fit: Fit) -> Item:
    rule = "independent starts agree and a Newton step gains nothing; no parameter at a bound"
    question = "Loss, weights, optimiser, starts and bounds"
    weights = f"weights 1/{fit.objective.partition('@')[2]}²" if "@" in fit.objective else "equal weights"
    answer = f"{fit.objective.partition('@')[0]}, summed, {weights}, Levenberg-Marquardt"
    if not fit.parameters:
        return Item("objective", question, f"{answer}; refused ({fit.status}): {fit.reason}", "caution", rule)
    if fit.certificate is not None:
        sure = fit.certificate
        answer += (
            f"; {sure.starts_agreeing} of {sure.starts} starts agree, a step would gain {sure.newton_decrement:.0e}"
        )
        answer += f"; at a bound: {', '.join(sure.at_bound)}" if sure.at_bound else "; no parameter at a bound"
    answer += f"; {fit.status}"
    verdict: Verdict = "ok" if fit.status in ("converged", "not_identified") else "caution"
    return Item("objective", question, answer, verdict, rule)


def _points(fit: Fit, facts: Facts) -> Item:
    rule = f"refused below 2 points more than parameters; caution below {POINTS_PER_PARAMETER} points a parameter"
    num_parameters = fit.law.num_parameters
    answer = f"{fit.num_points} points of {facts.num_runs} runs or trunks for {num_parameters} parameters"
    enough = fit.num_points >= max(num_parameters + 2, POINTS_PER_PARAMETER * num_parameters)
    return Item("points", "Points against parameters", answer, "ok" if enough else "caution", rule)


def _sizes(facts: Facts) -> Item:
    rule = f"{LEAST_SIZES} to 5 sizes or more; several small models beat one slightly larger"
    if facts.sizes is None:
        return Item("sizes", "Model sizes", f"N: {NOT_SAID}", "unknown", rule)
    verdict: Verdict = "ok" if facts.sizes >= LEAST_SIZES else "caution"
    return Item("sizes", "Model sizes", f"{facts.sizes} sizes" if facts.sizes != 1 else "1 size", verdict, rule)


def _seeds(fit: Fit, facts: Facts) -> Item:
    rule = "seeds alone move a loss by up to 3.5 %: measure the noise with repeated seeds"
    if fit.seed_noise is None or not facts.seed_groups:
        return Item("seeds", "Seeds", f"no setting with a second seed: seed noise is {NOT_SAID}", "unknown", rule)
    answer = (
        f"{facts.seed_rows} rows in {facts.seed_groups} settings differ by seed alone: "
        f"noise {100 * fit.seed_noise:.2g} % of the {fit.law.target}"
    )
    return Item("seeds", "Seeds", answer, "ok", rule)


def _residuals(table: Table, fit: Fit) -> Item:
    rule = f"within {MISFIT:g} times the seed noise and {100 * IMPLAUSIBLE:g} %: else the law is not of this table"
    question = "Residuals against noise"
    if not fit.parameters:
        return Item("residuals", question, "none: the fit was refused", "caution", rule)
    residual_P = fitted_rows(table, fit).residual / 100
    spread, noise = float(np.std(residual_P)), fit.seed_noise
    answer = f"s.d. {100 * spread:.2g} %, half of them under {100 * float(np.median(np.abs(residual_P))):.2g} %"
    if noise:
        answer += f": {spread / noise:.2g} times the seed noise"
    if spread > (min(MISFIT * noise, IMPLAUSIBLE) if noise else IMPLAUSIBLE):
        answer += f"; {fit.law.name} does not describe the table, and intervals take its misfit for noise"
        return Item("residuals", question, answer, "caution", rule)
    if not noise:
        return Item("residuals", question, f"{answer}; no seed noise to compare with", "unknown", rule)
    return Item("residuals", question, answer, "ok", rule)


def _intervals(fit: Fit) -> Item:
    rule = "noise is measured, shared by rows of one run, and in every interval; what is not identified has no number"
    question = "Method of the intervals"
    if not fit.parameters:
        return Item("intervals", question, "none: the fit was refused", "caution", rule)
    answer = f"{100 * INTERVAL_LEVEL:.0f} % of parameters by {fit.interval_method}, 90 % of predictions by profile; "
    answer += f"noise is shared within {len({str(run) for run in fit.points.run_P})} runs or trunks"
    if fit.not_identified:
        answer += f"; not identified: {', '.join(fit.not_identified)}"
    known = fit.interval_method != "none" and not fit.not_identified
    return Item("intervals", question, answer, "ok" if known else "caution", rule)


def _held_out(fit: Fit, ranking: Ranking | None) -> Item:
    rule = f"error at held-out larger runs: {100 * GOOD_ERROR:.0f} % is good, up to 20 % still ranks choices"
    question = "Held-out result"
    own = None if ranking is None else next((each for each in ranking.laws if each.law == fit.law.name), None)
    if own is None or own.held_out_mean_abs_relative_error is None:
        return Item(
            "held_out", question, "none: the law could not be fitted to a part and tried on the rest", "unknown", rule
        )
    error, worst = own.held_out_mean_abs_relative_error, own.held_out_worst or 0.0
    answer = f"mean error {100 * error:.2g} %, worst {100 * worst:.2g} %"
    if own.coverage_90 is not None:
        answer += f", {100 * own.coverage_90:.0f} % of outcomes in the 90 % intervals"
    honest = own.coverage_90 is None or own.coverage_90 >= OVERCONFIDENT
    return Item("held_out", question, answer, "ok" if error <= GOOD_ERROR and honest else "caution", rule)


def _extrapolation(predictions: Sequence[Prediction]) -> Item:
    rule = f"no further than {FARTHEST:g} times the data's largest compute"
    question = "Extrapolation"
    if not predictions:
        return Item("extrapolation", question, "no prediction in this report", "unknown", rule)
    parts, far = [], False
    for each in predictions:
        known = [(axis, ratio) for axis in AXES if (ratio := each.extrapolation.get(axis)) is not None]
        parts.append(f"{describe(each.at)}: " + ", ".join(f"{ratio:.3g} × {axis}" for axis, ratio in known))
        far = far or any(ratio > FARTHEST for _, ratio in known)
        far = far or each.sealed is None
        parts[-1] += "" if each.sealed else " (not sealed)"
    return Item(
        "extrapolation", question, "; ".join(parts), "caution" if far else "ok", f"{rule}; sealed before training"
    )


def short_commit(commit: str | None) -> str:
    """Twelve digits of it, and whether files differed from it."""
    if commit is None:
        return "unknown"
    digits, plus, changes = commit.partition("+")
    return f"{digits[:12]}{plus}{changes}"


def _provenance(table: Table, facts: Facts, commit: str | None) -> Item:
    rule = "whoever has the table and the code at this commit gets these numbers"
    answer = f"table sha256 {table.digest[:16]}, analysis at commit {short_commit(commit)}"
    if facts.commits:
        shown = ", ".join(map(short_commit, facts.commits[:3]))
        answer += f", runs at {len(facts.commits)} commit{'s' if len(facts.commits) > 1 else ''} ({shown})"
    if facts.data_sets:
        answer += f", data {', '.join(facts.data_sets[:3])}"
    changed = commit is None or commit.endswith("+changes") or any(each.endswith("+changes") for each in facts.commits)
    verdict: Verdict = "unknown" if commit is None else "caution" if changed or len(facts.commits) > 1 else "ok"
    return Item("provenance", "Code and data", answer, verdict, rule)
