"""Preparing a dataset: the shards have the text, groups are not split, and it is done once, atomically."""

import hashlib
import json
import multiprocessing
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from windtunnel.train.data import prepare as prepare_module
from windtunnel.train.data.corpus import Corpus, Split
from windtunnel.train.data.manifest import load_manifest
from windtunnel.train.data.prepare import prepare, prepared_folder
from windtunnel.train.data.specification import DataSpec
from windtunnel.train.data.vocabulary import load_tokenizer, train_tokenizer
from windtunnel.train.errors import InputError


def documents(corpus: Corpus, split: Split, domain: int = 0) -> list[bytes]:
    """The documents of a split, decoded from its tokens, separators checked and dropped."""
    tokens = corpus.train_tokens(domain) if split == "train" else corpus.validation_tokens(domain)
    offsets = corpus.document_offsets(domain, split)
    separator = corpus.manifest.separator_token
    texts = []
    for start, end in pairwise(offsets.tolist()):
        ids = tokens[start:end].tolist()
        assert ids.pop() == separator
        assert separator not in ids
        if corpus.manifest.tokenizer is None:
            texts.append(bytes(ids))
        else:
            texts.append(
                load_tokenizer(corpus.folder / "tokenizer.json").decode(ids, skip_special_tokens=False).encode()
            )
    return texts


def write_records(path: Path, records: list[dict[str, object]]) -> None:
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")


def test_speeches_are_whole_and_split_by_president(speeches: Corpus) -> None:
    (domain,) = speeches.manifest.domains
    train, held_out = documents(speeches, "train"), documents(speeches, "validation")
    assert len(train) + len(held_out) == 249
    assert domain.train_bytes + domain.validation_bytes == 12_185_751
    assert domain.train_tokens == domain.train_bytes + domain.train_documents
    assert 0.03 < domain.validation_tokens / speeches.manifest.train_tokens < 0.07
    assert domain.validation_groups >= 2
    speeches.verify()


@pytest.mark.slow
def test_plays_are_whole_and_parts_of_a_play_stay_together(tmp_path: Path) -> None:
    corpus = Corpus(prepare(DataSpec("plays"), tmp_path))
    train, held_out = documents(corpus, "train"), documents(corpus, "validation")
    assert len(train) + len(held_out) == 38
    titles = [[text.split(b"\n")[0] for text in side] for side in (train, held_out)]
    for name in (b"Henry IV", b"Henry VI"):
        parts = [
            sum(title.startswith(b"# " + name + b",") or title.startswith(b"# " + name + b" ") for title in side)
            for side in titles
        ]
        assert 0 in parts


def test_every_text_file_becomes_a_document(texts: Path, tmp_path: Path) -> None:
    corpus = Corpus(prepare(DataSpec(f"text:{texts}/*.txt", validation_fraction=0.2), tmp_path))
    train, held_out = documents(corpus, "train"), documents(corpus, "validation")
    assert sorted(train + held_out) == sorted(path.read_bytes() for path in texts.iterdir())
    assert 1 <= len(held_out) <= 6


def test_exact_duplicates_are_removed_within_and_across_domains(texts: Path, tmp_path: Path) -> None:
    for number in range(5):
        (texts / f"copy-{number}.txt").write_bytes((texts / "00.txt").read_bytes())
    write_records(
        tmp_path / "more.jsonl",
        [{"text": path.read_text(encoding="utf-8")} for path in sorted(texts.glob("0*.txt"))]
        + [{"text": f"new {number}"} for number in range(9)],
    )
    corpus = Corpus(prepare(DataSpec(f"text:{texts}/*.txt+jsonl:{tmp_path}/more.jsonl"), tmp_path / "data"))
    everything = [
        text for domain in (0, 1) for split in ("train", "validation") for text in documents(corpus, split, domain)
    ]
    assert len(everything) == len(set(everything)) == 29
    assert [domain.duplicates_removed for domain in corpus.manifest.domains] == [5, 10]


def test_groups_are_not_split(tmp_path: Path) -> None:
    write_records(
        tmp_path / "a.jsonl", [{"body": f"text {n} of {n % 10}", "author": {"id": n % 10}} for n in range(100)]
    )
    spec = DataSpec(f"jsonl:{tmp_path}/a.jsonl", text_field="body", group_field="author", validation_fraction=0.3)
    corpus = Corpus(prepare(spec, tmp_path / "data"))
    sides = [{text.rsplit(b" ", 1)[1] for text in documents(corpus, split)} for split in ("train", "validation")]
    assert not sides[0] & sides[1]
    assert len(sides[1]) == corpus.manifest.domains[0].validation_groups == 3


