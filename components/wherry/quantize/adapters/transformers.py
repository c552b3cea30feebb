"""Merges a PEFT adapter into its base, and gives the merged weights and logits."""

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils.logging import disable_progress_bar

from wherry.contracts import Message
from wherry.contracts.errors import FormatError
from wherry.quantize.step import Logits, Rendered, Sample


class TunedModel:
    """A base model with its adapter beside it until `merge` folds it in.

    Args:
        base: the base's folder in transformers' form.
        adapter: the adapter's folder in PEFT's form, or that of the whole tuned model.
        threads: CPU threads; 0 means all that this process may use.
    """

    def __init__(self, base: Path, adapter: Path, *, threads: int) -> None:
        disable_progress_bar()
        torch.set_num_threads(threads or len(os.sched_getaffinity(0)))
        self._tokenizer = AutoTokenizer.from_pretrained(base, local_files_only=True)
        # float32 whatever the file holds: merging in half precision moves the logits.
        self._whole = not (adapter / "adapter_config.json").is_file()
        plain = AutoModelForCausalLM.from_pretrained(
            adapter if self._whole else base,
            dtype=torch.float32,
            local_files_only=True,
            use_safetensors=True,
        )
        tuned = plain if self._whole else PeftModel.from_pretrained(plain, adapter)
        self._model: Any = tuned.eval()

    def merge(self) -> None:
        """Folds the adapter, if there is one, into the base's weights: then there is one model.

        Raises:
            FormatError: if the adapter is of a kind that cannot be merged, or not finite.
        """
        if self._whole:
            return
        try:
            self._model = self._model.merge_and_unload(safe_merge=True).eval()
        except (AttributeError, ValueError) as error:
            raise FormatError(
                f"The adapter cannot be merged into its base: {error}.",
                remedy="Tune with LoRA; prompt and prefix tuning cannot become one file.",
            ) from error

    def render(self, messages: Sequence[Message]) -> Rendered:
        """Renders a conversation and opens the assistant's turn, as training did."""
        text = self._text(messages, open_turn=True)
        return Rendered(text, self._tokens(text))

    def whole(self, messages: Sequence[Message]) -> tuple[int, ...]:
        """Gives the tokens of a conversation that ends with the assistant's turn."""
        return self._tokens(self._text(messages, open_turn=False))

    def _text(self, messages: Sequence[Message], *, open_turn: bool) -> str:
        turns = [msgspec.structs.asdict(message) for message in messages]
        return str(
            self._tokenizer.apply_chat_template(
                turns, tokenize=False, add_generation_prompt=open_turn
            )
        )

    def _tokens(self, text: str) -> tuple[int, ...]:
        # The template wrote the special tokens already.
        return tuple(self._tokenizer.encode(text, add_special_tokens=False))

    def logits(self, samples: Iterable[Sample]) -> Iterator[Logits]:
        """Gives for each sample its logits, shape [kept positions, vocabulary]."""
        for sample in samples:
            # Not around the loop: between two samples the caller's own mode must hold.
            with torch.inference_mode():
                found = self._model(
                    input_ids=torch.tensor([sample.ids]),
                    logits_to_keep=torch.tensor(sample.keep),
                    use_cache=False,
                )
                logits = found.logits[0].float().numpy()
            yield logits

    def tensors(self) -> dict[str, NDArray[np.float32]]:
        """Gives the weights by transformers' names, each one once even if it is tied."""
        tied = set(getattr(self._model, "all_tied_weights_keys", None) or ())
        return {
            name: tensor.detach().float().numpy()
            for name, tensor in self._model.state_dict().items()
            if name not in tied
        }
