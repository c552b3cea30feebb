"""Tokenizes with a GGUF file's own tokenizer, through llama.cpp."""

import json
from collections.abc import Sequence
from pathlib import Path
from urllib.request import Request, urlopen

import xllamacpp


class GgufTokenizer:
    """The tokenizer that a GGUF file embeds.

    llama.cpp's Python binding has no call for it, but its server has ``/tokenize``:
    a model that is only memory-mapped starts in half a second.
    """

    def __init__(self, gguf: Path) -> None:
        params = xllamacpp.CommonParams()
        params.model.path = str(gguf)
        params.n_ctx = 512
        params.n_parallel = 1
        params.cpuparams.n_threads = 1
        params.warmup = False
        params.verbosity = 1  # errors alone
        self._server = xllamacpp.Server(params)
        # A server that is dropped before its loop runs waits for that loop for ever.
        self._server.handle_completions({"prompt": "a", "n_predict": 1})

    def encode(self, text: str) -> Sequence[int]:
        """Gives the tokens of a text."""
        body = json.dumps({"content": text, "add_special": False, "parse_special": True})
        # The address is the server's own, on the loopback interface.
        request = Request(  # noqa: S310
            f"{self._server.listening_address}/tokenize",
            data=body.encode(),
            headers={"Content-Type": "application/json"},
        )
        with urlopen(request, timeout=30) as response:  # noqa: S310
            tokens: list[int] = json.load(response)["tokens"]
        return tokens
