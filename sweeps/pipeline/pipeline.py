"""The closed loop of a study: train the family, fit its laws, seal their predictions, train the targets, score.

Every step finds what is there and does what is missing, so that the command may be repeated after any interruption.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from windtunnel.analysis.comparison.backtest import Ranking, rank
from windtunnel.analysis.comparison.convention_audit import audit
from windtunnel.analysis.compute_optimal.isoflop import fit_isoflop
from windtunnel.analysis.curves.result import FittedCurves
from windtunnel.analysis.curves.seal import SealedCurves
from windtunnel.analysis.fitting.result import Fit
from windtunnel.analysis.laws import law as law_named
from windtunnel.analysis.prediction.predict import describe
from windtunnel.analysis.prediction.score import Score, score
from windtunnel.analysis.report.headline import missing
from windtunnel.analysis.report.report import Report
from windtunnel.analysis.tables.table import RunSet, Table, load_table
from windtunnel.sweeps.cli.table import write_csv
from windtunnel.sweeps.execution.job import is_final
from windtunnel.sweeps.pipeline.curve_pipeline import CurveOutcome, fit_curve_laws, score_curves, seal_curve_laws
from windtunnel.sweeps.pipeline.results_folder import OutcomeFolder
from windtunnel.sweeps.pipeline.sealing import Sealed, Target, fit_laws, seal_all, targets_of
from windtunnel.sweeps.planning.feasibility import refuse_infeasible
from windtunnel.sweeps.study.plan import Plan, PlannedRun, Role
from windtunnel.train.errors import InputError
from windtunnel.train.provenance import commit
from windtunnel.train.records import write_atomically

Tell = Callable[[str], None]
Train = Callable[[Sequence[PlannedRun]], bool]  # whether all of them came to a result


@dataclass(frozen=True)
class Closed:
    """What a study came to. `scores` is empty where it has no targets; `own` is where the first law makes the study's
    prediction, None without targets.
    """

    table: Table
    fits: Mapping[str, Fit]
    ranking: Ranking | None
    sealed: tuple[Sealed, ...]
    scores: tuple[Score, ...]
    own: Mapping[str, float] | None = None
    curves: CurveOutcome | None = None

    @property
    def headline(self) -> Score | None:
        """The score of the study's own prediction: its first law at its first target. None where that is not there,
        whatever other laws have: they do not stand for it.
        """
        law = next((fitted.law.name for fitted in self.fits.values()), None)
        own = (each for each in self.scores if each.prediction.law == law and each.prediction.at == self.own)
        return next(own, None)


def close_loop(plan: Plan, folder: OutcomeFolder, train: Train, tell: Tell) -> Closed | None:
    """All steps that can be taken; None where runs are still missing after `train`. Raises InputError where the study
    cannot be carried out as it is written.
    """
    targets = begin(plan, folder)
    if not _train(plan, "family", train, tell):
        return None
    _write_table(plan, folder)
    if plan.file.study.analysis is None:
        return Closed(_table(plan, None), {}, None, (), ())
    fits: dict[str, Fit] = {}
    ranking, sealed = None, []
    if plan.file.study.analysis.laws:
        table = _table(plan, plan.file.study.analysis.where)
        tell(f"fitting {len(table)} runs of {len(set(table.run.tolist()))} trunks")
        fits = fit_laws(plan, table, folder, tell)
        ranking = _rank(plan, table, fits, folder, tell)
    else:
        table = load_table(run_set(plan), mixed=True)  # curves are fitted: of the table nothing is
    curve_fits: Mapping[str, FittedCurves] = {}
    sealed_curves: tuple[SealedCurves, ...] = ()
    if plan.file.study.analysis.curves is not None:
        curve_fits = fit_curve_laws(plan, folder, tell)
        sealed_curves = seal_curve_laws(plan, curve_fits, folder, tell)
    if fits:
        sealed = seal_all(plan, targets, fits, folder, tell)
    if not _train(plan, "target", train, tell):
        return None
    curves = None
    if plan.file.study.analysis.curves is not None:
        curves = score_curves(plan, curve_fits, sealed_curves, folder, tell)
    first = next(iter(plan.file.study.analysis.laws), None)
    closed = Closed(
        table,
        fits,
        ranking,
        sealed=tuple(sealed),
        scores=tuple(_score(plan, sealed, tell)),
        own=targets[0].at[first] if targets and first is not None else None,
        curves=curves,
    )
    if fits:
        _write_scores(closed, folder, tell)
    _write_table(plan, folder)
    return closed


def begin(plan: Plan, folder: OutcomeFolder) -> list[Target]:
    """The targets of a study that can be carried out as it is written, which is kept in its folder. Raises InputError
    where it cannot, or has changed since it was sealed.
    """
    targets = targets_of(plan)
    refuse_infeasible(plan)
    folder.make()
    _keep_study(plan, folder)
    return targets


def run_set(plan: Plan) -> RunSet:
    """The study's runs as a source of tables."""
    held_out = frozenset(run.run_id for run in plan.of("target"))
    return RunSet(plan.file.name, plan.runs[0].folder.parent, tuple(run.run_id for run in plan.runs), held_out)


