"""A base without a chat template: given one it learns conversations, else plain text alone."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from wherry.base.run import run
from wherry.base.templates import chosen
from wherry.contracts import Manifest, ModelRef, digest_bytes
from wherry.contracts.errors import TemplateError

pytestmark = pytest.mark.local

END = 2
"""``<|im_end|>`` of the tiny tokenizer; its texts end with ``<|endoftext|>``, 0."""


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base as its publisher gives it: no chat template, a text ends with a token of its own."""
    from transformers import AutoTokenizer

    from tests.fakes.tiny_model import make_base

    folder = tmp_path_factory.mktemp("raw") / "model"
    make_base(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.chat_template, tokenizer.eos_token = None, "<|endoftext|>"
    tokenizer.save_pretrained(folder)
    (folder / "chat_template.jinja").unlink(missing_ok=True)
    (folder / "generation_config.json").write_text('{"eos_token_id": 0}')
    return folder


@pytest.fixture
def workspace(tmp_path: Path, raw: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("WHERRY_HOME", str(tmp_path / ".wherry"))
    shutil.copytree(raw, tmp_path / "model")
    return tmp_path


def fetched(workspace: Path, template: str = "") -> Path:
    folder = workspace / f"base-{template[:6] or 'own'}".replace(".", "-")
    run("file:model", folder, json.dumps({"template": template}))
    return folder


def tokenizer_of(folder: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder)


def test_it_is_refused_until_somebody_says_what_is_wanted(workspace: Path) -> None:
    with pytest.raises(TemplateError, match="no chat template") as refused:
        fetched(workspace)
    assert "none to go on with plain text alone" in refused.value.remedy
    assert not list(workspace.glob("base-*"))


def test_a_familys_template_is_recorded_and_its_turns_end_the_models_answers(
    workspace: Path,
) -> None:
    folder = fetched(workspace, "chatml")
    text = chosen("chatml", workspace) or ""
    assert ModelRef.verified(folder).template_digest == digest_bytes(text.encode())
    tokenizer = tokenizer_of(folder)
    assert tokenizer.chat_template == text
    assert tokenizer.eos_token_id == END
    stops = json.loads((folder / "generation_config.json").read_text())["eos_token_id"]
    assert stops == [END, 0]


def test_plain_ends_a_turn_as_a_text_ends(workspace: Path) -> None:
    assert tokenizer_of(fetched(workspace, "plain")).eos_token == "<|endoftext|>"


def test_a_template_whose_end_of_a_turn_is_no_token_is_refused(workspace: Path) -> None:
    with pytest.raises(TemplateError, match=r"'<end_of_turn>\\n' behind an answer") as refused:
        fetched(workspace, "gemma")
    assert "plain" in refused.value.remedy


def test_a_full_stop_ends_no_turn(workspace: Path) -> None:
    said = "{% for m in messages %}{{ m['role'] + ': ' + m['content'] + '.' }}{% endfor %}"
    with pytest.raises(TemplateError, match=r"'\.' behind an answer"):
        fetched(workspace, said)


def test_a_template_that_cannot_be_rendered_is_refused(workspace: Path) -> None:
    (workspace / "own.jinja").write_text("{% for message in %}")
    with pytest.raises(TemplateError, match="cannot write a question and an answer down"):
        fetched(workspace, "own.jinja")


def test_none_leaves_a_model_without_any(workspace: Path) -> None:
    folder = fetched(workspace, "none")
    assert ModelRef.verified(folder).template_digest == digest_bytes(b"")
    assert tokenizer_of(folder).chat_template is None
    assert not (folder / "chat_template.jinja").exists()


def test_evaluation_in_chat_refuses_a_model_without_a_template(workspace: Path) -> None:
    from wherry.evaluate.adapters.transformers import TransformersAnswerer

    with pytest.raises(TemplateError, match="no chat template"):
        TransformersAnswerer(fetched(workspace, "none"))


def test_of_several_templates_the_one_for_conversations_is_every_rooms(workspace: Path) -> None:
    """As Hermes has them: one for plain conversations, one for tools."""
    from tests.fakes.tiny_model import TEMPLATE

    further = workspace / "model/additional_chat_templates"
    further.mkdir()
    (further / "tool_use.jinja").write_text("tools: " + TEMPLATE)
    with pytest.raises(TemplateError, match="chat templates tool_use, expected one called default"):
        fetched(workspace)
    (workspace / "model/chat_template.jinja").write_text(TEMPLATE)
    folder = fetched(workspace)
    assert tokenizer_of(folder).chat_template == TEMPLATE
    assert ModelRef.verified(folder).template_digest == digest_bytes(TEMPLATE.encode())


def test_an_own_template_whose_turns_end_otherwise_than_texts_names_its_end(
    workspace: Path,
) -> None:
    """As Gemma's: its tokenizer names ``<eos>``, its turns end with ``<end_of_turn>``."""
    from tests.fakes.tiny_model import TEMPLATE

    (workspace / "model/chat_template.jinja").write_text(TEMPLATE)
    (workspace / "model/generation_config.json").write_text('{"eos_token_id": [0, 2]}')
    folder = fetched(workspace)
    assert tokenizer_of(folder).eos_token_id == END
    assert ModelRef.verified(folder).template_digest == digest_bytes(TEMPLATE.encode())


@pytest.mark.parametrize("template", ["chatml", "none"])
def test_the_gguf_file_beside_it_has_the_same_template_and_nothing_else_changed(
    raw: Path, tmp_path: Path, template: str
) -> None:
    import numpy as np
    from gguf import GGUFReader

    from wherry.base.adapters.gguf_header import copy_with
    from wherry.base.adapters.llama_cpp import GgufTokenizer

    text = chosen(template, tmp_path) or ""
    source, target = raw / "source.gguf", tmp_path / "copy.gguf"
    copy_with(source, target, text, 1 if text else None)
    old, new = GGUFReader(source), GGUFReader(target)
    fields = [{n: f.contents() for n, f in r.fields.items() if not n.startswith("GGUF.")}
              for r in (old, new)]  # fmt: skip
    changed = {"tokenizer.chat_template": text, "tokenizer.ggml.eos_token_id": 1} if text else {}
    del fields[0]["tokenizer.chat_template"]
    assert fields[1] == {**fields[0], **changed}
    assert [t.name for t in new.tensors] == [t.name for t in old.tensors]
    assert all(
        a.tensor_type == b.tensor_type and np.array_equal(a.data, b.data)
        for a, b in zip(old.tensors, new.tensors, strict=True)
    )
    assert list(GgufTokenizer(target).encode("he")) == list(GgufTokenizer(source).encode("he"))


def test_an_empty_list_in_the_header_is_left_out(tmp_path: Path) -> None:
    import struct

    import gguf

    from tests.fakes import tiny_families
    from wherry.base.adapters.gguf_header import copy_with

    tiny_families.make(tmp_path, "llama")
    path, made = tmp_path / "source.gguf", tmp_path / "made.gguf"
    text, empty = struct.pack("<IQ", 8, 4) + b"Tiny", struct.pack("<IIQ", 9, 8, 0)
    assert path.read_bytes().count(text) == 1
    path.write_bytes(path.read_bytes().replace(text, empty))
    copy_with(path, made, "{{ messages }}", END)
    fields = gguf.GGUFReader(made).fields
    assert "general.name" not in fields
    assert fields["tokenizer.chat_template"].contents() == "{{ messages }}"


def test_serving_refuses_a_file_without_a_template(raw: Path, tmp_path: Path) -> None:
    from wherry.base.adapters.gguf_header import copy_with
    from wherry.gguf_template import chat_template

    copy_with(raw / "source.gguf", tmp_path / "mute.gguf", "", None)
    with pytest.raises(TemplateError, match="carries no chat template"):
        chat_template(tmp_path / "mute.gguf")


@pytest.mark.parametrize(
    ("template", "kind", "objective"),
    [("chatml", "chat", "sft"), ("plain", "chat", "sft"), ("none", "text", "text")],
)
def test_it_is_tuned_as_it_was_fetched(
    workspace: Path, template: str, kind: Any, objective: str
) -> None:
    from tests.fakes.tiny_model import make_dataset
    from wherry.contracts.curve import LossCurve
    from wherry.tune.run import run as tune

    base = fetched(workspace, template)
    make_dataset(workspace / "data", rows=24, kind=kind)
    recipe = {"objective": objective, "threads": 1, "rank": 4, "learning_rate": 0.01,
              "batch_size": 4, "precision": "float32", "max_length": 128}  # fmt: skip
    out = workspace / "adapter"
    tune(workspace / "data", base, out, workspace / "curve.json", json.dumps(recipe))
    losses = [p.eval_loss for p in LossCurve.read(workspace / "curve.json").points if p.eval_loss]
    assert losses[-1] < losses[0]
    assert (
        ModelRef.verified(out).template_digest == ModelRef.read(base / "model.json").template_digest
    )
    Manifest.verified(out)


def test_conversations_are_refused_where_no_template_is(workspace: Path) -> None:
    from tests.fakes.tiny_model import make_dataset
    from wherry.tune.run import run as tune

    base = fetched(workspace, "none")
    make_dataset(workspace / "data", rows=4, kind="chat")
    with pytest.raises(TemplateError, match="no chat template") as refused:
        tune(workspace / "data", base, workspace / "adapter", workspace / "curve.json")
    assert "template set in the base settings" in refused.value.remedy
    assert not (workspace / "adapter").exists()
