"""Weights & Biases as a mirror of run records, which can be rebuilt from them at any time.

Training never speaks to W&B. A mirror reads `run.json`, `metrics.jsonl` and `timings.jsonl` and writes the whole W&B
run under the id of the record, so that pushing again replaces and never adds. A live mirror follows a run from a
process of its own (`python -m train.wandb_mirror RUN --mode online --follow`): an outage or a hang there costs the
mirror alone.
"""

import argparse
import fcntl
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from train.errors import InputError
from train.records import FINAL, Json, find_runs, read_record
from train.wandb_content import history, settings_of, summary_of, tags_of

Mode = Literal["offline", "online"]

INIT_SECONDS = 30.0  # without a bound, W&B waits for a network that is not there for more than 100 s
FINISH_SECONDS = 600.0
UPLOAD_SECONDS = 15.0  # between uploads of a live mirror; W&B takes whole seconds
LOCK_SECONDS = 60.0  # for an earlier mirror of the same run to end
POLL_SECONDS = 2.0
IDLE_SECONDS = 3600.0  # a run on another machine whose record rests this long is given up
OURS = ".windtunnel"  # marks the offline folders made here: no other is ever deleted
ID_LENGTH = 128  # W&B's limit
EXAMPLES = """\
for example:
  windtunnel wandb push runs                    every run below runs/, to ./wandb for a later `wandb sync`
  windtunnel wandb push runs/RUN --online       straight to W&B
"""


@dataclass(frozen=True)
class Push:
    """What came of one push: where the mirror is (a folder, or an address), or one line of why there is none."""

    run_id: str
    location: str | None
    error: str | None


def push(run_folder: Path, *, mode: Mode, directory: Path | None = None, follow: bool = False) -> Push:
    """Mirror one run; with `follow`, as it grows, until its record says that it has ended or its process is gone.

    Offline, the result is `directory/wandb/offline-run-<time>-<run_id>`, in place of what an earlier push left there;
    `directory` is the environment's WANDB_DIR or the working directory if not given. The project is the environment's
    WANDB_PROJECT, else the record's.

    Raises InputError where there is no record that W&B could take. Whatever goes wrong with W&B is returned.
    """
    run_folder = Path(run_folder)
    run_id = _run_id(read_record(run_folder), run_folder)
    parent = (directory or Path(os.environ.get("WANDB_DIR") or ".")) / "wandb"
    try:
        while follow and mode == "offline" and not _has_ended(run_folder):
            time.sleep(POLL_SECONDS)  # nobody looks into an offline run before it is whole
        with _scratch(parent, run_id) as scratch:
            written, location = _write(run_folder, run_id, mode, scratch, follow)
            if follow and written != history(run_folder, read_record(run_folder)):
                # A resumption rewound the record under the follower, and W&B takes no step twice.
                written, location = _write(run_folder, run_id, mode, scratch, follow=False)
            if mode == "offline":
                location = str(_replace_earlier(parent, run_id, Path(location)))
    except Exception as error:
        text = " ".join(str(error).split()) or "no reason given"
        return Push(run_id, None, f"{run_id}: not mirrored to W&B: {type(error).__name__}: {text}")
    return Push(run_id, location, None)


def follow_beside(run_folder: Path, mode: Mode) -> subprocess.Popen[bytes]:
    """Start the process that follows this run to its end, and put what it says into `wandb.log` of the run folder.

    It is in a session of its own, so that what interrupts training leaves it alive to tell of that.
    """
    # -P: a folder named `train` in the working directory is not ours.
    command = [sys.executable, "-P", "-m", "train.wandb_mirror", str(run_folder), "--mode", mode, "--follow"]
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


