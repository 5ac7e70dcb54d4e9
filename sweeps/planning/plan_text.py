"""Prints a plan for people: a table by size, a table of runs, totals and targets."""

from collections.abc import Callable, Sequence

from rich.table import Table

from windtunnel.models.family import format_count
from windtunnel.sweeps.planning.extrapolation import TargetPoint
from windtunnel.sweeps.planning.totals import SizeRow, Totals
from windtunnel.sweeps.study.plan import PlannedRun

MAX_HORIZONS = 5  # shown in a row


def size_table(rows: Sequence[SizeRow]) -> Table:
    table = Table(title="by size: N of all parameters, without embeddings, and with the head", title_justify="left")
    headings = ("", "N", "non-emb.", "+ head", "shape", "horizons", "seeds", "runs", "tokens", "FLOPs", "hours")
    for heading in headings:
        table.add_column(heading, justify="right" if heading not in ("", "horizons") else "left")
    for row in rows:
        table.add_row(
            row.role,
            f"{row.parameters:,}",
            f"{row.non_embedding:,}",
            f"{row.non_embedding_and_head:,}",
            f"{row.width} x {row.depth}",
            _format_horizons(row),
            str(row.most_seeds) if row.least_seeds == row.most_seeds else f"{row.least_seeds}-{row.most_seeds}",
            f"{row.runs:,}",
            format_count(row.tokens),
            f"{row.flops:.3g}",
            _format_hours(row.hours),
        )
    return table


def run_table(runs: Sequence[PlannedRun], hours: Callable[[PlannedRun], float | None]) -> Table:
    table = Table(title="every run", title_justify="left")
    for heading in ("run", "needs", "tokens", "new", "FLOPs", "hours"):
        table.add_column(heading, justify="left" if heading in ("run", "needs") else "right", overflow="fold")
    for run in runs:
        needs = f"{run.parent}@{run.parent_step}" if run.parent else "-"
        numbers = (f"{run.tokens:,}", f"{run.new_tokens:,}", f"{run.new_flops:.3g}", _format_hours(hours(run)))
        table.add_row(run.run_id, needs, *numbers)
    return table


def total_lines(totals: Totals, machine: str) -> list[str]:
    lines = [
        f"{totals.runs:,} runs on {totals.trunks:,} trunks: {format_count(totals.tokens)} tokens, {totals.flops:.3g} "
        f"FLOPs (6 N D); as separate runs {format_count(totals.separate_tokens)} tokens, {totals.separate_flops:.3g} "
        f"FLOPs: branching saves {totals.saving:.0%}",
    ]
    if totals.hours is not None:
        lines.append(
            f"{machine}: {_format_hours(totals.hours)} hours, {_format_hours(totals.worker_hours)} worker hours; the "
            f"longest chain of runs takes {_format_hours(totals.longest_path_hours)}"
        )
    lines.append(f"disk: {_format_bytes(totals.peak_bytes)} at most, {_format_bytes(totals.left_bytes)} at the end")
    return lines


def target_line(target: TargetPoint) -> str:
    at, ratio = target.at, target.extrapolation
    seeds = len({run.config.seed for run in target.runs})
    return (
        f"target N = {at['N']:,.0f}, D = {format_count(round(at['D']))}, C = {at['C']:.3g}, {seeds} "
        f"seed{'s' if seeds > 1 else ''}: {ratio['N']:.3g} x the largest fitted N, {ratio['D']:.3g} x D, "
        f"{ratio['C']:.3g} x C; {target.tokens_per_parameter:.3g} tokens per parameter"
    )


def _format_horizons(row: SizeRow) -> str:
    names = [format_count(tokens) for tokens in row.horizons]
    return " ".join(names) if len(names) <= MAX_HORIZONS else f"{names[0]} ... {names[-1]} ({len(names)})"


def _format_hours(hours: float | None) -> str:
    if hours is None:
        return "-"
    return f"{hours:.2f}" if hours >= 0.1 else f"{hours:.2g}"


def _format_bytes(number: int) -> str:
    for size, unit in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB")):
        if number >= size:
            return f"{number / size:.3g} {unit}"
    return f"{number / 1e3:.3g} kB"
