"""Where training starts: at the run's newest complete checkpoint, else at its parent's, else from scratch. Writes the
start to the record.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from windtunnel.train import checkpoint
from windtunnel.train.checkpoint import Checkpoint
from windtunnel.train.config.branch_parent import Parent
from windtunnel.train.config.config import RunConfig
from windtunnel.train.config.run_id import scientific_hash
from windtunnel.train.counts import corpus_summary, counts
from windtunnel.train.data.corpus import Corpus
from windtunnel.train.data.evaluation_windows import evaluation_windows
from windtunnel.train.data.order import run_order
from windtunnel.train.device import Numerics, Ranks, decide_numerics, device_name, numerics_changes
from windtunnel.train.errors import InputError
from windtunnel.train.fleet import check_same_shape
from windtunnel.train.milestones import milestones_of
from windtunnel.train.provenance import provenance
from windtunnel.train.records import ROW_KINDS, RunRecord, now, read_metrics


@dataclass(frozen=True)
class StartPoint:
    """Where the members of a fleet start. The first rank decides it and broadcasts it.

    checkpoints: one for each member; the parent's checkpoint alone for a branch; None for a member that starts from
    scratch.
    """

    step: int
    from_parent: bool
    checkpoints: tuple[Checkpoint | None, ...]
    numerics: Numerics


def check_trainable(configs: Sequence[RunConfig], ranks: Ranks) -> None:
    """Raise InputError if the fleet cannot be trained on this data and machine. Touches no record."""
    if not configs:
        return
    check_same_shape(configs)
    if len({scientific_hash(config) for config in configs}) < len(configs):
        raise InputError("a fleet has one run twice; give its members different seeds, rates or schedules")
    corpus = Corpus(Path(configs[0].runtime.data_directory) / configs[0].data.folder)
    for config in configs:
        if corpus.manifest.content_hash != config.data.content_hash:
            raise InputError(f"{corpus.folder}: not the data of this run (another content hash); restore them")
        run_order(config, corpus)
        evaluation_windows(corpus, config.data.sequence_length, config.data.evaluation_tokens)
        decide_numerics(config, ranks, None)
    corpus.check_vocabulary(configs[0].model.vocabulary_size)


def check_same_configuration(record: RunRecord, config: RunConfig) -> None:
    """Raise InputError if the record is of another configuration with the same run id."""
    recorded = record.content.get("scientific_hash")
    if recorded is not None and recorded != scientific_hash(config):
        raise InputError(f"{record.folder}: holds another configuration under the same id; move that folder away")


def decide_start(
    configs: Sequence[RunConfig], records: Sequence[RunRecord], ranks: Ranks, parent: Parent | None
) -> StartPoint:
    """The newest step at which every member has a complete checkpoint and curve, else the parent's, else step 0."""
    recorded = records[0].content.get("numerics") or (parent.record.get("numerics") if parent else None)
    numerics = decide_numerics(configs[0], ranks, recorded)
    for change in numerics_changes(numerics, recorded):
        print(f"note: {records[0].folder.name}: {change}: the curve continues, but not bitwise", flush=True)
    by_step = [{saved.step: saved for saved in checkpoint.find(record.folder)} for record in records]
    common = set.intersection(*(set(steps) for steps in by_step))
    for step in sorted(common, reverse=True):
        candidates = tuple(steps[step] for steps in by_step)
        if all(map(_is_undamaged, candidates)) and all(map(_has_curve_until, records, configs, [step] * len(configs))):
            return StartPoint(step, False, candidates, numerics)
    if parent is not None:
        return StartPoint(parent.step, True, (parent.checkpoint(),), numerics)
    return StartPoint(0, False, (None,) * len(configs), numerics)


def _is_undamaged(saved: Checkpoint) -> bool:
    try:
        saved.load()
    except InputError as error:
        print(f"note: {error}; an older one is used", flush=True)
        return False
    return True


def _has_curve_until(record: RunRecord, config: RunConfig, step: int) -> bool:
    """Whether the curve on disk has every row and every evaluation up to `step`."""
    rows, evaluations = ({row["step"] for row in read_metrics(record.folder, kind)} for kind in ROW_KINDS)
    expected = range(config.logging.every_steps, step + 1, config.logging.every_steps)
    if rows.issuperset(expected) and evaluations.issuperset(s for s in milestones_of(config) if s <= step):
        return True
    print(
        f"note: {record.folder}: the curve ends before the checkpoint at step {step}; an older one is used", flush=True
    )
    return False


def record_start(
    record: RunRecord,
    config: RunConfig,
    corpus: Corpus,
    start: StartPoint,
    parent: Parent | None,
    overrides: Sequence[str],
) -> None:
    """Bring the record to the start of training: a new run is described, and rows and checkpoints after the start are
    deleted.
    """
    if record.status is None:
        lineage = {"parent": parent.folder.name, "step": parent.step} if parent else None
        record.update(
            run_id=record.folder.name,
            scientific_hash=scientific_hash(config),
            status="planned",
            created=now(),
            config=asdict(config),
            overrides=list(overrides),
            lineage=lineage,
            counts=counts(config, corpus),
            data=corpus_summary(corpus),
        )
    if parent is not None and start.from_parent:
        record.copy_parent_curve(parent.folder, parent.step, config.logging.every_steps, milestones_of(config))
    else:
        record.rewind(start.step)
    checkpoint.discard_after(record.folder, start.step)
    record.update(
        status="running",
        started=now(),
        error=None,
        numerics=asdict(start.numerics),
        **provenance(device_name(start.numerics)),
    )
