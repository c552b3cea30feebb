"""Tokenizes with a GGUF file's own tokenizer, through llama.cpp."""

from collections.abc import Sequence
from pathlib import Path

from wherry.llama_server import LocalServer


class GgufTokenizer:
    """The tokenizer that a GGUF file embeds.

    llama.cpp's Python binding has no call for it, but its server has ``/tokenize``:
    a model that is only memory-mapped starts in half a second.
    """

    def __init__(self, gguf: Path) -> None:
        self._server = LocalServer(gguf, context=512, threads=1)

    def encode(self, text: str) -> Sequence[int]:
        """Gives the tokens of a text."""
        return self._server.tokens(text, special=False)
