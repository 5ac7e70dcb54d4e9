"""A run's checkpoint as a model folder that Hugging Face `transformers` loads, with equal logits.

The network is that of `LlamaForCausalLM`, or of `Qwen3ForCausalLM` if queries and keys are normalized. Neither has
residual or logit multipliers, so they are multiplied into the weights before them. `transformers` is not imported.

Shape suffixes: D width, F feed-forward width, K head size; 2F and 3D are matrices side by side.
"""

import json
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import save as save_tensors

from windtunnel.models.configuration import ModelConfig
from windtunnel.train import checkpoint
from windtunnel.train.checkpoint import Checkpoint
from windtunnel.train.config.branch_parent import recorded_config
from windtunnel.train.config.config import RunConfig
from windtunnel.train.data.manifest import file_sha256, load_manifest
from windtunnel.train.data.specification import BYTE_VOCABULARY
from windtunnel.train.data.vocabulary import BPE_SEPARATOR, BYTE_SEPARATOR, SEPARATOR_TEXT
from windtunnel.train.errors import InputError
from windtunnel.train.fleet import PARAMETERS
from windtunnel.train.records import Json, read_metrics, read_record, write_atomically

if TYPE_CHECKING:  # for start-up time
    from tokenizers import Tokenizer


def export_hf(
    run_folder: Path, output: Path | None = None, step: int | None = None, log: Callable[[str], None] = lambda _: None
) -> Path:
    """Write a checkpoint to the new folder `output`, completely or not at all. Returns the folder.

    output: default `hf-step-STEP` in the run folder. step: default the newest checkpoint. log: called with notes about
    the model.

    Raises InputError if there is no such run or checkpoint, the model has no equivalent in transformers, the tokenizer
    is gone, or `output` exists.
    """
    record = read_record(run_folder)
    config = recorded_config(record)
    selected = _select_checkpoint(run_folder, record, step)
    output = output or run_folder / f"hf-step-{selected.step}"
    _check_new(output)
    architecture = _architecture(config.model)
    is_synthetic = config.data.spec.startswith("synthetic:")  # never joined with text
    separator = None if is_synthetic else _separator(config)
    tensors = selected.load().items()
    parameters = {name.removeprefix(PARAMETERS): tensor for name, tensor in tensors if name.startswith(PARAMETERS)}
    files = {
        "config.json": _json({**architecture, **model_settings(config.model, config.data.sequence_length, separator)}),
        "model.safetensors": save_tensors(converted_tensors(config.model, parameters), metadata={"format": "pt"}),
        **({} if is_synthetic else _tokenizer_files(run_folder, config)),
        "README.md": _model_card(run_folder, record, config, selected.step).encode(),
    }
    _write_folder(output, files)
    if record["status"] != "finished" or selected.step != config.schedule.total_steps:
        log(f"the run is {record['status']}: this is step {selected.step:,} of {config.schedule.total_steps:,}")
    if is_synthetic:
        log(f"{config.data.spec} has no text: the model is exported without a tokenizer")
    return output


def _check_new(output: Path) -> None:
    try:
        exists = output.exists()
    except OSError as error:
        raise _unwritable(output, error) from None
    if exists:
        raise InputError(f"{output}: exists already; delete it, or name another folder with output=...")


def _unwritable(output: Path, error: OSError) -> InputError:
    return InputError(f"{output}: cannot be made ({error.strerror}); name another folder with output=...")


def _write_folder(output: Path, files: Mapping[str, bytes]) -> None:
    """Write all files, or leave no folder."""
    unfinished = output.with_name(f".{output.name}.{os.getpid()}.tmp")
    try:
        unfinished.mkdir(parents=True)
    except OSError as error:
        raise _unwritable(output, error) from None
    try:
        for name, content in files.items():
            write_atomically(unfinished / name, content)
        unfinished.rename(output)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _select_checkpoint(folder: Path, record: Json, step: int | None) -> Checkpoint:
    checkpoints = checkpoint.find(folder)
    if not checkpoints:
        raise InputError(
            f"{folder}: no checkpoint to export, the run is {record['status']}; name a run that has written one"
        )
    if step is None:
        return checkpoints[-1]
    for candidate in checkpoints:
        if candidate.step == step:
            return candidate
    steps = ", ".join(str(candidate.step) for candidate in checkpoints)
    raise InputError(f"{folder}: no checkpoint at step {step}; choose step=... from {steps}")


