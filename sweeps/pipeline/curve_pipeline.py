"""The closed loop over whole curves: laws of schedules fitted to the family's curves, the curves of the targets sealed
before any of them begins, and scored after.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from windtunnel.analysis.curves.cross_validation import InnerScore
from windtunnel.analysis.curves.curve import Curve
from windtunnel.analysis.curves.ensemble import fit_named, validated
from windtunnel.analysis.curves.fit import CurveFit
from windtunnel.analysis.curves.from_runs import Losses, run_curve
from windtunnel.analysis.curves.result import FittedCurves, fitted_curves
from windtunnel.analysis.curves.score import LawOutcome, NoiseAlone, noise_alone, noise_between_seeds, outcomes
from windtunnel.analysis.curves.seal import SealedCurves, read_sealed_curves, seal_curves
from windtunnel.analysis.curves.target import CurveTarget, curve_target
from windtunnel.analysis.report.curve_report import CurveReport
from windtunnel.analysis.signed_json import digest_of
from windtunnel.models.accounting import count_parameters
from windtunnel.sweeps.pipeline.results_folder import OutcomeFolder
from windtunnel.sweeps.pipeline.sealing import any_begun
from windtunnel.sweeps.planning.curve_checks import curve_analysis
from windtunnel.sweeps.study.plan import Plan, PlannedRun
from windtunnel.train.config.config import RunConfig
from windtunnel.train.config.run_id import scientific
from windtunnel.train.errors import InputError
from windtunnel.train.milestones import milestones_of
from windtunnel.train.provenance import commit
from windtunnel.train.records import read_metrics, read_record

Tell = Callable[[str], None]
REPLICATES, SEED = 100, 0


@dataclass(frozen=True)
class CurveOutcome:
    """What a study's curves came to. `trained` are the targets' curves by run; `noise` is that of the log of the final
    loss between seeds, `floor` what a law that is right would be off.
    """

    fits: Mapping[str, FittedCurves]
    sealed: tuple[SealedCurves, ...]
    laws: tuple[LawOutcome, ...]
    trained: Mapping[str, Curve]
    noise: float | None
    floor: NoiseAlone | None


def fit_curve_laws(plan: Plan, folder: OutcomeFolder, tell: Tell) -> dict[str, FittedCurves]:
    """Every law fitted to the family's curves, by the name that the study gives it, and written down. Fits that were
    sealed are taken as they were written: they take minutes.
    """
    analysis, curves = curve_analysis(plan), family_curves(plan, tell)
    digest = source_of(plan)["digest"]
    sealed = {each.asked: each.fit for each in sealed_curves_in(folder) if each.fit["digest"] == digest}
    found: dict[str, FittedCurves] = {}
    known: dict[str, CurveFit] = {}
    inner: dict[str, InnerScore] = {}
    for name in analysis.laws:
        if name in sealed and folder.curve_fit(name).exists():
            written = FittedCurves.from_json(folder.curve_fit(name))
            if written.parameters == sealed[name]["parameters"]:
                found[name] = written
                continue
        fit, scores = fit_named(name, curves, analysis.objective, known)
        inner |= {each.law: each for each in scores}
        told = f" ({fit.reason})" if fit.reason else ""
        tell(f"fitted {name} to {len(curves)} curves: {fit.law.name}, {fit.status}{told}")
        for each in scores:
            tell(f"  inner validation: {each.law} {100 * each.mean_abs_relative_error:.3f} %")
        if fit.parameters:
            scores = validated(fit, curves, analysis.objective, list(inner.values()))
            inner |= {each.law: each for each in scores}
            found[name] = fitted_curves(fit, curves, REPLICATES, SEED, scores)
            folder.curve_fit(name).parent.mkdir(exist_ok=True)
            found[name].to_json(folder.curve_fit(name))
    return found


def family_curves(plan: Plan, tell: Tell) -> list[Curve]:
    return [run_curve(run.folder, curve_analysis(plan).losses) for run in _trained(plan.of("family"), tell)]


def seal_curve_laws(
    plan: Plan, fits: Mapping[str, FittedCurves], folder: OutcomeFolder, tell: Tell
) -> tuple[SealedCurves, ...]:
    """What every law says of every target, sealed: what is there already, and new where no target has begun. Raises
    InputError where a target has results and was never sealed.
    """
    targets = targets_of_curves(plan)
    if not targets:
        return ()
    source = source_of(plan)
    there = {each.asked: each for each in sealed_curves_in(folder)}
    for each in there.values():
        if each.fit["digest"] != source["digest"]:
            raise InputError(
                f"{folder.curve_predictions}: {each.asked} was sealed from other curves than the family's now; nothing "
                f"is sealed twice: restore those runs, or move {folder.path} away"
            )
    missing = [name for name in fits if name not in there]
    begun = any_begun([plan.by_id[target.runs[0]].config for target in targets]) if missing else None
    if begun is not None and not there:
        raise InputError(
            f"{begun}, and there is no sealed prediction of it: name targets that were never trained in "
            f"{plan.file.path}, or restore the sealed files"
        )
    if begun is not None:
        tell(f"not sealed: {', '.join(missing)}: {begun}")
    else:
        for name in missing:  # also those that an interruption kept from it
            try:
                path = seal_curves(
                    name, fits[name], source, curve_analysis(plan).losses, targets, folder.curve_predictions, commit()
                )
            except InputError as error:
                tell(f"not sealed: {name}: {error}")
                continue
            there[name] = read_sealed_curves(path)
            tell(f"sealed {path.name}: {len(targets)} curves by {name}")
    if not there:
        raise InputError(f"{plan.file.path}: no law of curves could be sealed; targets are not trained")
    return tuple(there[name] for name in curve_analysis(plan).laws if name in there)


def score_curves(
    plan: Plan, fits: Mapping[str, FittedCurves], sealed: Sequence[SealedCurves], folder: OutcomeFolder, tell: Tell
) -> CurveOutcome:
    """The targets that came to a curve, held against what was sealed of them."""
    losses = curve_analysis(plan).losses
    trained = {run.run_id: run_curve(run.folder, losses) for run in _trained(plan.of("target"), tell)}
    kept = [_of_trained(each, trained) for each in sealed]
    noise = noise_between_seeds(_finals(plan, losses))
    floor = noise_alone(kept[0].targets, trained) if kept else None
    found = CurveOutcome(fits, tuple(sealed), outcomes(kept, trained, noise) if trained else (), trained, noise, floor)
    content = {"noise_between_seeds": noise, "noise_alone": None if floor is None else floor.document()}
    folder.write("curve-scores", {**content, "laws": [each.document() for each in found.laws]})
    for each in found.laws:
        tell(describe(each))
    if floor is not None:
        tell(f"noise between seeds alone, of a law that is right: {describe_floor(floor)}")
    return found


def describe_floor(floor: NoiseAlone) -> str:
    means = f"{100 * floor.seed_means_mean_abs_relative_error:.3f} %, worst {100 * floor.seed_means_worst:.2f} %"
    runs = f"mean error {100 * floor.mean_abs_relative_error:.3f} %, worst {100 * floor.worst:.2f} %"
    return f"{runs} (means over seeds {means})"


def describe(law: LawOutcome) -> str:
    """One line."""
    text = f"{law.asked}: mean error {100 * law.mean_abs_relative_error:.3f} %, worst {100 * law.worst:.2f} %"
    if law.seed_means is not None:
        means = law.seed_means
        text += f" (means over seeds {100 * means.mean_abs_relative_error:.3f} %, worst {100 * means.worst:.2f} %)"
    text += f", final {100 * law.final:.3f} %"
    if law.final_in_noise is not None:
        text += f" ({law.final_in_noise:.2g} of the noise between seeds)"
    if law.coverage_90 is not None:
        text += f", {law.coverage_90:.0%} of final losses in their 90 % intervals"
    for each in law.against:
        text += f"; less {each.baseline}'s error: {100 * each.difference:+.3f} %"
        if each.interval_90 is not None:
            text += " [{:+.3f}, {:+.3f}]".format(*(100 * end for end in each.interval_90))
    return text


def targets_of_curves(plan: Plan) -> list[CurveTarget]:
    """The targets of a plan, seeds together."""
    losses = curve_analysis(plan).losses
    groups: dict[str, list[PlannedRun]] = {}
    for run in plan.of("target"):
        groups.setdefault(json.dumps(scientific(replace(run.config, seed=0))), []).append(run)
    found = []
    for runs in groups.values():
        config = runs[0].config
        seedless = runs[0].run_id.replace(f"-s{config.seed}-", "-").rpartition("-")[0]
        name = f"{seedless}{_decay_in_words(config.schedule.decay_shape, config.schedule.decay_steps)}"
        found.append(target_of_config(config, tuple(run.run_id for run in runs), name, losses))
    return found


def target_of_config(config: RunConfig, runs: tuple[str, ...], name: str, losses: Losses) -> CurveTarget:
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


def _decay_in_words(shape: str, steps: int) -> str:
    return f" ({shape} over {steps} steps)" if steps else ""


def curve_report_of(plan: Plan, found: CurveOutcome) -> CurveReport:
    """The report of the study's curves, to be drawn."""
    source, analysis = source_of(plan), curve_analysis(plan)
    return CurveReport(
        study=plan.file.name,
        asked=tuple(analysis.laws),
        losses=analysis.losses,
        fitted=tuple(source["curves"]),
        digest=source["digest"],
        fits=found.fits,
        sealed=found.sealed,
        outcomes=found.laws,
        trained=found.trained,
        noise=found.noise,
        floor=found.floor,
        commit=commit(),
    )


