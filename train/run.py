"""Train runs from their configurations: start, resume, branch, or find them finished. Records hold the results."""

import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from windtunnel.models.accounting import flops_per_token
from windtunnel.train.batches import Batches
from windtunnel.train.config.branch_parent import Parent
from windtunnel.train.config.config import CURVE_INTERVALS, RunConfig
from windtunnel.train.config.run_id import run_id
from windtunnel.train.data.corpus import Corpus
from windtunnel.train.data.order import run_order
from windtunnel.train.device import Numerics, Ranks, broadcast_from_first_rank, configure_process, join_ranks
from windtunnel.train.errors import InputError
from windtunnel.train.evaluation import Evaluation
from windtunnel.train.fleet import Fleet
from windtunnel.train.gemm_peak import gemm_flops_per_second
from windtunnel.train.interruption import Handler, Interruption
from windtunnel.train.loop import Ending, Loop
from windtunnel.train.progress import Progress
from windtunnel.train.progress_forecast import Forecast, ForecastText
from windtunnel.train.records import (
    FINAL_STATUSES,
    Json,
    RunRecord,
    Status,
    is_final,
    now,
    read_metrics,
    read_record,
    read_timings,
)
from windtunnel.train.start import (
    StartPoint,
    check_same_configuration,
    check_trainable,
    decide_start,
    record_start,
)
from windtunnel.train.tracking.wandb_mirror import push, start_live_mirror
from windtunnel.train.training_curve import TrainingCurve

MIRROR_SECONDS = 60.0  # to wait for a live W&B mirror after the run, so that it does not hold up a queue of runs


@dataclass(frozen=True)
class RunOutcome:
    """The result of one run.

    trained: False if the run was finished before. signal: the signal that interrupted it. requeue: the handler to call
    last, which asks SLURM to requeue the job and ends the process.
    """

    folder: Path
    record: Json
    trained: bool
    signal: int | None = None
    requeue: Handler | None = None

    @property
    def status(self) -> Status:
        status: Status = self.record["status"]
        return status


def run_folder(config: RunConfig) -> Path:
    """The folder of a run's record."""
    return Path(config.runtime.runs_directory) / run_id(config)


def train_runs(
    configs: Sequence[RunConfig],
    *,
    parent: Parent | None = None,
    overrides: Sequence[str] = (),
    show_progress: bool = True,
    forecast: Forecast | None = None,
) -> list[RunOutcome]:
    """Train runs of one shape as one fleet. A finished run is left as it is, and an interrupted one resumes.

    parent: of a branch. overrides: recorded as the request. forecast: shown on the progress line of a single run.

    Raises InputError if the runs cannot be trained, `records.AlreadyRunning` if another process trains one of them.
    """
    ranks = join_ranks()
    check_trainable([config for config in configs if not is_final(run_folder(config))], ranks)
    with ExitStack() as stack:
        records: list[RunRecord] = []

        def open_records() -> list[bool]:
            for config in configs:
                record = stack.enter_context(RunRecord(run_folder(config)))
                check_same_configuration(record, config)
                records.append(record)
            return [record.status in FINAL_STATUSES for record in records]

        is_done = broadcast_from_first_rank(ranks, open_records)
        outcomes: list[RunOutcome | None] = [
            RunOutcome(run_folder(config), read_record(run_folder(config)), trained=False) if done else None
            for config, done in zip(configs, is_done, strict=True)
        ]
        # `records` is empty on all ranks but the first.
        unfinished_records = [record for record, done in zip(records, is_done, strict=False) if not done]
        unfinished = [config for config, done in zip(configs, is_done, strict=True) if not done]
        if unfinished:
            trained = iter(_train(unfinished, unfinished_records, ranks, parent, overrides, show_progress, forecast))
            outcomes = [outcome or next(trained) for outcome in outcomes]
        return [outcome for outcome in outcomes if outcome is not None]


