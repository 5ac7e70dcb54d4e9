"""A run's checkpoint as a model folder that Hugging Face `transformers` loads, with equal logits.

The network is that of `LlamaForCausalLM`, or with norms of queries and keys of `Qwen3ForCausalLM`. Neither knows
residual or logit multipliers, so these go into the weights behind which they stand. Nothing here needs `transformers`.

Shape suffixes: D width, F feed-forward width, K head size, V vocabulary; 2F and 3D are matrices side by side.
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
from windtunnel.train.data.manifest import load, sha256_of
from windtunnel.train.data.specification import BYTE_VOCABULARY
from windtunnel.train.data.vocabulary import BYTE_SEPARATOR, MERGED_SEPARATOR, SEPARATOR_TEXT
from windtunnel.train.errors import InputError
from windtunnel.train.fleet import PARAMETERS
from windtunnel.train.records import Json, read_metrics, read_record, write_atomically

if TYPE_CHECKING:
    from tokenizers import Tokenizer


def export_hf(
    run_folder: Path, output: Path | None = None, step: int | None = None, log: Callable[[str], None] = lambda _: None
) -> Path:
    """Write the checkpoint of `step` to the new folder `output`, whole or not at all, and return it.

    output: default: `hf-step-STEP` in the run's folder. step: default: the newest checkpoint. log: called with notes on
    the model.

    Raises InputError where there is no such run or checkpoint, the model has no counterpart in transformers, the
    tokenizer is gone, or `output` exists.
    """
    record = read_record(run_folder)
    config = recorded_config(record)
    chosen = _choose_checkpoint(run_folder, record, step)
    output = output or run_folder / f"hf-step-{chosen.step}"
    _check_new(output)
    architecture = _architecture(config.model)
    is_synthetic = config.data.spec.startswith("synthetic:")  # never joined with text
    tokenizer_files = {} if is_synthetic else _tokenizer_files(run_folder, config)
    separator = None if is_synthetic else _separator(config)
    parameters = {
        name.removeprefix(PARAMETERS): tensor for name, tensor in chosen.load().items() if name.startswith(PARAMETERS)
    }
    files = {
        "config.json": _json({**architecture, **model_settings(config.model, config.data.sequence_length, separator)}),
        "model.safetensors": save_tensors(renamed_tensors(config.model, parameters), metadata={"format": "pt"}),
        **tokenizer_files,
        "README.md": _model_card(run_folder, record, config, chosen.step).encode(),
    }
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
    if record["status"] != "finished" or chosen.step != config.schedule.total_steps:
        log(f"the run is {record['status']}: this is step {chosen.step:,} of {config.schedule.total_steps:,}")
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


def _choose_checkpoint(folder: Path, record: Json, step: int | None) -> Checkpoint:
    found = checkpoint.find(folder)
    if not found:
        raise InputError(
            f"{folder}: no checkpoint to export, the run is {record['status']}; name a run that has written one"
        )
    if step is None:
        return found[-1]
    for candidate in found:
        if candidate.step == step:
            return candidate
    raise InputError(
        f"{folder}: no checkpoint at step {step}; choose step=... from {', '.join(str(c.step) for c in found)}"
    )


def _architecture(model: ModelConfig) -> Json:
    if model.activation != "swiglu":
        raise InputError(
            f"activation={model.activation}: Llama and Qwen3 in transformers have gated feed-forward layers only; "
            "train with architecture=llama or architecture=qwen3 to export"
        )
    if model.qk_norm:
        return {"architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3"}
    return {"architectures": ["LlamaForCausalLM"], "model_type": "llama"}


def model_settings(model: ModelConfig, sequence_length: int, separator: int | None) -> Json:
    """What `config.json` says beside the architecture. `separator` ends each document; None: there is no such token.

    Rotary base and dtype are written under their names of transformers 4 and 5.
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