def sealed_curves_in(folder: OutcomeFolder) -> list[SealedCurves]:
    """What is sealed already, checked. Raises InputError where a file was changed."""
    return [read_sealed_curves(path) for path in sorted(folder.curve_predictions.glob("curves-*.json"))]


def source_of(plan: Plan) -> dict[str, Any]:
    """What the laws were fitted to."""
    curves = family_curves(plan, lambda _: None)
    points = [[Path(curve.name).name, curve.time_P.tolist(), curve.loss_P.tolist()] for curve in curves]
    names = [name for name, *_ in points]
    return {"study": plan.file.name, "curves": names, "digest": digest_of({"points": points}, "")}


def _trained(runs: Sequence[PlannedRun], tell: Tell) -> list[PlannedRun]:
    """Those that finished. A run that diverged is a result, and no curve law describes it."""
    kept = [run for run in runs if _status(run.folder) == "finished"]
    for run in runs:
        if run not in kept:
            tell(f"left out: {run.run_id}: {_status(run.folder)}")
    return kept


def _status(folder: Path) -> str:
    return str(read_record(folder)["status"]) if (folder / "run.json").exists() else "missing"


def _of_trained(sealed: SealedCurves, trained: Mapping[str, Curve]) -> SealedCurves:
    """Without the targets that came to no curve."""
    targets = [replace(target, runs=tuple(run for run in target.runs if run in trained)) for target in sealed.targets]
    return replace(sealed, targets=tuple(target for target in targets if target.runs))


def _finals(plan: Plan, losses: Losses) -> dict[str, list[float]]:
    """The last losses, of the kind that is fitted, of runs that are equal but for their seed."""
    column = "loss" if losses == "training" else "validation_nats_per_token"
    found: dict[str, list[float]] = {}
    for run in plan.runs:
        if _status(run.folder) == "finished":
            rows = read_metrics(run.folder, "train" if losses == "training" else "evaluation")
            key = json.dumps(scientific(replace(run.config, seed=0)))
            found.setdefault(key, []).append(float(rows[-1][column]))
    return found
