"""A corpus has tokens and windows, whatever format its source had."""

import json
import lzma
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from windtunnel.train.data.corpus import Corpus, read_windows, window_count
from windtunnel.train.data.prepare import prepare
from windtunnel.train.data.specification import DataSpec
from windtunnel.train.errors import InputError

RECORDS = [{"text": f"record {number} " + "x" * number, "other": {"nested": number}} for number in range(30)]


def test_tokens_are_memory_mapped_in_the_narrowest_type(speeches: Corpus, facts: Corpus) -> None:
    for corpus in (speeches, facts):
        assert isinstance(corpus.train_tokens(0), np.memmap)
        assert corpus.train_tokens(0).dtype == np.uint16
        assert len(corpus.train_tokens(0)) == corpus.manifest.domains[0].train_tokens
        assert len(corpus.validation_tokens(0)) == corpus.manifest.domains[0].validation_tokens


def test_every_document_ends_with_the_separator(speeches: Corpus) -> None:
    offsets = speeches.document_offsets(0, "train")
    tokens = speeches.train_tokens(0)
    assert offsets[0] == 0
    assert offsets[-1] == len(tokens)
    assert np.array_equal(np.flatnonzero(tokens == 0) + 1, offsets[1:])


def test_byte_tokens_have_one_byte_and_the_separator_none(speeches: Corpus) -> None:
    token_bytes = speeches.token_bytes()
    assert token_bytes is not None
    assert token_bytes.tolist() == [0] + [1] * 255


@pytest.mark.parametrize(("tokens", "windows"), [(0, 0), (1, 0), (16, 0), (17, 1), (32, 1), (33, 2)])
def test_window_has_one_token_more_than_it_predicts(tokens: int, windows: int) -> None:
    assert window_count(tokens, 16) == windows


def test_windows_tile_the_stream_and_share_one_token() -> None:
    tokens = np.arange(100, dtype=np.uint16)
    gathered = read_windows(tokens, np.arange(window_count(100, 16)), 16)
    assert gathered.shape == (6, 17)
    assert gathered.dtype == np.int64
    assert np.array_equal(gathered[:, 1:].reshape(-1), np.arange(1, 97))
    assert np.array_equal(gathered[1:, 0], gathered[:-1, -1])


def test_sequence_length_below_one_is_an_error(speeches: Corpus) -> None:
    with pytest.raises(InputError, match="sequence_length=0"):
        speeches.window_counts(0)


def write(folder: Path, kind: str) -> str:
    lines = "".join(json.dumps(record) + "\n" for record in RECORDS)
    if kind == "jsonl":
        (folder / "a.jsonl").write_text(lines)
        return f"jsonl:{folder}/*.jsonl"
    if kind == "jsonl.xz":
        (folder / "a.jsonl.xz").write_bytes(lzma.compress(lines.encode()))
        return f"jsonl:{folder}/*.jsonl.xz"
    if kind == "parquet":
        pq.write_table(pa.Table.from_pylist(RECORDS), folder / "a.parquet")
        return f"parquet:{folder}/*.parquet"
    (folder / "hub").mkdir()
    (folder / "hub" / "train.jsonl").write_text(lines)
    return f"hub:{folder}/hub"


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["jsonl", "jsonl.xz", "parquet", "hub"])
def test_every_record_format_gives_the_same_data(tmp_path: Path, kind: str) -> None:
    """The hub dataset is a local folder, which is streamed like a remote one."""
    spec = DataSpec(write(tmp_path, kind), token_budget=10_000)
    corpus = Corpus(prepare(spec, tmp_path / "data"))
    (domain,) = corpus.manifest.domains
    assert domain.train_documents + domain.validation_documents == 30
    assert domain.train_bytes + domain.validation_bytes == sum(len(str(record["text"])) for record in RECORDS)
    assert corpus.train_tokens(0)[:9].tobytes() == np.frombuffer(b"record 0 ", dtype=np.uint8).astype("<u2").tobytes()


def test_hub_stream_stops_at_its_token_budget(tmp_path: Path) -> None:
    spec = DataSpec(write(tmp_path, "hub"), token_budget=200)
    manifest = Corpus(prepare(spec, tmp_path / "data")).manifest
    assert 200 <= manifest.train_tokens < 300
    assert manifest.domains[0].train_documents < 20


@pytest.mark.parametrize("name", ["a[1].jsonl", "with space.jsonl", "plus+.jsonl"])
def test_unusual_file_names_are_read(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("".join(json.dumps(record) + "\n" for record in RECORDS))
    corpus = Corpus(prepare(DataSpec(f"jsonl:{tmp_path}/*.jsonl"), tmp_path / "data"))
    assert corpus.manifest.domains[0].train_documents + corpus.manifest.domains[0].validation_documents == 30
