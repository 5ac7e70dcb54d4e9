"""`windtunnel curves optimise`: for the run that settings describe, the schedule of least loss under a fitted law."""

import argparse
import csv
import io
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from windtunnel.analysis.curves.curve import Curve
from windtunnel.analysis.curves.optimal_schedule.gain import Gain, cautions, final_loss_under, gain_over
from windtunnel.analysis.curves.optimal_schedule.knots import knots_text
from windtunnel.analysis.curves.optimal_schedule.search import LEAST, Optimum, best_free
from windtunnel.analysis.curves.optimal_schedule.wsd import best_wsd, fraction_range
from windtunnel.analysis.curves.predict import refuse_foreign
from windtunnel.analysis.curves.result import FittedCurves
from windtunnel.sweeps.cli.arguments import json_output, output_file, refuse_one_file, write_document
from windtunnel.sweeps.cli.curves_predict import config_of_settings, curve_of_config, name_of
from windtunnel.train.config.config import RunConfig
from windtunnel.train.errors import InputError
from windtunnel.train.records import write_atomically
from windtunnel.train.schedules import Schedule, multiplier

EXAMPLE = """examples:
  windtunnel curves optimise law.json size=25k horizon.tokens=4M
  windtunnel curves optimise law.json size=25k horizon.tokens=4M schedule=cosine --csv best.csv

SETTINGs fix size, horizon, batch, peak rate and warm-up; the schedule that they ask for is the reference. A gain is the
share of its final loss; the interval is over the replicates of the fit, both schedules under the same one: it says what
the fitted curves leave open, not whether the law holds for schedules unlike theirs. Train what is found, and see."""
WARMUP_KEYS = ("schedule.warmup_tokens", "schedule.warmup_fraction")


@dataclass(frozen=True)
class Row:
    """A schedule of the table, by the settings that train it."""

    name: str
    settings: list[str]
    config: RunConfig
    curve: Curve
    loss: float
    gain: Gain


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EXAMPLE
    parser.add_argument("fit", type=Path, metavar="FIT", help="a file written by `windtunnel curves fit --output`")
    parser.add_argument("overrides", nargs="*", metavar="SETTING", help="of `windtunnel train`: the run to schedule")
    parser.add_argument(
        "--floor",
        type=_floor,
        default=0.0,
        metavar="SHARE",
        help="of the peak: no schedule that is searched for goes below; default 0, at the end only (0.001 before)",
    )
    parser.add_argument(
        "--csv", type=output_file, metavar="PATH", help="the best free schedule with the columns step and lr"
    )
    parser.add_argument(
        "--json", type=json_output, metavar="PATH", help="the result for programs; - is standard output"
    )


def run(arguments: argparse.Namespace) -> int:
    """Prints the table. Raises InputError for bad input, and for a law that has no best schedule."""
    refuse_one_file(arguments.fit, csv=arguments.csv, json=arguments.json)
    fit = FittedCurves.from_json(arguments.fit)
    kept, asked = _divided(arguments.overrides)
    config = config_of_settings([*kept, *asked])
    reference = curve_of_config(config, name_of(arguments.overrides) or "the default run")
    refuse_foreign(fit, reference)
    loss_of = final_loss_under(fit, reference)
    total_steps, warmup_steps = config.schedule.total_steps, config.schedule.warmup_steps

    def row(name: str, settings: list[str]) -> Row:
        """Predicted for the run that the settings resolve to."""
        its_config = config_of_settings([*kept, *settings])
        curve = curve_of_config(its_config, name)
        return Row(name, settings, its_config, curve, float(fit.predict(curve)[-1]), gain_over(fit, reference, curve))

    rows = [
        row(f"asked for: {_described(config.schedule)}", asked),
        row("cosine to 0", ["schedule=cosine", "schedule.final_fraction=0.0"]),
        row("cosine to 10 %", ["schedule=cosine", "schedule.final_fraction=0.1"]),
    ]
    wsd = best_wsd(loss_of, total_steps, warmup_steps, arguments.floor)
    rows.append(row(f"best wsd: {_described(wsd.schedule)}", _settings_of(wsd)))
    free = best_free(loss_of, total_steps, warmup_steps, arguments.floor, start=wsd.schedule)
    if free.gradual is not None and free.gradual != free.best:
        rows.append(row("best free without a jump", _settings_of(free.gradual)))
    best_row = row("best free", _settings_of(free.best))
    rows.append(best_row)
    told = [f"the best free schedule {each}" for each in cautions(free.best.schedule, max(arguments.floor, LEAST))]
    told += _wsd_cautions(wsd, total_steps, warmup_steps)
    notes = _notes(fit, reference)
    if arguments.csv is not None:
        _write_csv(arguments.csv, best_row.config)
    if not write_document(_document(fit, config, reference, kept, rows, told, notes), arguments.json):
        print("\n".join(_lines(fit, config, kept, rows, told, notes)))
    return 0


