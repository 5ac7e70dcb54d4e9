"""The pipeline of a study: train the family, fit its laws, seal their predictions, train the targets, score.

Every step keeps what exists and adds what is missing, so the pipeline can be repeated after any interruption.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from windtunnel.analysis.comparison.convention_audit import audit_conventions
from windtunnel.analysis.comparison.ranking import Ranking, rank
from windtunnel.analysis.compute_optimal.isoflop import fit_isoflop
from windtunnel.analysis.curves.result import FittedCurveLaw
from windtunnel.analysis.curves.seal import SealedCurves
from windtunnel.analysis.fitting.result import Fit
from windtunnel.analysis.laws.catalog import get_law
from windtunnel.analysis.prediction.predict import Prediction
from windtunnel.analysis.prediction.score import Score, score
from windtunnel.analysis.prediction.target import format_target
from windtunnel.analysis.report.headline import missing_prediction
from windtunnel.analysis.report.report import Report
from windtunnel.analysis.tables.export import write_csv
from windtunnel.analysis.tables.from_runs import RunSet
from windtunnel.analysis.tables.load import load_table
from windtunnel.analysis.tables.table import Table
from windtunnel.sweeps.pipeline.curve_pipeline import CurvePipelineResult, fit_curve_laws, score_curves, seal_curve_laws
from windtunnel.sweeps.pipeline.results_folder import ResultsFolder
from windtunnel.sweeps.pipeline.sealing import (
    Log,
    SealedPrediction,
    Target,
    fit_laws,
    prediction_targets,
    seal_predictions,
)
from windtunnel.sweeps.planning.feasibility import check_feasibility
from windtunnel.sweeps.study.plan import Plan, PlannedRun, Role
from windtunnel.train.errors import InputError
from windtunnel.train.provenance import commit
from windtunnel.train.records import is_final, write_atomically

Train = Callable[[Sequence[PlannedRun]], bool]  # whether all of these runs have a result now


@dataclass(frozen=True)
class PipelineResult:
    """Table, fits, sealed predictions and scores of a study. `fits` and the points of the targets go by the name that
    the study gives a law.
    """

    table: Table
    fits: Mapping[str, Fit] = field(default_factory=dict)
    ranking: Ranking | None = None
    targets: tuple[Target, ...] = ()
    sealed: tuple[SealedPrediction, ...] = ()
    scores: tuple[Score, ...] = ()
    curves: CurvePipelineResult | None = None

    @property
    def own_law(self) -> str | None:
        """The first law, which makes the study's own prediction at the first target."""
        return next(iter(self.fits), None)

    @property
    def own_point(self) -> Mapping[str, float] | None:
        return self.targets[0].at[self.own_law] if self.targets and self.own_law is not None else None

    @property
    def own_prediction(self) -> Prediction | None:
        """None where it was not sealed or is gone; another law's prediction never replaces it."""
        return None if self.own_law is None else self.prediction(self.own_law)

    @property
    def own_score(self) -> Score | None:
        return None if self.own_law is None else self.score(self.own_law)

    def prediction(self, law: str, target: int = 0) -> Prediction | None:
        """The sealed prediction of a law of the study at a target."""
        predictions = (sealed.prediction for sealed in self.sealed)
        return next((prediction for prediction in predictions if self._is_at(prediction, law, target)), None)

    def score(self, law: str, target: int = 0) -> Score | None:
        return next((score for score in self.scores if self._is_at(score.prediction, law, target)), None)

    def _is_at(self, prediction: Prediction, law: str, target: int) -> bool:
        if not self.targets:
            return False
        return prediction.law == self.fits[law].law.name and prediction.at == self.targets[target].at[law]


def run_pipeline(plan: Plan, folder: ResultsFolder, train: Train, log: Log) -> PipelineResult | None:
    """Run every step that can be taken; None where runs are still missing after `train`. Raises InputError where the
    study cannot be carried out as written.
    """
    analysis = plan.file.study.analysis
    targets = start_pipeline(plan, folder)
    if not _train_role(plan, "family", train, log):
        return None
    _write_table(plan, folder)
    if analysis is None:
        return PipelineResult(_load_table(plan, None))
    fits: dict[str, Fit] = {}
    ranking, sealed = None, []
    if analysis.laws:
        table = _load_table(plan, analysis.where)
        log(f"fitting {len(table)} runs of {len(set(table.run.tolist()))} trunks")
        fits = fit_laws(plan, table, folder, log)
        ranking = _rank_laws(plan, table, fits, folder, log)
    else:  # the study fits curves only; the table is not fitted
        table = load_table(run_set(plan), allow_mixed=True)
    curve_fits: Mapping[str, FittedCurveLaw] = {}
    sealed_curves: tuple[SealedCurves, ...] = ()
    if analysis.curves is not None:
        curve_fits = fit_curve_laws(plan, folder, log)
        sealed_curves = seal_curve_laws(plan, curve_fits, folder, log)
    if fits:
        sealed = seal_predictions(plan, targets, fits, folder, log)
    if not _train_role(plan, "target", train, log):
        return None
    curves = None
    if analysis.curves is not None:
        curves = score_curves(plan, curve_fits, sealed_curves, folder, log)
    result = PipelineResult(
        table,
        fits,
        ranking,
        targets=tuple(targets),
        sealed=tuple(sealed),
        scores=tuple(_score_predictions(plan, sealed, log)),
        curves=curves,
    )
    if fits:
        _write_scores(result, folder, log)
    _write_table(plan, folder)
    return result


