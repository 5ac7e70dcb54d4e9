"""Shows the progress of a study on standard error: one screen on a terminal, a plain log elsewhere.

The display never stops a study: after an error such as a closed pipe it shows nothing more.
"""

import time
from collections.abc import Callable, Sequence
from functools import partial

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from windtunnel.models.family import format_count
from windtunnel.sweeps.execution.run_progress import RunProgress, read_progress
from windtunnel.sweeps.study.plan import PlannedRun
from windtunnel.train.records import Json

SUMMARY_SECONDS = 30.0  # between summaries in a plain log
OTHER_ROWS = 6  # of the screen, beside those of workers


class ProgressDisplay:
    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True, highlight=False)
        self._live: Live | None = None
        self._is_silent = False
        self._counts = {"finished": 0, "diverged": 0, "failed": 0}
        self._total = self._tokens = self._tokens_done = 0
        self._flops = self._flops_done = self._flops_before = 0.0
        self._start = self._last_summary = time.monotonic()

    def begin(self, name: str, runs: Sequence[PlannedRun], missing: Sequence[PlannedRun], workers: int) -> None:
        """Start the display of a study: its runs, and those of them without a result."""
        self._name, self._total = name, len(runs)
        self._done_before = len(runs) - len(missing)
        self._tokens = sum(run.new_tokens for run in runs)
        self._flops = sum(run.new_flops for run in runs)
        self._tokens_done = self._tokens - sum(run.new_tokens for run in missing)
        self._flops_done = self._flops_before = self._flops - sum(run.new_flops for run in missing)
        self._start = self._last_summary = time.monotonic()
        self.log(f"{name}: {len(runs)} runs, {self._done_before} of them done before, {workers} workers")
        if self._console.is_terminal and missing:
            self._live = Live(console=self._console, auto_refresh=False, redirect_stdout=False, redirect_stderr=False)
            self._try(self._live.start)

    def started(self, worker: int, run: PlannedRun, attempts: int) -> None:
        if self._live is None:
            attempt = f", attempt {attempts + 1}" if attempts else ""
            self.log(f"start     {run.run_id} (worker {worker}{attempt})")

    def ended(self, run: PlannedRun, record: Json) -> None:
        self._counts[record["status"]] += 1
        self._tokens_done += run.new_tokens
        self._flops_done += run.new_flops
        if self._live is None or record["status"] == "diverged":
            result, seconds = record["result"], (record.get("performance") or {}).get("wall_seconds", 0.0)
            loss = result.get("validation_nats_per_token")
            outcome = f"at step {result.get('diverged_at_step')}" if loss is None else f"loss {loss:.4f}"
            done = self._done_before + sum(self._counts.values())
            self.log(f"{record['status']:9} {run.run_id} {outcome}, {seconds:.1f} s [{done}/{self._total}]")

    def failed(self, run: PlannedRun, error: str) -> None:
        self._counts["failed"] += 1
        self.log(f"failed    {run.run_id}: {error}")

    def log(self, *lines: str) -> None:
        for line in lines:
            self._try(partial(self._console.print, line, markup=False, soft_wrap=True))

    def show(self, in_training: Sequence[tuple[int, PlannedRun]]) -> None:
        """Update the display with each worker's number and run. Called about once per second."""
        if self._live is not None:
            live, screen = self._live, self._screen(in_training)
            self._try(partial(live.update, screen, refresh=True))
        elif time.monotonic() - self._last_summary >= SUMMARY_SECONDS:
            self._last_summary = time.monotonic()
            self.log(self._summary([(run, read_progress(run.folder)) for _, run in in_training]))

    def stop(self) -> None:
        """Release the terminal."""
        if self._live is not None:
            live, self._live = self._live, None
            self._try(partial(live.update, Text(), refresh=True))
            self._try(live.stop)

    def _try(self, show: Callable[[], object]) -> None:
        if self._is_silent:
            return
        try:
            show()
        except (OSError, ValueError, SystemExit):  # rich exits the process on a broken pipe
            self._is_silent = True

    def _summary(self, in_training: Sequence[tuple[PlannedRun, RunProgress]]) -> str:
        flops, tokens = self._flops_done, self._tokens_done
        for run, progress in in_training:
            share = _share_done(run, progress)
            flops, tokens = flops + share * run.new_flops, tokens + round(share * run.new_tokens)
        done = self._done_before + self._counts["finished"] + self._counts["diverged"]
        parts = [f"{done} of {self._total} done", f"{len(in_training)} in training"]
        parts += [f"{self._counts[name]} {name}" for name in ("diverged", "failed") if self._counts[name]]
        text = f"{self._name}: {', '.join(parts)}; {format_count(tokens)} of {format_count(self._tokens)} tokens"
        text += f", {flops:.2g} of {self._flops:.2g} FLOPs"
        flops_here, seconds = flops - self._flops_before, time.monotonic() - self._start
        if flops_here > 0:
            text += f"; {_format_duration((self._flops - flops) * seconds / flops_here)} left"
        return text

    def _screen(self, in_training: Sequence[tuple[int, PlannedRun]]) -> Group:
        ordered = sorted(in_training, key=lambda pair: pair[0])
        rows = [(worker, run, read_progress(run.folder)) for worker, run in ordered]
        table = Table(box=None, pad_edge=False)
        for name in ("worker", "run", "", "step", "loss", "tokens/s"):
            table.add_column(name, justify="left" if name in ("run", "") else "right", no_wrap=True)
        shown = rows[: max(1, self._console.height - OTHER_ROWS)]
        for worker, run, progress in shown:
            total = run.config.schedule.total_steps
            loss = "-" if progress.loss is None else f"{progress.loss:.4f}"
            speed = "-" if progress.tokens_per_second is None else f"{progress.tokens_per_second:,.0f}"
            bar = ProgressBar(total=total, completed=progress.step, width=20)
            table.add_row(str(worker), run.run_id, bar, f"{progress.step:,}/{total:,}", loss, speed)
        if len(shown) < len(rows):
            table.add_row("", f"and {len(rows) - len(shown)} more", "", "", "", "")
        return Group(Text(self._summary([(run, progress) for _, run, progress in rows])), table)


def _share_done(run: PlannedRun, progress: RunProgress) -> float:
    """The share of a run's new steps that is done."""
    new_steps = run.config.schedule.total_steps - run.parent_step
    return min(1.0, max(0.0, progress.step - run.parent_step) / max(1, new_steps))


def _format_duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
