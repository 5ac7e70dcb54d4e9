"""From a family that is trained to predictions that are sealed: every law of the study, at every target, before any of
the targets has begun.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from windtunnel.analysis.fitting.fit import fit
from windtunnel.analysis.fitting.result import REFUSED, Fit
from windtunnel.analysis.laws import law as law_named
from windtunnel.analysis.laws.law import Array, Law
from windtunnel.analysis.prediction.existing_results import sign_of_beginning
from windtunnel.analysis.prediction.predict import Prediction, describe, predict
from windtunnel.analysis.prediction.seal import read_sealed, seal
from windtunnel.analysis.prediction.target import refuse_far
from windtunnel.analysis.tables.expressions import compute_column
from windtunnel.analysis.tables.selection import parse_columns
from windtunnel.analysis.tables.table import Table
from windtunnel.sweeps.pipeline.results_folder import OutcomeFolder
from windtunnel.sweeps.study.plan import Plan, PlannedRun, columns_of
from windtunnel.train.config.branch_parent import recorded_config
from windtunnel.train.config.config import RunConfig
from windtunnel.train.config.run_id import run_id, scientific
from windtunnel.train.errors import InputError
from windtunnel.train.provenance import commit
from windtunnel.train.records import Json, read_record

Tell = Callable[[str], None]
SEED_IN_NAME = re.compile(r"-s(\d+)-[0-9a-f]+$")  # of a run id


@dataclass(frozen=True)
class Target:
    """Runs that differ by their seed alone. `at` says for each law where it is asked for their loss."""

    runs: tuple[PlannedRun, ...]
    at: Mapping[str, Mapping[str, float]]


@dataclass(frozen=True)
class Sealed:
    """A sealed prediction and its file."""

    path: Path
    prediction: Prediction


def targets_of(plan: Plan) -> list[Target]:
    """The targets of a plan, seeds together. Raises InputError where a law reads a column that is not known before a
    run is trained, or a target is farther than a prediction is trusted to.
    """
    analysis = plan.file.study.analysis
    if analysis is None:
        return []
    family = _named_columns(plan, plan.of("family"))
    found: dict[str, Target] = {}
    for run in plan.of("target"):
        known = _named_columns(plan, [run])
        at = {}
        for place, name in enumerate(analysis.laws):
            try:
                at[name] = _asked(law_named(name), known)
                refuse_far(family, at[name], allowed=False)
            except InputError as error:
                fault = str(error).replace(", or say --far", "")
                raise plan.file.fault(("analysis", "laws", place), f"{name}: {fault}") from None
        key = json.dumps(scientific(replace(run.config, seed=0)))
        before = found[key].runs if key in found else ()
        found[key] = Target((*before, run), at)
    return list(found.values())


def _asked(law: Law, known: Mapping[str, Array]) -> dict[str, float]:
    if not (law.target == "bits_per_byte" or law.target.startswith("loss")):
        raise InputError(f"predicts {law.target}, which runs do not record")
    missing = [name for name in law.columns if name not in known]
    if missing:
        raise InputError(f"reads {missing[0]}, which is not known of a run before it is trained")
    return {name: float(known[name][0]) for name in law.columns}


def fit_laws(plan: Plan, table: Table, folder: OutcomeFolder, tell: Tell) -> dict[str, Fit]:
    """Every law of the study fitted to the table of its family, by name, and written down."""
    analysis = plan.file.study.analysis
    assert analysis is not None
    fits: dict[str, Fit] = {}
    for name in analysis.laws:
        law = law_named(name)
        objective = analysis.objective if law.steps is None else None
        fits[name] = fit(table, law, objective)
        fits[name].to_json(folder.fit(name))
        tell(f"fitted {name}: {fits[name].status}" + (f" ({fits[name].reason})" if fits[name].reason else ""))
    return fits


def seal_all(
    plan: Plan, targets: Sequence[Target], fits: Mapping[str, Fit], folder: OutcomeFolder, tell: Tell
) -> list[Sealed]:
    """The sealed predictions of every law at every target: those that are there, and new ones where the target has not
    begun. A law that cannot be sealed is told of and left out.

    Raises InputError where a target has begun and was never sealed, or the table has changed since the seal.
    """
    there = {(each.prediction.law, _key(each.prediction.at)): each for each in sealed_in(folder)}
    sealed_at = {at for _, at in there}
    found = []
    for target in targets:
        begun: str | None = None
        looked = False
        for name, fitted in fits.items():
            at = target.at[name]
            existing = there.get((fitted.law.name, _key(at)))
            if existing is not None:
                _refuse_other_table(existing, fitted, folder)
                found.append(existing)
                continue
            if fitted.status in REFUSED:
                tell(f"not sealed: {name} was refused ({fitted.status}): {fitted.reason}")
                continue
            if not looked:  # at every run there is: once a target, and not where everything is sealed
                begun, looked = _begun(target), True
            if begun is not None and not any(_key(each) in sealed_at for each in target.at.values()):
                raise InputError(
                    f"{begun}, and there is no sealed prediction at {describe(at)}: "
                    f"name targets that were never trained in {plan.file.path}, or restore the sealed files"
                )
            if begun is not None:
                tell(f"not sealed: {name} at {describe(at)}: the target has begun")
                continue
            prediction = predict(fitted, at)
            try:
                path = seal(prediction, fitted, folder.predictions, results=(), commit=commit())
            except InputError as error:
                tell(f"not sealed: {name} at {describe(at)}: {error}")
                continue
            found.append(Sealed(path, read_sealed(path)))
            tell(f"sealed {path.name}: {prediction.loss:.4f} nats per token at {describe(at)}")
    if targets and not found:
        raise InputError(
            f"{plan.file.path}: no law of the study gives a prediction that can be sealed; targets are not trained"
        )
    return found


def any_begun(configs: Sequence[RunConfig]) -> str | None:
    """The first of these runs that has begun, or that has a twin which has, in words."""
    return next((begun for config in configs if (begun := begun_twin(config)) is not None), None)


def sealed_in(folder: OutcomeFolder) -> list[Sealed]:
    """What is sealed already, checked. Raises InputError where a file was changed."""
    return [Sealed(path, read_sealed(path)) for path in sorted(folder.predictions.glob("*.json"))]


def _key(at: Mapping[str, float]) -> tuple[tuple[str, float], ...]:
    return tuple(sorted(at.items()))


def _refuse_other_table(existing: Sealed, fitted: Fit, folder: OutcomeFolder) -> None:
    if existing.prediction.fit["table_digest"] != fitted.table_digest:
        raise InputError(
            f"{existing.path}: sealed from another table than the family's now; nothing is sealed twice: "
            f"restore those runs and the study file, or move {folder.path} away"
        )


def _begun(target: Target) -> str | None:
    return begun_twin(target.runs[0].config)


def begun_twin(config: RunConfig) -> str | None:
    """The first recorded run that is this one but for its seed and has begun, with the sign of it, in words: whoever
    trained it, and whatever was deleted since, a prediction after it would be hindsight.
    """
    config = replace(config, seed=0)
    wanted = scientific(config)
    for folder in sorted(path for path in Path(config.runtime.runs_directory).glob("*") if path.is_dir()):
        record: Json = {}
        if (folder / "run.json").exists():
            record = read_record(folder)
            is_twin = scientific(replace(recorded_config(record), seed=0)) == wanted
        else:  # a run without its record is still known by its name, which holds the seed and a hash of the rest
            seed = SEED_IN_NAME.search(folder.name)
            is_twin = seed is not None and run_id(replace(config, seed=int(seed[1]))) == folder.name
        if is_twin and (sign := sign_of_beginning(folder, record)) is not None:
            return f"{folder} has begun ({sign})"
    return None


def _named_columns(plan: Plan, runs: Sequence[PlannedRun]) -> dict[str, Array]:
    """Numbers known before training, (P,) each, under the names that the laws are told to read."""
    analysis = plan.file.study.analysis
    columns = columns_of([run.config for run in runs])
    named = dict(columns)
    for name, expression in parse_columns(analysis.columns if analysis else None).items():
        try:
            named[name] = compute_column(expression, columns, len(runs))
        except InputError as error:
            raise plan.file.fault(("analysis", "columns"), f"columns: {error}") from None
    return {name: values for name, values in named.items() if values.dtype.kind == "f"}
