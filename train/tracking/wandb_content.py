"""A run record in W&B's terms: history, config, summary and tags. Does not import W&B."""

from pathlib import Path

from windtunnel.train.config.run_id import compact_count
from windtunnel.train.records import Json, read_lines, read_timings

AXES = ("tokens", "flops_six_n", "flops_six_n_total", "flops_exact")  # in every row; charts use the first
TAG_LENGTH = 64  # W&B's limit
_PROVENANCE = (
    "run_id",
    "scientific_hash",
    "counts",
    "lineage",
    "numerics",
    "versions",
    "commit",
    "machine",
    "device_name",
)


def history_of(run_folder: Path, record: Json) -> list[Json]:
    """One row for each recorded step, in step order, with the tokens and FLOPs until then as axes."""
    rows: dict[int, Json] = {}
    for line in (*read_lines(run_folder / "metrics.jsonl"), *read_timings(run_folder)):
        values = {key: value for key, value in line.items() if key != "kind" and value is not None}
        rows.setdefault(line["step"], {}).update(values)
    tokens_per_step = record["config"]["optimizer"]["tokens_per_step"]
    flops_per_token = record["counts"]["flops_per_token"]
    for step, row in rows.items():
        row["tokens"] = step * tokens_per_step
        for axis in AXES[1:]:
            row[axis] = float(row["tokens"] * flops_per_token[axis.removeprefix("flops_")])
    return [rows[step] for step in sorted(rows)]


def config_of(record: Json) -> Json:
    """W&B's `config`: the resolved configuration, counts in every convention, and provenance."""
    return {**record["config"], "corpus": record.get("data"), **{name: record.get(name) for name in _PROVENANCE}}


def summary_of(record: Json) -> Json:
    """W&B's `summary`: status, result and performance. W&B itself adds the last value of every metric."""
    values = {**(record.get("result") or {}), **(record.get("performance") or {}), "error": record.get("error")}
    return {"status": record["status"], **{name: value for name, value in values.items() if value is not None}}


def tags_of(record: Json) -> list[str]:
    """Size, schedule, parametrization and corpora as W&B tags, and the tags of the configuration."""
    config = record["config"]
    tags = [
        f"size:{compact_count(record['counts']['parameters']['non_embedding'])}",
        f"schedule:{config['schedule']['shape']}",
        f"parametrization:{config['model']['parametrization']['name']}",
        *(f"corpus:{domain['name']}" for domain in record["data"]["domains"]),
        *(["branch"] if record.get("lineage") else []),
        *config["logging"]["tags"],
    ]
    return list(dict.fromkeys(tag[:TAG_LENGTH] for tag in tags))
