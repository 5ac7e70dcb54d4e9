"""Invalid input is an error of one line that names the place and the fix."""

import gzip
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from windtunnel.train.data import corpus as corpus_module
from windtunnel.train.data.corpus import VERIFIED_NAME, Corpus
from windtunnel.train.data.evaluation_windows import evaluation_windows
from windtunnel.train.data.manifest import MANIFEST_NAME, FileRecord, content_hash, load_manifest
from windtunnel.train.data.prepare import prepare
from windtunnel.train.data.specification import DataSpec
from windtunnel.train.errors import InputError


@pytest.fixture
def error_message(tmp_path: Path) -> Callable[..., str]:
    """The message of the error of preparing a specification. Checks that it leaves nothing behind."""

    def message(spec: str, **fields: object) -> str:
        with pytest.raises(InputError) as caught:
            prepare(DataSpec(spec, **fields), tmp_path / "data")  # type: ignore[arg-type]
        assert "\n" not in str(caught.value)
        assert [path.suffix for path in (tmp_path / "data").iterdir()] == [".lock"]
        return str(caught.value)

    return message


def lines(path: Path, *records: object) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path


@pytest.mark.parametrize("kind", ["text", "jsonl", "parquet"])
def test_glob_without_matches_is_an_error(error_message: Callable[..., str], tmp_path: Path, kind: str) -> None:
    assert f"{kind}:{tmp_path}/*.none matches no file" in error_message(f"{kind}:{tmp_path}/*.none")


def test_empty_file_is_an_error(error_message: Callable[..., str], texts: Path) -> None:
    (texts / "empty.txt").touch()
    assert error_message(f"text:{texts}/*.txt").startswith(f"{texts}/empty.txt is empty: remove it")


def test_json_file_of_blank_lines_is_an_error(error_message: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "blank.jsonl").write_text("\n\n")
    assert f"jsonl:{tmp_path}/*.jsonl: no document is left" in error_message(f"jsonl:{tmp_path}/*.jsonl")


def test_blank_documents_alone_are_an_error(error_message: Callable[..., str], tmp_path: Path) -> None:
    path = lines(tmp_path / "a.jsonl", {"text": "  \n"}, {"text": ""})
    assert f"jsonl:{path}: no document is left after dropping blank ones" in error_message(f"jsonl:{path}")


def test_domain_of_duplicates_alone_is_an_error(error_message: Callable[..., str], texts: Path) -> None:
    assert "no document is left after dropping blank ones and 20 duplicates" in error_message(
        f"text:{texts}/*.txt+text:{texts}/*"
    )


def test_text_that_is_not_utf8_names_the_byte(error_message: Callable[..., str], texts: Path) -> None:
    (texts / "latin.txt").write_bytes(b"caf\xe9 au lait")
    assert f"{texts}/latin.txt is not UTF-8 at byte 3: convert it" in error_message(f"text:{texts}/*.txt")


def test_json_lines_that_are_not_utf8_name_line_and_byte(error_message: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b'{"text": "ok"}\n{"text": "caf\xe9"}\n')
    assert f"{tmp_path}/a.jsonl line 2 is not UTF-8 at byte 28" in error_message(f"jsonl:{tmp_path}/a.jsonl")


@pytest.mark.parametrize("compressed", [False, True])
def test_invalid_json_names_the_line(error_message: Callable[..., str], tmp_path: Path, compressed: bool) -> None:
    data = b'{"text": "one"}\n{"text": "two"}\n{"text": \n'
    path = tmp_path / ("a.jsonl.gz" if compressed else "a.jsonl")
    path.write_bytes(gzip.compress(data) if compressed else data)
    assert f"{path} line 3 is not valid JSON" in error_message(f"jsonl:{path}")


def test_missing_text_field_names_the_fields_present(error_message: Callable[..., str], tmp_path: Path) -> None:
    path = lines(tmp_path / "a.jsonl", {"body": "one", "id": 1})
    message = error_message(f"jsonl:{path}")
    assert message.startswith(
        f"{path} record 1: no text in field 'text': name the field with text_field=... (present: body, id)"
    )


