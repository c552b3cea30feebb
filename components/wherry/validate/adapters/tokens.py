"""Counts tokens with the base model's own tokenizer."""

from collections.abc import Sequence
from pathlib import Path

from tokenizers import Tokenizer


class TokenCounter:
    """Counts tokens as the model will see them, without its special tokens.

    Args:
        path: the model's ``tokenizer.json``.
    """

    def __init__(self, path: Path) -> None:
        self._tokenizer = Tokenizer.from_file(str(path))
        # A tokenizer file may ask to cut or to pad: then every length would be the same.
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()

    def __call__(self, texts: Sequence[str]) -> list[int]:
        """Gives the number of tokens of each text."""
        return [
            len(found.ids)
            for found in self._tokenizer.encode_batch(list(texts), add_special_tokens=False)
        ]
