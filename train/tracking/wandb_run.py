"""One W&B run, written whole in place of what an earlier push of the same id left.

Whatever the run holds is the caller's; here is what every such run needs: a folder in which none is seen half written,
one writer at a time, settings that bound every wait, and errors that are returned.
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

if TYPE_CHECKING:
    import wandb

Mode = Literal["offline", "online"]

INIT_SECONDS = 30.0  # without a bound, W&B waits for a network that is not there for more than 100 s
FINISH_SECONDS = 600.0
UPLOAD_SECONDS = 15.0  # between uploads of a live mirror; W&B takes whole seconds
LOCK_SECONDS = 60.0  # for an earlier mirror of the same run to end
OURS = ".windtunnel"  # marks the offline folders made here: no other is ever deleted


@dataclass(frozen=True)
class Push:
    """What came of one push: where the mirror is (a folder, or an address), or one line of why there is none."""

    run_id: str
    location: str | None
    error: str | None


@dataclass(frozen=True)
class Home:
    """Where in W&B a run belongs. The environment's WANDB_PROJECT comes before the project."""

    project: str
    group: str | None


def attempt(run_id: str, write: Callable[[], str]) -> Push:
    """What `write` gives is the location; whatever goes wrong is returned, as one line."""
    try:
        return Push(run_id, write(), None)
    except Exception as error:
        text = " ".join(str(error).split()) or "no reason given"
        return Push(run_id, None, f"{run_id}: not mirrored to W&B: {type(error).__name__}: {text}")


def offline_parent(directory: Path | None) -> Path:
    """The folder of offline runs: `directory/wandb`; `directory` is the environment's WANDB_DIR or the working
    directory if not given.
    """
    return (directory or Path(os.environ.get("WANDB_DIR") or ".")) / "wandb"


def replace_run(run_id: str, mode: Mode, parent: Path, write: Callable[[Path], str]) -> str:
    """The location of the run that `write` made below the empty folder it is given. Offline, its folder then takes the
    place of what an earlier push of this id left in `parent`; W&B ends its file a moment later, at the latest when this
    process ends. Raises TimeoutError where another process pushes it.
    """
    with _scratch(parent, run_id) as scratch:
        location = write(scratch)
        return str(_replace_earlier(parent, run_id, Path(location))) if mode == "offline" else location


@contextmanager
def opened(
    run_id: str,
    mode: Mode,
    scratch: Path,
    home: Home,
    *,
    job_type: str,
    tags: Sequence[str],
    config: Mapping[str, Any],
) -> Iterator["wandb.Run"]:
    """A W&B run below `scratch`, to be finished after the block; where the block fails, it is finished as failed."""
    import wandb  # a second of imports, which only a mirror pays

    wandb.setup(wandb.Settings(silent=True))  # else it reports where it found a key before it reads init's settings
    run = wandb.init(
        mode=mode,
        dir=scratch,
        id=run_id,
        name=run_id,
        project=os.environ.get("WANDB_PROJECT") or home.project,
        group=home.group,
        job_type=job_type,
        tags=tags,
        config=dict(config),
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
    try:
        yield run
    except BaseException:
        with suppress(Exception):
            run.finish(exit_code=1)
        raise


def location_of(run: "wandb.Run", mode: Mode) -> str:
    return str(Path(run.dir).parent if mode == "offline" else run.url)


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
