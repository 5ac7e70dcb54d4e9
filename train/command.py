"""The `train` command: one Hydra run, or `--multirun` with any launcher."""

import os
import signal
import sys
from collections.abc import Sequence

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from windtunnel.train.config.compose import (
    COMPLAINTS,
    CONFIG_MODULE,
    CONFIG_NAME,
    choices,
    complete,
    explain,
    groups,
    request_of,
)
from windtunnel.train.errors import InputError
from windtunnel.train.progress_forecast import MakeForecast
from windtunnel.train.records import AlreadyRunning

HELP = """\
Train one run (or with --multirun many) on real or synthetic text, and leave a record in runs/<run_id>/.

  windtunnel train size=25k horizon.tokens=2M                      2M tokens on a 25k-parameter model
  windtunnel train size=200k data=prose seed=1 dry_run=true       what it would train, without training
  windtunnel train --multirun size=25k,83k seed=0,1,2             a grid, one after the other
  windtunnel train --multirun hydra/launcher=submitit_slurm size=25k,83k    the same on SLURM
  windtunnel train schedule=constant logging.checkpoint_steps=[2000]        a trunk to branch from
  windtunnel train schedule=decay branch_from=RUN@2000            a branch: the decay of that trunk
  windtunnel train --cfg job --resolve size=3m                    the whole configuration

Repeat a command to go on after an interruption. A finished run is left as it is.

groups (NAME=CHOICE):
{groups}
settings (GROUP.NAME=VALUE), with their defaults: windtunnel train --cfg job
hydra's own options (--multirun, --cfg, --info, --resolve): windtunnel train --hydra-help
"""


class _Carried(BaseException):
    """Takes what a single run raised past Hydra, which would print a line of its own about it."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error


class _RunFailed(Exception):  # noqa: N818 - travels from a worker's process in a multirun
    """One run of several failed; the others go on."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message, status)
        self.message, self.status = message, status


def main(arguments: Sequence[str], make_forecast: MakeForecast | None = None) -> int:
    """Run the command line; `make_forecast` makes of `logging.law` what the line of progress shows.

    Returns the exit status: 0, 1 for a failed run, 2 for bad input, 130 or 143 when interrupted.
    """
    debug = "--debug" in arguments
    arguments = [argument for argument in arguments if argument != "--debug"]
    if "--help" in arguments or "-h" in arguments:
        print(HELP.format(groups=_groups()))
        return 0
    os.environ["HYDRA_FULL_ERROR"] = "1"  # exceptions reach us instead of being printed and swallowed
    before, sys.argv = sys.argv, ["windtunnel", *complete(arguments)]

    def job(config: DictConfig) -> None:  # travels to the processes of a launcher, `make_forecast` with it
        _job(config, make_forecast)

    try:
        hydra.main(version_base="1.3", config_path=f"pkg://{CONFIG_MODULE}", config_name=CONFIG_NAME)(job)()
        return 0
    except _Carried as carried:
        return _complain(carried.error, debug)
    except KeyboardInterrupt:  # before the run began, or asked twice
        print("windtunnel: interrupted", file=sys.stderr)
        return 128 + signal.SIGINT
    except SystemExit as leaving:
        return leaving.code if isinstance(leaving.code, int) else 0
    except ValueError as error:  # Hydra's own about its options; those of a run come carried
        return _complain(InputError(str(error)), debug)
    except Exception as error:
        return _complain(error, debug)
    finally:
        sys.argv = before


def _job(config: DictConfig, make_forecast: MakeForecast | None) -> None:
    hydra_config = HydraConfig.get()
    overrides = [str(each) for each in OmegaConf.to_container(hydra_config.overrides.task, resolve=False) or ()]
    try:
        _run(config, overrides, make_forecast)
    except Exception as error:
        if hydra_config.mode != RunMode.MULTIRUN:
            raise _Carried(error) from error
        message, status = _in_words(error)
        print(f"windtunnel: {' '.join(overrides)}: {message}", file=sys.stderr)
        raise _RunFailed(message, status) from error


def _run(config: DictConfig, overrides: list[str], make_forecast: MakeForecast | None) -> None:
    from windtunnel.train.config.resolve import UNPREPARED, resolve
    from windtunnel.train.console import print_outcome, print_plan  # torch loads here: a wrong option is told at once
    from windtunnel.train.device import join_ranks
    from windtunnel.train.run import train_runs
    from windtunnel.train.start import refuse_untrainable

    request = request_of(config)
    forecast = None
    if request.logging.law is not None:
        if make_forecast is None:
            raise InputError(
                "logging.law: only `windtunnel train` shows a law's forecast; start it so, or leave it out"
            )
        forecast = make_forecast(request.logging.law)
    try:
        run, parent = resolve(request, overrides, progress=lambda message: print(message, file=sys.stderr))
    except ValueError as error:  # models may not import train: their complaints about a shape are plain
        raise error if isinstance(error, InputError) else InputError(str(error)) from None
    if request.dry_run:
        if run.data.content_hash != UNPREPARED:
            refuse_untrainable([run], join_ranks())
        print_plan(run, parent)
        return
    (outcome,) = train_runs([run], parent=parent, overrides=overrides, forecast=forecast)
    if _speaks():
        print_outcome(outcome)
    if outcome.status == "preempted":
        sys.stdout.flush()
        number = outcome.signal or signal.SIGINT
        if outcome.requeue is not None:
            outcome.requeue(number, None)
        sys.exit(128 + number)  # not an exception to Hydra: the runs that would come next are not begun


def _speaks() -> bool:
    """Whether this process is the one of several ranks that talks."""
    return os.environ.get("WORLD_SIZE", "1") in ("", "0", "1") or os.environ.get("RANK", "0") == "0"


def _in_words(error: Exception) -> tuple[str, int]:
    """One line, and the exit status."""
    if isinstance(error, _RunFailed):
        return error.message, error.status
    if isinstance(error, COMPLAINTS):
        return explain(error), 2
    first = (str(error).splitlines() or [""])[0]
    if isinstance(error, InputError | AlreadyRunning):
        return first, 2
    return f"{type(error).__name__}: {first}", 1


def _complain(error: Exception, debug: bool) -> int:
    if debug:
        raise error
    message, status = _in_words(error)
    if _speaks():
        print(f"windtunnel: {message}", file=sys.stderr)
    return status


def _groups() -> str:
    return "\n".join(f"  {group + '=':18}{' '.join(choices(group))}" for group in groups())
