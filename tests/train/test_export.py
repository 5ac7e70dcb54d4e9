"""An exported model has the logits and token ids of the trained one, or export is an error.

Shapes: M members, B sequences, T positions, V vocabulary.
"""

import json
import re
import shutil
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file

from windtunnel.models.transformer import Transformer
from windtunnel.sweeps.cli.main import main
from windtunnel.train import checkpoint, export
from windtunnel.train.config.config import RunConfig
from windtunnel.train.config.run_id import scientific_hash
from windtunnel.train.counts import corpus_summary, counts
from windtunnel.train.data.corpus import Corpus
from windtunnel.train.data.manifest import content_hash, load_manifest
from windtunnel.train.data.vocabulary import load_tokenizer
from windtunnel.train.export import byte_tokenizer, export_hf
from windtunnel.train.fleet import PARAMETERS
from windtunnel.train.records import RunRecord
from windtunnel.train.run import run_folder, train_runs

WriteRun = Callable[..., tuple[Path, Transformer]]
WIDER_THAN_BASE = ("size.width=48", "size.head_count=4", "size.depth=3")
MERGED = ("data=custom", "data.vocabulary=300", "data.evaluation_tokens=32", "data.max_epochs=9")


@pytest.fixture
def write_run(configure) -> WriteRun:
    """A recorded run with one checkpoint of random parameters and gains, so that an error in any of them shows."""

    def write(*overrides: str, step: int = 40, status: str = "finished") -> tuple[Path, Transformer]:
        config: RunConfig = configure(*overrides)
        model = Transformer(config.model)
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for parameter in model.parameters():
                fan_in = parameter.shape[1] if parameter.dim() == 3 else 1
                parameter.normal_(std=fan_in**-0.5, generator=generator)
        corpus = Corpus(Path(config.runtime.data_directory) / config.data.folder)
        folder = run_folder(config)
        with RunRecord(folder) as record:
            record.update(
                run_id=folder.name,
                scientific_hash=scientific_hash(config),
                status=status,
                result={},
                config=asdict(config),
                counts=counts(config, corpus),
                data=corpus_summary(corpus),
            )
        tensors = {PARAMETERS + name: value.detach()[0].contiguous() for name, value in model.named_parameters()}
        checkpoint.save(folder, step, tensors | {"first_moment": torch.zeros(3)}, folder.name)
        return folder, model

    return write


@pytest.fixture
def corpus_glob(tmp_path: Path) -> str:
    """Three documents with enough distinct pairs for a few merges."""
    for number in range(3):
        words = " ".join(f"the {number * i % 17} winds of tunnel {i} are {'very ' * (i % 3)}strong" for i in range(60))
        (tmp_path / f"document-{number}.txt").write_text(words)
    return f'"text:{tmp_path}/document-*.txt"'


