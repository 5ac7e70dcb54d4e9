"""Write one W&B run as a whole, replacing what an earlier push of the same id left.

The caller writes the content. This module gives every run a scratch folder in which an incomplete run is never seen,
one writer at a time, settings that limit every wait, and errors that are returned.
"""

import fcntl
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:  # for start-up time
    import wandb

Mode = Literal["offline", "online"]

INIT_SECONDS = 30.0  # W&B's default waits more than 100 s for a missing network
FINISH_SECONDS = 600.0
UPLOAD_SECONDS = 15.0  # between uploads of a live mirror; W&B takes whole seconds
LOCK_SECONDS = 60.0  # to wait for another mirror of the same run
MARKER_FILE = ".windtunnel"  # in offline folders written here; no other folder is ever deleted


@dataclass(frozen=True)
class PushResult:
    """The result of one push: the location of the W&B run (a folder or a URL), or an error of one line."""

    run_id: str
    location: str | None
    error: str | None


@dataclass(frozen=True)
class Destination:
    """The W&B project and group of a run. The environment variable WANDB_PROJECT overrides the project."""

    project: str
    group: str | None


def capture_errors(run_id: str, write: Callable[[], str]) -> PushResult:
    """Call `write`, which returns the location. An exception becomes the error of the result."""
    try:
        return PushResult(run_id, write(), None)
    except Exception as error:
        text = " ".join(str(error).split()) or "no reason given"
        return PushResult(run_id, None, f"{run_id}: not mirrored to W&B: {type(error).__name__}: {text}")


def offline_folder(directory: Path | None) -> Path:
    """The folder of offline runs: `directory/wandb`; default: WANDB_DIR, else the working directory."""
    return (directory or Path(os.environ.get("WANDB_DIR") or ".")) / "wandb"


def replace_run(run_id: str, mode: Mode, parent: Path, write: Callable[[Path], str]) -> str:
    """Let `write` write the run below an empty folder. Returns the run's location.

    Offline, its folder then replaces that of an earlier push of this id in `parent`. W&B completes its file a moment
    later, at the latest when this process ends. Raises TimeoutError if another process pushes the run.
    """
    with _scratch(parent, run_id) as scratch:
        location = write(scratch)
        return str(_replace_earlier(parent, run_id, Path(location))) if mode == "offline" else location


@contextmanager
def open_run(
    run_id: str,
    mode: Mode,
    scratch: Path,
    destination: Destination,
    *,
    job_type: str,
    tags: Sequence[str],
    config: Mapping[str, Any],
) -> Iterator["wandb.Run"]:
    """A W&B run below `scratch`. The caller finishes it after the block; on an exception it is finished as failed."""
    import wandb  # for start-up time: a second

    wandb.setup(wandb.Settings(silent=True))  # otherwise W&B prints where it found a key before it reads the settings
    run = wandb.init(
        mode=mode,
        dir=scratch,
        id=run_id,
        name=run_id,
        project=os.environ.get("WANDB_PROJECT") or destination.project,
        group=destination.group,
        job_type=job_type,
        tags=tags,
        config=dict(config),
        reinit="create_new",
        # Console, code and machine of the mirror are not those of the run.
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
    try:
        yield run
    except BaseException:
        with suppress(Exception):
            run.finish(exit_code=1)
        raise


def location_of(run: "wandb.Run", mode: Mode) -> str:
    """The folder (offline) or URL (online) of a W&B run."""
    return str(Path(run.dir).parent if mode == "offline" else run.url)


@contextmanager
def _scratch(parent: Path, run_id: str) -> Iterator[Path]:
    """An empty folder in which one process at a time writes this run, so that an incomplete one is never seen."""
    scratch = parent / f".pushing-{run_id}"
    deadline = time.monotonic() + LOCK_SECONDS
    while (lock := _lock(scratch)) is None:
        if time.monotonic() > deadline:
            raise TimeoutError(f"another process is mirroring it, in {scratch}")
        time.sleep(0.1)
    try:
        for leftover in scratch.iterdir():  # of a mirror that was killed
            shutil.rmtree(leftover)
        yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
        os.close(lock)


def _lock(folder: Path) -> int | None:
    """A descriptor that holds the folder's lock; None if another process holds it or has removed the folder."""
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


def _replace_earlier(parent: Path, run_id: str, folder: Path) -> Path:
    """Move the finished offline folder into `parent` and delete those of earlier pushes of this run."""
    (folder / MARKER_FILE).write_text(run_id)
    markers = parent.glob(f"offline-run-*/{MARKER_FILE}")
    for earlier in [marker.parent for marker in markers if marker.read_text() == run_id]:
        shutil.rmtree(earlier)
    return folder.rename(parent / folder.name)
