"""Whether a study's analysis can be carried out, as far as its plan tells before anything is trained."""

from windtunnel.analysis.comparison.backtest import held_out
from windtunnel.analysis.fitting.fit import refusal
from windtunnel.analysis.laws import law as law_named
from windtunnel.analysis.solver.objective import parse_objective
from windtunnel.analysis.tables.expressions import names_in
from windtunnel.analysis.tables.seeds import seed_noise
from windtunnel.analysis.tables.selection import Rows, Selection, finish
from windtunnel.analysis.tables.table import Table
from windtunnel.sweeps.execution.job import is_final
from windtunnel.sweeps.planning.curve_checks import check_laws
from windtunnel.sweeps.planning.simulated_table import is_measured, planned_rows
from windtunnel.sweeps.study.plan import Plan
from windtunnel.sweeps.study.schema import Analysis
from windtunnel.train.errors import InputError


def refuse_infeasible(plan: Plan) -> None:
    """Raises InputError naming the line of the study file where the family that is still to be trained cannot be
    analysed as it says: columns, conditions or an objective that cannot be read or name what there will not be,
    conditions that leave no rows, laws that this family cannot identify whatever its losses.

    What follows from a measurement (`where: loss < 3`) is not known yet and is passed over; of data that are not
    prepared, all but the names of the laws. Once the family is trained
    nothing is refused here: the loop says what came of it.
    """
    analysis, family = plan.file.study.analysis, plan.of("family")
    if analysis is None:
        return
    if analysis.curves is not None:
        check_laws(plan)
    if not analysis.laws:
        return
    laws = []
    for place, name in enumerate(analysis.laws):
        try:
            laws.append(law_named(name))
        except InputError as error:
            raise plan.file.fault(("analysis", "laws", place), str(error)) from None
    if not plan.prepared or all(is_final(run.folder) for run in family):
        return
    table = _table(plan, analysis, planned_rows(family, plan.file.name))
    if analysis.objective is not None:
        try:
            parse_objective(analysis.objective, seed_noise(table)).weights(table.columns, len(table))
        except InputError as error:
            raise plan.file.fault(("analysis", "objective"), f"objective: {error}") from None
    is_known = not _reads_measured(analysis.where, table)
    for place, law in enumerate(laws):
        try:
            refused = refusal(table, law, analysis.objective if law.steps is None else None)
        except InputError as error:
            raise plan.file.fault(("analysis", "laws", place), f"{law.name}: {error}") from None
        if refused is not None and is_known:
            raise plan.file.fault(("analysis", "laws", place), f"{law.name}: {refused[1]}")
    if analysis.hold is not None:
        try:
            held_out(table, laws, analysis.hold)
        except InputError as error:
            if is_known and not _reads_measured(analysis.hold, table):
                raise plan.file.fault(("analysis", "hold"), f"hold: {error}") from None


def _table(plan: Plan, analysis: Analysis, rows: Rows) -> Table:
    """The rows that will be fitted; all of them where `where` reads what is measured."""
    try:
        every = finish(rows, Selection(analysis.columns, None, (), (), mixed=True))
    except InputError as error:
        raise plan.file.fault(("analysis", "columns"), f"columns: {error}") from None
    try:
        if analysis.where is not None and _reads_measured(analysis.where, every):
            every.choose(analysis.where)
            return every
        table = finish(rows, Selection(analysis.columns, analysis.where, (), (), mixed=False))
    except InputError as error:
        raise plan.file.fault(("analysis", "where"), f"where: {error}") from None
    if not len(table):
        reason = table.excluded[0].reason if table.excluded else f"{analysis.where!r} leaves no run to fit"
        raise plan.file.fault(("analysis", "where"), f"where: {reason}")
    return table


def _reads_measured(expression: str | None, table: Table) -> bool:
    return expression is not None and any(map(is_measured, names_in(expression, table.columns)))
