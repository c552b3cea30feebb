"""Renders and tokenizes conversations with the base model's own tokenizer."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from transformers import AutoTokenizer

from wherry.contracts import Message
from wherry.contracts.errors import TemplateError


class FolderTokenizer:
    """The tokenizer and chat template of a folder for transformers."""

    def __init__(self, folder: Path) -> None:
        self._tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)

    def render(self, messages: Sequence[Message], *, open_turn: bool) -> str:
        """Renders a conversation; `open_turn` opens the assistant's turn at its end."""
        require_template(self._tokenizer)
        text: str = self._tokenizer.apply_chat_template(
            [msgspec.structs.asdict(message) for message in messages],
            tokenize=False,
            add_generation_prompt=open_turn,
        )
        return text

    def encode(self, text: str) -> Sequence[int]:
        """Gives the tokens of a rendered text, none added."""
        tokens: list[int] = self._tokenizer.encode(text, add_special_tokens=False)
        return tokens

    def ends_turn(self, token: int) -> bool:
        """Whether the model stops when it gives this token."""
        return bool(token == self._tokenizer.eos_token_id)

    @property
    def end(self) -> int:
        """The token that ends a turn or a text."""
        return int(self._tokenizer.eos_token_id)

    @property
    def vocabulary(self) -> dict[str, int]:
        """Every token and its number."""
        found: dict[str, int] = self._tokenizer.get_vocab()
        return found


def require_template(tokenizer: Any) -> None:
    """Refuses a tokenizer that cannot write a conversation down.

    Raises:
        TemplateError: if it has no chat template.
    """
    if not tokenizer.chat_template:
        raise TemplateError(
            f"{tokenizer.name_or_path} has no chat template: how it reads a conversation is "
            "unknown.",
            remedy="Choose the model's instruct variant, or objective: text for plain text.",
        )