def _train(
    configs: Sequence[RunConfig],
    records: Sequence[RunRecord],
    ranks: Ranks,
    parent: Parent | None,
    overrides: Sequence[str],
    show_progress: bool,
    forecast: Forecast | None,
) -> list[RunOutcome]:
    """Train unfinished runs. `records` is empty on all ranks but the first."""
    with Interruption() as interruption:
        configs = [_keep_intervals(config, record) for config, record in zip(configs, records, strict=False)] or configs
        corpus = Corpus(Path(configs[0].runtime.data_directory) / configs[0].data.folder)
        if ranks.is_first:
            corpus.verify_if_changed()
        start = broadcast_from_first_rank(ranks, (lambda: decide_start(configs, records, ranks, parent)))
        configure_process(start.numerics)
        for record, config in zip(records, configs, strict=False):
            record_start(record, config, corpus, start, parent, overrides)
        if ranks.is_first and show_progress:
            action = f"resuming at step {start.step}" if start.step else "starting"
            print(f"{', '.join(record.folder.name for record in records)}: {action}", file=sys.stderr, flush=True)
        mirrors = [
            start_live_mirror(record.folder, "online")
            for record, config in zip(records, configs, strict=False)
            if config.logging.wandb == "online"
        ]
        try:
            loop = _prepare_loop(configs, records, ranks, start, corpus, show_progress, forecast)
            ending = loop.run(interruption)
        except BaseException as error:
            _record_failure(records, error)
            raise
        for member, record in enumerate(records):
            _record_result(record, loop, member, ending)
            if record.status in FINAL_STATUSES and configs[member].logging.wandb == "offline":
                _mirror_offline(record.folder)
        for mirror in mirrors if ending != "preempted" else ():  # the grace time is for saving, not for waiting
            _wait_for_mirror(mirror)
        # Broadcast instead of read: other ranks arrive here before the first has written the result.
        contents = broadcast_from_first_rank(ranks, lambda: [record.content for record in records])
        return [
            RunOutcome(
                run_folder(config),
                content,
                trained=True,
                signal=interruption.signal,
                requeue=interruption.requeue_handler() if ending == "preempted" else None,
            )
            for config, content in zip(configs, contents, strict=True)
        ]


def _keep_intervals(config: RunConfig, record: RunRecord) -> RunConfig:
    """The configuration with the recorded intervals of rows and evaluations, if the run has begun."""
    recorded = record.content.get("config", {}).get("logging")
    if recorded is None:
        return config
    intervals = {name: recorded.get(name) for name in CURVE_INTERVALS}
    return replace(config, logging=replace(config.logging, **intervals))


def _record_failure(records: Sequence[RunRecord], error: BaseException) -> None:
    is_interrupted = isinstance(error, KeyboardInterrupt | SystemExit)
    message = None if is_interrupted else f"{type(error).__name__}: {error}".splitlines()[0]
    for record in records:
        record.update(status="preempted" if is_interrupted else "failed", error=message)


def _prepare_loop(
    configs: Sequence[RunConfig],
    records: Sequence[RunRecord],
    ranks: Ranks,
    start: StartPoint,
    corpus: Corpus,
    show_progress: bool,
    forecast: Forecast | None,
) -> Loop:
    config = configs[0]
    fleet = Fleet(configs, start.numerics, ranks)
    curves = _restore_members(fleet, start)
    batches = Batches(
        corpus,
        [run_order(member, corpus) for member in configs],
        sequence_length=config.data.sequence_length,
        sequences_per_step=config.sequences_per_step,
        rank=ranks.rank,
        world_size=ranks.world_size,
        device=fleet.device,
    )
    evaluation = Evaluation(
        corpus,
        sequence_length=config.data.sequence_length,
        evaluation_tokens=config.data.evaluation_tokens,
        ranks=ranks,
        device=fleet.device,
    )
    progress = None
    if ranks.is_first and show_progress:
        flops = flops_per_token(config.model, config.data.sequence_length).exact_causal
        name = records[0].folder.name + (f" and {len(configs) - 1} more" if len(configs) > 1 else "")
        text = ForecastText(forecast, records[0].folder) if forecast is not None and len(records) == 1 else None
        peak = _gemm_peak(start.numerics, ranks)
        progress = Progress(name, config.schedule.total_steps, config.tokens_per_step, flops, peak, text)
    earlier = [timing["seconds"] for timing in read_timings(records[0].folder)[-1:]] if records else []
    return Loop(fleet, batches, evaluation, records, curves, start.step, sum(earlier), progress)