def renamed_tensors(model: ModelConfig, parameters: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """One member's parameters under the names, in the layout (out, in) and with the multipliers folded in.

    A residual branch ends in its `output` or `down` matrix, which takes the residual multiplier; the gain of the final
    norm takes the logit multiplier, so that a tied embedding stays as it is. A multiplier of 1 changes no bit.
    """
    tensors = {
        "model.embed_tokens.weight": parameters["embedding.weight"],
        "model.norm.weight": parameters["final_norm.gain"] * model.logit_multiplier,
    }
    if not model.tied_embedding:
        tensors["lm_head.weight"] = parameters["readout.weight"].T
    for layer in range(model.depth):
        ours, theirs = f"blocks.{layer}", f"model.layers.{layer}"
        query_key_value_D3D = parameters[f"{ours}.attention.query_key_value.weight"]
        gate_and_up_D2F = parameters[f"{ours}.feedforward.gate_and_up.weight"]
        for name, weight_DD in zip("qkv", query_key_value_D3D.chunk(3, dim=1), strict=True):
            tensors[f"{theirs}.self_attn.{name}_proj.weight"] = weight_DD.T
        for name, weight_DF in zip(("gate", "up"), gate_and_up_D2F.chunk(2, dim=1), strict=True):
            tensors[f"{theirs}.mlp.{name}_proj.weight"] = weight_DF.T
        output_DD = parameters[f"{ours}.attention.output.weight"] * model.residual_multiplier
        down_FD = parameters[f"{ours}.feedforward.down.weight"] * model.residual_multiplier
        tensors[f"{theirs}.self_attn.o_proj.weight"] = output_DD.T
        tensors[f"{theirs}.mlp.down_proj.weight"] = down_FD.T
        tensors[f"{theirs}.input_layernorm.weight"] = parameters[f"{ours}.attention_norm.gain"]
        tensors[f"{theirs}.post_attention_layernorm.weight"] = parameters[f"{ours}.feedforward_norm.gain"]
        if model.qk_norm:
            for letter, name in (("q", "query"), ("k", "key")):
                gain_K = parameters[f"{ours}.attention.{name}_norm.gain"]
                tensors[f"{theirs}.self_attn.{letter}_norm.weight"] = gain_K
    return {name: tensor.contiguous() for name, tensor in tensors.items()}


def byte_tokenizer() -> "Tokenizer":
    """A tokenizer whose ids are the values of the UTF-8 bytes; id 0, which no text holds, is the separator."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    # Each byte has a character: itself where that is printable, and for the others the next ones from U+0100.
    characters = sorted(pre_tokenizers.ByteLevel.alphabet())
    printable = [ord(character) for character in characters if ord(character) < BYTE_VOCABULARY]
    others = sorted(set(range(BYTE_VOCABULARY)).difference(printable))
    vocabulary = dict(zip(characters, printable + others, strict=True))
    # Under its own name the separator cannot be written by mistake; an actual NUL still becomes id 0, as the unknown.
    del vocabulary[characters[len(printable) + others.index(BYTE_SEPARATOR)]]
    vocabulary[SEPARATOR_TEXT] = BYTE_SEPARATOR
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[], unk_token=SEPARATOR_TEXT))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([SEPARATOR_TEXT])
    return tokenizer


def _separator(config: RunConfig) -> int:
    return BYTE_SEPARATOR if config.data.vocabulary_size == BYTE_VOCABULARY else MERGED_SEPARATOR


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
        "split_special_tokens": True,  # as in training, the separator's name in a text is ordinary text
    }
    return {"tokenizer.json": tokenizer, "tokenizer_config.json": _json(settings)}


def _prepared_tokenizer(run_folder: Path, config: RunConfig) -> bytes:
    """The tokenizer of the data that the run was trained on, and of no other."""
    folder = Path(config.runtime.data_directory) / config.data.folder
    mend = f"prepare {config.data.spec} again with `windtunnel data prepare`, or export where the run was trained"
    if not folder.exists():
        raise InputError(
            f"{folder}: the prepared data of {run_folder.name}, which hold its tokenizer, are gone; {mend}"
        )
    manifest = load(folder)
    if manifest.content_hash != config.data.content_hash or manifest.tokenizer is None:
        raise InputError(f"{folder}: not the data that {run_folder.name} was trained on (other content hash); {mend}")
    path = folder / manifest.tokenizer.name
    if not path.is_file() or sha256_of(path) != manifest.tokenizer.sha256:
        raise InputError(f"{path}: missing or changed since it was prepared; {mend}")
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
        **{f"data: {domain['name']}": f"licence: {domain['licence']}" for domain in record["data"]["domains"]},
    }
    lines = ["---", "library_name: transformers", "pipeline_tag: text-generation", "---", "", f"# {record['run_id']}"]
    lines += ["", "A small model of a scaling study, trained and exported by windtunnel.", "", "| | |", "|---|---|"]
    return "\n".join([*lines, *(f"| {name} | {value} |" for name, value in rows.items())]) + "\n"


def _json(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, indent=2).encode() + b"\n"