def start_pipeline(plan: Plan, folder: ResultsFolder) -> list[Target]:
    """Check the study and write its file into the results folder; its targets. Raises InputError where it cannot be
    carried out as written, or was changed after its predictions were sealed.
    """
    targets = prediction_targets(plan)
    check_feasibility(plan)
    folder.create()
    _keep_study(plan, folder)
    return targets


def run_set(plan: Plan) -> RunSet:
    """The study's runs as a source of tables."""
    held_out = frozenset(run.run_id for run in plan.targets)
    return RunSet(plan.file.name, plan.runs[0].folder.parent, tuple(run.run_id for run in plan.runs), held_out)


def _keep_study(plan: Plan, folder: ResultsFolder) -> None:
    if folder.study.exists() and folder.has_sealed:
        if folder.study.read_text() != plan.file.text:
            raise InputError(
                f"{plan.file.path} is not what {folder.study} was when its predictions were sealed: restore it, "
                "or give the changed study another name"
            )
        return
    write_atomically(folder.study, plan.file.text.encode())


def _train_role(plan: Plan, role: Role, train: Train, log: Log) -> bool:
    runs = plan.runs_of(role)
    missing = [run for run in runs if not is_final(run.folder)]
    if not missing:
        return True
    log(f"training {len(missing)} of the {len(runs)} {'family' if role == 'family' else 'target'} runs")
    return train(missing)


def _load_table(plan: Plan, where: str | None) -> Table:
    analysis = plan.file.study.analysis
    try:
        return load_table(run_set(plan), columns=analysis.columns if analysis else None, where=where)
    except InputError as error:
        raise plan.file.error_at(("analysis",), str(error)) from None


def _write_table(plan: Plan, folder: ResultsFolder) -> None:
    """Write every run that has a result, targets included."""
    write_csv(load_table(replace(run_set(plan), with_held_out=True), allow_mixed=True), folder.table)


def _rank_laws(plan: Plan, table: Table, fits: Mapping[str, Fit], folder: ResultsFolder, log: Log) -> Ranking | None:
    """Rank the laws by held-out error within the family, and compare exponents under every convention. Writes
    `ranking.json` and `audit.json`; None where nothing can be held out.
    """
    analysis = plan.file.study.analysis
    assert analysis is not None
    laws = [get_law(name) for name in fits]
    try:
        ranking = rank(table, laws, holdout=analysis.holdout, objective=analysis.objective)
    except InputError as error:
        log(f"not ranked: {error}")
        return None
    folder.write("ranking", ranking.to_dict())
    log(f"ranked by held-out error within the family: best {ranking.best}")
    additive = next((law for law in laws if law.name == "chinchilla"), None)
    if additive is not None:
        conventions = audit_conventions(table, additive, analysis.objective)
        folder.write("audit", {"conventions": [_plain(vars(convention)) for convention in conventions]})
    return ranking


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Estimates as JSON: value and interval; a missing number is null."""
    plain: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            plain[name] = {
                key: {"value": estimate.value, "interval": list(estimate.interval)} for key, estimate in value.items()
            }
        else:
            plain[name] = None if isinstance(value, float) and value != value else value
    return plain


def _score_predictions(plan: Plan, sealed: Sequence[SealedPrediction], log: Log) -> list[Score]:
    analysis = plan.file.study.analysis
    scores = []
    for sealed_prediction in sealed:
        try:
            result = score(sealed_prediction.path, run_set(plan), columns=analysis.columns if analysis else None)
        except InputError as error:
            log(f"not scored: {error}")
            continue
        scores.append(result)
        prediction, mean = result.prediction, result.mean
        log(
            f"{prediction.law} at {format_target(prediction.at)}: predicted {prediction.loss:.4f}, "
            f"measured {mean.loss:.4f}: {mean.error_percent:+.2f} %, "
            f"{'inside' if mean.inside_90 else 'outside'} the 90 % interval"
        )
    return scores


def _write_scores(result: PipelineResult, folder: ResultsFolder, log: Log) -> None:
    """Write all scores, and which of them is the study's own."""
    content: dict[str, Any] = {"scores": [score.to_dict() for score in result.scores]}
    if result.own_point is not None and result.own_law is not None:
        law = result.fits[result.own_law].law.name
        sealed = result.own_score.prediction.sealed if result.own_score else None
        content["own"] = {"law": law, "at": dict(result.own_point), "sealed": sealed}
        if result.own_prediction is None:
            log(missing_prediction(law, result.own_point))
    folder.write("scores", content)


def make_report(result: PipelineResult) -> Report:
    """The content of the report on a study's final losses."""
    absent = {} if result.ranking is not None else {"ranking": "nothing could be held out within the family"}
    isoflop = None
    try:
        isoflop = fit_isoflop(result.table)
    except InputError as error:
        absent["isoflop"] = str(error)
    return Report(
        result.table,
        tuple(result.fits.values()),
        ranking=result.ranking,
        isoflop=isoflop,
        predictions=tuple(sealed.prediction for sealed in result.sealed),
        scores=result.scores,
        absent=absent,
        commit=commit(),
        own_point=result.own_point,
    )
