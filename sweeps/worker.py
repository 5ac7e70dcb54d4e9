"""A worker process: it loads torch once and trains one run after another, `python -m sweeps.worker`.

It reads jobs (`sweeps.job`), one JSON line each, on standard input and answers each with a JSON line on standard
output; whatever else is printed goes to standard error. The end of its input, which comes too when the launcher is
killed, stops it in the same way: a run in hand is saved first.

    {"ready": true}                                     once, when jobs can be taken
    {"run_id": ..., "status": "finished"}               or diverged, preempted: as in the run's record
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
from typing import IO, Any

Answer = dict[str, Any]


def main() -> int:
    # A shell that starts the launcher in the background has SIGINT ignored in all that it starts.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        answers = _answers_alone_on_standard_output()
        jobs: SimpleQueue[str] = SimpleQueue()
        threading.Thread(target=_listen, args=(jobs,), daemon=True).start()
        return _serve(jobs, answers)
    except (KeyboardInterrupt, BrokenPipeError):  # told to end, or no one is there to be told
        return 0


def _serve(jobs: "SimpleQueue[str]", answers: IO[str]) -> int:
    import torch

    from sweeps.job import read_job

    def tell(answer: Answer) -> None:
        answers.write(json.dumps(answer) + "\n")
        answers.flush()

    tell({"ready": True})
    while True:
        job = read_job(jobs.get())
        answer = _trained(job)
        tell({"run_id": job.run_id, **answer})
        if answer["status"] in ("failed", "preempted"):  # preempted: whoever told this process to stop meant it
            return 1
        if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
            torch.cuda.empty_cache()  # what a large run held, its neighbours on the GPU may take


def _trained(job: Any) -> Answer:
    from sweeps.job import train_job
    from train.errors import InputError
    from train.records import AlreadyRunning

    try:
        return {"status": train_job(job).status}
    except AlreadyRunning as error:
        return {"status": "busy", "error": str(error)}
    except InputError as error:
        return {"status": "refused", "error": str(error)}
    except Exception as error:
        traceback.print_exc()
        return {"status": "failed", "error": f"{type(error).__name__}: {error}".splitlines()[0]}


def _answers_alone_on_standard_output() -> IO[str]:
    """The stream of answers; file descriptor 1 then leads to standard error, so that no print can corrupt them."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return answers


def _listen(jobs: "SimpleQueue[str]") -> None:
    for line in sys.stdin:
        jobs.put(line)
    # As Ctrl-C would: while a run trains it is saved first; SIGTERM would not end it inside a SLURM job.
    os.kill(os.getpid(), signal.SIGINT)


if __name__ == "__main__":
    sys.exit(main())
