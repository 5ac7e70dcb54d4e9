"""A simulated run table: the rows that a family will have once it is trained, with made-up losses. The checks of an
analysis read it.
"""

from collections.abc import Sequence
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

from windtunnel.analysis.tables.cache import columns_from_rows
from windtunnel.analysis.tables.from_runs import rows_from_records
from windtunnel.analysis.tables.run_row import row_from_record
from windtunnel.analysis.tables.selection import SourceRows
from windtunnel.sweeps.study.plan import PlannedRun
from windtunnel.train.config.run_id import scientific_hash
from windtunnel.train.counts import corpus_summary, counts
from windtunnel.train.data.corpus import Corpus
from windtunnel.train.records import Json

# Columns that are measured by training, beside all that begin with `loss`.
MEASURED = frozenset({"bits_per_byte", "wall_seconds", "tokens_per_second", "share_of_peak", "device", "commit"}) | {
    "diverged_at_step"
}
IRREDUCIBLE_LOSS = 1.0  # of the made-up losses
SEED_SPREAD = 1e-3


def is_measured(column: str) -> bool:
    """Whether a column is known only after training."""
    return column in MEASURED or column.startswith("loss")


def simulated_rows(runs: Sequence[PlannedRun], source: str) -> SourceRows:
    """The rows of these runs as if all had finished. Their data must be prepared."""
    summaries: dict[str, tuple[Corpus, Json]] = {}
    rows = []
    for run in runs:
        folder = run.config.data.folder
        if folder not in summaries:
            corpus = Corpus(Path(run.config.runtime.data_directory) / folder)
            summaries[folder] = corpus, corpus_summary(corpus)
        rows.append(row_from_record(_record(run, *summaries[folder]), run.run_id))
    return rows_from_records(columns_from_rows(rows), source, "final", lambda run_id: Path(run_id))


def _record(run: PlannedRun, corpus: Corpus, summary: Json) -> Json:
    return {
        "run_id": run.run_id,
        "scientific_hash": scientific_hash(run.config),
        "status": "finished",
        "config": asdict(run.config),
        "lineage": {"parent": run.parent, "step": run.parent_step} if run.parent else None,
        "counts": counts(run.config, corpus),
        "data": summary,
        "result": _losses(run, [domain.name for domain in corpus.manifest.domains]),
        "performance": {"wall_seconds": 1.0, "tokens_per_second": float(run.tokens), "share_of_peak": 0.5},
        "device_name": "planned",
        "commit": "planned",
    }


def _losses(run: PlannedRun, domains: Sequence[str]) -> dict[str, Any]:
    loss = IRREDUCIBLE_LOSS + 20.0 / run.parameters.total**0.3 + 60.0 / run.tokens**0.35
    loss *= 1.0 + SEED_SPREAD * _scatter(run.run_id)
    names = ["validation", *(f"validation_{name}" for name in domains)]
    result: dict[str, Any] = {f"{name}_nats_per_token": loss for name in names}
    return {**result, "validation_standard_error": SEED_SPREAD, "validation_bits_per_byte": loss, "tokens": run.tokens}


@cache
def _scatter(name: str) -> float:
    """A number from -1 to 1 that depends on the name alone."""
    return int.from_bytes(name.encode()[-4:], "big") % 1000 / 500 - 1
