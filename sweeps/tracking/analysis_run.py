"""The content of a study's analysis run in W&B: tables, summary, figures and files from its results folder. Imports no
wandb.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as csv

from windtunnel.analysis.fitting.result import INTERVAL_LEVEL, Fit
from windtunnel.analysis.prediction.predict import Prediction
from windtunnel.analysis.prediction.target import format_target
from windtunnel.analysis.report.files import CURVE_FIGURE_NAMES, FIGURE_NAMES, FIGURES
from windtunnel.sweeps.pipeline.results_folder import ResultsFolder
from windtunnel.sweeps.pipeline.sealing import read_predictions
from windtunnel.sweeps.study.load import parse_study
from windtunnel.sweeps.tracking.curve_tables import WandbTable, curve_tables
from windtunnel.train.errors import InputError
from windtunnel.train.records import Json

DOCUMENTS = ("scores", "ranking", "audit", "curve-scores")


@dataclass(frozen=True)
class StudyContent:
    """figures: PNG files by name. files: files that are uploaded unchanged, by their path in the results folder."""

    config: Json
    tables: Mapping[str, WandbTable]
    summary: Json
    figures: Mapping[str, Path]
    page: Path | None
    files: Mapping[str, Path]


def read_study_content(folder: ResultsFolder) -> StudyContent:
    """The results of the study so far; missing parts are left out. Raises InputError where a part cannot be read, or a
    sealed prediction was changed.
    """
    study = parse_study(_read_text(folder.study), folder.study).study
    laws = study.analysis.laws if study.analysis else []
    curve_laws = study.analysis.curves.laws if study.analysis and study.analysis.curves else []
    fits = [Fit.from_json(folder.fit(law)) for law in laws if folder.fit(law).exists()]
    sealed = [sealed_prediction.prediction for sealed_prediction in read_predictions(folder)]
    scored = _read_scores(folder.document("scores"))
    runs = _run_table(folder.table)
    tables_of_curves, curve_summary = curve_tables(folder, curve_laws) if curve_laws else ({}, {})
    tables = {
        "runs": runs,
        "fits": _fit_table(fits),
        "predictions": _prediction_table(sealed),
        "scores": _score_table(scored["scores"]),
        **tables_of_curves,
    }
    statuses = {f"status/{fit.law.name}": fit.status for fit in fits}
    return StudyContent(
        config={
            "study": study.model_dump(mode="json", by_alias=True, exclude_unset=True),
            "table_digest": fits[0].table_digest if fits else None,
        },
        tables={name: table for name, table in tables.items() if table.rows},
        summary={"num_runs": len(runs.rows), **statuses, **_own_prediction(scored, sealed, laws), **curve_summary},
        figures={name: path for name, path in _figures(folder).items() if path.exists()},
        page=folder.report_page if folder.report_page.exists() else None,
        files={str(path.relative_to(folder.path)): path for path in _files(folder, laws, curve_laws) if path.exists()},
    )


def _figures(folder: ResultsFolder) -> dict[str, Path]:
    return {name: folder.report / FIGURES / f"{name}.png" for name in (*FIGURE_NAMES, *CURVE_FIGURE_NAMES)}


def _files(folder: ResultsFolder, laws: Sequence[str], curve_laws: Sequence[str]) -> list[Path]:
    fits = [*map(folder.fit, laws), *map(folder.curve_fit, curve_laws)]
    sealed = [*sorted(folder.predictions.glob("*.json")), *sorted(folder.curve_predictions.glob("*.json"))]
    documents = [*map(folder.document, DOCUMENTS), folder.report_page, folder.curves_page]
    return [folder.study, folder.table, *fits, *sealed, *documents]


def _run_table(path: Path) -> WandbTable:
    try:
        table = csv.read_csv(path)
    except FileNotFoundError:
        return WandbTable((), ())
    except (OSError, pa.ArrowInvalid) as error:
        raise InputError(f"{path}: cannot be read as a table ({error!s:.80}); repeat the study to write it") from None
    columns = [[_plain(value) for value in column.to_pylist()] for column in table.columns]
    return WandbTable(tuple(table.column_names), tuple(zip(*columns, strict=True)))


def _plain(value: Any) -> Any:
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


def _fit_table(fits: Sequence[Fit]) -> WandbTable:
    """One row per parameter, or for a refused fit one row without a parameter."""
    rows: list[tuple[Any, ...]] = []
    for fit in fits:
        content = fit.to_dict()  # an unbounded end of an interval is None
        state = (fit.law.name, fit.status, fit.reason, fit.objective, fit.num_points)
        for name, value in content["parameters"].items():
            low, high = content["intervals"].get(name, (None, None))
            rows.append((*state, name, value, low, high, fit.interval_method, name not in fit.not_identified))
        if not fit.parameters:
            rows.append((*state, *[None] * 6))
    percent = f"{100 * INTERVAL_LEVEL:.0f}"
    state_names = ("law", "status", "reason", "objective", "num_points")
    names = ("parameter", "value", f"low_{percent}", f"high_{percent}", "interval_method", "identified")
    return WandbTable((*state_names, *names), tuple(rows))


def _prediction_table(sealed: Sequence[Prediction]) -> WandbTable:
    rows = []
    for prediction in sealed:
        low, high = prediction.to_dict()["interval_90"]
        rows.append(
            (
                prediction.law,
                format_target(prediction.at),
                prediction.loss,
                low,
                high,
                prediction.extrapolation.get("C"),
                prediction.sealed,
                prediction.time,
                prediction.commit,
                "; ".join(prediction.notes),
            )
        )
    names = ("law", "at", "predicted", "low_90", "high_90", "times_beyond_in_C", "sealed", "time", "commit", "notes")
    return WandbTable(names, tuple(rows))


def _score_table(scores: Sequence[Json]) -> WandbTable:
    names = ("predicted", "observed", "error_percent", "error_interval_widths", "error_seed_noise", "inside_90")
    rows = [
        (
            score["law"],
            format_target(score["at"]),
            *(score[name] for name in names),
            *score["interval_90"],
            len(score["runs"]),
            score["sealed"],
            "; ".join(score["notes"]),
        )
        for score in scores
    ]
    return WandbTable(("law", "at", *names, "low_90", "high_90", "num_runs", "sealed", "notes"), tuple(rows))


def _own_prediction(scored: Json, sealed: Sequence[Prediction], laws: Sequence[str]) -> Json:
    """The study's own prediction for the summary, by its first law at its first target: scored, sealed, or reported as
    missing. Another law's never replaces it.
    """
    own = scored.get("own")  # absent from the files of earlier versions
    for score in scored["scores"]:
        if score["sealed"] == own["sealed"] if own else score["law"] in laws[:1]:
            names = ("law", "predicted", "observed", "error_percent", "inside_90", "sealed")
            return {"target": format_target(score["at"]), **{name: score[name] for name in names}}
    for prediction in sealed:
        if prediction.law == own["law"] and dict(prediction.at) == own["at"] if own else prediction.law in laws[:1]:
            numbers = {"law": prediction.law, "predicted": prediction.loss, "sealed": prediction.sealed}
            return {"target": format_target(prediction.at), **numbers}
    return {"target": format_target(own["at"]), "law": own["law"], "sealed": "missing"} if own else {}


def _read_scores(path: Path) -> Json:
    if not path.exists():
        return {"scores": []}
    try:
        content: Json = json.loads(_read_text(path))
        list(content["scores"])
    except (json.JSONDecodeError, KeyError, TypeError):
        raise InputError(f"{path}: not the scores of a study; repeat the study to write them") from None
    return content


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read ({error!s:.80}); repeat the study to write it") from None
