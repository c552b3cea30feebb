"""Counts tokens, and cuts texts between them, with a model's own tokenizer."""

from collections.abc import Sequence
from pathlib import Path

from tokenizers import Tokenizer

from wherry.contracts.errors import FormatError


class TokenMeasure:
    """Counts tokens as the model will see them, without its special tokens.

    Args:
        path: the model's ``tokenizer.json``.

    Raises:
        FormatError: if the file is no tokenizer.
    """

    unit = "tokens"

    def __init__(self, path: Path) -> None:
        try:
            self._tokenizer = Tokenizer.from_file(str(path))
        except Exception as error:  # the Rust library raises nothing narrower
            raise FormatError(
                f"{path.name} is no tokenizer: {error}.",
                remedy="Name the model's tokenizer.json in the settings of ingest.",
            ) from error
        # A tokenizer file may ask to cut or to pad: then every length would be the same.
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()

    def lengths(self, texts: Sequence[str]) -> list[int]:
        """Gives the number of tokens of each text."""
        found = self._tokenizer.encode_batch(list(texts), add_special_tokens=False)
        return [len(one.ids) for one in found]

    def cut(self, text: str, most: int) -> str:
        """Gives a beginning of a text, cut after a token, of at most so many tokens."""
        while True:
            found = self._tokenizer.encode(text, add_special_tokens=False)
            if len(found.ids) <= most:
                return text
            # What is left may fall into other tokens than before: look again. It always shrinks.
            end = found.offsets[most][0] if most else 0
            text = text[: min(end, len(text) - 1)]
