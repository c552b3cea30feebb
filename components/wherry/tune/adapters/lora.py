"""Trains a LoRA adapter with torch, transformers and PEFT, on the CPU in float32.

Three things make it three times as fast as transformers' own trainer on two cores
(docs/adr/0003-own-training-loop.md): the head is applied to completion tokens alone, the tokens
that all prompts begin with are computed once a batch, and nothing is differentiated below the
lowest layer that has LoRA.
"""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import cast

# How long a waiting thread spins before it sleeps: short, for an idle machine and a busy one.
# docs/adr/0003 has the figures. libgomp reads it when torch loads it.
os.environ.setdefault("GOMP_SPINCOUNT", "10000")

import torch
from peft import LoraConfig, get_peft_model
from torch import Tensor, nn
from torch.nn import functional
from transformers import AutoModelForCausalLM, PreTrainedModel

from wherry.tune.settings import TuneSettings
from wherry.tune.step import Example

CONFIG_NAME = "adapter_config.json"
WEIGHTS_NAME = "adapter_model.safetensors"


class LoraLearner:
    """A base model with a LoRA adapter that learns.

    Args:
        folder: the base model's folder for transformers.
        settings: the recipe.
        prefix: tokens that every prompt begins with; may be empty.
    """

    def __init__(self, folder: Path, settings: TuneSettings, prefix: Sequence[int] = ()) -> None:
        _repeatable(settings)
        model = AutoModelForCausalLM.from_pretrained(
            folder, dtype=torch.float32, local_files_only=True
        )
        self._adapted = get_peft_model(model, lora_config(model, settings))
        self._model = self._adapted.get_base_model()
        self._prefix = torch.tensor([list(prefix)], dtype=torch.long)
        self._clip_norm = settings.clip_norm
        self._weights = [p for p in self._adapted.parameters() if p.requires_grad]
        self._optimizer = torch.optim.AdamW(self._weights, weight_decay=0.0)

    def learn(self, batch: Sequence[Example], rate: float) -> float:
        """Takes one optimizer step; see `wherry.tune.step.Learner`."""
        self._adapted.train()
        loss = self._loss(batch)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self._weights, self._clip_norm)
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        return float(loss.detach())

    def loss(self, batch: Sequence[Example]) -> float:
        """Gives the loss without learning from it."""
        self._adapted.eval()
        with torch.inference_mode():
            return float(self._loss(batch))

    def save(self, folder: Path, base_uri: str) -> Path:
        """Writes the adapter in PEFT's form and gives the path of its weights.

        The same adapter gives the same bytes: PEFT would write its sets in any order, the
        base model's path on this machine, and a model card.
        """
        self._adapted.save_pretrained(folder)
        (folder / "README.md").unlink(missing_ok=True)
        config = json.loads((folder / CONFIG_NAME).read_text())
        config["base_model_name_or_path"] = base_uri
        config["target_modules"] = sorted(config["target_modules"])
        (folder / CONFIG_NAME).write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
        weights = folder / WEIGHTS_NAME
        weights.chmod(0o644)  # PEFT makes it readable by its owner alone
        return weights

    def _loss(self, batch: Sequence[Example]) -> Tensor:
        inputs, rows, positions, targets = collate(batch, self._prefix.shape[1])
        hidden = self._hidden(inputs)[rows, positions]
        return functional.cross_entropy(self._logits(hidden), targets)

    def _hidden(self, inputs: Tensor) -> Tensor:
        """Gives the last hidden states of what follows the prefix: [rows, length, width]."""
        decoder = self._model.get_decoder()
        if not self._prefix.numel():
            return cast(Tensor, decoder(input_ids=inputs, use_cache=False).last_hidden_state)
        cache = decoder(input_ids=self._prefix, use_cache=True).past_key_values
        cache.batch_repeat_interleave(len(inputs))
        return cast(Tensor, decoder(input_ids=inputs, past_key_values=cache).last_hidden_state)

    def _logits(self, hidden: Tensor) -> Tensor:
        logits: Tensor = self._model.get_output_embeddings()(hidden)
        cap = getattr(self._model.config, "final_logit_softcapping", None)
        return logits if cap is None else torch.tanh(logits / cap) * cap


def collate(batch: Sequence[Example], prefix: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Turns examples into tensors.

    Padding stands on the right, where causal attention never looks at it; the last token of
    a row is a target alone.

    Args:
        batch: the examples.
        prefix: how many first tokens of each to leave out.

    Returns:
        Inputs [rows, length]; and for each completion token, all rows in turn, its row,
        the position that predicts it, and the token itself.
    """
    inputs = torch.zeros(len(batch), max(e.tokens for e in batch) - prefix - 1, dtype=torch.long)
    where: list[tuple[int, int, int]] = []
    for row, example in enumerate(batch):
        tokens = (*example.prompt, *example.completion)[prefix:-1]
        inputs[row, : len(tokens)] = torch.tensor(tokens)
        first = len(example.prompt) - prefix - 1
        where += [(row, first + i, token) for i, token in enumerate(example.completion)]
    rows, positions, targets = torch.tensor(where).unbind(dim=1)
    return inputs, rows, positions, targets


def lora_config(model: PreTrainedModel, settings: TuneSettings) -> LoraConfig:
    """Gives PEFT's configuration of a recipe for a model."""
    layers = model.config.get_text_config().num_hidden_layers
    return LoraConfig(
        task_type="CAUSAL_LM",
        r=settings.rank,
        lora_alpha=settings.alpha,
        lora_dropout=settings.dropout,
        target_modules=_targets(model, settings),
        layers_to_transform=list(range(int(layers * settings.frozen_share), layers)),
    )


def _targets(model: PreTrainedModel, settings: TuneSettings) -> list[str]:
    # PEFT's own "all-linear" cannot be limited to some layers.
    if settings.targets != ("all-linear",):
        return list(settings.targets)
    head = model.get_output_embeddings()
    linear = [n for n, m in model.named_modules() if isinstance(m, nn.Linear) and m is not head]
    return sorted({name.rpartition(".")[2] for name in linear})


def _repeatable(settings: TuneSettings) -> None:
    """Makes two runs of one recipe give the same bytes on one machine."""
    torch.manual_seed(settings.seed)
    torch.use_deterministic_algorithms(True)
    torch.set_num_threads(settings.threads or len(os.sched_getaffinity(0)))
