"""Weights & Biases as a mirror of run records, which can be rebuilt from them at any time.

Training never speaks to W&B. A mirror reads `run.json`, `metrics.jsonl` and `timings.jsonl` and writes the whole W&B
run under the id of the record, so that pushing again replaces and never adds. A live mirror follows a run from a
process of its own (`python -m windtunnel.train.tracking.wandb_mirror RUN --follow`): an outage or a hang there costs the
mirror alone.
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
from windtunnel.train.records import FINAL, Json, read_record
from windtunnel.train.tracking.wandb_content import AXES, history, settings_of, summary_of, tags_of
from windtunnel.train.tracking.wandb_run import (
    Home,
    Mode,
    Push,
    attempt,
    location_of,
    offline_parent,
    opened,
    replace_run,
)

POLL_SECONDS = 2.0
IDLE_SECONDS = 3600.0  # a run on another machine whose record rests this long is given up
ID_LENGTH = 128  # W&B's limit


def push(
    run_folder: Path, *, mode: Mode, directory: Path | None = None, follow: bool = False, home: Home | None = None
) -> Push:
    """Mirror one run; with `follow`, as it grows, until its record says that it has ended or its process is gone.

    Offline, the result is `directory/wandb/offline-run-<time>-<run_id>`, in place of what an earlier push left there;
    `directory` is the environment's WANDB_DIR or the working directory if not given. `home` is the record's own unless
    it is given.

    Raises InputError where there is no record that W&B could take. Whatever goes wrong with W&B is returned.
    """
    run_folder = Path(run_folder)
    record = read_record(run_folder)
    run_id = _run_id(record, run_folder)
    logging = record["config"]["logging"]
    place = home or Home(logging["project"], logging["group"])

    def write(scratch: Path) -> str:
        written, location = _write(run_folder, run_id, mode, scratch, place, follow)
        if follow and written != history(run_folder, read_record(run_folder)):
            # A resumption rewound the record under the follower, and W&B takes no step twice.
            written, location = _write(run_folder, run_id, mode, scratch, place, follow=False)
        return location

    def write_when_due() -> str:
        while follow and mode == "offline" and not _has_ended(run_folder):
            time.sleep(POLL_SECONDS)  # nobody looks into an offline run before it is whole
        return replace_run(run_id, mode, offline_parent(directory), write)

    return attempt(run_id, write_when_due)


def follow_beside(run_folder: Path, mode: Mode) -> subprocess.Popen[bytes]:
    """Start the process that follows this run to its end, and put what it says into `wandb.log` of the run folder.

    It is in a session of its own, so that what interrupts training leaves it alive to tell of that.
    """
    # -P: a folder named `train` in the working directory is not ours.
    command = [
        sys.executable,
        "-P",
        "-m",
        "windtunnel.train.tracking.wandb_mirror",
        str(run_folder),
        "--mode",
        mode,
        "--follow",
    ]
    # A push from this process left the address of its own W&B service there, which ends with this process.
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
    if not isinstance(run_id, str) or not re.fullmatch(rf"[\w.+-]{{1,{ID_LENGTH}}}", run_id, re.ASCII):
        raise InputError(f"{run_folder}: run_id {run_id!r} is not an id that W&B takes; train the run again")
    return run_id


def _write(
    run_folder: Path, run_id: str, mode: Mode, scratch: Path, home: Home, follow: bool
) -> tuple[list[Json], str]:
    """Write the whole W&B run below `scratch`; returns its rows, and its folder (offline) or address (online)."""
    record = read_record(run_folder)
    tags, config = tags_of(record), settings_of(record)
    written: list[Json] = []
    with opened(run_id, mode, scratch, home, job_type="train", tags=tags, config=config) as run:
        # Every row has all axes, so that a chart may be drawn over any; tokens unless another is chosen.
        for axis in AXES:
            run.define_metric(axis)
        run.define_metric("*", step_metric=AXES[0])
        while True:
            ended = not follow or _has_ended(run_folder)
            rows = history(run_folder, record)
            # The newest step may still gain an evaluation, and W&B drops what comes to a step after the next has begun.
            last = written[-1]["step"] if written else -1
            for row in rows if ended else rows[:-1]:
                if row["step"] > last:
                    run.log(row, step=row["step"], commit=True)
                    written.append(row)
            if ended:
                break
            time.sleep(POLL_SECONDS)
        record = read_record(run_folder)
        run.config.update(settings_of(record), allow_val_change=True)  # type: ignore[no-untyped-call]
        run.summary.update(summary_of(record))
        location = location_of(run, mode)
    # W&B knows finished and failed. A run without a result yet counts as failed until it is pushed again.
    run.finish(exit_code=0 if record["status"] in FINAL else 1)
    return written, location


def _has_ended(run_folder: Path) -> bool:
    """Whether nobody will add to the record: its status says so, its process is gone, or it has rested too long."""
    if read_record(run_folder)["status"] not in ("planned", "running"):
        return True
    lock = run_folder / "lock"
    holder = re.match(r"process (\d+) on (\S+),", lock.read_text()) if lock.exists() else None
    if holder is not None and holder[2] == os.uname().nodename:
        return not _is_alive(int(holder[1]))
    curve = run_folder / "metrics.jsonl"
    touched = (curve if curve.exists() else run_folder / "run.json").stat().st_mtime
    return time.time() - touched > IDLE_SECONDS


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def add_options(parser: argparse.ArgumentParser) -> None:
    """How to push, whatever is pushed."""
    parser.add_argument("--mode", choices=("offline", "online"), default="offline", help="where to (default: offline)")
    parser.add_argument("--online", dest="mode", action="store_const", const="online", help="short for --mode online")
    parser.add_argument(
        "--directory", type=Path, help="offline runs go below DIRECTORY/wandb (default: WANDB_DIR or .)"
    )
    parser.add_argument("--follow", action="store_true", help="mirror one run as it grows, until it ends")


def tell(pushed: Push, left: int = 0) -> int:
    """Say in one line what came of a push, and how many more a failure leaves untried; the exit status of it."""
    if pushed.error is None:
        print(f"{pushed.run_id} -> {pushed.location}", flush=True)
        return 0
    print(pushed.error + (f"; {left} more not tried" if left else ""), file=sys.stderr, flush=True)
    return 1


def main(argv: Sequence[str] | None = None) -> int:
    """`python -m windtunnel.train.tracking.wandb_mirror`: the process that mirrors a run while it trains."""
    parser = argparse.ArgumentParser(prog="windtunnel.train.tracking.wandb_mirror")
    parser.add_argument("run", type=Path, metavar="RUN", help="a run folder")
    add_options(parser)
    options = parser.parse_args(argv)
    try:
        return tell(push(options.run, mode=options.mode, directory=options.directory, follow=options.follow))
    except InputError as error:
        print(error, file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