def test_single_document_is_cut_at_a_line_near_its_end(tmp_path: Path) -> None:
    text = "".join(f"line {number} é\n" for number in range(1000))
    (tmp_path / "one.txt").write_text(text, encoding="utf-8")
    corpus = Corpus(prepare(DataSpec(f"text:{tmp_path}/one.txt", validation_fraction=0.1), tmp_path / "data"))
    (train,), (held_out,) = documents(corpus, "train"), documents(corpus, "validation")
    assert train + held_out == text.encode()
    assert held_out.startswith(b"line ")
    assert len(held_out) / len(text.encode()) == pytest.approx(0.1, abs=0.005)


def test_single_line_is_cut_between_characters(tmp_path: Path) -> None:
    (tmp_path / "one.txt").write_text("é" * 1001, encoding="utf-8")
    corpus = Corpus(prepare(DataSpec(f"text:{tmp_path}/one.txt", validation_fraction=0.05), tmp_path / "data"))
    (train,), (held_out,) = documents(corpus, "train"), documents(corpus, "validation")
    assert (train + held_out).decode() == "é" * 1001
    assert set(train.decode() + held_out.decode()) == {"é"}


def test_bpe_round_trips_and_counts_bytes_exactly(texts: Path, tmp_path: Path) -> None:
    (texts / "special.txt").write_text("a <|endoftext|> in the text is text, 日本 too" * 3, encoding="utf-8")
    corpus = Corpus(prepare(DataSpec(f"text:{texts}/*.txt", vocabulary=280, validation_fraction=0.2), tmp_path))
    train, held_out = documents(corpus, "train"), documents(corpus, "validation")
    assert sorted(train + held_out) == sorted(path.read_bytes() for path in texts.iterdir())
    token_bytes = corpus.token_bytes()
    assert token_bytes is not None
    assert len(token_bytes) == corpus.manifest.vocabulary_size == 280
    assert token_bytes[corpus.train_tokens(0)].sum() == sum(map(len, train)) == corpus.manifest.domains[0].train_bytes
    assert token_bytes[corpus.validation_tokens(0)].sum() == sum(map(len, held_out))
    rate = corpus.manifest.domains[0].train_bytes_per_token
    assert rate is not None
    assert rate > 1.5
    corpus.verify()


def test_tokenizer_is_trained_on_the_train_side_alone(tmp_path: Path) -> None:
    """Every document repeats its own word, so held-out documents would add tokens if the tokenizer saw them."""
    texts = [f"{hashlib.sha256(bytes([number])).hexdigest()[:12]} " * (10 + number) for number in range(20)]
    write_records(tmp_path / "a.jsonl", [{"text": text} for text in texts])
    spec = DataSpec(f"jsonl:{tmp_path}/a.jsonl", vocabulary=320, validation_fraction=0.3)
    folder = prepare(spec, tmp_path / "data")
    train = [text.decode() for text in documents(Corpus(folder), "train")]
    vocabulary = load_tokenizer(folder / "tokenizer.json").get_vocab()
    assert len(train) < 20
    assert vocabulary == train_tokenizer(train, 320).get_vocab()
    assert vocabulary != train_tokenizer(texts, 320).get_vocab()


def test_equal_data_have_equal_manifests_and_content_hashes(texts: Path, tmp_path: Path) -> None:
    spec = DataSpec(f"text:{texts}/*.txt", vocabulary=280)
    first, second = (prepare(spec, tmp_path / name) for name in ("a", "b"))
    assert load_manifest(first) == load_manifest(second)
    other = prepare(DataSpec(f"text:{texts}/*.txt"), tmp_path / "a")
    assert load_manifest(first).content_hash != load_manifest(other).content_hash


def test_manifest_lists_every_file_with_its_hash(texts: Path, tmp_path: Path) -> None:
    folder = prepare(DataSpec(f"text:{texts}/*.txt", vocabulary=280), tmp_path / "data")
    files = {record.name: record for record in load_manifest(folder).files}
    assert {path.name for path in folder.iterdir()} == {*files, "manifest.json", ".verified.json"}
    for name, record in files.items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == record.sha256
    assert {path.name for path in (tmp_path / "data").iterdir()} == {folder.name, f".{folder.name}.lock"}


def test_token_budget_ends_with_a_whole_document(tmp_path: Path) -> None:
    write_records(tmp_path / "a.jsonl", [{"text": f"{n:03} " + "x" * 96} for n in range(500)])
    corpus = Corpus(prepare(DataSpec(f"jsonl:{tmp_path}/a.jsonl", token_budget=5000), tmp_path / "data"))
    assert 5000 <= corpus.manifest.train_tokens <= 5000 + 101
    assert 100 <= corpus.manifest.validation_tokens < 600


