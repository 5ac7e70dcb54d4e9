"""Weights & Biases as a mirror of run records, which can be rebuilt from them at any time.

Training does not import W&B. A mirror reads `run.json`, `metrics.jsonl` and `timings.jsonl` and writes the whole W&B
run under the run id, so that pushing again replaces the run. A live mirror is a separate process (`start_live_mirror`):
an outage of W&B stops only the mirror.
"""

import argparse
import os
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from windtunnel.train.errors import InputError
from windtunnel.train.records import FINAL_STATUSES, Json, read_record
from windtunnel.train.tracking.wandb_content import AXES, config_of, history_of, summary_of, tags_of
from windtunnel.train.tracking.wandb_run import (
    Destination,
    Mode,
    PushResult,
    capture_errors,
    location_of,
    offline_folder,
    open_run,
    replace_run,
)

POLL_SECONDS = 2.0
IDLE_SECONDS = 3600.0  # a run on another machine whose record does not change for this long counts as ended
MAX_ID_LENGTH = 128  # W&B's limit


def push(
    run_folder: Path,
    *,
    mode: Mode,
    directory: Path | None = None,
    follow: bool = False,
    destination: Destination | None = None,
) -> PushResult:
    """Mirror one run.

    directory: offline, the run is written to `directory/wandb/offline-run-<time>-<run_id>`, replacing that of an
        earlier push; default: WANDB_DIR, else the working directory.
    follow: mirror the run as it grows, until its record shows that it has ended or its process is gone.
    destination: W&B project and group; default: those in the record.

    Raises InputError if there is no record that W&B could take. Errors of W&B are in the result.
    """
    run_folder = Path(run_folder)
    record = read_record(run_folder)
    run_id = _run_id(record, run_folder)
    logging = record["config"]["logging"]
    target = destination or Destination(logging["project"], logging["group"])

    def write(scratch: Path) -> str:
        rows, location = _write(run_folder, run_id, mode, scratch, target, follow)
        if follow and rows != history_of(run_folder, read_record(run_folder)):
            # A resumption rewound the record while it was followed, and W&B does not take a step twice.
            rows, location = _write(run_folder, run_id, mode, scratch, target, follow=False)
        return location

    def write_when_due() -> str:
        while follow and mode == "offline" and not _has_ended(run_folder):
            time.sleep(POLL_SECONDS)  # an offline run is not read before it is complete
        return replace_run(run_id, mode, offline_folder(directory), write)

    return capture_errors(run_id, write_when_due)


def start_live_mirror(run_folder: Path, mode: Mode) -> subprocess.Popen[bytes]:
    """Start the process that mirrors this run to its end. Its output is in `wandb.log` in the run folder.

    It has its own session, so that it survives an interruption of training and can report it.
    """
    # -P: the working directory is not searched for modules.
    module = "windtunnel.train.tracking.wandb_mirror"
    command = [sys.executable, "-P", "-m", module, str(run_folder), "--mode", mode, "--follow"]
    # An earlier push of this process set WANDB_SERVICE to the address of a service that ends with this process.
    environment = {name: value for name, value in os.environ.items() if name != "WANDB_SERVICE"}
    with (run_folder / "wandb.log").open("wb") as log:
        return subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def _run_id(record: Json, run_folder: Path) -> str:
    run_id = record.get("run_id")
    if not isinstance(run_id, str) or not re.fullmatch(rf"[\w.+-]{{1,{MAX_ID_LENGTH}}}", run_id, re.ASCII):
        raise InputError(f"{run_folder}: run_id {run_id!r} is not an id that W&B takes; train the run again")
    return run_id


def _write(
    run_folder: Path, run_id: str, mode: Mode, scratch: Path, destination: Destination, follow: bool
) -> tuple[list[Json], str]:
    """Write the whole W&B run below `scratch`. Returns its rows, and its folder (offline) or URL (online)."""
    record = read_record(run_folder)
    tags, config = tags_of(record), config_of(record)
    written: list[Json] = []
    with open_run(run_id, mode, scratch, destination, job_type="train", tags=tags, config=config) as run:
        # Every row has all axes, so that a chart can use any of them. The default is tokens.
        for axis in AXES:
            run.define_metric(axis)
        run.define_metric("*", step_metric=AXES[0])
        while True:
            ended = not follow or _has_ended(run_folder)
            rows = history_of(run_folder, record)
            # The newest step may still get an evaluation, and W&B drops values for a step after a later one.
            last = written[-1]["step"] if written else -1
            for row in rows if ended else rows[:-1]:
                if row["step"] > last:
                    run.log(row, step=row["step"], commit=True)
                    written.append(row)
            if ended:
                break
            time.sleep(POLL_SECONDS)
        record = read_record(run_folder)
        run.config.update(config_of(record), allow_val_change=True)  # type: ignore[no-untyped-call]
        run.summary.update(summary_of(record))
        location = location_of(run, mode)
    # W&B has only the states finished and failed. A run without a result counts as failed until it is pushed again.
    run.finish(exit_code=0 if record["status"] in FINAL_STATUSES else 1)
    return written, location


def _has_ended(run_folder: Path) -> bool:
    """Whether the record is complete: by its status, or because its process is gone or it was idle for too long."""
    if read_record(run_folder)["status"] not in ("planned", "running"):
        return True
    lock = run_folder / "lock"
    holder = re.match(r"process (\d+) on (\S+),", lock.read_text()) if lock.exists() else None
    if holder is not None and holder[2] == os.uname().nodename:
        return not _is_alive(int(holder[1]))
    curve = run_folder / "metrics.jsonl"
    last_change = (curve if curve.exists() else run_folder / "run.json").stat().st_mtime
    return time.time() - last_change > IDLE_SECONDS


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def add_push_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of a push."""
    parser.add_argument("--mode", choices=("offline", "online"), default="offline", help="where to (default: offline)")
    parser.add_argument("--online", dest="mode", action="store_const", const="online", help="short for --mode online")
    parser.add_argument(
        "--directory", type=Path, help="offline runs go below DIRECTORY/wandb (default: WANDB_DIR or .)"
    )
    parser.add_argument("--follow", action="store_true", help="mirror one run as it grows, until it ends")


def log_result(result: PushResult, remaining: int = 0) -> int:
    """Print the result of a push in one line. Returns the exit status.

    remaining: number of further runs that are not pushed because of a failure.
    """
    if result.error is None:
        print(f"{result.run_id} -> {result.location}", flush=True)
        return 0
    print(result.error + (f"; {remaining} more not tried" if remaining else ""), file=sys.stderr, flush=True)
    return 1


def main(argv: Sequence[str] | None = None) -> int:
    """`python -m windtunnel.train.tracking.wandb_mirror`: mirror a run while it trains. Returns the exit status."""
    parser = argparse.ArgumentParser(prog="windtunnel.train.tracking.wandb_mirror")
    parser.add_argument("run", type=Path, metavar="RUN", help="a run folder")
    add_push_arguments(parser)
    options = parser.parse_args(argv)
    try:
        return log_result(push(options.run, mode=options.mode, directory=options.directory, follow=options.follow))
    except InputError as error:
        print(error, file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
