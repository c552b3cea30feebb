"""Counts tokens with the base model's own tokenizer."""

from collections.abc import Sequence
from pathlib import Path

from tokenizers import Tokenizer

from wherry.contracts.errors import FormatError


class TokenCounter:
    """Counts tokens as the model will see them, without its special tokens.

    Args:
        path: the model's ``tokenizer.json``.

    Raises:
        FormatError: if it is no tokenizer.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._tokenizer = Tokenizer.from_file(str(path))
        except Exception as error:  # the library raises nothing narrower
            raise FormatError(
                f"{path} is no tokenizer.", remedy="Give the base model's tokenizer.json."
            ) from error
        # A tokenizer file may ask to cut or to pad: then every length would be the same.
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()

    @property
    def special_tokens(self) -> tuple[str, ...]:
        """The model's control tokens, such as ``<|im_start|>``."""
        added = self._tokenizer.get_added_tokens_decoder().values()
        return tuple(sorted(token.content for token in added if token.special))

    def __call__(self, texts: Sequence[str]) -> list[int]:
        """Gives the number of tokens of each text."""
        # The fast form leaves out where each token stood, which nobody asks here.
        found = self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
        return [len(one) for one in found]
