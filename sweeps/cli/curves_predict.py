"""`windtunnel curves predict`: the loss under a schedule that was not trained, from a file or settings of a run."""

import argparse
from dataclasses import asdict
from pathlib import Path
from textwrap import shorten

import numpy as np

from windtunnel.analysis.curves.curve import Curve
from windtunnel.analysis.curves.from_file import read_curve
from windtunnel.analysis.curves.predict import predict_curve
from windtunnel.analysis.curves.result import FittedCurves
from windtunnel.analysis.curves.schedule_sums import Rates
from windtunnel.analysis.curves.seal import read_sealed_curves, seal_curves
from windtunnel.models.accounting import count_parameters
from windtunnel.sweeps.cli.arguments import add_reading_arguments, json_output, write_document
from windtunnel.sweeps.pipeline.curve_pipeline import target_of_config
from windtunnel.sweeps.pipeline.sealing import begun_twin
from windtunnel.train.config.config import RunConfig
from windtunnel.train.config.resolve import UNPREPARED
from windtunnel.train.config.run_id import run_id
from windtunnel.train.errors import InputError
from windtunnel.train.provenance import commit
from windtunnel.train.schedules import multiplier

EXAMPLE = """examples:
  windtunnel curves predict law.json --schedule wsd.csv           # columns step and lr
  windtunnel curves predict law.json size=25k schedule=cosine horizon.tokens=4M
  windtunnel curves predict law.json size=25k schedule=cosine horizon.tokens=4M --seal --losses validation

--seal writes the whole curve down before the run is trained, under the hash of its content; it is refused where that
run, or one that differs by its seed alone, has begun. `windtunnel curves score` compares them afterwards."""
NAME_LENGTH = 80  # of a curve, in what is said of it
POINTS = 200  # of a schedule that settings make: where its curve is predicted


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EXAMPLE
    parser.add_argument("fit", type=Path, metavar="FIT", help="a file written by `windtunnel curves fit --output`")
    parser.add_argument("overrides", nargs="*", metavar="SETTING", help="of `windtunnel train`: the run to predict")
    parser.add_argument("--schedule", type=Path, metavar="CSV", help="a file with the columns step and lr")
    add_reading_arguments(parser)
    parser.add_argument("--seal", action="store_true", help="write it down so that it cannot be changed afterwards")
    parser.add_argument(
        "--output", type=Path, default=Path("predictions"), metavar="DIR", help="of the sealed file (predictions)"
    )
    parser.add_argument(
        "--json", type=json_output, metavar="PATH", help="the prediction for programs; - is standard output"
    )


def run(arguments: argparse.Namespace) -> int:
    """Prints the prediction. Raises InputError for bad input."""
    fit = FittedCurves.from_json(arguments.fit)
    if (arguments.schedule is None) == (not arguments.overrides):
        raise InputError("say the schedule: either --schedule CSV or settings of a run, such as schedule=cosine")
    if arguments.seal:
        return _seal(fit, arguments)
    if arguments.schedule is not None:
        curve = read_curve(arguments.schedule, arguments.columns, arguments.warmup, schedule_only=True)
    else:
        curve = curve_of_settings(arguments.overrides)
    found = predict_curve(fit, curve)
    if not write_document(found.document(fit), arguments.json):
        interval = "" if found.interval_90 is None else "  90 % interval [{:.5g}, {:.5g}]".format(*found.interval_90)
        print(f"{fit.law} ({fit.status}): loss {found.loss_P[-1]:.5g} after {curve.time_P[-1]:.0f} updates{interval}")
        if found.beyond > 1.01:
            print(f"note: {found.beyond:.3g} times as long as the longest curve that was fitted")
        if fit.not_identified:
            names = ", ".join(fit.not_identified)
            print(f"note: fitted curves do not tell {names}: of schedules unlike theirs the interval may be narrow")
        for note in curve.notes:
            print(f"note: {note}")
    return 0


def _seal(fit: FittedCurves, arguments: argparse.Namespace) -> int:
    """Seals the curve of a run that settings describe, and prints what it says."""
    if arguments.schedule is not None:
        raise InputError(
            "--seal is of a run: say its settings in place of --schedule, so that it can be told when begun"
        )
    config = config_of_settings(arguments.overrides)
    if config.data.content_hash == UNPREPARED:
        raise InputError(f"{config.data.spec}: its data are not prepared, so the run has no id yet: prepare them first")
    begun = begun_twin(config)
    if begun is not None:
        raise InputError(f"{begun}: a prediction is sealed before its target is trained")
    target = target_of_config(config, (run_id(config),), run_id(config), arguments.losses)
    source = {"file": str(arguments.fit)}
    asked = "combined" if "*" in fit.law else fit.law
    path = seal_curves(asked, fit, source, arguments.losses, [target], arguments.output, commit())
    sealed = read_sealed_curves(path)
    if not write_document({"path": str(path), **asdict(sealed)}, arguments.json):
        (made,) = sealed.targets
        interval = "" if made.interval_90 is None else "  90 % interval [{:.5g}, {:.5g}]".format(*made.interval_90)
        print(f"{made.target}: {made.loss[-1]:.5g} after {made.step[-1]:.0f} updates{interval}")
        print(f"sealed {sealed.sealed}\nat {sealed.time} in {path}")
    return 0


def curve_of_settings(overrides: list[str]) -> Curve:
    """The curve, without losses, of the run that `windtunnel train` would make of these settings."""
    return curve_of_config(config_of_settings(overrides), name_of(overrides))


def name_of(overrides: list[str]) -> str:
    """What a run that is described by settings is called in what is said of it."""
    return shorten(" ".join(overrides), NAME_LENGTH, placeholder=" ...")


def config_of_settings(overrides: list[str]) -> RunConfig:
    """The run that `windtunnel train` would make of these settings. Raises InputError."""
    from windtunnel.train.config.compose import compose
    from windtunnel.train.config.resolve import configuration, find_data

    request = compose(overrides)
    return configuration(request, find_data(request.data, Path(request.runtime.data_directory)))


def curve_of_config(config: RunConfig, name: str) -> Curve:
    """Sized as the curve of a run is (`windtunnel.analysis.curves.from_runs`)."""
    parameters, schedule = count_parameters(config.model), config.schedule
    rate_S = config.optimizer.rate * multiplier(schedule, np.arange(schedule.total_steps))
    rates = Rates.of_updates(rate_S, schedule.warmup_steps)
    time_P = np.unique(np.linspace(max(schedule.warmup_steps, 1), schedule.total_steps, POINTS).round())
    return Curve(
        name,
        rates,
        time_P,
        np.full(len(time_P), np.nan),
        size=float(parameters.non_embedding + parameters.head),
        batch=float(config.tokens_per_step),
    )
