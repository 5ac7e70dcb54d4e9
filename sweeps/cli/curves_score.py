"""`windtunnel curves score`: how a sealed prediction of curves fared once its runs were trained."""

import argparse
import re
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from windtunnel.analysis.curves.from_runs import run_curve
from windtunnel.analysis.curves.score import ScoredCurve, score_run
from windtunnel.analysis.curves.seal import PredictedCurve, SealedCurves, read_sealed_curves
from windtunnel.sweeps.cli.arguments import json_output, refuse_one_file, write_document
from windtunnel.train.config.branch_parent import recorded_config
from windtunnel.train.config.run_id import run_id
from windtunnel.train.errors import InputError
from windtunnel.train.records import Json, read_record
from windtunnel.train.schedules import Schedule

EXAMPLE = """example:
  windtunnel curves score predictions/curves-annealing-0123456789abcdef.json runs/25k-speeches-cosine-*

A run is one of the prediction's if it differs from the run that was sealed by its seed alone.
Errors are predicted / measured - 1."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EXAMPLE
    parser.add_argument("prediction", type=Path, metavar="PREDICTION", help="written by `curves predict --seal`")
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="folders of its runs, once they are trained")
    parser.add_argument(
        "--json", type=json_output, metavar="PATH", help="the scores for programs; - is standard output"
    )


def run(arguments: argparse.Namespace) -> int:
    """Prints the scores. Raises InputError for bad input, and for runs that are none of the prediction's."""
    refuse_one_file(arguments.prediction, json=arguments.json)
    sealed = read_sealed_curves(arguments.prediction)
    for place, folder in enumerate(arguments.runs):
        if folder.resolve() in [each.resolve() for each in arguments.runs[:place]]:
            raise InputError(f"{folder}: named twice; a run is scored once")
    found = [_scored(sealed, folder) for folder in arguments.runs]
    document = {"law": sealed.law, "sealed": sealed.sealed, "time": sealed.time, "runs": [asdict(e) for e in found]}
    if not write_document(document, arguments.json):
        print(f"{sealed.law}, sealed {sealed.time} as {sealed.sealed[:16]}")
        width = max(len(each.run) for each in found)
        print(f"{'run':<{width}} {'mean error':>11} {'worst':>9} {'final':>9}  in 90 % interval")
        for each in found:
            inside = {True: "yes", False: "no", None: "-"}[each.inside_90]
            errors = f"{100 * each.mean_abs_relative_error:9.3f} % {100 * each.worst:7.3f} % {100 * each.final:+7.3f} %"
            print(f"{each.run:<{width}} {errors}  {inside}")
    return 0


def _scored(sealed: SealedCurves, folder: Path) -> ScoredCurve:
    record = read_record(folder)
    if record["status"] != "finished":
        raise InputError(f"{folder}: {record['status']}; score it when it has finished")
    if str(record.get("created") or "") < sealed.time:
        raise InputError(f"{folder}: begun at {record.get('created')}, before the seal of {sealed.time}: no prediction")
    curve = run_curve(folder, "training" if sealed.losses == "training" else "validation")
    for target in sealed.targets:
        if _is_of(target, record["config"], curve.size):
            if not _is_twin(target, record):
                raise InputError(
                    f"{folder}: has the schedule, peak rate and size that were sealed, and differs in more than its "
                    f"seed, such as data or optimizer; name runs that do not: {', '.join(target.runs)}"
                )
            return score_run(target, curve, folder.name)
    raise InputError(f"{folder}: its schedule, peak rate or size is not one that was sealed")


def _is_of(target: PredictedCurve, config: Mapping[str, Any], size: float | None) -> bool:
    same_schedule = Schedule(**config["schedule"]) == Schedule(**target.schedule)
    return same_schedule and config["optimizer"]["rate"] == target.rate and size == target.size


def _is_twin(target: PredictedCurve, record: Json) -> bool:
    """Whether the run has the id of one that was sealed, or would have with its seed."""
    config = recorded_config(record)
    seeds = [re.search(r"-s(\d+)-[0-9a-f]+$", run) for run in target.runs]
    asked = {run_id(replace(config, seed=int(seed[1]))) for seed in seeds if seed is not None}
    return not asked.isdisjoint(target.runs)
