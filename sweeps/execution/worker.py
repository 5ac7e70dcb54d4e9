"""A worker process: it loads torch once and trains one run after another, `python -m ....worker`.

It reads jobs (`job`), one JSON line each, on standard input and answers each with a JSON line on standard
output; whatever else is printed goes to standard error. The end of its input, which comes too when the launcher is
killed, stops it in the same way: a run in hand is saved first.

    {"ready": true}                                     once, when jobs can be taken
    {"run_id": ..., "status": "finished", "trained": true}  or diverged, preempted; false: it had been trained before
    {"run_id": ..., "status": "busy", "error": ...}     another process is training it
    {"run_id": ..., "status": "refused", "error": ...}  bad input: trying again would not help
    {"run_id": ..., "status": "failed", "error": ...}   anything else; the worker ends, for its state is unknown
"""

import json
import os
import signal
import sys
import threading
import traceback
from queue import SimpleQueue
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from windtunnel.sweeps.execution.job import Job

Answer = dict[str, Any]


def main() -> int:
    # A shell that starts the launcher in the background has SIGINT ignored in all that it starts.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    answers = _answers_alone_on_standard_output()
    # Before anything may interrupt: torch loses an interruption that comes while it loads.
    import torch

    from windtunnel.sweeps.execution.job import read_job

    jobs: SimpleQueue[bytes | None] = SimpleQueue()
    try:
        threading.Thread(target=_listen, args=(jobs,), daemon=True).start()
        _tell(answers, {"ready": True})
        while (line := jobs.get()) is not None:
            job = read_job(line)
            answer = _trained(job)
            _tell(answers, {"run_id": job.run_id, **answer})
            if answer["status"] in ("failed", "preempted"):  # preempted: whoever told this process to stop meant it
                break
            if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
                torch.cuda.empty_cache()  # what a large run held, its neighbours on the GPU may take
    except (KeyboardInterrupt, BrokenPipeError):  # told to end, or no one is there to be told
        pass
    return 0


def _trained(job: "Job") -> Answer:
    from windtunnel.sweeps.execution.job import train_job
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


def _tell(answers: IO[bytes], answer: Answer) -> None:
    answers.write(json.dumps(answer).encode() + b"\n")
    answers.flush()


def _answers_alone_on_standard_output() -> IO[bytes]:
    """The stream of answers; file descriptor 1 then leads to standard error, so that no print can corrupt them."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return answers


def _listen(jobs: "SimpleQueue[bytes | None]") -> None:
    """Jobs as they come. At the end of input this process is interrupted: while a run trains, it is saved first."""
    rest = b""
    while part := os.read(0, 1 << 16):
        *lines, rest = (rest + part).split(b"\n")
        for line in lines:
            jobs.put(line)
    jobs.put(None)
    os.kill(os.getpid(), signal.SIGINT)  # SIGTERM would not end a run inside a SLURM job


if __name__ == "__main__":
    sys.exit(main())
