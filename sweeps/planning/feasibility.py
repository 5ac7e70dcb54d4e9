"""Checks, before anything is trained, that the analysis of a study can be carried out."""

from windtunnel.analysis.comparison.backtest import holdout_splits
from windtunnel.analysis.fitting.fit import refusal_reason
from windtunnel.analysis.laws.catalog import get_law
from windtunnel.analysis.solver.objective import parse_objective
from windtunnel.analysis.tables.expressions import column_names_in
from windtunnel.analysis.tables.seeds import seed_noise
from windtunnel.analysis.tables.selection import Selection, SourceRows, apply_selection
from windtunnel.analysis.tables.table import Table
from windtunnel.sweeps.planning.curve_checks import check_curves
from windtunnel.sweeps.planning.simulated_table import is_measured, simulated_rows
from windtunnel.sweeps.study.plan import Plan
from windtunnel.sweeps.study.schema import Analysis
from windtunnel.train.errors import InputError
from windtunnel.train.records import is_final


def check_feasibility(plan: Plan) -> None:
    """Raises InputError with the line of the study file where its analysis cannot be carried out on its family:
    columns, conditions or an objective that are invalid or name unknown columns, conditions that leave no rows, and
    laws that the family cannot identify whatever its losses.

    Conditions on measured columns (`where: loss < 3`) are not checked. Before the data are prepared only the names of
    the laws are checked. Once the family is trained nothing is: the pipeline reports the result of the fits.
    """
    analysis, family = plan.file.study.analysis, plan.family
    if analysis is None:
        return
    if analysis.curves is not None:
        check_curves(plan)
    if not analysis.laws:
        return
    laws = []
    for index, name in enumerate(analysis.laws):
        with plan.file.located(("analysis", "laws", index)):
            laws.append(get_law(name))
    if not plan.prepared or all(is_final(run.folder) for run in family):
        return
    table = _table(plan, analysis, simulated_rows(family, plan.file.name))
    if analysis.objective is not None:
        with plan.file.located(("analysis", "objective"), "objective: "):
            parse_objective(analysis.objective, seed_noise(table)).weights(table.columns, len(table))
    is_decidable = not _reads_measured(analysis.where, table)
    for index, law in enumerate(laws):
        with plan.file.located(("analysis", "laws", index), f"{law.name}: "):
            refusal = refusal_reason(table, law, analysis.objective if law.steps is None else None)
            if refusal is not None and is_decidable:
                raise InputError(refusal[1])
    if analysis.holdout is not None:
        try:
            holdout_splits(table, laws, analysis.holdout)
        except InputError as error:
            if is_decidable and not _reads_measured(analysis.holdout, table):
                raise plan.file.error_at(("analysis", "holdout", "hold"), f"holdout: {error}") from None


def _table(plan: Plan, analysis: Analysis, rows: SourceRows) -> Table:
    """The rows that will be fitted; all rows where the condition reads a measured column."""
    with plan.file.located(("analysis", "columns"), "columns: "):
        all_rows = apply_selection(rows, Selection(analysis.columns, None, (), (), allow_mixed=True))
    with plan.file.located(("analysis", "where"), "where: "):
        if analysis.where is not None and _reads_measured(analysis.where, all_rows):
            all_rows.mask(analysis.where)  # raises where it cannot be read
            return all_rows
        table = apply_selection(rows, Selection(analysis.columns, analysis.where, (), (), allow_mixed=False))
        if not len(table):
            reason = table.excluded[0].reason if table.excluded else f"{analysis.where!r} leaves no run to fit"
            raise InputError(reason)
    return table


def _reads_measured(expression: str | None, table: Table) -> bool:
    return expression is not None and any(map(is_measured, column_names_in(expression, table.columns)))
