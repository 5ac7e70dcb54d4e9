"""The loss curve of a run that settings describe: predict it, seal the prediction, score the trained run."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from textwrap import shorten
from typing import Any

import numpy as np

from windtunnel.analysis.curves.curve import LossCurve, LossKind
from windtunnel.analysis.curves.from_runs import curve_from_run, learning_rates
from windtunnel.analysis.curves.result import FittedCurveLaw
from windtunnel.analysis.curves.score import ScoredCurve, score_run
from windtunnel.analysis.curves.seal import PredictedCurve, SealedCurves, seal_curves
from windtunnel.models.accounting import count_parameters
from windtunnel.sweeps.pipeline.curve_pipeline import make_curve_target
from windtunnel.sweeps.pipeline.sealing import started_replicate
from windtunnel.train.config.branch_parent import recorded_config
from windtunnel.train.config.compose import compose
from windtunnel.train.config.config import RunConfig
from windtunnel.train.config.resolve import UNPREPARED, describe_data, make_config
from windtunnel.train.config.run_id import run_id
from windtunnel.train.errors import InputError
from windtunnel.train.provenance import commit
from windtunnel.train.records import Json, read_record
from windtunnel.train.schedules import Schedule

NAME_LENGTH = 80
NUM_POINTS = 200  # of the curve of a run that is not trained


def config_from_settings(settings: Sequence[str]) -> RunConfig:
    """The configuration of the run that `windtunnel train` makes of the settings. Raises InputError."""
    request = compose(settings)
    return make_config(request, describe_data(request.data, Path(request.runtime.data_directory)))


def curve_from_settings(settings: Sequence[str]) -> LossCurve:
    """The curve, without losses, of the run that `windtunnel train` makes of the settings. Raises InputError."""
    return curve_from_config(config_from_settings(settings), name_of(settings))


def name_of(settings: Sequence[str]) -> str:
    return shorten(" ".join(settings), NAME_LENGTH, placeholder=" ...")


def curve_from_config(config: RunConfig, name: str) -> LossCurve:
    """The curve of a run that is not trained: its learning rates, and NaN for its losses at `NUM_POINTS` steps."""
    parameters, schedule = count_parameters(config.model), config.schedule
    time_P = np.unique(np.linspace(max(schedule.warmup_steps, 1), schedule.total_steps, NUM_POINTS).round())
    return LossCurve(
        name,
        learning_rates(schedule, config.optimizer.rate),
        time_P,
        np.full(len(time_P), np.nan),
        size=float(parameters.non_embedding + parameters.head),
        batch=float(config.tokens_per_step),
    )


def seal_run_curve(
    fit: FittedCurveLaw, config: RunConfig, losses: LossKind, folder: Path, source: Mapping[str, Any]
) -> Path:
    """Seal the predicted curve of a run that is not trained. source: where the fit is from.

    Raises InputError where its data are not prepared, or where the run or a seed replicate of it has started.
    """
    if config.data.content_hash == UNPREPARED:
        raise InputError(f"{config.data.spec}: the data are not prepared, so the run has no id yet; prepare them first")
    started = started_replicate(config)
    if started is not None:
        raise InputError(f"{started}: a prediction is sealed before its target is trained")
    target = make_curve_target(config, (run_id(config),), run_id(config), losses)
    law = "combined" if "*" in fit.law else fit.law
    return seal_curves(law, fit, source, losses, [target], folder, commit())


def score_run_curve(sealed: SealedCurves, folder: Path) -> ScoredCurve:
    """Score the sealed prediction of a run or of a seed replicate of it, now trained.

    Raises InputError where the run is not finished, started before the seal, or is not one that was predicted.
    """
    record = read_record(folder)
    if record["status"] != "finished":
        raise InputError(f"{folder}: {record['status']}; score it when it has finished")
    if str(record.get("created") or "") < sealed.time:
        raise InputError(
            f"{folder}: started at {record.get('created')}, before the seal of {sealed.time}: not a prediction"
        )
    curve = curve_from_run(folder, "training" if sealed.losses == "training" else "validation")
    matching = (target for target in sealed.targets if _has_schedule(target, record["config"], curve.size))
    target = next(matching, None)
    if target is None:
        raise InputError(f"{folder}: its schedule, peak rate or size is not one that was sealed")
    if not _is_replicate(target, record):
        raise InputError(
            f"{folder}: has the sealed schedule, peak rate and size, but differs in more than its seed, such as data "
            f"or optimizer; name runs that do not: {', '.join(target.runs)}"
        )
    return score_run(target, curve, folder.name)


def _has_schedule(target: PredictedCurve, config: Mapping[str, Any], size: float | None) -> bool:
    same_schedule = Schedule(**config["schedule"]) == Schedule(**target.schedule)
    return same_schedule and config["optimizer"]["rate"] == target.rate and size == target.size


def _is_replicate(target: PredictedCurve, record: Json) -> bool:
    """Whether the run has the id of one that was sealed, or would have it with its seed."""
    config = recorded_config(record)
    seeds = [re.search(r"-s(\d+)-[0-9a-f]+$", run) for run in target.runs]
    ids = {run_id(replace(config, seed=int(seed[1]))) for seed in seeds if seed is not None}
    return not ids.isdisjoint(target.runs)
