"""Merges a PEFT adapter into its base, and gives weights, logits and what matters in them."""

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
from wherry.cores import usable_cores
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
        torch.set_num_threads(threads or usable_cores())
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

    def plain(self, text: str) -> tuple[int, ...]:
        """Gives the tokens of a plain text, behind the one that every text begins with, if any."""
        return tuple(self._tokenizer.encode(text))

    def answer(self, messages: Sequence[Message]) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Gives a conversation's prompt and its last turn, the end of the turn included.

        The answer is empty where the prompt's tokens do not begin those of the whole.
        """
        prompt, whole = self.render(messages[:-1]).ids, self.whole(messages)
        answer = whole[len(prompt) :] if whole[: len(prompt)] == prompt else ()
        ends = {self._tokenizer.eos_token_id} & set(answer)
        # What a template writes behind the end of the turn no model has to say.
        return prompt, answer[: answer.index(ends.pop()) + 1] if ends else answer

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

    def importance(self, rows: Iterable[Sequence[int]]) -> dict[str, NDArray[np.float32]]:
        """Gives the mean square of what each matrix is multiplied with, on real rows.

        The same figure as that of ``llama-imatrix``, https://github.com/ggml-org/llama.cpp/pull/4861.

        Args:
            rows: token sequences; the model must be merged.

        Returns:
            By the weight's name, shape [row length].
        """
        sums: dict[str, _MeanSquare] = {}
        hooks = [
            module.register_forward_pre_hook(sums.setdefault(f"{name}.weight", _MeanSquare()))
            for name, module in self._model.model.named_modules(prefix="model")
            if isinstance(module, torch.nn.Linear)
        ]
        try:
            for ids in rows:
                with torch.inference_mode():
                    self._model.model(input_ids=torch.tensor([list(ids)]), use_cache=False)
        finally:
            for hook in hooks:
                hook.remove()
        return {name: found.value() for name, found in sums.items() if found.positions}

    def tensors(self) -> dict[str, NDArray[np.float32]]:
        """Gives the weights by transformers' names, each one once even if it is tied."""
        tied = set(getattr(self._model, "all_tied_weights_keys", None) or ())
        return {
            name: tensor.detach().float().numpy()
            for name, tensor in self._model.state_dict().items()
            if name not in tied
        }

    def base_tensors(self) -> dict[str, NDArray[np.float32]]:
        """Gives the base's weights by transformers' names while the adapter is beside them."""
        tied = {_plain(name) for name in getattr(self._model, "all_tied_weights_keys", None) or ()}
        return {
            _plain(name): tensor.detach().float().numpy()
            for name, tensor in self._model.state_dict().items()
            if ".lora_" not in name and _plain(name) not in tied
        }

    def save(self, folder: Path) -> None:
        """Writes the merged model and its tokenizer as one folder for transformers."""
        self._model.save_pretrained(folder, max_shard_size="1000GB")
        self._tokenizer.save_pretrained(folder)


def _plain(name: str) -> str:
    """Gives a weight's name without what PEFT puts around it."""
    return name.removeprefix("base_model.model.").replace(".base_layer.", ".")


class _MeanSquare:
    """Sums up the squares of a layer's inputs, as a hook before it."""

    def __init__(self) -> None:
        self.positions = 0
        self._sums: Any = 0.0

    def __call__(self, _module: torch.nn.Module, inputs: tuple[Any, ...]) -> None:
        values = inputs[0].detach().double().reshape(-1, inputs[0].shape[-1])
        self._sums = self._sums + values.square().sum(0)
        self.positions += len(values)

    def value(self) -> NDArray[np.float32]:
        mean = (self._sums / self.positions).numpy()
        # A block of channels that are never used would weigh nothing: llama.cpp divides by it.
        found: NDArray[np.float32] = np.maximum(mean, 1e-8 * mean.mean()).astype(np.float32)
        return found
