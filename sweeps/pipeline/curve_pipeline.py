"""The pipeline for whole loss curves: fit laws to the family's curves, seal the curves of the targets before any of
them starts, and score them after.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from windtunnel.analysis.curves.cross_validation import CrossValidationScore
from windtunnel.analysis.curves.curve import LossCurve, LossKind
from windtunnel.analysis.curves.ensemble import fit_named_law, member_scores
from windtunnel.analysis.curves.fit import CurveFit
from windtunnel.analysis.curves.from_runs import curve_from_run
from windtunnel.analysis.curves.result import FittedCurveLaw
from windtunnel.analysis.curves.score import LawScore, PerfectLawScore, perfect_law_score, pooled_seed_noise, score_laws
from windtunnel.analysis.curves.seal import SealedCurves, read_sealed_curves, seal_curves
from windtunnel.analysis.curves.target import CurveTarget, curve_target
from windtunnel.analysis.report.curve_report import CurveReport
from windtunnel.analysis.signed_json import digest_of
from windtunnel.models.accounting import count_parameters
from windtunnel.sweeps.pipeline.results_folder import ResultsFolder
from windtunnel.sweeps.pipeline.sealing import Log, first_started, replicate_key
from windtunnel.sweeps.planning.curve_checks import curve_analysis
from windtunnel.sweeps.study.plan import Plan, PlannedRun
from windtunnel.train.config.config import RunConfig
from windtunnel.train.errors import InputError
from windtunnel.train.milestones import milestones_of
from windtunnel.train.provenance import commit
from windtunnel.train.records import read_metrics, read_record

REPLICATES, SEED = 100, 0  # of the bootstrap of a fit


@dataclass(frozen=True)
class CurvePipelineResult:
    """Fits, sealed predictions and scores of the curve laws of a study.

    scores: in the order of the laws; empty before a target was trained. trained: the curves of the targets by run.
    seed_noise: standard deviation of the log of the final loss between seeds. perfect_law: expected score of a perfect
    law given that noise (a lower bound).
    """

    fits: Mapping[str, FittedCurveLaw]
    sealed: tuple[SealedCurves, ...]
    scores: tuple[LawScore, ...]
    trained: Mapping[str, LossCurve]
    seed_noise: float | None
    perfect_law: PerfectLawScore | None


def fit_curve_laws(plan: Plan, folder: ResultsFolder, log: Log) -> dict[str, FittedCurveLaw]:
    """Fit every curve law of the study to the family's curves. Writes the fits and returns them by the name in the
    study. A fit takes minutes, so one that was sealed is read from its file.
    """
    analysis, curves = curve_analysis(plan), family_curves(plan, log)
    digest = family_source(plan)["digest"]
    sealed = {each.requested: each.fit for each in read_curve_predictions(folder) if each.fit["digest"] == digest}
    fits: dict[str, FittedCurveLaw] = {}
    cached: dict[str, CurveFit] = {}
    inner: dict[str, CrossValidationScore] = {}
    for name in analysis.laws:
        if name in sealed and folder.curve_fit(name).exists():
            written = FittedCurveLaw.from_json(folder.curve_fit(name))
            if written.parameters == sealed[name]["parameters"]:
                fits[name] = written
                continue
        fit, scores = fit_named_law(name, curves, analysis.objective, cached)
        inner |= {score.law: score for score in scores}
        reason = f" ({fit.reason})" if fit.reason else ""
        log(f"fitted {name} to {len(curves)} curves: {fit.law.name}, {fit.status}{reason}")
        for score in scores:
            log(f"  cross-validation: {score.law} {100 * score.mean_abs_relative_error:.3f} %")
        if fit.parameters:
            scores = member_scores(fit, curves, analysis.objective, list(inner.values()))
            inner |= {score.law: score for score in scores}
            fits[name] = FittedCurveLaw.from_fit(fit, curves, REPLICATES, SEED, scores)
            folder.curve_fit(name).parent.mkdir(exist_ok=True)
            fits[name].to_json(folder.curve_fit(name))
    return fits


def family_curves(plan: Plan, log: Log) -> list[LossCurve]:
    return [curve_from_run(run.folder, curve_analysis(plan).losses) for run in _finished(plan.family, log)]


def seal_curve_laws(
    plan: Plan, fits: Mapping[str, FittedCurveLaw], folder: ResultsFolder, log: Log
) -> tuple[SealedCurves, ...]:
    """The sealed predictions of every law. Existing ones are kept; missing ones are sealed only where no target has
    started. Raises InputError where a target has started and nothing is sealed.
    """
    targets = curve_targets(plan)
    if not targets:
        return ()
    source = family_source(plan)
    existing = {sealed.requested: sealed for sealed in read_curve_predictions(folder)}
    for sealed in existing.values():
        if sealed.fit["digest"] != source["digest"]:
            raise InputError(
                f"{folder.curve_predictions}: {sealed.requested} was sealed from other curves than the family's "
                f"present ones; nothing is sealed twice: restore those runs, or move {folder.path} away"
            )
    missing = [name for name in fits if name not in existing]
    started = first_started([plan.by_id[target.runs[0]].config for target in targets]) if missing else None
    if started is not None and not existing:
        raise InputError(
            f"{started}, and there is no sealed prediction of it: choose targets that were never trained in "
            f"{plan.file.path}, or restore the sealed files"
        )
    if started is not None:
        log(f"not sealed: {', '.join(missing)}: {started}")
    else:
        for name in missing:  # all of them, or after an interruption the rest
            try:
                path = seal_curves(
                    name, fits[name], source, curve_analysis(plan).losses, targets, folder.curve_predictions, commit()
                )
            except InputError as error:
                log(f"not sealed: {name}: {error}")
                continue
            existing[name] = read_sealed_curves(path)
            log(f"sealed {path.name}: {len(targets)} curves by {name}")
    if not existing:
        raise InputError(f"{plan.file.path}: no law of curves could be sealed; the targets are not trained")
    return tuple(existing[name] for name in curve_analysis(plan).laws if name in existing)


def score_curves(
    plan: Plan, fits: Mapping[str, FittedCurveLaw], sealed: Sequence[SealedCurves], folder: ResultsFolder, log: Log
) -> CurvePipelineResult:
    """Score the sealed predictions on the curves of the targets that finished. Writes `curve-scores.json`."""
    losses = curve_analysis(plan).losses
    trained = {run.run_id: curve_from_run(run.folder, losses) for run in _finished(plan.targets, log)}
    scorable = [_with_trained_runs(each, trained) for each in sealed]
    seed_noise = pooled_seed_noise(_final_losses(plan, losses))
    perfect = perfect_law_score(scorable[0].targets, trained) if scorable else None
    scores = score_laws(scorable, trained, seed_noise) if trained else ()
    content = {"noise_between_seeds": seed_noise, "noise_alone": None if perfect is None else perfect.to_dict()}
    folder.write("curve-scores", {**content, "laws": [score.to_dict() for score in scores]})
    for score in scores:
        log(
            f"{score.requested}: mean error {100 * score.mean_abs_relative_error:.3f} %, "
            f"worst {100 * score.worst:.2f} %, final loss {100 * score.final:.3f} %"
        )
    return CurvePipelineResult(fits, tuple(sealed), scores, trained, seed_noise, perfect)


def curve_targets(plan: Plan) -> list[CurveTarget]:
    """The targets of a plan, one for all its seeds."""
    losses = curve_analysis(plan).losses
    groups: dict[str, list[PlannedRun]] = {}
    for run in plan.targets:
        groups.setdefault(replicate_key(run.config), []).append(run)
    targets = []
    for runs in groups.values():
        config = runs[0].config
        seedless = runs[0].run_id.replace(f"-s{config.seed}-", "-").rpartition("-")[0]
        decay = f" ({config.schedule.decay_shape} over {config.schedule.decay_steps} steps)"
        name = seedless + (decay if config.schedule.decay_steps else "")
        targets.append(make_curve_target(config, tuple(run.run_id for run in runs), name, losses))
    return targets


def make_curve_target(config: RunConfig, runs: tuple[str, ...], name: str, losses: LossKind) -> CurveTarget:
    """The curve that runs of this configuration will have."""
    parameters = count_parameters(config.model)
    return curve_target(
        name=name,
        runs=runs,
        schedule=config.schedule,
        rate=config.optimizer.rate,
        size=float(parameters.non_embedding + parameters.head),
        batch=float(config.tokens_per_step),
        losses=losses,
        evaluated_steps=milestones_of(config),
        every_steps=config.logging.every_steps,
    )


def make_curve_report(plan: Plan, result: CurvePipelineResult) -> CurveReport:
    """The content of the report on the study's curves."""
    source, analysis = family_source(plan), curve_analysis(plan)
    return CurveReport(
        study=plan.file.name,
        laws=tuple(analysis.laws),
        losses=analysis.losses,
        fitted_runs=tuple(source["curves"]),
        digest=source["digest"],
        fits=result.fits,
        sealed=result.sealed,
        scores=result.scores,
        measured=result.trained,
        seed_noise=result.seed_noise,
        perfect_law=result.perfect_law,
        commit=commit(),
    )


