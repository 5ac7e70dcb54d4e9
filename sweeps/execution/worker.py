"""A worker process, `python -m windtunnel.sweeps.execution.worker`: loads torch once and trains one run after another.

It reads jobs (`windtunnel.sweeps.execution.job`) from standard input, one JSON line each, and answers each with a JSON
line on standard output. All other output goes to standard error. The end of its input stops it, also when the launcher
was killed: the run in training is saved first.

    {"ready": true}                                     once, when it accepts jobs
    {"run_id": ..., "status": "finished", "trained": true}  or diverged, preempted; false: the run had a result before
    {"run_id": ..., "status": "busy", "error": ...}     another process trains the run
    {"run_id": ..., "status": "refused", "error": ...}  bad input: another attempt would not help
    {"run_id": ..., "status": "failed", "error": ...}   any other error; the worker exits, because its state is unknown
"""

import json
import os
import signal
import sys
import threading
import traceback
from queue import SimpleQueue
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:  # torch loads in `main`
    from windtunnel.sweeps.execution.job import Job

Reply = dict[str, Any]


def main() -> int:
    # A shell that starts the launcher in the background sets SIGINT to be ignored in all its children.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    replies = _reserve_standard_output()
    # Before anything can interrupt: torch loses an interruption that arrives while it loads.
    import torch

    from windtunnel.sweeps.execution.job import parse_job

    jobs: SimpleQueue[bytes | None] = SimpleQueue()
    try:
        threading.Thread(target=_read_jobs, args=(jobs,), daemon=True).start()
        _write_reply(replies, {"ready": True})
        while (line := jobs.get()) is not None:
            job = parse_job(line)
            reply = _train(job)
            _write_reply(replies, {"run_id": job.run_id, **reply})
            if reply["status"] in ("failed", "preempted"):  # the signal that preempted the run is for the worker too
                break
            if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
                torch.cuda.empty_cache()  # the other workers on the GPU can use the memory
    except (KeyboardInterrupt, BrokenPipeError):  # interrupted, or the launcher is gone
        pass
    return 0


def _train(job: "Job") -> Reply:
    from windtunnel.sweeps.execution.job import train_job  # loads torch
    from windtunnel.train.errors import InputError
    from windtunnel.train.records import AlreadyRunning

    try:
        outcome = train_job(job)
        return {"status": outcome.status, "trained": outcome.trained}
    except AlreadyRunning as error:
        return {"status": "busy", "error": str(error)}
    except InputError as error:
        return {"status": "refused", "error": str(error)}
    except Exception as error:
        traceback.print_exc()
        return {"status": "failed", "error": f"{type(error).__name__}: {error}".splitlines()[0]}


def _write_reply(replies: IO[bytes], reply: Reply) -> None:
    replies.write(json.dumps(reply).encode() + b"\n")
    replies.flush()


def _reserve_standard_output() -> IO[bytes]:
    """The stream of replies. File descriptor 1 then leads to standard error, so that no print can corrupt them."""
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return replies


def _read_jobs(jobs: "SimpleQueue[bytes | None]") -> None:
    """Queue jobs as they arrive. At the end of input, interrupt this process: a run in training is saved first."""
    rest = b""
    while part := os.read(0, 1 << 16):
        *lines, rest = (rest + part).split(b"\n")
        for line in lines:
            jobs.put(line)
    jobs.put(None)
    os.kill(os.getpid(), signal.SIGINT)  # SIGTERM would not end a run inside a SLURM job


if __name__ == "__main__":
    sys.exit(main())