def _keep_study(plan: Plan, folder: OutcomeFolder) -> None:
    """The study as it was begun; what is fixed beforehand must not change afterwards."""
    if folder.study.exists() and folder.has_sealed:
        if folder.study.read_text() != plan.file.text:
            raise InputError(
                f"{plan.file.path} is not what {folder.study} was when its predictions were sealed: restore it, "
                "or give the changed study another name"
            )
        return
    write_atomically(folder.study, plan.file.text.encode())


def _train(plan: Plan, role: Role, train: Train, tell: Tell) -> bool:
    missing = [run for run in plan.of(role) if not is_final(run.folder)]
    if not missing:
        return True
    tell(f"training {len(missing)} of the {len(plan.of(role))} runs of the {role if role == 'family' else 'targets'}")
    return train(missing)


def _table(plan: Plan, where: str | None) -> Table:
    analysis = plan.file.study.analysis
    try:
        return load_table(run_set(plan), columns=analysis.columns if analysis else None, where=where)
    except InputError as error:
        raise plan.file.fault(("analysis",), str(error)) from None


def _write_table(plan: Plan, folder: OutcomeFolder) -> None:
    """Every run that has a result, targets too."""
    write_csv(load_table(replace(run_set(plan), with_held_out=True), mixed=True), folder.table)


def _rank(plan: Plan, table: Table, fits: Mapping[str, Fit], folder: OutcomeFolder, tell: Tell) -> Ranking | None:
    """The laws by held-out error within the family, and the exponents under every convention."""
    analysis = plan.file.study.analysis
    assert analysis is not None
    laws = [law_named(name) for name in fits]
    try:
        ranking = rank(table, laws, hold=analysis.hold, objective=analysis.objective)
    except InputError as error:
        tell(f"not ranked: {error}")
        return None
    folder.write("ranking", ranking.document())
    tell(f"ranked by held-out error within the family: best {ranking.best}")
    additive = next((law for law in laws if law.name == "chinchilla"), None)
    if additive is not None:
        found = audit(table, additive, analysis.objective)
        folder.write("audit", {"conventions": [_plain(vars(each)) for each in found]})
    return ranking


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Estimates as numbers; a number that is missing is null."""
    plain: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            plain[name] = {key: {"value": each.value, "interval": list(each.interval)} for key, each in value.items()}
        else:
            plain[name] = None if isinstance(value, float) and value != value else value
    return plain


def _score(plan: Plan, sealed: Sequence[Sealed], tell: Tell) -> list[Score]:
    """The scores of what was sealed."""
    analysis = plan.file.study.analysis
    scores = []
    for each in sealed:
        try:
            found = score(each.path, run_set(plan), columns=analysis.columns if analysis else None)
        except InputError as error:
            tell(f"not scored: {error}")
            continue
        scores.append(found)
        at, law = describe(found.prediction.at), found.prediction.law
        tell(
            f"{law} at {at}: predicted {found.prediction.loss:.4f}, measured {found.mean.loss:.4f}: "
            f"{found.mean.error_percent:+.2f} %, {'inside' if found.mean.inside_90 else 'outside'} the 90 % interval"
        )
    return scores


def _write_scores(closed: Closed, folder: OutcomeFolder, tell: Tell) -> None:
    """All scores, and which of them is the study's own."""
    content: dict[str, Any] = {"scores": [each.document() for each in closed.scores]}
    if closed.own is not None:
        law = next(iter(closed.fits.values())).law.name
        sealed = closed.headline.prediction.sealed if closed.headline else None
        content["own"] = {"law": law, "at": dict(closed.own), "sealed": sealed}
        if not any(each.prediction.law == law and each.prediction.at == closed.own for each in closed.sealed):
            tell(missing(law, closed.own))
    folder.write("scores", content)


def report_of(closed: Closed) -> Report:
    """The report of a study, to be drawn."""
    absent = {} if closed.ranking is not None else {"ranking": "nothing could be held out within the family"}
    isoflop = None
    try:
        isoflop = fit_isoflop(closed.table)
    except InputError as error:
        absent["isoflop"] = str(error)
    return Report(
        closed.table,
        tuple(closed.fits.values()),
        ranking=closed.ranking,
        isoflop=isoflop,
        predictions=tuple(each.prediction for each in closed.sealed),
        scores=closed.scores,
        absent=absent,
        commit=commit(),
        own=closed.own,
    )
