"""How a study is getting on: one screen on a terminal, a plain log elsewhere. All of it on standard error.

It can only show: where nobody reads any more (a closed pipe), it falls silent and the study goes on.
"""

import time
from collections.abc import Callable, Sequence
from functools import partial

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from windtunnel.sweeps.execution.run_progress import Standing, standing
from windtunnel.sweeps.study.plan import PlannedRun
from windtunnel.train.config.run_id import compact
from windtunnel.train.records import Json

SECONDS_BETWEEN_SUMMARIES = 30.0
ROWS_BESIDE_WORKERS = 6


class Board:
    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True, highlight=False)
        self._live: Live | None = None
        self._silent = False
        self._counts = {"finished": 0, "diverged": 0, "failed": 0}
        self._total = self._tokens = self._tokens_done = 0
        self._flops = self._flops_done = self._flops_before = 0.0
        self._begun = self._last_summary = time.monotonic()

    def begin(self, name: str, runs: Sequence[PlannedRun], missing: Sequence[PlannedRun], workers: int) -> None:
        self._name, self._total = name, len(runs)
        self._before = len(runs) - len(missing)
        self._tokens = sum(run.new_tokens for run in runs)
        self._flops = sum(_flops(run) for run in runs)
        self._tokens_done = self._tokens - sum(run.new_tokens for run in missing)
        self._flops_done = self._flops_before = self._flops - sum(_flops(run) for run in missing)
        self._begun = self._last_summary = time.monotonic()
        self.log(f"{name}: {len(runs)} runs, {self._before} of them done before, {workers} workers")
        if self._console.is_terminal and missing:
            self._live = Live(console=self._console, auto_refresh=False, redirect_stdout=False, redirect_stderr=False)
            self._try(self._live.start)

    def started(self, worker: int, run: PlannedRun, attempts: int) -> None:
        if self._live is None:
            again = f", attempt {attempts + 1}" if attempts else ""
            self.log(f"start     {run.run_id} (worker {worker}{again})")

    def ended(self, run: PlannedRun, record: Json) -> None:
        self._counts[record["status"]] += 1
        self._tokens_done += run.new_tokens
        self._flops_done += _flops(run)
        if self._live is None or record["status"] == "diverged":
            result, seconds = record["result"], (record.get("performance") or {}).get("wall_seconds", 0.0)
            loss = result.get("validation_nats_per_token")
            what = f"at step {result.get('diverged_at_step')}" if loss is None else f"loss {loss:.4f}"
            done = self._before + sum(self._counts.values())
            self.log(f"{record['status']:9} {run.run_id} {what}, {seconds:.1f} s [{done}/{self._total}]")

    def failed(self, run: PlannedRun, error: str) -> None:
        self._counts["failed"] += 1
        self.log(f"failed    {run.run_id}: {error}")

    def log(self, *lines: str) -> None:
        for line in lines:
            self._try(partial(self._console.print, line, markup=False, soft_wrap=True))

    def show(self, in_training: Sequence[tuple[int, PlannedRun]]) -> None:
        """Each worker's number with the run in its hands; called about once a second."""
        if self._live is not None:
            live, screen = self._live, self._screen(in_training)
            self._try(partial(live.update, screen, refresh=True))
        elif time.monotonic() - self._last_summary >= SECONDS_BETWEEN_SUMMARIES:
            self._last_summary = time.monotonic()
            self.log(self._summary([(run, standing(run.folder)) for _, run in in_training]))

    def stop(self) -> None:
        """Give the terminal back."""
        if self._live is not None:
            live, self._live = self._live, None
            self._try(partial(live.update, Text(), refresh=True))
            self._try(live.stop)

    def _try(self, show: Callable[[], object]) -> None:
        if self._silent:
            return
        try:
            show()
        except (OSError, ValueError, SystemExit):  # rich would end the process over a broken pipe
            self._silent = True

    def _summary(self, standings: Sequence[tuple[PlannedRun, Standing]]) -> str:
        flops, tokens = self._flops_done, self._tokens_done
        for run, now in standings:
            share = _share(run, now)
            flops, tokens = flops + share * _flops(run), tokens + round(share * run.new_tokens)
        done = self._before + self._counts["finished"] + self._counts["diverged"]
        parts = [f"{done} of {self._total} done", f"{len(standings)} in training"]
        parts += [f"{self._counts[name]} {name}" for name in ("diverged", "failed") if self._counts[name]]
        text = f"{self._name}: {', '.join(parts)}; {compact(tokens)} of {compact(self._tokens)} tokens"
        text += f", {flops:.2g} of {self._flops:.2g} FLOPs"
        now_done, seconds = flops - self._flops_before, time.monotonic() - self._begun
        if now_done > 0:
            text += f"; {_duration((self._flops - flops) * seconds / now_done)} left"
        return text

    def _screen(self, in_training: Sequence[tuple[int, PlannedRun]]) -> Group:
        standings = [
            (number, run, standing(run.folder)) for number, run in sorted(in_training, key=lambda each: each[0])
        ]
        table = Table(box=None, pad_edge=False)
        for name in ("worker", "run", "", "step", "loss", "tokens/s"):
            table.add_column(name, justify="left" if name in ("run", "") else "right", no_wrap=True)
        shown = standings[: max(1, self._console.height - ROWS_BESIDE_WORKERS)]
        for number, run, now in shown:
            total = run.config.schedule.total_steps
            loss = "-" if now.loss is None else f"{now.loss:.4f}"
            speed = "-" if now.tokens_per_second is None else f"{now.tokens_per_second:,.0f}"
            bar = ProgressBar(total=total, completed=now.step, width=20)
            table.add_row(str(number), run.run_id, bar, f"{now.step:,}/{total:,}", loss, speed)
        if len(shown) < len(standings):
            table.add_row("", f"and {len(standings) - len(shown)} more", "", "", "", "")
        return Group(Text(self._summary([(run, now) for _, run, now in standings])), table)


def _flops(run: PlannedRun) -> float:
    """6 N D of what no other run trains."""
    return 6.0 * run.parameters.total * run.new_tokens


def _share(run: PlannedRun, now: Standing) -> float:
    """Of a run's own steps, those that are done."""
    own = run.config.schedule.total_steps - run.parent_step
    return min(1.0, max(0.0, now.step - run.parent_step) / max(1, own))


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
