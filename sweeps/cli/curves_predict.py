"""`windtunnel curves predict`: predict the loss curve of a schedule, and seal the prediction."""

import argparse
from pathlib import Path

from windtunnel.analysis.curves.from_file import curve_from_file
from windtunnel.analysis.curves.result import FittedCurveLaw
from windtunnel.analysis.curves.seal import read_sealed_curves
from windtunnel.analysis.report.number_format import format_interval
from windtunnel.analysis.report.text import format_notes
from windtunnel.sweeps.cli.arguments import add_json_argument
from windtunnel.sweeps.cli.curve_arguments import add_curve_reading_arguments
from windtunnel.sweeps.cli.output import print_result
from windtunnel.sweeps.cli.paths import output_folder
from windtunnel.train.errors import InputError

EPILOG = """examples:
  windtunnel curves predict law.json --schedule wsd.csv           # columns step and lr
  windtunnel curves predict law.json size=25k schedule=cosine horizon.tokens=4M
  windtunnel curves predict law.json size=25k schedule=cosine horizon.tokens=4M --seal --losses validation

--seal writes the curve of a run before it is trained, to a file named by the hash of its content. It is refused where
the run, or a seed replicate of it, has started. `windtunnel curves score` compares the curves afterwards."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("fit", type=Path, metavar="FIT", help="a file written by `windtunnel curves fit --output`")
    parser.add_argument("settings", nargs="*", metavar="SETTING", help="the run, in settings of `windtunnel train`")
    parser.add_argument("--schedule", type=Path, metavar="CSV", help="a file with the columns step and lr")
    add_curve_reading_arguments(parser)
    parser.add_argument("--seal", action="store_true", help="write the prediction to a file that cannot be changed")
    parser.add_argument(
        "--output",
        type=output_folder,
        default=Path("predictions"),
        metavar="DIR",
        help="folder of the sealed file; default %(default)s",
    )
    add_json_argument(parser, "the prediction")


def run(arguments: argparse.Namespace) -> int:
    fit = FittedCurveLaw.from_json(arguments.fit)
    if (arguments.schedule is None) == (not arguments.settings):
        raise InputError("which schedule? give either --schedule CSV or settings of a run, such as schedule=cosine")
    if arguments.seal:
        return _seal(fit, arguments)
    if arguments.schedule is not None:
        curve = curve_from_file(arguments.schedule, arguments.columns, arguments.warmup, schedule_only=True)
    else:
        from windtunnel.sweeps.pipeline.run_curve import curve_from_settings  # loads torch and Hydra

        curve = curve_from_settings(arguments.settings)
    prediction = fit.predict(curve)
    final = _format_final(prediction.loss_P[-1], curve.time_P[-1], prediction.interval_90)
    notes = prediction.notes
    if fit.not_identified:
        names = ", ".join(fit.not_identified)
        notes.append(
            f"{names}: not identified by the fitted curves; for other schedules the interval may be too narrow"
        )
    print_result(arguments, prediction.to_dict(), [f"{fit.law} ({fit.status}): {final}", *format_notes(notes)])
    return 0


def _seal(fit: FittedCurveLaw, arguments: argparse.Namespace) -> int:
    from windtunnel.sweeps.pipeline.run_curve import config_from_settings, seal_run_curve  # loads torch and Hydra

    if arguments.schedule is not None:
        raise InputError("--seal is for a run: give its settings in place of --schedule")
    config = config_from_settings(arguments.settings)
    path = seal_run_curve(fit, config, arguments.losses, arguments.output, {"file": str(arguments.fit)})
    sealed = read_sealed_curves(path)
    (target,) = sealed.targets
    lines = [
        f"{target.target}: {_format_final(target.loss[-1], target.step[-1], target.interval_90)}",
        f"sealed {sealed.sealed}",
        f"at {sealed.time} in {path}",
    ]
    print_result(arguments, {"path": str(path), **sealed.to_dict()}, lines)
    return 0


def _format_final(loss: float, step: float, interval: tuple[float, float] | None) -> str:
    shown = "" if interval is None else f", 90 % interval {format_interval(*interval, '.5g')}"
    return f"loss {loss:.5g} after {step:.0f} steps{shown}"
