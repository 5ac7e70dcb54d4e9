"""The run table as it will be once a family is trained, but for what is measured: rows made of planned runs in the way
that rows are made of records, with losses that stand in for those to come.
"""

from collections.abc import Sequence
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

from windtunnel.analysis.tables.cache import columns_of
from windtunnel.analysis.tables.from_runs import rows_of_columns
from windtunnel.analysis.tables.run_row import row_of
from windtunnel.analysis.tables.selection import Rows
from windtunnel.sweeps.study.plan import PlannedRun
from windtunnel.train.config.run_id import scientific_hash
from windtunnel.train.counts import corpus_summary, counts
from windtunnel.train.data.corpus import Corpus
from windtunnel.train.records import Json

# Columns that only training tells, beside all that begin with `loss`.
MEASURED = frozenset({"bits_per_byte", "wall_seconds", "tokens_per_second", "share_of_peak", "device", "commit"}) | {
    "diverged_at_step"
}
FLOOR = 1.0  # of the losses that stand in
SPREAD = 1e-3  # of them between seeds


def is_measured(column: str) -> bool:
    return column in MEASURED or column.startswith("loss")


def planned_rows(runs: Sequence[PlannedRun], source: str) -> Rows:
    """The rows of these runs, all finished. Their data must be prepared."""
    summaries: dict[str, tuple[Corpus, Json]] = {}
    rows = []
    for run in runs:
        folder = run.config.data.folder
        if folder not in summaries:
            corpus = Corpus(Path(run.config.runtime.data_directory) / folder)
            summaries[folder] = corpus, corpus_summary(corpus)
        rows.append(row_of(_record(run, *summaries[folder]), run.run_id))
    return rows_of_columns(columns_of(rows), source, "final", lambda run_id: Path(run_id))


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
    loss = FLOOR + 20.0 / run.parameters.total**0.3 + 60.0 / run.tokens**0.35
    loss *= 1.0 + SPREAD * _scatter(run.run_id)
    names = ["validation", *(f"validation_{name}" for name in domains)]
    result: dict[str, Any] = {f"{name}_nats_per_token": loss for name in names}
    return {**result, "validation_standard_error": SPREAD, "validation_bits_per_byte": loss, "tokens": run.tokens}


@cache
def _scatter(name: str) -> float:
    """Of -1 to 1, the same for the same run."""
    return int.from_bytes(name.encode()[-4:], "big") % 1000 / 500 - 1
