"""A Llama of 170,000 random weights in every form: small enough to make in a test.

Its tokenizer has one token a byte and three special ones; its weights are large enough that
the next token is far from uniform, so that a conversion that mixes up rows shows.
"""

from pathlib import Path
from typing import Any

import gguf
import msgspec
import numpy as np
import torch
from peft import LoraConfig, get_peft_model
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from wherry.contracts import (
    Dataset,
    Kind,
    Manifest,
    Message,
    ModelRef,
    Row,
    Source,
    Split,
    digest_bytes,
    digest_file,
)

TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + "
    "message['content'] + '<|im_end|>' + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
LABELS = ("bone", "heart", "skin")
LAYERS, WIDTH, HEADS, KEY_HEADS = 2, 64, 4, 2
_SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
_MERGE = ("h", "e")
"""llama.cpp refuses a tokenizer without any."""


def make_base(folder: Path, *, seed: int = 0, architecture: str = "llama") -> ModelRef:
    """Writes a base model's folder as the base room does."""
    folder.mkdir(parents=True)
    torch.manual_seed(seed)
    model = LlamaForCausalLM(_config())
    model.save_pretrained(folder)
    _tokenizer().save_pretrained(folder)
    _write_source(folder / "source.gguf", model, architecture)
    digest = digest_file(folder / "model.safetensors")
    return _sealed(folder, "model.safetensors", "transformers", base_digest=digest)


def make_adapter(folder: Path, base: Path, *, seed: int = 1) -> ModelRef:
    """Writes a LoRA adapter that changes the model, as the tune room does."""
    torch.manual_seed(seed)
    plain = LlamaForCausalLM.from_pretrained(base, dtype=torch.float32)
    recipe = LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False)
    get_peft_model(plain, recipe).save_pretrained(folder)
    (folder / "README.md").unlink(missing_ok=True)
    base_digest = ModelRef.read(base / "model.json").digest
    return _sealed(folder, "adapter_model.safetensors", "adapter", base_digest=base_digest)


def make_dataset(folder: Path, *, rows: int = 6, kind: Kind = "chat") -> Dataset:
    """Writes a data set of three splits as the ingest room does."""
    folder.mkdir(parents=True)
    splits = tuple(_split(folder, name, rows, kind) for name in ("train", "eval", "test"))
    made = Dataset(
        kind=kind,
        splits=splits,
        digest=digest_bytes(b"data"),
        source=Source("dvc:.", "", "data", "md5:0"),
        labels=LABELS,
    )
    made.write(folder / "dataset.json")
    Manifest.seal(folder)
    return made


def _split(folder: Path, name: Any, rows: int, kind: Kind) -> Split:
    path = folder / f"{name}.jsonl"
    lines = [_row(name, number, kind) for number in range(rows)]
    path.write_bytes(b"".join(msgspec.json.encode(line) + b"\n" for line in lines))
    return Split(name, path.name, rows, digest_file(path))


def _row(name: str, number: int, kind: Kind) -> Row:
    label = LABELS[number % len(LABELS)]
    if kind == "text":
        return Row(f"{name}-{number}", text=f"{name} case {number * 37} is of the {label}.")
    messages = (
        Message("system", "Name it."),
        Message("user", f"{name} case {number * 37}"),
        Message("assistant", label),
    )
    return Row(
        f"{name}-{number}", messages, label, rejected="unknown" if kind == "preference" else ""
    )


def _sealed(folder: Path, file: str, kind: Any, *, base_digest: str) -> ModelRef:
    made = ModelRef(
        name="Tiny-Llama",
        format=kind,
        file=file,
        digest=digest_file(folder / file),
        size=(folder / file).stat().st_size,
        base_uri="file:tiny",
        base_digest=base_digest,
        template_digest=digest_bytes(TEMPLATE.encode()),
    )
    made.write(folder / "model.json")
    Manifest.seal(folder)
    return made


def _config() -> LlamaConfig:
    return LlamaConfig(
        vocab_size=len(_vocabulary()),
        hidden_size=WIDTH,
        intermediate_size=96,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        num_key_value_heads=KEY_HEADS,
        max_position_embeddings=512,
        initializer_range=0.15,
        bos_token_id=1,
        eos_token_id=2,
        tie_word_embeddings=False,
    )


def _vocabulary() -> list[str]:
    return [*_SPECIAL, *sorted(pre_tokenizers.ByteLevel.alphabet()), "".join(_MERGE)]


def _tokenizer() -> PreTrainedTokenizerFast:
    vocabulary = {token: index for index, token in enumerate(_vocabulary())}
    plain = Tokenizer(models.BPE(vocab=vocabulary, merges=[_MERGE]))
    plain.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    plain.decoder = decoders.ByteLevel()
    plain.add_special_tokens(list(_SPECIAL))
    made = PreTrainedTokenizerFast(
        tokenizer_object=plain, bos_token="<|im_start|>", eos_token="<|im_end|>"
    )
    made.chat_template = TEMPLATE
    return made


def _write_source(path: Path, model: LlamaForCausalLM, architecture: str) -> None:
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_name("Tiny Llama")
    writer.add_block_count(LAYERS)
    writer.add_context_length(512)
    writer.add_embedding_length(WIDTH)
    writer.add_feed_forward_length(96)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KEY_HEADS)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_rope_freq_base(10000.0)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    _write_tokenizer(writer)
    for name, values in model.state_dict().items():
        # Only the shapes of the source count; its weights are never read.
        writer.add_tensor(_gguf_name(name), np.ones(tuple(values.shape), np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _write_tokenizer(writer: gguf.GGUFWriter) -> None:
    vocabulary = _vocabulary()
    kinds = [gguf.TokenType.CONTROL] * len(_SPECIAL)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(vocabulary)
    writer.add_token_types(kinds + [gguf.TokenType.NORMAL] * (len(vocabulary) - len(kinds)))
    writer.add_token_merges([" ".join(_MERGE)])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_add_bos_token(False)
    writer.add_chat_template(TEMPLATE)


_GGUF_NAMES = {
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "lm_head": "output",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


def _gguf_name(name: str) -> str:
    stem = name.removesuffix(".weight")
    if stem.startswith("model.layers."):
        layer, _, part = stem.removeprefix("model.layers.").partition(".")
        return f"blk.{layer}.{_GGUF_NAMES[part]}.weight"
    return f"{_GGUF_NAMES[stem]}.weight"
