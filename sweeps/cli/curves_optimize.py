"""`windtunnel curves optimize`: find the schedule of least predicted loss for a run."""

import argparse
import csv
import io
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from windtunnel.analysis.curves.result import FittedCurveLaw
from windtunnel.analysis.report.text import format_notes, format_table
from windtunnel.sweeps.cli.arguments import add_json_argument
from windtunnel.sweeps.cli.output import print_result
from windtunnel.sweeps.cli.paths import output_file
from windtunnel.train.errors import InputError
from windtunnel.train.records import write_atomically
from windtunnel.train.schedules import multiplier

if TYPE_CHECKING:  # loads torch and Hydra
    from windtunnel.sweeps.pipeline.schedule_comparison import ScheduleComparison
    from windtunnel.train.config.config import RunConfig

EPILOG = """examples:
  windtunnel curves optimize law.json size=25k horizon.tokens=4M
  windtunnel curves optimize law.json size=25k horizon.tokens=4M schedule=cosine --csv best.csv

SETTINGs fix size, horizon, batch size, peak rate and warm-up; their schedule is the reference. A gain is a share of the
final loss of the reference. Its interval covers the uncertainty of the fitted parameters, not that the law may be wrong
for schedules unlike the fitted ones: train the best schedule to find out."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("fit", type=Path, metavar="FIT", help="a file written by `windtunnel curves fit --output`")
    parser.add_argument("settings", nargs="*", metavar="SETTING", help="the run, in settings of `windtunnel train`")
    parser.add_argument(
        "--min-rate",
        type=_rate,
        default=0.0,
        metavar="SHARE",
        help="lowest rate of the optimized schedules, as a share of the peak; default 0 at the end and 0.001 before",
    )
    parser.add_argument(
        "--csv", type=output_file, metavar="PATH", help="write the best free schedule, with the columns step and lr"
    )
    add_json_argument(parser, "the schedules")


def run(arguments: argparse.Namespace) -> int:
    from windtunnel.sweeps.pipeline.schedule_comparison import compare_schedules  # loads torch and Hydra

    fit = FittedCurveLaw.from_json(arguments.fit)
    comparison = compare_schedules(fit, arguments.settings, arguments.min_rate)
    if arguments.csv is not None:
        _write_csv(arguments.csv, comparison.best_free.config)
    print_result(arguments, comparison.to_dict(), format_comparison(comparison))
    return 0


def _rate(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0 <= share < 1:
        raise argparse.ArgumentTypeError(f"{text}: give a share of the peak rate, at least 0 and below 1")
    return round(share, 4)


def format_comparison(comparison: "ScheduleComparison") -> list[str]:
    rows = [["schedule", "loss", "gain", "90 % interval", "settings"]]
    for schedule in comparison.schedules:
        interval = schedule.gain.interval_90
        is_reference = schedule is comparison.schedules[0]
        rows.append(
            [
                schedule.name,
                f"{schedule.loss:#.5g}",
                "reference" if is_reference else f"{100 * schedule.gain.gain:+.3f} %",
                "" if is_reference else "-" if interval is None else "[{:+.3f}, {:+.3f}] %".format(*_percent(interval)),
                shlex.join(schedule.settings),
            ]
        )
    steps, config = comparison.config.schedule, comparison.config
    return [
        f"{comparison.fit.law} ({comparison.fit.status}): {steps.total_steps} steps, {steps.warmup_steps} of them "
        f"warm-up, peak rate {config.optimizer.rate:.4g}",
        *format_table(rows, "<>>><"),
        f"train one with: {shlex.join(['windtunnel', 'train', *comparison.settings])} SETTINGS",
        *(f"warning: {warning}" for warning in comparison.warnings),
        *format_notes(comparison.notes),
    ]


def _percent(interval: tuple[float, float]) -> tuple[float, float]:
    return 100 * interval[0], 100 * interval[1]


def _write_csv(path: Path, config: "RunConfig") -> None:
    """Every step and the end, where `curves predict --schedule` predicts the final loss."""
    step_S = np.arange(config.schedule.total_steps + 1)
    rate_S = config.optimizer.rate * multiplier(config.schedule, step_S)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["step", "lr"])
    writer.writerows(zip(step_S.tolist(), rate_S.tolist(), strict=True))
    try:
        write_atomically(path, text.getvalue().encode())
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror}") from None
