"""Fits, predictions and scores of a study's curve laws as W&B tables and summary. Imports no wandb."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from windtunnel.analysis.curves.result import FittedCurveLaw
from windtunnel.analysis.curves.seal import SealedCurves
from windtunnel.sweeps.pipeline.curve_pipeline import read_curve_predictions
from windtunnel.sweeps.pipeline.results_folder import ResultsFolder
from windtunnel.train.errors import InputError
from windtunnel.train.records import Json

ERRORS = ("mean_abs_relative_error", "worst", "final")


@dataclass(frozen=True)
class WandbTable:
    """A table for W&B. A cell is a number, text, a truth value or None."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]


def curve_tables(folder: ResultsFolder, laws: Sequence[str]) -> tuple[dict[str, WandbTable], Json]:
    """Tables by name, and the first law's errors for the summary. `laws`: as the study names them. Raises InputError
    where a part cannot be read, or a sealed prediction was changed.
    """
    paths = {name: folder.curve_fit(name) for name in laws}
    fits = {name: FittedCurveLaw.from_json(path) for name, path in paths.items() if path.exists()}
    scores, own = _score_tables(folder.document("curve-scores"), laws[0])
    predictions = _prediction_table(read_curve_predictions(folder))
    tables = {"curve_fits": _fit_table(fits), "curve_predictions": predictions, **scores}
    return tables, {**{f"curve_status/{name}": fit.status for name, fit in fits.items()}, **own}


def _score_tables(path: Path, own_law: str) -> tuple[dict[str, WandbTable], Json]:
    """The tables of scores, and the scores of the study's own law for the summary; another law's never replace them."""
    if not path.exists():
        return {}, {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        laws = list(content["laws"])
        names = ("law", *ERRORS, "final_in_noise", "coverage_90")
        summary = {f"curves/{name}": law[name] for law in laws if law["asked"] == own_law for name in names}
        summary |= {f"curves/noise_alone/{name}": value for name, value in (content.get("noise_alone") or {}).items()}
        return {"curve_laws": _law_table(laws), "curve_scores": _run_table(laws)}, summary
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise InputError(f"{path}: not the scores of a study's curves; repeat the study to write them") from None


def _fit_table(fits: Mapping[str, FittedCurveLaw]) -> WandbTable:
    rows = [
        (requested, fit.law, fit.status, fit.reason, name, value, _is_identified(fit, name))
        for requested, fit in fits.items()
        for name, value in fit.parameters.items()
    ]
    return WandbTable(("requested_law", "law", "status", "reason", "parameter", "value", "identified"), tuple(rows))


def _is_identified(fit: FittedCurveLaw, name: str) -> bool | None:
    """None for files of earlier versions, which lack the field."""
    return None if fit.status != "converged" and not fit.not_identified else name not in fit.not_identified


def _prediction_table(sealed: Sequence[SealedCurves]) -> WandbTable:
    rows = [
        (
            *(curves.requested, curves.law, target.target),
            *(len(target.runs), target.size, target.step[-1], target.loss[-1]),
            *(target.interval_90 or (None, None)),
            *(target.beyond, curves.sealed, curves.time, curves.commit),
        )
        for curves in sealed
        for target in curves.targets
    ]
    names = ("requested_law", "law", "target", "num_runs", "N", "step", "final_loss", "low_90", "high_90")
    return WandbTable((*names, "times_beyond_in_steps", "sealed", "time", "commit"), tuple(rows))


def _law_table(laws: Sequence[Json]) -> WandbTable:
    rows: list[tuple[Any, ...]] = []
    names = (*ERRORS, "mean_worst", "final_in_noise", "coverage_90")
    for law in laws:
        means = law.get("seed_means") or {}
        seed_means = (means.get("mean_abs_relative_error"), means.get("worst"))
        rows.append((law["asked"], law["law"], len(law["curves"]), *(law[name] for name in names), *seed_means))
    columns = ("requested_law", "law", "num_runs", *names, "seed_means_mean_abs_relative_error", "seed_means_worst")
    return WandbTable(columns, tuple(rows))


def _run_table(laws: Sequence[Json]) -> WandbTable:
    names = ("run", "target", "points", *ERRORS, "inside_90")
    rows = [(law["asked"], *(curve[name] for name in names)) for law in laws for curve in law["curves"]]
    return WandbTable(("requested_law", *names), tuple(rows))