def _architecture(model: ModelConfig) -> Json:
    if model.activation != "swiglu":
        raise InputError(
            f"activation={model.activation}: Llama and Qwen3 in transformers have only gated feed-forward layers; "
            "train with architecture=llama or architecture=qwen3 to export"
        )
    if model.qk_norm:
        return {"architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3"}
    return {"architectures": ["LlamaForCausalLM"], "model_type": "llama"}


def model_settings(model: ModelConfig, sequence_length: int, separator: int | None) -> Json:
    """The entries of `config.json` besides the architecture.

    separator: the token between documents, or None. Rotary base and dtype are written under their names in
    transformers 4 and 5.
    """
    return {
        "vocab_size": model.vocabulary_size,
        "hidden_size": model.width,
        "intermediate_size": model.feedforward_width,
        "num_hidden_layers": model.depth,
        "num_attention_heads": model.head_count,
        "num_key_value_heads": model.head_count,
        "head_dim": model.head_size,
        "hidden_act": "silu",
        "max_position_embeddings": sequence_length,
        "rms_norm_eps": model.norm_epsilon,
        "rope_theta": model.rotary_base,
        "rope_parameters": {"rope_type": "default", "rope_theta": model.rotary_base},
        "attention_bias": False,
        "mlp_bias": False,
        "tie_word_embeddings": model.tied_embedding,
        "bos_token_id": separator,
        "eos_token_id": separator,
        "dtype": "float32",
        "torch_dtype": "float32",
    }