def read_curve_predictions(folder: ResultsFolder) -> list[SealedCurves]:
    """The sealed curves in a results folder, verified. Raises InputError where a file was changed."""
    return [read_sealed_curves(path) for path in sorted(folder.curve_predictions.glob("curves-*.json"))]


def family_source(plan: Plan) -> dict[str, Any]:
    """What the laws were fitted to: study, runs, and a digest of their points."""
    curves = family_curves(plan, lambda _: None)
    points = [[Path(curve.name).name, curve.time_P.tolist(), curve.loss_P.tolist()] for curve in curves]
    names = [name for name, *_ in points]
    return {"study": plan.file.name, "curves": names, "digest": digest_of({"points": points}, "")}


def _finished(runs: Sequence[PlannedRun], log: Log) -> list[PlannedRun]:
    """The runs that finished. A diverged run is a result, but no curve law describes it."""
    finished = []
    for run in runs:
        status = _status(run.folder)
        if status == "finished":
            finished.append(run)
        else:
            log(f"left out: {run.run_id}: {status}")
    return finished


def _status(folder: Path) -> str:
    return str(read_record(folder)["status"]) if (folder / "run.json").exists() else "missing"


def _with_trained_runs(sealed: SealedCurves, trained: Mapping[str, LossCurve]) -> SealedCurves:
    """Without the runs that have no curve, and without targets that have no run left."""
    targets = [replace(target, runs=tuple(run for run in target.runs if run in trained)) for target in sealed.targets]
    return replace(sealed, targets=tuple(target for target in targets if target.runs))


def _final_losses(plan: Plan, losses: LossKind) -> dict[str, list[float]]:
    """The final losses, of the kind that is fitted, of the runs that differ by seed alone."""
    column = "loss" if losses == "training" else "validation_nats_per_token"
    final: dict[str, list[float]] = {}
    for run in plan.runs:
        if _status(run.folder) == "finished":
            rows = read_metrics(run.folder, "train" if losses == "training" else "evaluation")
            final.setdefault(replicate_key(run.config), []).append(float(rows[-1][column]))
    return final