def _write(run_folder: Path, run_id: str, mode: Mode, scratch: Path, follow: bool) -> tuple[list[Json], str]:
    """Write the whole W&B run below `scratch`; returns its rows, and its folder (offline) or address (online)."""
    import wandb  # a second of imports, which only a mirror pays

    wandb.setup(wandb.Settings(silent=True))  # else it reports where it found a key before it reads init's settings
    record = read_record(run_folder)
    logging = record["config"]["logging"]
    run = wandb.init(
        mode=mode,
        dir=scratch,
        id=run_id,
        name=run_id,
        project=os.environ.get("WANDB_PROJECT") or logging["project"],
        group=logging["group"],
        job_type="train",
        tags=tags_of(record),
        config=settings_of(record),
        reinit="create_new",
        # The mirror's own console, code and machine are not the run's.
        settings=wandb.Settings(
            console="off",
            disable_code=True,
            disable_git=True,
            finish_timeout=FINISH_SECONDS,
            finish_timeout_raises=True,
            init_timeout=INIT_SECONDS,
            silent=True,
            x_disable_meta=True,
            x_disable_stats=True,
            x_file_stream_transmit_interval=UPLOAD_SECONDS,
            x_save_requirements=False,
        ),
    )
    run.define_metric("tokens")
    run.define_metric("*", step_metric="tokens")
    written: list[Json] = []
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
    location = str(Path(run.dir).parent if mode == "offline" else run.url)
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


@contextmanager
def _scratch(parent: Path, run_id: str) -> Iterator[Path]:
    """An empty folder in which one process at a time prepares this run's mirror, so that none is seen half written."""
    scratch = parent / f".pushing-{run_id}"
    deadline = time.monotonic() + LOCK_SECONDS
    while (lock := _lock(scratch)) is None:
        if time.monotonic() > deadline:
            raise TimeoutError(f"another process is mirroring it, in {scratch}")
        time.sleep(0.1)
    try:
        for remnant in scratch.iterdir():  # of a mirror that was killed
            shutil.rmtree(remnant)
        yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
        os.close(lock)


def _lock(folder: Path) -> int | None:
    """Descriptor that holds the folder's lock; None if another process does, or removed the folder meanwhile."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(descriptor), folder.stat()):
            return descriptor
    except (BlockingIOError, FileNotFoundError):
        pass
    os.close(descriptor)
    return None


def _replace_earlier(parent: Path, run_id: str, made: Path) -> Path:
    """Move the finished offline folder into `parent` and delete those that earlier pushes of this run left there."""
    (made / OURS).write_text(run_id)
    earlier = [mark.parent for mark in parent.glob(f"offline-run-*/{OURS}") if mark.read_text() == run_id]
    for folder in earlier:
        shutil.rmtree(folder)
    return made.rename(parent / made.name)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EXAMPLES
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="a run folder, or a folder of run folders")
    parser.add_argument("--mode", choices=("offline", "online"), default="offline", help="where to (default: offline)")
    parser.add_argument("--online", dest="mode", action="store_const", const="online", help="short for --mode online")
    parser.add_argument(
        "--directory", type=Path, help="offline runs go below DIRECTORY/wandb (default: WANDB_DIR or .)"
    )
    parser.add_argument("--follow", action="store_true", help="mirror one run as it grows, until it ends")


def run(arguments: argparse.Namespace) -> int:
    """Push every run named; 2 if one has no usable record, else 1 if W&B fails one. A broken record stops no other run.

    Online the first failure of W&B ends it: the others would wait in vain too.
    """
    folders = [folder for source in arguments.runs for folder in _runs_of(source)]
    if arguments.follow and len(folders) != 1:
        raise InputError(
            f"--follow mirrors one run and {len(folders)} are named: follow each from a process of its own"
        )
    status = 0
    for done, folder in enumerate(folders, start=1):
        try:
            pushed = push(folder, mode=arguments.mode, directory=arguments.directory, follow=arguments.follow)
        except InputError as error:
            status = 2
            print(error, file=sys.stderr, flush=True)
            continue
        if pushed.error is None:
            print(f"{pushed.run_id} -> {pushed.location}", flush=True)
            continue
        status = max(status, 1)
        left = len(folders) - done if arguments.mode == "online" else 0
        print(pushed.error + (f"; {left} more not tried" if left else ""), file=sys.stderr, flush=True)
        if left:
            break
    return status


def _runs_of(source: Path) -> list[Path]:
    if (source / "run.json").exists():
        return [source]
    if found := find_runs(source):
        return found
    raise InputError(f"{source}: no run record here or directly below; name a folder such as runs/RUN")


def main(argv: Sequence[str] | None = None) -> int:
    """`python -m train.wandb_mirror`: the process that mirrors a run while it trains."""
    parser = argparse.ArgumentParser(prog="train.wandb_mirror", formatter_class=argparse.RawDescriptionHelpFormatter)
    add_arguments(parser)
    try:
        return run(parser.parse_args(argv))
    except InputError as error:
        print(error, file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