def _restore_members(fleet: Fleet, start: StartPoint) -> list[TrainingCurve]:
    """Load the members' checkpoints into the fleet. Returns their curves at the start."""
    config = fleet.configs[0]
    curves = []
    for member, saved in enumerate(start.checkpoints):
        pending, recent = np.zeros((0, 2), np.float32), np.zeros(0, np.float32)
        if saved is not None:
            state = saved.load()
            pending, recent = state.pop("pending_losses").numpy(), state.pop("recent_losses").numpy()
            fleet.load_member_state(member, state)
        curves.append(
            TrainingCurve(
                config.logging.every_steps,
                config.tokens_per_step,
                config.model.vocabulary_size,
                fleet.rates_SM[:, member],
                step=start.step,
                pending_S2=pending,
                recent_S=recent,
            )
        )
    return curves


def _gemm_peak(numerics: Numerics, ranks: Ranks) -> float:
    """FLOP/s of the measured matrix product over all ranks."""
    device_type = numerics.torch_device(ranks).type
    return gemm_flops_per_second(device_type, numerics.compute_dtype, torch.get_num_threads()) * ranks.world_size


def _record_result(record: RunRecord, loop: Loop, member: int, ending: Ending) -> None:
    config, curve = loop.fleet.configs[member], loop.curves[member]
    flops = flops_per_token(config.model, config.data.sequence_length).exact_causal
    rate, peak = loop.tokens_per_second, _gemm_peak(loop.fleet.numerics, loop.fleet.ranks)
    performance = {
        "wall_seconds": round(loop.wall_seconds, 3),
        "tokens_per_second": round(rate, 1),
        # Model FLOPs (`exact_causal`) over the rate of a matrix product measured in this process.
        "share_of_peak": round(rate * flops / peak, 4),
        "gemm_flops_per_second": round(peak),
        "overhead_share": round(loop.clock.overhead_share, 4),
    }
    if curve.diverged_at is not None:
        record.update(
            status="diverged", finished=now(), performance=performance, result={"diverged_at_step": curve.diverged_at}
        )
    elif ending == "preempted":
        record.update(status="preempted", performance=performance, progress={"step": loop.step})
    else:
        # A run that was killed after its last checkpoint has its last evaluation in the record only.
        row = loop.results[member] or read_metrics(record.folder, "evaluation")[-1]
        result = {name: value for name, value in row.items() if name.startswith("validation_")}
        result = {"step": loop.step, "tokens": config.total_tokens, **result}
        record.update(status="finished", finished=now(), performance=performance, result=result, progress=None)


def _mirror_offline(folder: Path) -> None:
    try:
        problem = push(folder, mode="offline").error
    except InputError as error:
        problem = str(error)
    if problem is not None:
        print(f"note: {problem}; repeat it with: windtunnel wandb push {folder}", flush=True)


def _wait_for_mirror(mirror: subprocess.Popen[bytes]) -> None:
    """Give the live mirror time to upload the end of the run. It continues by itself if it needs longer."""
    try:
        is_incomplete = mirror.wait(MIRROR_SECONDS) != 0
    except subprocess.TimeoutExpired:
        is_incomplete = True
    if is_incomplete:
        print("note: the W&B mirror is incomplete, see wandb.log beside the record; windtunnel wandb push rebuilds it")
