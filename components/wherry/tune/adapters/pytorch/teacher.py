"""Asks a teacher for its answers: sequence-level distillation."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import msgspec
import torch
from transformers import AutoTokenizer

from wherry.contracts import Message
from wherry.tune.adapters.pytorch.chat import require_template
from wherry.tune.adapters.pytorch.device import device_of, precision_of
from wherry.tune.adapters.pytorch.model import load
from wherry.tune.settings import TuneSettings


def answers(folder: Path, prompts: Sequence[Sequence[Message]], recipe: TuneSettings) -> list[str]:
    """Gives a teacher's greedy answer to each prompt, through its own chat template.

    Source: sequence-level knowledge distillation, https://arxiv.org/abs/1606.07947.

    Args:
        folder: the teacher's, for transformers.
        prompts: conversations that end with the user's turn.
        recipe: the batch, the device, the longest answer.

    Returns:
        One answer a prompt; empty where the teacher said nothing within the longest answer.
    """
    device = device_of(recipe)
    whole = replace(recipe, method="full")  # four bits would be the student's, not the teacher's
    model = load(folder, whole, device, precision_of(recipe, device)).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, padding_side="left")
    require_template(tokenizer)
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    found: list[str] = []
    for start in range(0, len(prompts), recipe.batch_size):
        batch = prompts[start : start + recipe.batch_size]
        turns = [[msgspec.structs.asdict(message) for message in prompt] for prompt in batch]
        inputs = tokenizer.apply_chat_template(
            turns, add_generation_prompt=True, return_tensors="pt", return_dict=True, padding=True
        ).to(device)
        with torch.inference_mode():
            made = model.generate(
                **inputs,
                do_sample=False,
                max_new_tokens=recipe.answer_tokens,
                pad_token_id=tokenizer.pad_token_id,
            )
        new = made[:, inputs["input_ids"].shape[1] :]
        found += [_said(tokens.tolist(), tokenizer) for tokens in new]
    return found


def _said(tokens: list[int], tokenizer: AutoTokenizer) -> str:
    """Gives an answer that came to its end, or nothing: half an answer teaches to ramble."""
    if tokenizer.eos_token_id not in tokens:
        return ""
    return str(tokenizer.decode(tokens, skip_special_tokens=True)).strip()
