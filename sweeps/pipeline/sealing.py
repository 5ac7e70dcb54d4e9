"""Sealed predictions of final losses: every law of a study at every target, before any target has started."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from windtunnel.analysis.comparison.ranking import baseline_errors
from windtunnel.analysis.fitting.certificate import REFUSED
from windtunnel.analysis.fitting.fit import fit
from windtunnel.analysis.fitting.result import Fit
from windtunnel.analysis.laws.catalog import get_law
from windtunnel.analysis.laws.law import Array, Law
from windtunnel.analysis.prediction.existing_results import evidence_of_start
from windtunnel.analysis.prediction.predict import Prediction, predict
from windtunnel.analysis.prediction.seal import read_sealed, seal
from windtunnel.analysis.prediction.target import check_extrapolation, format_target
from windtunnel.analysis.tables.expressions import compute_column
from windtunnel.analysis.tables.selection import parse_columns
from windtunnel.analysis.tables.table import Table
from windtunnel.sweeps.pipeline.results_folder import ResultsFolder
from windtunnel.sweeps.study.plan import Plan, PlannedRun
from windtunnel.sweeps.study.run_columns import planned_columns
from windtunnel.train.config.branch_parent import recorded_config
from windtunnel.train.config.config import RunConfig
from windtunnel.train.config.run_id import run_id, scientific_part
from windtunnel.train.errors import InputError
from windtunnel.train.provenance import commit
from windtunnel.train.records import Json, read_record

Log = Callable[[str], None]
SEED_IN_RUN_ID = re.compile(r"-s(\d+)-[0-9a-f]+$")


@dataclass(frozen=True)
class Target:
    """Runs that differ by seed alone. `at`: for each law, the point at which it predicts their loss."""

    runs: tuple[PlannedRun, ...]
    at: Mapping[str, Mapping[str, float]]


@dataclass(frozen=True)
class SealedPrediction:
    """A sealed prediction and its file."""

    path: Path
    prediction: Prediction


def prediction_targets(plan: Plan) -> list[Target]:
    """The targets of a plan, one for all its seeds. Raises InputError where a law reads a column that is unknown before
    training, or a target is too far beyond the family.
    """
    analysis = plan.file.study.analysis
    if analysis is None:
        return []
    family = _known_columns(plan, plan.family)
    targets: dict[str, Target] = {}
    for run in plan.targets:
        columns = _known_columns(plan, [run])
        at = {}
        for index, name in enumerate(analysis.laws):
            try:
                at[name] = _target_point(get_law(name), columns)
                beyond = check_extrapolation(family, at[name], allow_extrapolation=True)
                if beyond:
                    raise InputError(f"{beyond[0]}; train runs nearer to it")
            except InputError as error:
                raise plan.file.error_at(("analysis", "laws", index), f"{name}: {error}") from None
        key = replicate_key(run.config)
        runs = targets[key].runs if key in targets else ()
        targets[key] = Target((*runs, run), at)
    return list(targets.values())


def _target_point(law: Law, columns: Mapping[str, Array]) -> dict[str, float]:
    if not (law.target == "bits_per_byte" or law.target.startswith("loss")):
        raise InputError(f"predicts {law.target}, which run records do not contain")
    missing = [name for name in law.columns if name not in columns]
    if missing:
        raise InputError(f"reads {missing[0]}, which is not known before a run is trained")
    return {name: float(columns[name][0]) for name in law.columns}


def fit_laws(plan: Plan, table: Table, folder: ResultsFolder, log: Log) -> dict[str, Fit]:
    """Fit every law of the study to the table of its family. Writes the fits and returns them by law."""
    analysis = plan.file.study.analysis
    assert analysis is not None
    fits: dict[str, Fit] = {}
    for name in analysis.laws:
        law = get_law(name)
        objective = analysis.objective if law.steps is None else None
        fits[name] = fit(table, law, objective)
        fits[name].to_json(folder.fit(name))
        log(f"fitted {name}: {fits[name].status}" + (f" ({fits[name].reason})" if fits[name].reason else ""))
    return fits


def seal_predictions(
    plan: Plan, targets: Sequence[Target], fits: Mapping[str, Fit], folder: ResultsFolder, log: Log
) -> list[SealedPrediction]:
    """The sealed prediction of every law at every target. Existing ones are kept; a missing one is sealed only where
    its target has not started. A law that cannot be sealed is logged and left out.

    Raises InputError where a target has started without any sealed prediction, or the table has changed since the seal.
    """
    existing = {
        (sealed.prediction.law, _point_key(sealed.prediction.at)): sealed for sealed in read_predictions(folder)
    }
    sealed_points = {point for _, point in existing}
    predictions = []
    baselines: dict[str, Mapping[str, float | None]] = {}
    for target in targets:
        started: str | None = None
        searched = False
        for name, law_fit in fits.items():
            at = target.at[name]
            sealed = existing.get((law_fit.law.name, _point_key(at)))
            if sealed is not None:
                _check_same_table(sealed, law_fit, folder)
                predictions.append(sealed)
                continue
            if law_fit.status in REFUSED:
                log(f"not sealed: {name} was refused ({law_fit.status}): {law_fit.reason}")
                continue
            if not searched:  # reads every run record: at most once for a target
                started, searched = started_replicate(target.runs[0].config), True
            if started is not None and not any(_point_key(point) in sealed_points for point in target.at.values()):
                raise InputError(
                    f"{started}, and there is no sealed prediction at {format_target(at)}: "
                    f"choose targets that were never trained in {plan.file.path}, or restore the sealed files"
                )
            if started is not None:
                log(f"not sealed: {name} at {format_target(at)}: the target has started")
                continue
            if name not in baselines:
                baselines[name] = baseline_errors(law_fit)
            prediction = predict(law_fit, at, baselines=baselines[name])
            try:
                path = seal(prediction, law_fit, folder.predictions, results=(), commit=commit())
            except InputError as error:
                log(f"not sealed: {name} at {format_target(at)}: {error}")
                continue
            predictions.append(SealedPrediction(path, read_sealed(path)))
            log(f"sealed {path.name}: {prediction.loss:.4f} nats per token at {format_target(at)}")
    if targets and not predictions:
        raise InputError(f"{plan.file.path}: no law gives a prediction that can be sealed; the targets are not trained")
    return predictions


def read_predictions(folder: ResultsFolder) -> list[SealedPrediction]:
    """The sealed predictions in a results folder, verified. Raises InputError where a file was changed."""
    return [SealedPrediction(path, read_sealed(path)) for path in sorted(folder.predictions.glob("*.json"))]


def first_started(configs: Sequence[RunConfig]) -> str | None:
    """`started_replicate` of the first of these runs that has one."""
    return next((started for config in configs if (started := started_replicate(config)) is not None), None)


def started_replicate(config: RunConfig) -> str | None:
    """A recorded run that equals this one except for its seed and has started, as text with the evidence; None where
    there is none. A prediction made after it started would be hindsight, even if its files were deleted since.
    """
    config = replace(config, seed=0)
    own_part = scientific_part(config)
    for folder in sorted(path for path in Path(config.runtime.runs_directory).glob("*") if path.is_dir()):
        record: Json = {}
        if (folder / "run.json").exists():
            record = read_record(folder)
            is_replicate = scientific_part(replace(recorded_config(record), seed=0)) == own_part
        else:  # without a record, the folder's name still holds the seed and a hash of the rest
            seed = SEED_IN_RUN_ID.search(folder.name)
            is_replicate = seed is not None and run_id(replace(config, seed=int(seed[1]))) == folder.name
        if is_replicate and (sign := evidence_of_start(folder, record)) is not None:
            return f"{folder} has started ({sign})"
    return None


def _point_key(at: Mapping[str, float]) -> tuple[tuple[str, float], ...]:
    return tuple(sorted(at.items()))


def replicate_key(config: RunConfig) -> str:
    """Equal for runs that differ by seed alone."""
    return json.dumps(scientific_part(replace(config, seed=0)))


def _check_same_table(sealed: SealedPrediction, law_fit: Fit, folder: ResultsFolder) -> None:
    if sealed.prediction.fit["table_digest"] != law_fit.table_digest:
        raise InputError(
            f"{sealed.path}: sealed from another table than the family's present one; nothing is sealed twice: "
            f"restore those runs and the study file, or move {folder.path} away"
        )


def _known_columns(plan: Plan, runs: Sequence[PlannedRun]) -> dict[str, Array]:
    """Numbers known before training, (P,) each, under the names that the laws read."""
    analysis = plan.file.study.analysis
    columns = planned_columns([run.config for run in runs])
    named = dict(columns)
    for name, expression in parse_columns(analysis.columns if analysis else None).items():
        try:
            named[name] = compute_column(expression, columns, len(runs))
        except InputError as error:
            raise plan.file.error_at(("analysis", "columns"), f"columns: {error}") from None
    return {name: values for name, values in named.items() if values.dtype.kind == "f"}
