"""`windtunnel report`: a table, a law, and what was predicted, as one page with its checklist and figures."""

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from windtunnel.analysis.fitting.fit import fit
from windtunnel.analysis.fitting.result import REFUSED
from windtunnel.analysis.laws import law as law_named
from windtunnel.analysis.laws.law import require_columns
from windtunnel.analysis.laws.mixture import for_table
from windtunnel.analysis.prediction.predict import Prediction, describe
from windtunnel.analysis.report.load_scores import read_outcomes
from windtunnel.analysis.report.report import Report, write_report
from windtunnel.analysis.report.write import make_folder
from windtunnel.analysis.tables.table import Table
from windtunnel.sweeps.cli.arguments import (
    add_table_arguments,
    json_output,
    output_folder,
    refuse_one_file,
    table_of_arguments,
    write_document,
)
from windtunnel.train.errors import InputError
from windtunnel.train.provenance import commit

EXAMPLE = """examples:
  windtunnel report runs --out report
  windtunnel report points.csv --columns N=params,D=tokens,loss=val_loss --laws kaplan,general
  windtunnel report runs --prediction predictions/prediction-chinchilla-0123456789abcdef.json --score score.json

Writes OUT/report.html, which needs nothing else, and OUT/figures/*.svg and *.png. A fit that is refused gives a report
that says why, and exit status 2."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EXAMPLE
    add_table_arguments(parser)
    parser.add_argument(
        "--law", default="chinchilla", metavar="NAME", help="a law of `windtunnel laws`; default %(default)s"
    )
    parser.add_argument(
        "--objective", metavar="O", help="of the fit, as `windtunnel fit` takes it; default the law's own"
    )
    parser.add_argument(
        "--laws", metavar="A,B,C", help="laws of the back-test beside --law; the plain rivals are always in it"
    )
    parser.add_argument(
        "--prediction",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="of `windtunnel predict`; repeatable",
    )
    parser.add_argument(
        "--score",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="of `windtunnel score --json`; repeatable",
    )
    parser.add_argument(
        "--out", type=output_folder, default=Path("report"), metavar="FOLDER", help="default %(default)s"
    )
    parser.add_argument(
        "--json",
        type=json_output,
        metavar="PATH",
        help="the report for programs, checklist included; - is standard output",
    )


def run(arguments: argparse.Namespace) -> int:
    """Computes, writes and says where. Raises InputError for bad input; a refused fit is exit status 2."""
    refuse_one_file(arguments.source, *arguments.prediction, *arguments.score, json=arguments.json)
    law = law_named(arguments.law)
    others = _others(arguments.laws, law.name)
    predictions, scores = read_outcomes(arguments.prediction, arguments.score)
    table = table_of_arguments(arguments)
    law, *rivals = (for_table(each, table.columns) for each in (law, *map(law_named, others)))
    for each in rivals:
        require_columns(each, table.columns)
    _say(f"fitting {law.name} to {len(table)} rows")
    found = fit(table, law, arguments.objective)
    make_folder(arguments.out)  # not for a request that is none, and before the work
    notes = notes_of_other_tables(predictions, table)
    report = Report(table, (found,), predictions=predictions, scores=scores, notes=notes, commit=commit())
    report = _with_ranking(report, [law, *rivals], arguments)
    report = _with_isoflop(report)
    paths = write_report(report, arguments.out, _say)
    if not write_document({**report.document(), "files": [str(path) for path in paths]}, arguments.json):
        print("\n".join(_described(report, paths)))
    if found.status in REFUSED:
        print(f"refused ({found.status}): {found.reason}", file=sys.stderr)
        return 2
    return 0


def _others(text: str | None, own: str) -> list[str]:
    names = [name.strip() for name in (text or "").split(",") if name.strip()]
    if len(set(names)) < len(names):
        raise InputError(f"--laws {text!r}: name each law once, for example --laws kaplan,general")
    return [name for name in names if law_named(name).name != own]


def notes_of_other_tables(predictions: Sequence[Prediction], table: Table) -> tuple[str, ...]:
    """A note for each prediction whose fit was not of this table: "the data" of its extrapolation are others."""
    return tuple(
        f"{describe(each.at)}: predicted by a fit of another table, {each.fit.get('num_points')} points of "
        f"{each.fit.get('source')}; how far it is beyond the data is by those"
        for each in predictions
        if each.fit.get("table_digest") != table.digest
    )


def _with_ranking(report: Report, laws: list[Any], arguments: argparse.Namespace) -> Report:
    from windtunnel.analysis.comparison.backtest import rank

    _say(f"back-testing {', '.join(law.name for law in laws)} and the plain rivals on growing cuts")
    return _or_absent(report, "ranking", lambda: {"ranking": rank(report.table, laws, objective=arguments.objective)})


def _with_isoflop(report: Report) -> Report:
    from windtunnel.analysis.compute_optimal.isoflop import fit_isoflop

    needed = [name for name in ("C", "N", "D", "loss") if name not in report.table.columns]
    if needed:
        return replace(report, absent={**report.absent, "isoflop": f"the table has no column {', '.join(needed)}"})
    _say("looking for minima of curves of equal compute")
    return _or_absent(report, "isoflop", lambda: {"isoflop": fit_isoflop(report.table)})


def _or_absent(report: Report, name: str, compute: Callable[[], dict[str, Any]]) -> Report:
    """With what is computed, or with the reason why it cannot be: a part that the table does not allow is no error."""
    try:
        return replace(report, **compute())
    except InputError as error:
        return replace(report, absent={**report.absent, name: str(error)})


def _described(report: Report, paths: list[Path]) -> list[str]:
    document = report.document()
    lines = list(document["headline"])
    for each in report.items():
        if each.verdict != "ok":
            lines.append(f"{each.verdict}: {each.question}: {each.answer}")
    counted = sum(each.verdict == "ok" for each in report.items())
    lines.append(f"checklist: {counted} of {len(report.items())} ok")
    lines += [f"note: {note}" for note in report.notes]
    return [*lines, *(f"not here: {name}: {reason}" for name, reason in report.absent.items()), f"wrote {paths[0]}"]


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