def test_text_field_missing_from_one_record_is_an_error(error_message: Callable[..., str], tmp_path: Path) -> None:
    path = lines(tmp_path / "a.jsonl", {"text": "one"}, {"other": "two"})
    assert f"{path} record 2: no text in field 'text'" in error_message(f"jsonl:{path}")


def test_text_field_that_is_not_a_string_is_an_error(error_message: Callable[..., str], tmp_path: Path) -> None:
    path = lines(tmp_path / "a.jsonl", {"text": "one"}, {"text": 2})
    assert f"{path} record 2: field 'text' holds int, not text" in error_message(f"jsonl:{path}")


def test_parquet_column_that_is_not_a_string_is_an_error(error_message: Callable[..., str], tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": [1, 2]}), tmp_path / "a.parquet")
    assert f"{tmp_path}/a.parquet record 1: field 'text' holds int" in error_message(f"parquet:{tmp_path}/a.parquet")


def test_file_that_is_not_parquet_is_an_error(error_message: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_bytes(b"nothing of the kind")
    assert f"{tmp_path}/a.parquet cannot be read as parquet" in error_message(f"parquet:{tmp_path}/a.parquet")


def test_missing_group_field_is_an_error(error_message: Callable[..., str], tmp_path: Path) -> None:
    path = lines(tmp_path / "a.jsonl", {"text": "one"})
    assert f"{path} record 1: no value in group field 'author'" in error_message(f"jsonl:{path}", group_field="author")


def test_records_of_one_group_alone_are_an_error(error_message: Callable[..., str], tmp_path: Path) -> None:
    path = lines(tmp_path / "a.jsonl", {"text": "one", "author": "x"}, {"text": "two", "author": "x"})
    message = error_message(f"jsonl:{path}", group_field="author")
    assert message.startswith(f"jsonl:{path}: all documents are of one group")


def test_binary_file_is_an_error(error_message: Callable[..., str], texts: Path) -> None:
    (texts / "photo.txt").write_bytes(b"\x89PNG\r\n\x1a\n\x00\x00")
    assert f"{texts}/photo.txt: a NUL byte at offset 8, so this is binary" in error_message(f"text:{texts}/*.txt")


def test_binary_file_named_json_is_an_error(error_message: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b"\x89PNG\r\n\x1a\n\x00\x00")
    assert f"{tmp_path}/a.jsonl" in error_message(f"jsonl:{tmp_path}/a.jsonl")


def test_nul_in_a_record_is_an_error(error_message: Callable[..., str], tmp_path: Path) -> None:
    path = lines(tmp_path / "a.jsonl", {"text": "good"}, {"text": "b\0d"})
    assert f"{path} record 2: a NUL byte at offset 1" in error_message(f"jsonl:{path}")


def test_truncated_compressed_file_is_an_error(error_message: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "a.txt.gz").write_bytes(gzip.compress(os.urandom(1000))[:-20])
    assert f"{tmp_path}/a.txt.gz cannot be read" in error_message(f"text:{tmp_path}/*.gz")


def test_vocabulary_larger_than_the_text_supports_is_an_error(error_message: Callable[..., str], texts: Path) -> None:
    message = error_message(f"text:{texts}/*.txt", vocabulary=4096)
    assert "vocabulary=4096 is larger than the train text supports" in message
    assert "lower it to" in message


def test_unreachable_hub_names_the_offline_sources(error_message: Callable[..., str]) -> None:
    message = error_message("hub:nobody/nothing", token_budget=1000)
    assert message.startswith("hub:nobody/nothing cannot be read")
    assert "or use a source that needs none: speeches, plays, synthetic:context-tree" in message


def test_changed_input_is_an_error(texts: Path, tmp_path: Path) -> None:
    spec = DataSpec(f"text:{texts}/*.txt")
    folder = prepare(spec, tmp_path / "data")
    (texts / "00.txt").write_text("something else")
    with pytest.raises(InputError, match=rf"changed since {folder}/manifest.json was written: remove {folder}"):
        prepare(spec, tmp_path / "data")
    shutil.rmtree(texts)
    assert prepare(spec, tmp_path / "data") == folder  # the dataset does not need its input


def test_touched_input_is_not_changed_input(texts: Path, tmp_path: Path) -> None:
    spec = DataSpec(f"text:{texts}/*.txt")
    folder = prepare(spec, tmp_path / "data")
    path = texts / "00.txt"
    os.utime(path, ns=(0, 0))
    assert prepare(spec, tmp_path / "data") == folder
    path.write_bytes(path.read_bytes()[::-1])  # the same size
    os.utime(path, ns=(1, 1))
    with pytest.raises(InputError, match="changed since"):
        prepare(spec, tmp_path / "data")


def test_folder_of_another_spec_is_an_error(texts: Path, tmp_path: Path) -> None:
    one, other = DataSpec(f"text:{texts}/*.txt"), DataSpec(f"text:{texts}/0*.txt")
    prepare(one, tmp_path).rename(tmp_path / other.folder_name)
    with pytest.raises(InputError, match="holds another spec"):
        prepare(other, tmp_path)


def test_folder_without_manifest_is_an_error(tmp_path: Path) -> None:
    (tmp_path / DataSpec("speeches").folder_name).mkdir()
    with pytest.raises(InputError, match="not a prepared dataset: name another folder"):
        prepare(DataSpec("speeches"), tmp_path)


def test_data_directory_that_cannot_be_created_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot be created"):
        prepare(DataSpec("speeches"), tmp_path / "file" / "data")


@pytest.fixture
def prepared(texts: Path, tmp_path: Path) -> Path:
    return prepare(DataSpec(f"text:{texts}/*.txt", vocabulary=280), tmp_path / "data")


def shard(folder: Path) -> Path:
    (path,) = folder.glob("*-train.bin")
    return path


def test_opening_detects_a_truncated_shard(prepared: Path) -> None:
    with shard(prepared).open("r+b") as file:
        file.truncate(100)
    with pytest.raises(InputError, match=r"-train.bin is truncated \(100 bytes, manifest: .*prepare it again"):
        Corpus(prepared)


def test_opening_detects_a_longer_shard(prepared: Path) -> None:
    with shard(prepared).open("ab") as file:
        file.write(b"xx")
    with pytest.raises(InputError, match="longer than its manifest says"):
        Corpus(prepared)


def test_opening_detects_a_missing_shard(prepared: Path) -> None:
    shard(prepared).unlink()
    with pytest.raises(InputError, match=r"-train.bin is missing"):
        Corpus(prepared)


def test_opening_detects_a_changed_tokenizer(prepared: Path) -> None:
    path = prepared / "tokenizer.json"
    path.write_bytes(path.read_bytes().replace(b'"a"', b'"Q"', 1))
    with pytest.raises(InputError, match=r"tokenizer.json differs from the hash in its manifest"):
        Corpus(prepared)


def test_verify_detects_a_changed_shard(prepared: Path) -> None:
    path = shard(prepared)
    tokens = np.fromfile(path, dtype="<u2")
    tokens[5] ^= 1
    tokens.tofile(path)
    corpus = Corpus(prepared)
    with pytest.raises(InputError, match="differs from the hash"):
        corpus.verify()


def corrupt(path: Path) -> None:
    """Change a byte and keep the size."""
    data = bytearray(path.read_bytes())
    data[10] ^= 1
    path.write_bytes(data)


def test_verify_if_changed_reads_all_files_only_after_a_change(prepared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (prepared / VERIFIED_NAME).unlink()
    Corpus(prepared).verify_if_changed()
    unchanged, changed = Corpus(prepared), Corpus(prepared)
    with monkeypatch.context() as patch:
        patch.setattr(corpus_module, "file_sha256", None)  # any read fails now
        unchanged.verify_if_changed()
    path = shard(prepared)
    corrupt(path)
    os.utime(path, ns=(0, 0))  # the clock of a file system may be coarse
    for _ in range(2):  # a failure is not recorded as verified
        with pytest.raises(InputError, match=rf"{path} differs from the hash in its manifest"):
            changed.verify_if_changed()


def test_read_only_folder_is_verified_each_time(prepared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, content: bytes) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(corpus_module, "write_atomically", refuse)
    (prepared / VERIFIED_NAME).write_text("[torn")
    corpus = Corpus(prepared)
    corpus.verify_if_changed()
    corrupt(shard(prepared))
    with pytest.raises(InputError, match="differs from the hash"):
        corpus.verify_if_changed()


def test_prepared_dataset_is_already_verified(prepared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    corpus = Corpus(prepared)
    monkeypatch.setattr(corpus_module, "file_sha256", None)
    corpus.verify_if_changed()


def test_verify_detects_a_token_outside_the_vocabulary(prepared: Path) -> None:
    """The hashes match the shards; the vocabulary of the manifest is wrong."""
    manifest = load_manifest(prepared)
    digest = content_hash(60, manifest.separator_token, manifest.files)
    replace(manifest, vocabulary_size=60, content_hash=digest).write(prepared)
    with pytest.raises(InputError, match=r"hold id \d+ but the vocabulary is 60"):
        Corpus(prepared).verify()


def test_vocabulary_too_small_for_the_data_is_an_error(prepared: Path) -> None:
    corpus = Corpus(prepared)
    corpus.check_vocabulary(280)
    with pytest.raises(
        InputError, match="token ids up to 279 but the model's vocabulary is 279: set vocabulary_size to 280"
    ):
        corpus.check_vocabulary(279)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text[:-20], "is not valid JSON"),
        (lambda text: text.replace('"format": 1', '"format": 99'), "is not of format 1"),
        (lambda text: text.replace('"licence"', '"license"'), "has an invalid or missing field"),
        (lambda text: "[]", "is not of format 1"),
        (lambda text: "[" * 100_000, "is not valid JSON"),
    ],
)
def test_invalid_manifest_is_an_error(prepared: Path, change: Callable[[str], str], message: str) -> None:
    path = prepared / MANIFEST_NAME
    path.write_text(change(path.read_text()))
    with pytest.raises(InputError, match=message):
        Corpus(prepared)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"token_dtype": "float99"}, "token_dtype: Input should be 'uint16' or 'uint32'"),
        ({"token_dtype": "uint32"}, "tokens of uint32 for a vocabulary of 280"),
        ({"vocabulary_size": 65}, "content_hash does not match its vocabulary"),
        ({"vocabulary_size": "280"}, "vocabulary_size: Input should be a valid integer"),
        ({"vocabulary_size": -1}, "vocabulary_size: Input should be greater than or equal to 0"),
        ({"separator_token": 1.5}, "separator_token"),
        ({"content_hash": "0" * 64}, "content_hash does not match"),
        ({"domains": []}, "0 domains for the spec text:"),
        ({"domains": 3}, "domains: Input should be a valid array"),
        ({"domains": [None]}, "domains.0"),
        ({"tokenizer": None}, "content_hash does not match"),
        ({"tokenizer": {"name": 1}}, "tokenizer.name"),
        ({"spec": {"spec": "nothing"}}, "'nothing' is not a source"),
    ],
)
def test_manifest_with_wrong_values_is_a_one_line_error(prepared: Path, changes: dict[str, Any], message: str) -> None:
    path = prepared / MANIFEST_NAME
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    with pytest.raises(InputError) as caught:
        Corpus(prepared)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(str(path))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train_tokens": 5}, r"5 tokens in the \d+ bytes"),
        ({"train_offsets": FileRecord("../elsewhere.npy", 8, "0")}, "is not a file name"),
    ],
)
def test_domain_inconsistent_with_its_files_is_an_error(prepared: Path, changes: dict[str, Any], message: str) -> None:
    manifest = load_manifest(prepared)
    changed = replace(manifest, domains=(replace(manifest.domains[0], **changes),))
    digest = content_hash(changed.vocabulary_size, changed.separator_token, changed.files)
    replace(changed, content_hash=digest).write(prepared)
    with pytest.raises(InputError, match=message):
        load_manifest(prepared)


def test_unknown_home_folder_is_an_error(error_message: Callable[..., str]) -> None:
    assert error_message("text:~no-such-user/x").startswith("~no-such-user/x: no such home folder")


def test_validation_shorter_than_a_window_is_an_error(prepared: Path) -> None:
    with pytest.raises(InputError, match=r"validation tokens of text hold no window of 4096"):
        evaluation_windows(Corpus(prepared), 4096, 4096)