def converted_tensors(model: ModelConfig, parameters: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """One member's parameters under the names of transformers, in (out, in) layout, with the multipliers folded in.

    The residual multiplier goes into the last matrix of a residual branch (`output`, `down`), the logit multiplier into
    the gain of the final norm, so that a tied embedding is unchanged. A multiplier of 1 changes no bit.
    """
    tensors = {
        "model.embed_tokens.weight": parameters["embedding.weight"],
        "model.norm.weight": parameters["final_norm.gain"] * model.logit_multiplier,
    }
    if not model.tied_embedding:
        tensors["lm_head.weight"] = parameters["readout.weight"].T
    for layer in range(model.depth):
        source, target = f"blocks.{layer}", f"model.layers.{layer}"
        query_key_value_D3D = parameters[f"{source}.attention.query_key_value.weight"]
        gate_and_up_D2F = parameters[f"{source}.feedforward.gate_and_up.weight"]
        for name, weight_DD in zip("qkv", query_key_value_D3D.chunk(3, dim=1), strict=True):
            tensors[f"{target}.self_attn.{name}_proj.weight"] = weight_DD.T
        for name, weight_DF in zip(("gate", "up"), gate_and_up_D2F.chunk(2, dim=1), strict=True):
            tensors[f"{target}.mlp.{name}_proj.weight"] = weight_DF.T
        output_DD = parameters[f"{source}.attention.output.weight"] * model.residual_multiplier
        down_FD = parameters[f"{source}.feedforward.down.weight"] * model.residual_multiplier
        tensors[f"{target}.self_attn.o_proj.weight"] = output_DD.T
        tensors[f"{target}.mlp.down_proj.weight"] = down_FD.T
        tensors[f"{target}.input_layernorm.weight"] = parameters[f"{source}.attention_norm.gain"]
        tensors[f"{target}.post_attention_layernorm.weight"] = parameters[f"{source}.feedforward_norm.gain"]
        if model.qk_norm:
            for letter, name in (("q", "query"), ("k", "key")):
                gain_K = parameters[f"{source}.attention.{name}_norm.gain"]
                tensors[f"{target}.self_attn.{letter}_norm.weight"] = gain_K
    return {name: tensor.contiguous() for name, tensor in tensors.items()}


def byte_tokenizer() -> "Tokenizer":
    """A tokenizer whose ids are the values of UTF-8 bytes. Id 0, a byte that no text has, is the separator."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers  # for start-up time

    # Each byte has a character: a printable byte itself, any other byte the next character from U+0100 on.
    characters = sorted(pre_tokenizers.ByteLevel.alphabet())
    printable = [ord(character) for character in characters if ord(character) < BYTE_VOCABULARY]
    others = sorted(set(range(BYTE_VOCABULARY)).difference(printable))
    vocabulary = dict(zip(characters, printable + others, strict=True))
    # Under its own name the separator cannot appear in a text by accident. A NUL byte still becomes id 0, as unknown.
    del vocabulary[characters[len(printable) + others.index(BYTE_SEPARATOR)]]
    vocabulary[SEPARATOR_TEXT] = BYTE_SEPARATOR
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[], unk_token=SEPARATOR_TEXT))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([SEPARATOR_TEXT])
    return tokenizer


def _separator(config: RunConfig) -> int:
    return BYTE_SEPARATOR if config.data.vocabulary_size == BYTE_VOCABULARY else BPE_SEPARATOR


def _tokenizer_files(run_folder: Path, config: RunConfig) -> dict[str, bytes]:
    if config.data.vocabulary_size == BYTE_VOCABULARY:
        tokenizer = byte_tokenizer().to_str().encode()
    else:
        tokenizer = _prepared_tokenizer(run_folder, config)
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": SEPARATOR_TEXT,
        "eos_token": SEPARATOR_TEXT,
        "model_max_length": config.data.sequence_length,
        "clean_up_tokenization_spaces": False,
        "split_special_tokens": True,  # as in training: the name of the separator in a text is ordinary text
    }
    return {"tokenizer.json": tokenizer, "tokenizer_config.json": _json(settings)}


def _prepared_tokenizer(run_folder: Path, config: RunConfig) -> bytes:
    """The tokenizer of the data that the run was trained on. Raises InputError if it is gone or was changed."""
    folder = Path(config.runtime.data_directory) / config.data.folder
    hint = f"prepare {config.data.spec} again with `windtunnel data prepare`, or export where the run was trained"
    if not folder.exists():
        raise InputError(f"{folder}: the prepared data of {run_folder.name}, with its tokenizer, are gone; {hint}")
    manifest = load_manifest(folder)
    if manifest.content_hash != config.data.content_hash or manifest.tokenizer is None:
        raise InputError(f"{folder}: not the data that {run_folder.name} was trained on (other content hash); {hint}")
    path = folder / manifest.tokenizer.name
    if not path.is_file() or file_sha256(path) != manifest.tokenizer.sha256:
        raise InputError(f"{path}: missing or changed since it was prepared; {hint}")
    return path.read_bytes()


def _model_card(run_folder: Path, record: Json, config: RunConfig, step: int) -> str:
    parameters = record["counts"]["parameters"]
    evaluations = [row for row in read_metrics(run_folder, "evaluation") if row["step"] == step]
    loss = "not measured at this step"
    if evaluations:
        row = evaluations[-1]
        error = row["validation_standard_error"]
        loss = f"{row['validation_nats_per_token']:.4f} ± {error:.4f} nats per token"
        if "validation_bits_per_byte" in row:
            loss += f", {row['validation_bits_per_byte']:.4f} bits per byte"
    rows = {
        "parameters": f"{parameters['total']:,} ({parameters['non_embedding']:,} non-embedding)",
        "training": f"step {step:,} of {config.schedule.total_steps:,}, {step * config.tokens_per_step:,} tokens in "
        f"sequences of {config.data.sequence_length:,}",
        "validation loss": loss,
        **{f"data: {domain['name']}": f"license: {domain['licence']}" for domain in record["data"]["domains"]},
    }
    lines = ["---", "library_name: transformers", "pipeline_tag: text-generation", "---", "", f"# {record['run_id']}"]
    lines += ["", "A small model of a scaling study, trained and exported by windtunnel.", "", "| | |", "|---|---|"]
    return "\n".join([*lines, *(f"| {name} | {value} |" for name, value in rows.items())]) + "\n"


def _json(content: Mapping[str, Any]) -> bytes:
    return json.dumps(content, indent=2).encode() + b"\n"
