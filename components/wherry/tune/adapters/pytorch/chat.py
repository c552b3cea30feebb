"""Renders and tokenizes conversations with the base model's own tokenizer."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from jinja2 import TemplateError as JinjaError
from transformers import AutoTokenizer

from wherry.contracts import Message
from wherry.contracts.errors import TemplateError


class FolderTokenizer:
    """The tokenizer and chat template of a folder for transformers."""

    def __init__(self, folder: Path) -> None:
        self._tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)

    def render(self, messages: Sequence[Message], *, open_turn: bool) -> str:
        """Renders a conversation; `open_turn` opens the assistant's turn at its end.

        Raises:
            TemplateError: if there is no template, or it refuses such a conversation.
        """
        require_template(self._tokenizer)
        try:
            text: str = self._tokenizer.apply_chat_template(
                [msgspec.structs.asdict(message) for message in messages],
                tokenize=False,
                add_generation_prompt=open_turn,
            )
        except JinjaError as error:  # Gemma 2 knows no system message, others no two of a role
            raise TemplateError(
                f"The chat template refuses a conversation of the roles "
                f"{', '.join(message.role for message in messages)}: {error}.",
                remedy="Use roles that the template knows, or set another template in the base "
                "settings.",
            ) from error
        return text

    def encode(self, text: str) -> Sequence[int]:
        """Gives the tokens of a rendered text, none added."""
        tokens: list[int] = self._tokenizer.encode(text, add_special_tokens=False)
        return tokens

    def ends_turn(self, token: int) -> bool:
        """Whether the model stops when it gives this token."""
        return bool(token == self._tokenizer.eos_token_id)

    @property
    def begin(self) -> int | None:
        """The token that every text begins with, if the model knows one."""
        added = self._tokenizer.encode("")
        return int(added[0]) if added[:1] == [self._tokenizer.bos_token_id] else None

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
            remedy="Choose the model's instruct variant, fetch the base with template set in the "
            "base settings, or set objective: text for plain text.",
        )
