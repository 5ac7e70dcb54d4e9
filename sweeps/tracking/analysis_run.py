"""What a study came to, in W&B's terms: tables, summary, figures and files of its outcome folder. Imports no W&B."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from windtunnel.analysis.fitting.result import INTERVAL_LEVEL, Fit
from windtunnel.analysis.prediction.predict import Prediction, describe
from windtunnel.analysis.report.curve_report import NAMES as CURVE_NAMES
from windtunnel.analysis.report.report import NAMES
from windtunnel.analysis.report.write import FIGURES
from windtunnel.sweeps.pipeline.results_folder import OutcomeFolder
from windtunnel.sweeps.pipeline.sealing import sealed_in
from windtunnel.sweeps.study.load import parse_study
from windtunnel.sweeps.tracking.curve_tables import Rows, curve_tables
from windtunnel.train.errors import InputError
from windtunnel.train.records import Json

DOCUMENTS = ("scores", "ranking", "audit", "curve-scores")


@dataclass(frozen=True)
class Analysis:
    """figures: PNG files by name. files: what is kept as it is, with its name below the outcome folder."""

    config: Json
    tables: Mapping[str, Rows]
    summary: Json
    figures: Mapping[str, Path]
    page: Path | None
    files: Mapping[str, Path]


def read_analysis(folder: OutcomeFolder) -> Analysis:
    """What has come of the study so far; parts that are not there yet are left out. Raises InputError where a part
    cannot be read, or a sealed prediction was changed.
    """
    study = parse_study(_text(folder.study), folder.study).study
    as_written = study.model_dump(mode="json", by_alias=True, exclude_unset=True)
    laws = study.analysis.laws if study.analysis else []
    fits = [Fit.from_json(folder.fit(law)) for law in laws if folder.fit(law).exists()]
    sealed = [each.prediction for each in sealed_in(folder)]
    scored = _scores(folder.document("scores"))
    runs = _runs(folder.table)
    curve_laws = study.analysis.curves.laws if study.analysis and study.analysis.curves else []
    of_curves, curve_summary = curve_tables(folder, curve_laws) if curve_laws else ({}, {})
    tables = {
        "runs": runs,
        "fits": _fits(fits),
        "predictions": _predictions(sealed),
        "scores": _scored(scored["scores"]),
        **of_curves,
    }
    pages = [path for path in [folder.report_page] if path.exists()]
    figures = {name: folder.report / FIGURES / f"{name}.png" for name in (*NAMES, *CURVE_NAMES)}
    kept = [folder.study, folder.table, *(folder.fit(law) for law in laws), *sorted(folder.predictions.glob("*.json"))]
    kept += [*map(folder.curve_fit, curve_laws), *sorted(folder.curve_predictions.glob("*.json"))]
    kept += [*map(folder.document, DOCUMENTS), *pages, folder.curves_page]
    return Analysis(
        config={"study": as_written, "table_digest": fits[0].table_digest if fits else None},
        tables={name: table for name, table in tables.items() if table.rows},
        summary={"num_runs": len(runs.rows), **_states(fits), **_headline(scored, sealed, laws), **curve_summary},
        figures={name: path for name, path in figures.items() if path.exists()},
        page=pages[0] if pages else None,
        files={str(path.relative_to(folder.path)): path for path in kept if path.exists()},
    )


def _runs(path: Path) -> Rows:
    """The run table as the study left it."""
    import pyarrow as pa
    import pyarrow.csv as csv

    try:
        table = csv.read_csv(path)
    except FileNotFoundError:
        return Rows((), ())
    except (OSError, pa.ArrowInvalid) as error:
        raise InputError(f"{path}: cannot be read as a table ({error!s:.80}); repeat the study to write it") from None
    columns = [[_plain(value) for value in column.to_pylist()] for column in table.columns]
    return Rows(tuple(table.column_names), tuple(zip(*columns, strict=True)))


def _plain(value: Any) -> Any:
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


def _fits(fits: Sequence[Fit]) -> Rows:
    """A row for each parameter; one without a parameter for a fit that was refused."""
    rows: list[tuple[Any, ...]] = []
    for fit in fits:
        content = fit.document()  # where an end of an interval that is open is None
        state = (fit.law.name, fit.status, fit.reason, fit.objective, fit.num_points)
        for name, value in content["parameters"].items():
            low, high = content["intervals"].get(name, (None, None))
            rows.append((*state, name, value, low, high, fit.interval_method, name not in fit.not_identified))
        if not fit.parameters:
            rows.append((*state, *[None] * 6))
    percent = f"{100 * INTERVAL_LEVEL:.0f}"
    state_names = ("law", "status", "reason", "objective", "num_points")
    names = ("parameter", "value", f"low_{percent}", f"high_{percent}", "interval_method", "identified")
    return Rows((*state_names, *names), tuple(rows))


def _predictions(sealed: Sequence[Prediction]) -> Rows:
    rows = []
    for made in sealed:
        low, high = made.document()["interval_90"]
        beyond = made.extrapolation.get("C")
        rows.append(
            (
                made.law,
                describe(made.at),
                made.loss,
                low,
                high,
                beyond,
                made.sealed,
                made.time,
                made.commit,
                _notes(made.notes),
            )
        )
    names = ("law", "at", "predicted", "low_90", "high_90", "times_beyond_in_C", "sealed", "time", "commit", "notes")
    return Rows(names, tuple(rows))


def _scored(scores: Sequence[Json]) -> Rows:
    names = ("predicted", "observed", "error_percent", "error_interval_widths", "error_seed_noise", "inside_90")
    rows = [
        (
            each["law"],
            describe(each["at"]),
            *(each[name] for name in names),
            *each["interval_90"],
            len(each["runs"]),
            each["sealed"],
            _notes(each["notes"]),
        )
        for each in scores
    ]
    return Rows(("law", "at", *names, "low_90", "high_90", "num_runs", "sealed", "notes"), tuple(rows))


def _notes(notes: Sequence[str]) -> str:
    return "; ".join(notes)


def _states(fits: Sequence[Fit]) -> Json:
    return {f"status/{fit.law.name}": fit.status for fit in fits}


def _headline(scored: Json, sealed: Sequence[Prediction], laws: Sequence[str]) -> Json:
    """The study's own prediction in numbers: its first law's, at its first target; scored, or else as it was sealed, or
    said to be missing: never another law's.
    """
    own = scored.get("own")
    for each in scored["scores"]:
        if each["sealed"] == own["sealed"] if own else each["law"] in laws[:1]:
            names = ("law", "predicted", "observed", "error_percent", "inside_90", "sealed")
            return {"target": describe(each["at"]), **{name: each[name] for name in names}}
    for made in sealed:
        if made.law == own["law"] and dict(made.at) == own["at"] if own else made.law in laws[:1]:
            return {"target": describe(made.at), "law": made.law, "predicted": made.loss, "sealed": made.sealed}
    return {"target": describe(own["at"]), "law": own["law"], "sealed": "missing"} if own else {}


def _scores(path: Path) -> Json:
    if not path.exists():
        return {"scores": []}
    try:
        content: Json = json.loads(_text(path))
        list(content["scores"])
    except (json.JSONDecodeError, KeyError, TypeError):
        raise InputError(f"{path}: not the scores of a study; repeat the study to write them") from None
    return content


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read ({error!s:.80}); repeat the study to write it") from None