def test_bpe_token_budget_reads_more_if_the_estimate_was_short(tmp_path: Path) -> None:
    """Long words have far more bytes per token than the estimate, so the store has to read more."""
    words = ["internationalization", "counterrevolutionary", "incomprehensibilities"]
    write_records(tmp_path / "a.jsonl", [{"text": f"{n:04} " + f"{words[n % 3]} " * 20} for n in range(900)])
    messages: list[str] = []
    spec = DataSpec(f"jsonl:{tmp_path}/a.jsonl", vocabulary=320, token_budget=8000)
    corpus = Corpus(prepare(spec, tmp_path / "data", progress=messages.append))
    (domain,) = corpus.manifest.domains
    assert domain.train_bytes_per_token is not None
    assert domain.train_bytes_per_token > 5  # the estimate is 2.5
    assert 8000 <= domain.train_tokens < 8200
    train, held_out = documents(corpus, "train"), documents(corpus, "validation")
    assert not set(train) & set(held_out)


def test_source_shorter_than_its_budget_is_logged(texts: Path, tmp_path: Path) -> None:
    messages: list[str] = []
    corpus = Corpus(prepare(DataSpec(f"text:{texts}/*.txt", token_budget=10**6), tmp_path, progress=messages.append))
    assert any(f"ends after {corpus.manifest.train_tokens:,} of the 1,000,000" in message for message in messages)


def test_synthetic_domains_are_exact_and_a_small_budget_is_a_prefix(facts: Corpus, tmp_path: Path) -> None:
    assert [domain.name for domain in facts.manifest.domains] == ["zipf-facts", "zipf-facts-2"]
    for domain in facts.manifest.domains:
        assert domain.train_tokens == 100_000
        assert domain.validation_tokens == 5263
        assert domain.entropy_nats_per_token == pytest.approx(0.811963, abs=5e-7)
        assert domain.opening_excess_nats is None
        assert domain.train_bytes_per_token is None
    assert facts.token_bytes() is None
    small = Corpus(prepare(DataSpec("synthetic:zipf-facts", 0, 30_000), tmp_path))
    assert np.array_equal(small.train_tokens(0), facts.train_tokens(0)[:30_000])
    assert not np.array_equal(facts.train_tokens(0), facts.train_tokens(1))
    facts.verify()


@pytest.mark.slow
def test_manifest_without_opening_excess_is_the_same_data(tmp_path: Path) -> None:
    folder = prepare(DataSpec("synthetic:context-tree?vocabulary=16", 0, 1000), tmp_path)
    manifest = load_manifest(folder)
    assert manifest.domains[0].opening_excess_nats == pytest.approx(0.440147, abs=5e-7)
    path = folder / "manifest.json"
    document = json.loads(path.read_text())
    del document["domains"][0]["opening_excess_nats"]
    path.write_text(json.dumps(document))
    before = load_manifest(folder)
    assert before.domains[0].opening_excess_nats is None
    assert before.content_hash == manifest.content_hash
    # The hash from before the field existed.
    assert manifest.content_hash == "44d6b57385aa58eda67d687704217cd52d98758a11035c9cd24cc2d6392b984c"


def test_preparing_again_builds_nothing(texts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = DataSpec(f"text:{texts}/*.txt")
    folder = prepare(spec, tmp_path)
    monkeypatch.setattr(prepare_module.text_domains, "build", None)
    assert prepare(spec, tmp_path) == folder == prepared_folder(spec, tmp_path)


def test_failed_build_leaves_nothing_and_removes_an_abandoned_one(texts: Path, tmp_path: Path) -> None:
    spec = DataSpec(f"text:{texts}/*.txt")
    folder = prepared_folder(spec, tmp_path / "data")
    abandoned = folder.with_name(f".{folder.name}.building-1")
    abandoned.mkdir(parents=True)
    (abandoned / "half.bin").write_bytes(b"half")
    (texts / "00.txt").write_bytes(b"\xff")
    with pytest.raises(InputError, match="not UTF-8"):
        prepare(spec, tmp_path / "data")
    assert {path.name for path in folder.parent.iterdir()} == {f".{folder.name}.lock"}
    (texts / "00.txt").write_text("fixed")
    Corpus(prepare(spec, tmp_path / "data")).verify()


def _prepare_in_a_process(spec: DataSpec, data_directory: Path, log: Path) -> None:
    def progress(message: str) -> None:
        with log.open("a") as file:
            file.write(message + "\n")

    prepare(spec, data_directory, progress=progress)


@pytest.mark.slow
def test_concurrent_processes_prepare_once(tmp_path: Path) -> None:
    spec = DataSpec("speeches")
    context = multiprocessing.get_context("spawn")
    log = tmp_path / "log"
    workers = [context.Process(target=_prepare_in_a_process, args=(spec, tmp_path / "data", log)) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    assert log.read_text().count("speeches: reading") == 1
    Corpus(prepared_folder(spec, tmp_path / "data")).verify()
