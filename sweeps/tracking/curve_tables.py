"""What laws of whole curves came to in a study, as tables and summary of W&B. Imports no W&B."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from windtunnel.analysis.curves.result import FittedCurves
from windtunnel.analysis.curves.seal import SealedCurves
from windtunnel.sweeps.pipeline.curve_pipeline import sealed_curves_in
from windtunnel.sweeps.pipeline.results_folder import OutcomeFolder
from windtunnel.train.errors import InputError
from windtunnel.train.records import Json

ERRORS = ("mean_abs_relative_error", "worst", "final")


@dataclass(frozen=True)
class Rows:
    """A number, text, truth value or None in each place."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]


def curve_tables(folder: OutcomeFolder, asked: Sequence[str]) -> tuple[dict[str, Rows], Json]:
    """Tables by name, and the first law's errors for the summary; of a study without laws of curves none. Raises
    InputError where a part cannot be read, or a sealed prediction was changed.
    """
    paths = {name: folder.curve_fit(name) for name in asked}
    fits = {name: FittedCurves.from_json(path) for name, path in paths.items() if path.exists()}
    scored, own = _scored_laws(folder.document("curve-scores"), asked[0])
    tables = {"curve_fits": _fits(fits), "curve_predictions": _predictions(sealed_curves_in(folder)), **scored}
    return tables, {**{f"curve_status/{name}": fit.status for name, fit in fits.items()}, **own}


def _scored_laws(path: Path, first: str) -> tuple[dict[str, Rows], Json]:
    """The tables of scores, and for the summary those of the study's own law, never another's in its place."""
    if not path.exists():
        return {}, {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        laws = list(content["laws"])
        own = [law for law in laws if law["asked"] == first]
        names = ("law", *ERRORS, "final_in_noise", "coverage_90")
        summary = {f"curves/{name}": law[name] for law in own for name in names}
        summary |= {f"curves/noise_alone/{name}": value for name, value in (content.get("noise_alone") or {}).items()}
        return {"curve_laws": _laws(laws), "curve_scores": _scores(laws)}, summary
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise InputError(f"{path}: not the scores of a study's curves; repeat the study to write them") from None


def _fits(fits: Mapping[str, FittedCurves]) -> Rows:
    rows = [
        (asked, fit.law, fit.status, fit.reason, name, value, _identified(fit, name))
        for asked, fit in fits.items()
        for name, value in fit.parameters.items()
    ]
    return Rows(("asked", "law", "status", "reason", "parameter", "value", "identified"), tuple(rows))


def _identified(fit: FittedCurves, name: str) -> bool | None:
    """None where the file does not say which are not, as those of earlier versions."""
    return None if fit.status != "converged" and not fit.not_identified else name not in fit.not_identified


def _predictions(sealed: Sequence[SealedCurves]) -> Rows:
    rows = [
        (
            *(each.asked, each.law, target.target, len(target.runs), target.size, target.step[-1], target.loss[-1]),
            *(target.interval_90 or (None, None)),
            *(target.beyond, each.sealed, each.time, each.commit),
        )
        for each in sealed
        for target in each.targets
    ]
    names = ("asked", "law", "target", "num_runs", "N", "step", "final_loss", "low_90", "high_90")
    return Rows((*names, "times_beyond_in_steps", "sealed", "time", "commit"), tuple(rows))


def _laws(laws: Sequence[Json]) -> Rows:
    rows: list[tuple[Any, ...]] = []
    names = (*ERRORS, "mean_worst", "final_in_noise", "coverage_90")
    for law in laws:
        means = law.get("seed_means") or {}
        of_means = (means.get("mean_abs_relative_error"), means.get("worst"))
        rows.append((law["asked"], law["law"], len(law["curves"]), *(law[name] for name in names), *of_means))
    columns = ("asked", "law", "num_runs", *names, "seed_means_mean_abs_relative_error", "seed_means_worst")
    return Rows(columns, tuple(rows))


def _scores(laws: Sequence[Json]) -> Rows:
    names = ("run", "target", "points", *ERRORS, "inside_90")
    rows = [(law["asked"], *(curve[name] for name in names)) for law in laws for curve in law["curves"]]
    return Rows(("asked", *names), tuple(rows))
