"""What `windtunnel train` prints: the plan of a run before it, its outcome after it."""

from dataclasses import asdict

from rich.console import Console
from rich.table import Table

from windtunnel.models.accounting import count_parameters, flops_per_token
from windtunnel.train.config.branch_parent import Parent
from windtunnel.train.config.config import RunConfig
from windtunnel.train.config.resolve import UNPREPARED
from windtunnel.train.config.run_id import run_id
from windtunnel.train.run import RunOutcome


def print_plan(config: RunConfig, parent: Parent | None) -> None:
    """Print the resolved configuration of a run that would be trained."""
    model, schedule = config.model, config.schedule
    parameters = count_parameters(model)
    flops = flops_per_token(model, config.data.sequence_length)
    is_prepared = config.data.content_hash != UNPREPARED
    rows = {
        "parameters": ", ".join(f"{value:,} {name.replace('_', '-')}" for name, value in asdict(parameters).items()),
        "shape": f"width {model.width}, depth {model.depth}, {model.head_count} heads of {model.head_size}, "
        f"feed-forward {model.feedforward_width}, vocabulary {model.vocabulary_size}",
        "parametrization": f"{model.parametrization.name}, peak rate {config.optimizer.rate:g}",
        "tokens": f"{config.total_tokens:,} in {schedule.total_steps:,} steps of {config.tokens_per_step:,} "
        f"({config.total_tokens / parameters.total:.1f} per parameter)",
        "schedule": f"{schedule.shape}: {schedule.warmup_steps} steps of warm-up, "
        f"decay from step {schedule.decay_start}",
        "training FLOPs": ", ".join(
            f"{value * config.total_tokens:.3g} {name}" for name, value in asdict(flops).items()
        ),
        "data": f"{config.data.spec} in {config.runtime.data_directory}/{config.data.folder}"
        + ("" if is_prepared else " (not prepared yet: windtunnel data prepare)"),
        "branch of": f"{parent.folder.name} at step {parent.step}" if parent else "-",
    }
    title = run_id(config) if is_prepared else "run id: known once the data are prepared"
    table = Table(title=title, show_header=False)
    for name, value in rows.items():
        table.add_row(name, value)
    Console().print(table)


def print_outcome(outcome: RunOutcome) -> None:
    """Print the result of a run and the folder of its record."""
    record, folder = outcome.record, outcome.folder
    if not outcome.trained:
        print(f"{record['status']} already, nothing to do: {folder}")
    if outcome.status == "finished":
        result, performance = record["result"], record["performance"]
        bits = result.get("validation_bits_per_byte")
        print(
            f"validation loss {result['validation_nats_per_token']:.4f} ± {result['validation_standard_error']:.4f} "
            "nats per token" + (f", {bits:.4f} bits per byte" if bits is not None else "")
        )
        print(
            f"{record['counts']['parameters']['non_embedding']:,} non-embedding parameters, "
            f"{result['tokens']:,} tokens, "
            f"{performance['wall_seconds']:.0f} s, {performance['tokens_per_second']:,.0f} tokens/s "
            f"({performance['share_of_peak']:.0%} of measured GEMM peak)"
        )
    elif outcome.status == "diverged":
        print(f"diverged at step {record['result']['diverged_at_step']}; the record counts as a result")
    elif outcome.status == "preempted":
        print(f"interrupted at step {record['progress']['step']}; repeat the command to resume")
    print(f"record: {folder}")
