"""Asks a teacher for its answers: sequence-level distillation."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import msgspec
import torch
from torch import Tensor
from transformers import AutoTokenizer

from wherry.contracts import Message
from wherry.tune.adapters.pytorch.chat import require_template
from wherry.tune.adapters.pytorch.device import device_of, precision_of
from wherry.tune.adapters.pytorch.memory import enough_memory
from wherry.tune.adapters.pytorch.model import load
from wherry.tune.adapters.pytorch.ranks import Ranks, local_rank
from wherry.tune.settings import TuneSettings

_FEWER: Final = (
    "Lower batch_size in the tune settings, then answer_tokens; or choose a smaller teacher."
)
_SAID: Final = 1
"""Added to each token, for zero stands for none."""


def answers(
    folder: Path,
    prompts: Sequence[Sequence[Message]],
    recipe: TuneSettings,
    ranks: Ranks | None = None,
) -> list[str]:
    """Gives a teacher's greedy answer to each prompt, through its own chat template.

    Source: sequence-level knowledge distillation, https://arxiv.org/abs/1606.07947.

    Args:
        folder: the teacher's, for transformers.
        prompts: conversations that end with the user's turn.
        recipe: the batch, the device, the longest answer.
        ranks: the processes that share the asking; each has a teacher, and gets all answers.

    Returns:
        One answer a prompt; empty where the teacher said nothing within the longest answer.
    """
    ranks = ranks or Ranks()
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, padding_side="left")
    require_template(tokenizer)
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    device = device_of(recipe, local_rank())
    said = torch.zeros(len(prompts), recipe.answer_tokens, dtype=torch.long, device=device)
    with enough_memory("while the teacher answered", _FEWER):
        whole = replace(recipe, method="full")  # in four bits the student alone may be
        model = load(folder, whole, device, precision_of(recipe, device)).eval()
        for start in ranks.share(range(0, len(prompts), recipe.batch_size)):
            new = _asked(model, tokenizer, prompts[start : start + recipe.batch_size], recipe)
            said[start : start + len(new), : new.shape[1]] = new + _SAID
    ranks.add_up([said])  # what others were asked is zero
    stops = _stops(model, tokenizer)
    return [_text(row[row > 0] - _SAID, tokenizer, stops) for row in said]


def _stops(model: Any, tokenizer: Any) -> set[int]:
    """Gives every token that the model ends an answer with; the tokenizer names one of them."""
    named = model.generation_config.eos_token_id
    return {tokenizer.eos_token_id, *(named if isinstance(named, list) else [named])}


def _asked(
    model: Any, tokenizer: Any, prompts: Sequence[Sequence[Message]], recipe: TuneSettings
) -> Tensor:
    """Gives the tokens of each answer, padded: [prompts, longest answer]."""
    turns = [[msgspec.structs.asdict(message) for message in prompt] for prompt in prompts]
    inputs = tokenizer.apply_chat_template(
        turns, add_generation_prompt=True, return_tensors="pt", return_dict=True, padding=True
    ).to(model.device)
    with torch.inference_mode():
        made: Tensor = model.generate(
            **inputs,
            do_sample=False,
            max_new_tokens=recipe.answer_tokens,
            pad_token_id=tokenizer.pad_token_id,
        )
    return made[:, inputs["input_ids"].shape[1] :]


def _text(tokens: Tensor, tokenizer: Any, stops: set[int]) -> str:
    """Gives an answer that came to its end, or nothing: half an answer teaches to ramble."""
    if stops.isdisjoint(tokens.tolist()):
        return ""
    return str(tokenizer.decode(tokens, skip_special_tokens=True)).strip()
