"""`build_report`: everything of a report on final losses that is computed from the table."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from windtunnel.analysis.comparison.ranking import rank
from windtunnel.analysis.compute_optimal.isoflop import fit_isoflop
from windtunnel.analysis.fitting.fit import fit
from windtunnel.analysis.laws.law import Law, require_columns
from windtunnel.analysis.laws.mixture import resolve_columns
from windtunnel.analysis.prediction.predict import Prediction
from windtunnel.analysis.prediction.score import Score
from windtunnel.analysis.prediction.target import format_target
from windtunnel.analysis.report.report import Report
from windtunnel.analysis.tables.table import Table
from windtunnel.train.errors import InputError
from windtunnel.train.provenance import commit

ISOFLOP_COLUMNS = ("C", "N", "D", "loss")
Part = TypeVar("Part")


def build_report(
    table: Table,
    law: Law,
    other_laws: Sequence[Law] = (),
    *,
    objective: str | None = None,
    predictions: Sequence[Prediction] = (),
    scores: Sequence[Score] = (),
    log: Callable[[str], None] = lambda message: None,
) -> Report:
    """Fit the law, rank it against the other laws and the baselines, and find isoFLOP minima.

    A ranking or minima that the table does not allow are left out with the reason. Raises InputError where the law, or
    another, needs a column that the table lacks.
    """
    law, *others = (resolve_columns(unresolved, table.columns) for unresolved in (law, *other_laws))
    for other in others:
        require_columns(other, table.columns)
    absent: dict[str, str] = {}

    def attempt(name: str, compute: Callable[[], Part]) -> Part | None:
        try:
            return compute()
        except InputError as error:
            absent[name] = str(error)
            return None

    log(f"fitting {law.name} to {len(table)} rows")
    result = fit(table, law, objective)
    log(f"ranking {', '.join(ranked.name for ranked in (law, *others))} and the baselines on held-out runs")
    ranking = attempt("ranking", lambda: rank(table, [law, *others], objective=objective))
    missing = [name for name in ISOFLOP_COLUMNS if name not in table.columns]
    isoflop = None
    if missing:
        absent["isoflop"] = f"the table has no column {', '.join(missing)}"
    else:
        log("finding isoFLOP minima")
        isoflop = attempt("isoflop", lambda: fit_isoflop(table))
    return Report(
        table,
        (result,),
        ranking=ranking,
        isoflop=isoflop,
        predictions=tuple(predictions),
        scores=tuple(scores),
        notes=other_table_notes(predictions, table),
        absent=absent,
        commit=commit(),
    )


def other_table_notes(predictions: Sequence[Prediction], table: Table) -> tuple[str, ...]:
    """A note for each prediction from a fit of another table, which is what its extrapolation is relative to."""
    return tuple(
        f"{format_target(prediction.at)}: predicted by a fit of another table, "
        f"{prediction.fit.get('num_points')} points of {prediction.fit.get('source')}; "
        "its extrapolation is relative to those"
        for prediction in predictions
        if prediction.fit.get("table_digest") != table.digest
    )
