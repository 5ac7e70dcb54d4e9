"""`windtunnel train`: one Hydra run, or several with `--multirun` and any launcher."""

import os
import signal
import sys
from collections.abc import Sequence

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from windtunnel.train.config.compose import (
    CONFIG_MODULE,
    CONFIG_NAME,
    HYDRA_ERRORS,
    complete_overrides,
    format_choices,
    format_hydra_error,
    groups,
    request_from_config,
)
from windtunnel.train.errors import InputError
from windtunnel.train.progress_forecast import MakeForecast
from windtunnel.train.records import AlreadyRunning

HELP = """\
usage: windtunnel train [GROUP=CHOICE] [GROUP.NAME=VALUE] ... [--multirun]

Train one run, or several with --multirun, on real or synthetic text. The record of a run is in runs/<run_id>/.
Repeat a command to continue after an interruption; a finished run is left as it is.

examples:
  windtunnel train size=25k horizon.tokens=2M                      2M tokens on a 25k-parameter model
  windtunnel train size=200k data=prose seed=1 dry_run=true        show what would be trained
  windtunnel train --multirun size=25k,83k seed=0,1,2              a grid, one run after the other
  windtunnel train --multirun hydra/launcher=submitit_slurm size=25k,83k    the same on SLURM
  windtunnel train schedule=constant logging.checkpoint_steps=[2000]        a trunk to branch from
  windtunnel train schedule=decay branch_from=RUN@2000             a branch: the decay of that trunk
  windtunnel train --cfg job --resolve size=3M                     show the whole configuration

groups (GROUP=CHOICE):
{groups}

settings (GROUP.NAME=VALUE) and their defaults: windtunnel train --cfg job
options of Hydra (--multirun, --cfg, --info, --resolve): windtunnel train --hydra-help
"""


class _Carried(BaseException):
    """Carries the exception of a single run past Hydra, which would print its own message."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error


class _RunFailed(Exception):  # noqa: N818 - a state of a run, pickled by launchers
    """One run of a multirun failed; the others continue."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message, status)
        self.message, self.status = message, status


def main(arguments: Sequence[str], make_forecast: MakeForecast | None = None) -> int:
    """The exit status: 0, 1 for a failed run, 2 for bad input, 130 or 143 when interrupted.

    make_forecast: turns `logging.law` into the forecast on the line of progress.
    """
    debug = "--debug" in arguments
    arguments = [argument for argument in arguments if argument != "--debug"]
    if "--help" in arguments or "-h" in arguments:
        print(HELP.format(groups=_groups()))
        return 0
    os.environ["HYDRA_FULL_ERROR"] = "1"  # exceptions reach us instead of being printed and swallowed
    before, sys.argv = sys.argv, ["windtunnel", *complete_overrides(arguments)]

    def job(config: DictConfig) -> None:  # pickled by launchers, with `make_forecast`
        _job(config, make_forecast)

    try:
        hydra.main(version_base="1.3", config_path=f"pkg://{CONFIG_MODULE}", config_name=CONFIG_NAME)(job)()
        return 0
    except _Carried as carried:
        return _report(carried.error, debug)
    except KeyboardInterrupt:  # before the run started, or a second time
        print("windtunnel: interrupted", file=sys.stderr)
        return 128 + signal.SIGINT
    except SystemExit as leaving:
        return leaving.code if isinstance(leaving.code, int) else 0
    except ValueError as error:  # from Hydra, about its options; the exceptions of a run are carried
        return _report(InputError(str(error)), debug)
    except Exception as error:
        return _report(error, debug)
    finally:
        sys.argv = before


def _job(config: DictConfig, make_forecast: MakeForecast | None) -> None:
    hydra_config = HydraConfig.get()
    overrides = [str(override) for override in OmegaConf.to_container(hydra_config.overrides.task, resolve=False) or ()]
    try:
        _run(config, overrides, make_forecast)
    except Exception as error:
        if hydra_config.mode != RunMode.MULTIRUN:
            raise _Carried(error) from error
        message, status = _describe(error)
        print(f"windtunnel: {' '.join(overrides)}: {message}", file=sys.stderr)
        raise _RunFailed(message, status) from error


def _run(config: DictConfig, overrides: list[str], make_forecast: MakeForecast | None) -> None:
    from windtunnel.train.config.resolve import UNPREPARED, resolve
    from windtunnel.train.console import print_outcome, print_plan  # torch loads here, after wrong options are reported
    from windtunnel.train.device import join_ranks
    from windtunnel.train.run import train_runs
    from windtunnel.train.start import check_trainable

    request = request_from_config(config)
    forecast = None
    if request.logging.law is not None:
        if make_forecast is None:
            raise InputError(
                "logging.law: only `windtunnel train` shows the forecast of a law; use it, or leave logging.law out"
            )
        forecast = make_forecast(request.logging.law)
    try:
        run, parent = resolve(request, overrides, progress=lambda message: print(message, file=sys.stderr))
    except ValueError as error:  # models/ does not import train/, so its errors about a shape are plain
        raise error if isinstance(error, InputError) else InputError(str(error)) from None
    if request.dry_run:
        if run.data.content_hash != UNPREPARED:
            check_trainable([run], join_ranks())
        print_plan(run, parent)
        return
    (outcome,) = train_runs([run], parent=parent, overrides=overrides, forecast=forecast)
    if _is_main_rank():
        print_outcome(outcome)
    if outcome.status == "preempted":
        sys.stdout.flush()
        number = outcome.signal or signal.SIGINT
        if outcome.requeue is not None:
            outcome.requeue(number, None)
        sys.exit(128 + number)  # Hydra catches exceptions, but not this: the next runs of a multirun do not start


def _is_main_rank() -> bool:
    """Whether this process is the only rank, or the one that prints."""
    return os.environ.get("WORLD_SIZE", "1") in ("", "0", "1") or os.environ.get("RANK", "0") == "0"


def _describe(error: Exception) -> tuple[str, int]:
    """The error as one line, and the exit status."""
    if isinstance(error, _RunFailed):
        return error.message, error.status
    if isinstance(error, HYDRA_ERRORS):
        return format_hydra_error(error), 2
    first = (str(error).splitlines() or [""])[0]
    if isinstance(error, InputError | AlreadyRunning):
        return first, 2
    return f"{type(error).__name__}: {first}", 1


def _report(error: Exception, debug: bool) -> int:
    if debug:
        raise error
    message, status = _describe(error)
    if _is_main_rank():
        print(f"windtunnel: {message}", file=sys.stderr)
    return status


def _groups() -> str:
    return "\n".join(f"  {group + '=':18}{' '.join(format_choices(group))}" for group in groups())
