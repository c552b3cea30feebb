"""The chat template that a base is given: named or in a file, and what it renders."""

from pathlib import Path

import pytest

from wherry.base.templates import MAX_TEMPLATE_BYTES, chosen, families
from wherry.contracts.errors import FormatError, MissingError, UriError

TURNS = [
    {"role": "system", "content": "Name it."},
    {"role": "user", "content": "otitis"},
    {"role": "assistant", "content": "ear"},
    {"role": "user", "content": "rash"},
]
ANSWER = {"role": "assistant", "content": "skin"}


def rendered(template: str, turns: list[dict[str, str]], *, opened: bool) -> str:
    from transformers.utils.chat_template_utils import render_jinja_template

    found, _ = render_jinja_template(
        [turns], chat_template=template, add_generation_prompt=opened, bos_token="<s>",
        eos_token="</s>",
    )  # fmt: skip
    return str(found[0])


def test_an_empty_setting_is_the_models_own_and_none_is_none(tmp_path: Path) -> None:
    assert chosen("", tmp_path) is None
    assert chosen("none", tmp_path) == ""


def test_a_file_below_the_workspace_is_taken_as_jinja_reads_it(tmp_path: Path) -> None:
    (tmp_path / "own.jinja").write_bytes(b"{{ messages }}\r\n{{ last }}\n")
    assert chosen("own.jinja", tmp_path) == "{{ messages }}\n{{ last }}"
    assert chosen("file:own.jinja", tmp_path) == "{{ messages }}\n{{ last }}"


@pytest.mark.parametrize("family", families())
def test_a_familys_template_ends_as_llama_cpp_tells_it(tmp_path: Path, family: str) -> None:
    assert chosen(family, tmp_path) == (chosen(family, tmp_path) or "").rstrip("\n")


def test_jinja_is_taken_as_it_is_where_there_are_no_files(tmp_path: Path) -> None:
    assert chosen("{% for m in messages %}{{ m }}{% endfor %}", tmp_path).startswith("{% for")  # type: ignore[union-attr] # a text


def test_a_file_elsewhere_is_refused(tmp_path: Path) -> None:
    (tmp_path / "inside").mkdir()
    (tmp_path / "own.jinja").write_text("{{ messages }}")
    with pytest.raises(UriError, match="leaves the workspace"):
        chosen("../own.jinja", tmp_path / "inside")


def test_what_is_no_family_and_no_file_is_answered_with_the_families(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="chatlm does not exist") as missing:
        chosen("chatlm", tmp_path)
    assert "chatml" in missing.value.remedy


@pytest.mark.parametrize("data", [b" \n", b"\xff\xfe", b"x" * (MAX_TEMPLATE_BYTES + 1)])
def test_a_file_that_is_no_template_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "own.jinja").write_bytes(data)
    with pytest.raises(FormatError, match="no chat template"):
        chosen("own.jinja", tmp_path)


@pytest.mark.local
@pytest.mark.parametrize("family", families())
def test_a_familys_template_only_appends_and_keeps_every_word(tmp_path: Path, family: str) -> None:
    template = chosen(family, tmp_path) or ""
    prompt = rendered(template, TURNS, opened=True)
    whole = rendered(template, [*TURNS, ANSWER], opened=False)
    assert whole.startswith(prompt)
    assert whole[len(prompt) :].strip().startswith("skin")
    for turn in TURNS:
        assert prompt.count(turn["content"]) == 1


@pytest.mark.local
@pytest.mark.parametrize(
    ("family", "prompt"),
    [
        ("chatml", "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"),
        ("gemma", "<s><start_of_turn>user\nHi<end_of_turn>\n<start_of_turn>model\n"),
        ("llama2", "<s>[INST] Hi [/INST]"),
        ("llama3", "<s><|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>"
                   "<|start_header_id|>assistant<|end_header_id|>\n\n"),
        ("mistral", "<s>[INST] Hi [/INST]"),
        ("phi3", "<|user|>\nHi<|end|>\n<|assistant|>\n"),
        ("phi4", "<|user|>Hi<|end|><|assistant|>"),
        ("plain", "### user\nHi</s>\n### assistant\n"),
        ("zephyr", "<|user|>\nHi</s>\n<|assistant|>\n"),
    ],
)  # fmt: skip
def test_a_familys_template_writes_what_the_family_does(
    tmp_path: Path, family: str, prompt: str
) -> None:
    turns = [{"role": "user", "content": "Hi"}]
    assert rendered(chosen(family, tmp_path) or "", turns, opened=True) == prompt
