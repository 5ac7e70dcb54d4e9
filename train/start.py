"""Where a run begins: at its own newest whole checkpoint, else its parent's, else at the start; and what its record
then says.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from windtunnel.train import checkpoint
from windtunnel.train.batches import order_of
from windtunnel.train.config.branch_parent import Parent
from windtunnel.train.config.config import RunConfig
from windtunnel.train.config.run_id import scientific_hash
from windtunnel.train.counts import corpus_summary, counts
from windtunnel.train.data.corpus import Corpus
from windtunnel.train.data.evaluation_windows import evaluation_windows
from windtunnel.train.device import Numerics, Ranks, decide_numerics, device_name, differences
from windtunnel.train.errors import InputError
from windtunnel.train.fleet import refuse_mixed_shapes
from windtunnel.train.milestones import milestones_of
from windtunnel.train.provenance import provenance
from windtunnel.train.records import KINDS, RunRecord, now, read_metrics


@dataclass(frozen=True)
class Start:
    """Where members begin, decided by the first rank and told to the others."""

    step: int
    from_parent: bool
    states: tuple[checkpoint.Checkpoint | None, ...]
    numerics: Numerics


def refuse_untrainable(configs: Sequence[RunConfig], ranks: Ranks) -> None:
    """Raise InputError for what cannot be trained on the data and machine at hand, before any record is touched."""
    if not configs:
        return
    refuse_mixed_shapes(configs)
    if len({scientific_hash(config) for config in configs}) < len(configs):
        raise InputError("a fleet names one run twice; give its members different seeds, rates or schedules")
    corpus = Corpus(Path(configs[0].runtime.data_directory) / configs[0].data.folder)
    for config in configs:
        if corpus.manifest.content_hash != config.data.content_hash:
            raise InputError(f"{corpus.folder}: not the data of this run (another content hash); restore them")
        order_of(config, corpus)
        evaluation_windows(corpus, config.data.sequence_length, config.data.evaluation_tokens)
        decide_numerics(config, ranks, None)
    corpus.require_vocabulary(configs[0].model.vocabulary_size)


def refuse_collision(record: RunRecord, config: RunConfig) -> None:
    recorded = record.content.get("scientific_hash")
    if recorded is not None and recorded != scientific_hash(config):
        raise InputError(f"{record.folder}: holds another configuration under the same id; move that folder away")


def decide_start(
    configs: Sequence[RunConfig], records: Sequence[RunRecord], ranks: Ranks, parent: Parent | None
) -> Start:
    """The newest step that every member can begin from: its own checkpoint, else its parent's, else the start."""
    recorded = records[0].content.get("numerics") or (parent.record.get("numerics") if parent else None)
    numerics = decide_numerics(configs[0], ranks, recorded)
    for change in differences(numerics, recorded):
        print(f"note: {records[0].folder.name}: {change}: the curve goes on, but not bitwise", flush=True)
    own = [{c.step: c for c in checkpoint.find(record.folder)} for record in records]
    common = set.intersection(*(set(steps) for steps in own))
    for step in sorted(common, reverse=True):
        found = tuple(steps[step] for steps in own)
        if all(map(_is_whole, found)) and all(map(_reaches, records, configs, [step] * len(configs))):
            return Start(step, False, found, numerics)
    if parent is not None:
        return Start(parent.step, True, (parent.checkpoint(),), numerics)
    return Start(0, False, (None,) * len(configs), numerics)


def _is_whole(found: checkpoint.Checkpoint) -> bool:
    try:
        found.load()
    except InputError as error:
        print(f"note: {error}; going back to an older one", flush=True)
        return False
    return True


def _reaches(record: RunRecord, config: RunConfig, step: int) -> bool:
    """Whether the curve on disk is whole up to a checkpoint: every line and every evaluation."""
    lines, evaluations = ({row["step"] for row in read_metrics(record.folder, kind)} for kind in KINDS)
    due = range(config.logging.every_steps, step + 1, config.logging.every_steps)
    if lines.issuperset(due) and evaluations.issuperset(s for s in milestones_of(config) if s <= step):
        return True
    print(f"note: {record.folder}: the curve ends before the checkpoint at step {step}; going back", flush=True)
    return False


def begin(
    record: RunRecord, config: RunConfig, corpus: Corpus, start: Start, parent: Parent | None, overrides: Sequence[str]
) -> None:
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
        record.adopt(parent.folder, parent.step, config.logging.every_steps, milestones_of(config))
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