def error_line(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    assert main(["export", *map(str, arguments)]) == 2
    written = capsys.readouterr()
    assert not written.out
    (line,) = written.err.splitlines()
    return line


@pytest.mark.slow
@pytest.mark.parametrize(
    ("overrides", "class_name"),
    [
        (("parametrization=standard", "parametrization.residual_exponent=0"), "LlamaForCausalLM"),
        (WIDER_THAN_BASE, "LlamaForCausalLM"),
        ((*WIDER_THAN_BASE, "architecture.tied_embedding=true"), "LlamaForCausalLM"),
        (("architecture=qwen3", "architecture.rotary_base=500"), "Qwen3ForCausalLM"),
        ((*WIDER_THAN_BASE, "architecture=qwen3", "architecture.tied_embedding=true"), "Qwen3ForCausalLM"),
    ],
)
def test_exported_logits_equal_those_of_training(
    write_run: WriteRun, tmp_path: Path, overrides, class_name: str
) -> None:
    transformers = pytest.importorskip("transformers")
    folder, model = write_run(*overrides)
    exported, info = transformers.AutoModelForCausalLM.from_pretrained(
        export_hf(folder, tmp_path / "model", None), output_loading_info=True
    )
    assert type(exported).__name__ == class_name
    assert exported.dtype is torch.float32
    assert not any(info.values())  # no name missing, unexpected or of another shape
    tokens_MBT = torch.randint(256, (1, 3, 32), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        logits_MBTV, exported_BTV = model(tokens_MBT), exported(tokens_MBT[0]).logits
    assert logits_MBTV.std() > 0.1
    torch.testing.assert_close(exported_BTV, logits_MBTV[0], rtol=1e-5, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("vocabulary", ["bytes", "merged"])
def test_exported_tokenizer_equals_that_of_training(
    write_run: WriteRun, tmp_path: Path, corpus_glob: str, vocabulary: str
) -> None:
    transformers = pytest.importorskip("transformers")
    folder, _ = write_run(*(() if vocabulary == "bytes" else (*MERGED, f"data.spec={corpus_glob}")))
    output = export_hf(folder, tmp_path / "model", None)
    tokenizer = transformers.AutoTokenizer.from_pretrained(output)
    text = "The winds  of\n\tÜberflug Ā €, and <|endoftext|> in a text is text"
    expected = list(text.encode()) if vocabulary == "bytes" else load_tokenizer(output / "tokenizer.json").encode(text)
    ids = tokenizer(text)["input_ids"]
    assert ids == (expected if isinstance(expected, list) else expected.ids)
    assert tokenizer.decode(ids) == text
    assert (tokenizer.bos_token_id, tokenizer.eos_token_id) == (0, 0)
    assert len(tokenizer) == json.loads((output / "config.json").read_text())["vocab_size"]


@pytest.fixture(scope="module")
def tokenizer_of_bytes():
    tokenizer = byte_tokenizer()
    tokenizer.encode_special_tokens = True  # as `split_special_tokens` in the exported settings has it
    return tokenizer


@given(text=st.text())
def test_byte_tokenizer_ids_are_the_bytes(tokenizer_of_bytes, text: str) -> None:
    ids = tokenizer_of_bytes.encode(text).ids
    assert ids == list(text.encode())
    assert tokenizer_of_bytes.decode(ids) == text.replace("\0", "")  # the separator, which decoding leaves out


def test_multipliers_of_one_change_no_bit(write_run: WriteRun, tmp_path: Path) -> None:
    folder, model = write_run("parametrization=standard", "parametrization.residual_exponent=0")
    tensors = load_file(export_hf(folder, tmp_path / "model", None) / "model.safetensors")
    first = model.blocks[0]
    assert torch.equal(tensors["model.norm.weight"], model.final_norm.gain[0])
    assert torch.equal(tensors["model.layers.0.mlp.down_proj.weight"].T, first.feedforward.down.weight[0])
    assert torch.equal(tensors["model.layers.0.self_attn.o_proj.weight"].T, first.attention.output.weight[0])


def test_export_needs_no_transformers(
    configure, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)  # importing it now fails
    config = configure()
    train_runs([config], show_progress=False)
    capsys.readouterr()
    folder = run_folder(config)
    assert main(["export", folder.name, "--format", "hf", "--runs", str(folder.parent)]) == 0
    written = capsys.readouterr()
    output = folder / "hf-step-40"
    assert (written.out, written.err) == (f"{output}\n", "")
    names = {"README.md", "config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"}
    assert {path.name for path in output.iterdir()} == names
    assert all(path.stat().st_mode & 0o444 == 0o444 for path in output.iterdir())
    settings = json.loads((output / "config.json").read_text())
    expected = {
        "max_position_embeddings": 32,
        "rope_theta": 10000.0,
        "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0},
        "dtype": "float32",
        "torch_dtype": "float32",
        "bos_token_id": 0,
        "eos_token_id": 0,
    }
    assert {key: settings[key] for key in expected} == expected
    card = (output / "README.md").read_text()
    assert folder.name in card
    assert "public domain" in card
    assert re.search(r"\d\.\d{4} ± \d\.\d{4} nats per token", card)


def test_unfinished_run_exports_its_newest_checkpoint_with_a_note(
    write_run: WriteRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, _ = write_run(step=10, status="preempted")
    checkpoint.save(folder, 20, checkpoint.find(folder)[0].load(), folder.name)
    assert main(["export", str(folder)]) == 0
    written = capsys.readouterr()
    assert written.out == f"{folder / 'hf-step-20'}\n"
    assert "preempted: this is step 20 of 40" in written.err
    assert main(["export", str(folder), "--step", "10", "--output", str(tmp_path / "new" / "early")]) == 0
    assert "step 10 of 40" in (tmp_path / "new" / "early" / "README.md").read_text()


@pytest.mark.slow
def test_synthetic_data_export_without_a_tokenizer(
    write_run: WriteRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, _ = write_run("data=context-tree", "data.token_budget=8192")
    assert main(["export", str(folder)]) == 0
    assert "without a tokenizer" in capsys.readouterr().err
    output = folder / "hf-step-40"
    assert not list(output.glob("tokenizer*"))
    assert json.loads((output / "config.json").read_text())["eos_token_id"] is None


def test_input_errors_are_one_line_with_a_fix(
    write_run: WriteRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, _ = write_run()
    assert "no run record" in error_line(capsys, "no-such-run", "--runs", tmp_path)
    assert "no checkpoint at step 7; choose --step from 40" in error_line(capsys, folder, "--step", 7)
    assert "exists already" in error_line(capsys, folder, "--output", tmp_path)
    gelu, _ = write_run("architecture=gelu")
    assert "architecture=llama" in error_line(capsys, gelu)
    checkpoint.find(folder)[0].path.unlink()
    assert "no checkpoint to export, the run is finished" in error_line(capsys, folder)


def test_unwritable_output_is_one_line(
    write_run: WriteRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, _ = write_run()
    for output in ("/dev/null/x", tmp_path / ("x" * 300)):
        line = error_line(capsys, folder, "--output", output)
        assert line.startswith(f"windtunnel: {output}: cannot be made (")
        assert line.endswith("name another folder with --output")

    def refuse(path: Path, *arguments: object, **options: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "mkdir", refuse)  # a run folder that is read-only, also to root
    assert "hf-step-40: cannot be made (Permission denied)" in error_line(capsys, folder)


def test_changed_tokenizer_is_not_exported(
    write_run: WriteRun, corpus_glob: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, _ = write_run(*MERGED, f"data.spec={corpus_glob}")
    config = json.loads((folder / "run.json").read_text())["config"]
    prepared = Path(config["runtime"]["data_directory"]) / config["data"]["folder"]
    tokenizer = (prepared / "tokenizer.json").read_text()
    (prepared / "tokenizer.json").write_text(tokenizer + " ")
    assert "changed since it was prepared" in error_line(capsys, folder)
    (prepared / "tokenizer.json").write_text(tokenizer)
    manifest = load_manifest(prepared)
    digest = content_hash(manifest.vocabulary_size, 1, manifest.files)
    replace(manifest, separator_token=1, content_hash=digest).write(prepared)
    assert "other content hash" in error_line(capsys, folder)
    shutil.rmtree(prepared)
    assert "are gone" in error_line(capsys, folder)


def test_interrupted_export_leaves_nothing(
    write_run: WriteRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, _ = write_run()
    whole = export.write_atomically

    def fail_late(path: Path, content: bytes) -> None:
        if path.name == "README.md":
            raise OSError("disk full")
        whole(path, content)

    monkeypatch.setattr(export, "write_atomically", fail_late)
    place = tmp_path / "place"
    with pytest.raises(OSError, match="disk full"):
        export_hf(folder, place / "model", None)
    assert list(place.iterdir()) == []