def _floor(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0 <= share < 1:
        raise argparse.ArgumentTypeError(f"{text}: give a share of the peak, at least 0 and below 1")
    return round(share, 4)


def _divided(overrides: Sequence[str]) -> tuple[list[str], list[str]]:
    """What every schedule shares, and the schedule that is asked for."""
    kept: list[str] = []
    asked: list[str] = []
    for each in overrides:
        key = each.lstrip("+~").partition("=")[0]
        is_schedule = key == "schedule" or (key.startswith("schedule.") and key not in WARMUP_KEYS)
        (asked if is_schedule else kept).append(each)
    return kept, asked


def _settings_of(found: Optimum) -> list[str]:
    schedule = found.schedule
    if schedule.shape == "piecewise":
        return ["schedule=piecewise", f'schedule.knots="{knots_text(schedule.knots)}"']
    return [
        f"schedule={schedule.shape}",
        f"schedule.decay_fraction={found.decay_fraction:g}",
        f"schedule.decay_shape={schedule.decay_shape}",
        f"schedule.final_fraction={schedule.final_fraction:g}",
    ]


def _described(schedule: Schedule) -> str:
    words: list[str] = [schedule.shape]
    if schedule.decay_steps:
        words.append(f"{100 * schedule.decay_steps / schedule.total_steps:.3g} % {schedule.decay_shape}")
    if schedule.decay_steps or schedule.shape in ("cosine", "linear"):
        words.append(f"to {100 * schedule.final_fraction:.3g}{' %' if schedule.final_fraction else ''}")
    return " ".join(words)


def _wsd_cautions(found: Optimum, total_steps: int, warmup_steps: int) -> list[str]:
    shortest, longest = fraction_range(total_steps, warmup_steps)
    if found.decay_fraction <= 1.5 * shortest:
        return ["the best decay of wsd is the shortest there is"]
    return ["the best decay of wsd is all that follows the warm-up"] if found.decay_fraction >= 0.99 * longest else []


def _notes(fit: FittedCurves, reference: Curve) -> list[str]:
    notes = []
    beyond = float(reference.time_P[-1]) / fit.last_update
    if beyond > 1.01:
        notes.append(f"{beyond:.3g} times as long as the longest curve that was fitted")
    if not fit.num_replicates:
        notes.append("the fit has no replicates, and so gains have no intervals: fit with --bootstrap")
    if fit.not_identified:
        names = ", ".join(fit.not_identified)
        notes.append(f"fitted curves do not tell {names}: of schedules unlike theirs the gain may be none")
    return notes


def _lines(
    fit: FittedCurves, config: RunConfig, kept: list[str], rows: list[Row], told: list[str], notes: list[str]
) -> list[str]:
    width = max(len(row.name) for row in rows)
    schedule = config.schedule
    lines = [
        f"{fit.law} ({fit.status}): {schedule.total_steps} updates, {schedule.warmup_steps} of them warm-up, "
        f"peak rate {config.optimizer.rate:.4g}",
        f"{'schedule':<{width}}  {'loss':>8}  {'gain':>8}  {'90 % interval':>20}  settings",
    ]
    for number, row in enumerate(rows):
        gain, interval = ("reference", "") if number == 0 else (_percent(row.gain.gain), _interval(row.gain))
        lines.append(f"{row.name:<{width}}  {row.loss:#8.5g}  {gain:>9}  {interval:>19}  {shlex.join(row.settings)}")
    lines.append(f"train one with: {shlex.join(['windtunnel', 'train', *kept])} SETTINGS")
    return [*lines, *(f"warning: {each}" for each in told), *(f"note: {each}" for each in notes)]


def _percent(share: float) -> str:
    return f"{100 * share:+.3f} %"


def _interval(gain: Gain) -> str:
    return "-" if gain.interval_90 is None else "[{:+.3f}, {:+.3f}] %".format(*(100 * end for end in gain.interval_90))


def _document(
    fit: FittedCurves,
    config: RunConfig,
    reference: Curve,
    kept: list[str],
    rows: list[Row],
    told: list[str],
    notes: list[str],
) -> dict[str, Any]:
    """Gains are shares of the reference's loss."""
    return {
        "law": fit.law,
        "status": fit.status,
        "steps": config.schedule.total_steps,
        "warmup_steps": config.schedule.warmup_steps,
        "peak_rate": config.optimizer.rate,
        "size": reference.size,
        "extrapolation": {"steps": float(reference.time_P[-1]) / fit.last_update},
        "schedules": [
            {
                "schedule": row.name,
                "loss": row.loss,
                "gain": row.gain.gain,
                "gain_interval_90": None if row.gain.interval_90 is None else list(row.gain.interval_90),
                "settings": [*kept, *row.settings],
            }
            for row in rows
        ],
        "best": min(rows, key=lambda row: row.loss).name,
        "warnings": told,
        "notes": notes,
    }


def _write_csv(path: Path, config: RunConfig) -> None:
    """Every update, and the end, at which `curves predict --schedule` then predicts."""
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
