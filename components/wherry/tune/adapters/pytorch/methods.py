"""Makes a model trainable by one of PEFT's methods, or in full.

Sources: LoRA https://arxiv.org/abs/2106.09685, DoRA https://arxiv.org/abs/2402.09353, rsLoRA
https://arxiv.org/abs/2312.03732, PiSSA https://arxiv.org/abs/2404.02948, QLoRA
https://arxiv.org/abs/2305.14314, IA3 https://arxiv.org/abs/2205.05638, prompt tuning
https://arxiv.org/abs/2104.08691, prefix tuning https://arxiv.org/abs/2101.00190.
"""

import re
from typing import Any, Final

from peft import (
    IA3Config,
    LoraConfig,
    PeftConfig,
    PeftModel,
    PrefixTuningConfig,
    PromptTuningConfig,
    get_peft_model,
)
from torch import nn
from transformers import PreTrainedModel

from wherry.contracts.errors import SettingsError
from wherry.tune.settings import TuneSettings

_ANOTHER: Final = "Choose a base of another family; `wherry models suggest` names some."
_FEED_FORWARD = re.compile(r"\.(mlp|feed_forward|ffn)\.")


def with_adapter(model: PreTrainedModel, settings: TuneSettings) -> PeftModel:
    """Puts the adapter of a recipe into a model.

    Raises:
        SettingsError: if the model has no layer for it, or PEFT knows none for such a model.
    """
    config = peft_config(model, settings)
    try:
        return get_peft_model(model, config)
    except ValueError as error:
        told = str(error).rstrip(".")
        raise SettingsError(
            f"method {settings.method} does not fit a {type(model).__name__}: {told}.",
            remedy=_ANOTHER,
        ) from error


def peft_config(model: PreTrainedModel, settings: TuneSettings) -> PeftConfig:
    """Gives PEFT's configuration of a recipe for a model.

    Raises:
        SettingsError: if the model has no layer of a name in ``targets``.
    """
    if settings.method == "prompt":
        return PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=settings.virtual_tokens)
    if settings.method == "prefix":
        return PrefixTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=settings.virtual_tokens)
    if settings.method == "ia3":
        return _ia3(model, settings)
    return _lora(model, settings)


def upper_layers(model: PreTrainedModel, settings: TuneSettings) -> list[int]:
    """Gives the numbers of the layers that are trained."""
    layers = model.config.get_text_config().num_hidden_layers
    return list(range(int(layers * settings.frozen_share), layers))


def freeze(model: PreTrainedModel, settings: TuneSettings) -> None:
    """Leaves only the weights of full tuning trainable: the upper layers, or everything.

    Raises:
        SettingsError: if the layers are not where they are looked for.
    """
    if settings.frozen_share == 0:
        return
    chosen = {f".{number}." for number in upper_layers(model, settings)}
    for name, weight in model.named_parameters():
        inside = re.search(r"\.layers(\.\d+\.)", name)
        weight.requires_grad_(bool(inside) and inside[1] in chosen)  # type: ignore[index] # checked
    if not any(weight.requires_grad for weight in model.parameters()):
        raise SettingsError(
            f"method full knows no upper layers in a {type(model).__name__}.",
            remedy="Set frozen_share: 0 in the tune settings to train all of it.",
        )


def _lora(model: PreTrainedModel, settings: TuneSettings) -> LoraConfig:
    kinds = _kinds(model, settings)
    if settings.method == "pissa":
        _refuse_higher_rank(model, kinds, settings.rank)
    return LoraConfig(
        task_type="CAUSAL_LM",
        r=settings.rank,
        lora_alpha=settings.alpha,
        lora_dropout=settings.dropout,
        use_dora=settings.method == "dora",
        use_rslora=settings.method == "rslora",
        init_lora_weights="pissa" if settings.method == "pissa" else True,
        target_modules=kinds,
        layers_to_transform=upper_layers(model, settings),
    )


def _refuse_higher_rank(model: PreTrainedModel, kinds: list[str], rank: int) -> None:
    """PEFT would make a smaller adapter than its configuration says, which nothing loads."""
    for name, layer in linear_layers(model):
        if name.rpartition(".")[2] in kinds and (most := min(layer.weight.shape)) < rank:
            raise SettingsError(
                f"rank must be at most {most} where method is pissa: {name} has no more singular "
                f"values; got {rank}.",
                remedy="Lower rank in the tune settings, or choose another method.",
            )


def _ia3(model: PreTrainedModel, settings: TuneSettings) -> IA3Config:
    # IA3 cannot be limited to some layers by number: name each of them.
    kinds = set(_kinds(model, settings))
    upper = {f".{number}." for number in upper_layers(model, settings)}
    names = [
        name
        for name, _ in linear_layers(model)
        if name.rpartition(".")[2] in kinds and any(f".layers{n}" in f".{name}." for n in upper)
    ]
    if not names:
        raise _no_layers(model, settings)
    return IA3Config(
        task_type="CAUSAL_LM",
        target_modules=names,
        feedforward_modules=[name for name in names if _FEED_FORWARD.search(name)],
    )


def linear_layers(model: PreTrainedModel) -> list[tuple[str, nn.Module]]:
    """Gives the linear layers by name, all but the head."""
    head = model.get_output_embeddings()
    return [(n, m) for n, m in model.named_modules() if _is_linear(m) and m is not head]


def _is_linear(module: Any) -> bool:
    return isinstance(module, nn.Linear)  # bitsandbytes' 4-bit layers are such too


def _kinds(model: PreTrainedModel, settings: TuneSettings) -> list[str]:
    # PEFT's own "all-linear" cannot be limited to some layers.
    there = sorted({name.rpartition(".")[2] for name, _ in linear_layers(model)})
    if not there:
        raise _no_layers(model, settings)
    if settings.targets == ("all-linear",):
        return there
    if unknown := sorted(set(settings.targets) - set(there)):
        raise SettingsError(
            f"targets: the model has no linear layer {unknown[0]!r}, it has {', '.join(there)}.",
            remedy="Correct targets in the tune settings.",
        )
    return list(settings.targets)


def _no_layers(model: PreTrainedModel, settings: TuneSettings) -> SettingsError:
    return SettingsError(
        f"method {settings.method} knows no linear layers in a {type(model).__name__}.",
        remedy=_ANOTHER,
    )
