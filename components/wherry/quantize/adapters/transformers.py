"""Merges a PEFT adapter into its base, and gives the merged weights and logits."""

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

from wherry.contracts import Message
from wherry.quantize.step import Logits, Rendered, Sample


class TunedModel:
    """A base model with its adapter beside it until `merge` folds it in.

    Args:
        base: the base's folder in transformers' form.
        adapter: the adapter's folder in PEFT's form.
        threads: CPU threads; 0 means all that this process may use.
    """

    def __init__(self, base: Path, adapter: Path, *, threads: int) -> None:
        torch.set_num_threads(threads or len(os.sched_getaffinity(0)))
        self._tokenizer = AutoTokenizer.from_pretrained(base, trust_remote_code=False)
        # float32 whatever the file holds: merging in half precision moves the logits.
        plain = AutoModelForCausalLM.from_pretrained(
            base, dtype=torch.float32, trust_remote_code=False, use_safetensors=True
        )
        self._model: Any = PeftModel.from_pretrained(plain, adapter).eval()

    def merge(self) -> None:
        """Folds the adapter into the base's weights; from then on there is one model."""
        self._model = self._model.merge_and_unload(safe_merge=True).eval()

    def render(self, messages: Sequence[Message]) -> Rendered:
        """Renders a conversation and opens the assistant's turn, as training did."""
        turns = [{"role": message.role, "content": message.content} for message in messages]
        text = self._tokenizer.apply_chat_template(
            turns, tokenize=False, add_generation_prompt=True
        )
        return Rendered(text, self.tokens(text))

    def tokens(self, text: str) -> tuple[int, ...]:
        """Gives the tokens of text that holds its special tokens already."""
        return tuple(self._tokenizer(text, add_special_tokens=False)["input_ids"])

    @torch.inference_mode()
    def logits(self, samples: Iterable[Sample]) -> Iterator[Logits]:
        """Gives for each sample its logits, shape [kept positions, vocabulary]."""
        for sample in samples:
            found = self._model(
                input_ids=torch.tensor([sample.ids]),
                logits_to_keep=torch.tensor(sample.keep),
                use_cache=False,
            )
            yield found.logits[0].float().numpy()

    def tensors(self) -> dict[str, NDArray[np.float32]]:
        """Gives the weights by transformers' names, each one once even if it is tied."""
        tied = set(getattr(self._model, "all_tied_weights_keys", None) or ())
        return {
            name: tensor.detach().float().numpy()
            for name, tensor in self._model.state_dict().items()
            if name not in tied
        }
