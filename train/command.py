"""The `train` command: one Hydra run, or `--multirun` with any launcher."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import hydra
from omegaconf import DictConfig

from train.compose import (
    COMPLAINTS,
    CONFIG_MODULE,
    CONFIG_NAME,
    explain,
    imply_horizon,
    offer_counts_as_sizes,
    request_of,
)
from train.errors import InputError
from train.records import AlreadyRunning

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


def main(arguments: Sequence[str]) -> int:
    """Run the command line; returns the exit status: 0, 1 for a failed run, 2 for bad input, 130 or 143 when
    interrupted.
    """
    debug = "--debug" in arguments
    arguments = [argument for argument in arguments if argument != "--debug"]
    if "--help" in arguments or "-h" in arguments:
        print(HELP.format(groups=_groups()))
        return 0
    os.environ["HYDRA_FULL_ERROR"] = "1"  # exceptions reach us instead of being printed and swallowed
    offer_counts_as_sizes(arguments)
    multirun = "--multirun" in arguments or "-m" in arguments
    before, sys.argv = sys.argv, ["windtunnel", *imply_horizon(arguments)]
    try:
        hydra.main(version_base="1.3", config_path=f"pkg://{CONFIG_MODULE}", config_name=CONFIG_NAME)(_job)()
        return _Status.of_single_run if not multirun else 0
    except (InputError, AlreadyRunning) as error:
        return _complain(error, debug, 2)
    except COMPLAINTS as error:
        return _complain(InputError(explain(error)), debug, 2)
    except Exception as error:
        return _complain(error, debug, 1)
    finally:
        sys.argv = before


class _Status:
    """Exit status of the last job in this process: Hydra passes on no return value of a single run."""

    of_single_run = 0


def _job(config: DictConfig) -> int:
    from hydra.core.hydra_config import HydraConfig

    from train.report import print_outcome, print_plan  # torch loads here: a wrong option is told at once
    from train.resolve import resolve
    from train.run import train_runs

    hydra_config = HydraConfig.get()
    overrides = list(hydra_config.overrides.task)
    request = request_of(config)
    try:
        run, parent = resolve(request, overrides, progress=lambda message: print(message, file=sys.stderr))
    except ValueError as error:  # models may not import train: their complaints about a shape are plain
        raise error if isinstance(error, InputError) else InputError(str(error)) from None
    if request.dry_run:
        print_plan(run, parent)
        _Status.of_single_run = 0
        return 0
    (outcome,) = train_runs([run], parent=parent, overrides=overrides)
    print_outcome(outcome)
    _Status.of_single_run = {"finished": 0, "diverged": 0, "preempted": 128 + (outcome.signal or 2)}[outcome.status]
    if outcome.requeue is not None:
        outcome.requeue(outcome.signal or 0, None)
    return _Status.of_single_run


def _complain(error: Exception, debug: bool, status: int) -> int:
    if debug:
        raise error
    first = (str(error).splitlines() or [""])[0]
    name = "" if status == 2 else f"{type(error).__name__}: "
    print(f"windtunnel: {name}{first}", file=sys.stderr)
    return status


def _groups() -> str:
    import configs

    lines = []
    for group in sorted(
        path for path in Path(configs.__file__).parent.iterdir() if path.is_dir() and path.name[0] != "_"
    ):
        choices = [path.stem for path in group.glob("*.yaml")]
        lines.append(f"  {group.name + '=':18}{' '.join(sorted(choices, key=_by_size))}")
    return "\n".join(lines)


def _by_size(choice: str) -> tuple[Any, ...]:
    from models.family import parse_count

    try:
        return (0, parse_count(choice))
    except ValueError:
        return (1, choice)
