"""A base model with something in it to train: hidden states, logits, and the files it becomes."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, cast

import torch
from peft import PeftModel
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, PreTrainedModel
from transformers.cache_utils import DynamicLayer, LinearAttentionCacheLayerMixin

from wherry.contracts.errors import SettingsError
from wherry.tune.adapters.pytorch import shards
from wherry.tune.adapters.pytorch.device import device_of, make_repeatable, precision_of
from wherry.tune.adapters.pytorch.four_bit import four_bit, keep_learnable
from wherry.tune.adapters.pytorch.merge import copy_tokenizer, make_readable
from wherry.tune.adapters.pytorch.methods import freeze, with_adapter
from wherry.tune.settings import VIRTUAL, TuneSettings

CONFIG_NAME: Final = "adapter_config.json"
ADAPTER_NAME: Final = "adapter_model.safetensors"
WEIGHTS_NAME: Final = "model.safetensors"
_START: Final = "start"
_DEFAULT: Final = "default"
_FIRST: Final = "first"
_LIKE: Final = 0.05
"""How far logits may be apart, as a share of the largest: bfloat16 rounds to a hundredth."""


class Trainable:
    """A model whose trainable weights are those of one method.

    Args:
        folder: the base model's folder for transformers.
        settings: the recipe.
        prefix: tokens that every prompt begins with; may be empty.
        start: the folder of an adapter to go on training; None to begin at the base.
        local_rank: which GPU of this machine is ours.
        spread: whether each rank keeps only a part of every weight.
        learns: whether it is trained; a teacher is only asked.

    Raises:
        SettingsError: if its logits would not be the model's own.
    """

    def __init__(
        self,
        folder: Path,
        settings: TuneSettings,
        prefix: Sequence[int] = (),
        start: Path | None = None,
        local_rank: int = 0,
        *,
        spread: bool = False,
        learns: bool = True,
    ) -> None:
        make_repeatable(settings)
        self.settings = settings
        self._folder = folder
        self.device = device_of(settings, local_rank)
        self._precision = precision_of(settings, self.device)
        self._start, self.spread, self._learns = start, spread, learns
        # A model to spread need not fit on the device as a whole; a base that is trained itself
        # is not rounded first.
        place = torch.device("cpu") if spread else self.device
        own = self._precision if self._peft or not learns else torch.float32
        plain = load(folder, settings, place, own)
        self._adapted = self._with_method(plain) if start is None else _going_on(plain, start)
        self._base: Any = plain
        self.training(False)  # new dropout layers drop, also while the model is looked at below
        # Virtual tokens stand before everything: nothing is shared that could be computed once.
        # And transformers keeps no cache where activations are computed again; a layer that is
        # spread is gathered once a pass.
        alone = settings.method in VIRTUAL or settings.recompute or spread
        shared = list(prefix) if prefix and not alone and self._keeps_keys() else []
        self._prefix = torch.tensor([shared], dtype=torch.long, device=self.device)
        self._refuse_other_head()
        self._refuse_no_keys()
        if settings.recompute:
            plain.gradient_checkpointing_enable({"use_reentrant": False})
        if spread:
            shards.spread(plain, self.device)
        self._first: dict[str, Tensor] | None = None
        if settings.method == "pissa" and start is None:
            # PiSSA moves a part of the base's weights into the adapter: to give an adapter for
            # the base as it was, PEFT needs what it started from.
            self._first = {n: w.detach().clone() for n, w in self.named_weights()}

    @property
    def prefix(self) -> int:
        """How many first tokens are computed once a batch."""
        return int(self._prefix.shape[1])

    @property
    def context(self) -> int:
        """How many tokens the model was made to read; 0 if its configuration does not say."""
        config = self._base.config.get_text_config()
        return int(getattr(config, "max_position_embeddings", 0) or 0)

    def named_weights(self) -> list[tuple[str, Tensor]]:
        """Gives the trainable weights by name."""
        return [(n, p) for n, p in self._adapted.named_parameters() if p.requires_grad]

    def together(self, *, first: bool) -> "Trainable":
        """Brings a spread model together in the first rank's main memory; all must call it.

        Args:
            first: whether this is that rank; the others get what they have.
        """
        if not self.spread:
            return self
        found = ((name, shards.whole(weight)) for name, weight in self.named_weights())
        values = {name: value for name, value in found if first}
        if not first:
            return self
        made = Trainable(self._folder, replace(self.settings, device="cpu"), start=self._start)
        _fill(dict(made.named_weights()), values)
        return made

    def training(self, on: bool) -> None:
        """Switches dropout on or off."""
        self._adapted.train(on)

    @contextmanager
    def reference(self) -> Iterator[None]:
        """Makes the model answer as it did before training, for as long as the block lasts."""
        if self._first is not None:
            with self._as_at_first(self._first):
                yield
            return
        if self._start:
            self._adapted.set_adapter(_FIRST)
        disabled = self._adapted.disable_adapter() if self._off_at_first else nullcontext()
        self._off = self._off_at_first
        with disabled:
            try:
                yield
            finally:
                self._off = False
                if self._start:
                    self._adapted.set_adapter(_DEFAULT)

    def logits(self, inputs: Tensor, rows: Tensor, positions: Tensor) -> Tensor:
        """Gives next-token logits in float32 where they are wanted, and nowhere else.

        Args:
            inputs: tokens behind the shared prefix: [sequences, length].
            rows: the sequence of each position wanted: [tokens].
            positions: its place in `inputs`: [tokens].

        Returns:
            [tokens, vocabulary]
        """
        with self._rounding(self.device):
            hidden = self._hidden(inputs)[rows, positions]
            return self._words(hidden)

    def _rounding(self, device: torch.device) -> torch.autocast:
        bf16 = self._precision == torch.bfloat16
        return torch.autocast(device.type, dtype=torch.bfloat16, enabled=bf16)

    def _words(self, hidden: Tensor) -> Tensor:
        """Gives the logits of last hidden states: [..., width] → [..., vocabulary]."""
        found: Tensor = self._base.get_output_embeddings()(hidden)
        found = found.float()
        config = self._base.config.get_text_config()
        found = found / getattr(config, "logits_scaling", 1.0)  # Granite
        cap = getattr(config, "final_logit_softcapping", None)  # Gemma
        cap = cap or getattr(config, "logits_soft_cap", None)  # RecurrentGemma
        return found if cap is None else torch.tanh(found / cap) * cap

    def _refuse_other_head(self) -> None:
        """Sees that the head, applied by itself, gives what the whole model gives."""
        tokens = torch.tensor([[0, 1]], device=next(self._base.parameters()).device)
        with torch.no_grad(), self._rounding(tokens.device):
            theirs = self._base(input_ids=tokens, use_cache=False).logits.float()
            hidden = self._base.get_decoder()(input_ids=tokens, use_cache=False).last_hidden_state
            ours = self._words(hidden)
        if not torch.allclose(ours, theirs, rtol=_LIKE, atol=_LIKE * float(theirs.abs().max())):
            raise SettingsError(
                f"A {type(self._base).__name__} does more to its logits than this room knows: the "
                "loss would not be its own.",
                remedy="Choose a base of another family; `wherry models suggest` names some.",
            )

    def _keeps_keys(self) -> bool:
        """Whether all that a layer remembers of earlier tokens are keys and values.

        One with a recurrent state or a convolution (RecurrentGemma, LFM2) remembers more, which
        cannot be handed to several rows.
        """
        tokens = torch.tensor([[0, 1]], device=next(self._base.parameters()).device)
        with torch.no_grad(), self._rounding(tokens.device):
            found = self._base.get_decoder()(input_ids=tokens, use_cache=True)
        layers = getattr(getattr(found, "past_key_values", None), "layers", ())
        plain = (isinstance(layer, DynamicLayer) for layer in layers)
        mixed = (isinstance(layer, LinearAttentionCacheLayerMixin) for layer in layers)
        return bool(layers) and all(plain) and not any(mixed)

    def _refuse_no_keys(self) -> None:
        """Sees that virtual tokens of a cache are read at all."""
        if self.settings.method == "prefix" and self._peft and not self._keeps_keys():
            raise SettingsError(
                f"method prefix puts virtual keys and values before every layer: a "
                f"{type(self._base).__name__} does not read them.",
                remedy="Set method: lora in the tune settings.",
            )

    def save(self, folder: Path, base_uri: str) -> Path:
        """Writes what was trained and gives the path of its weights.

        The same weights give the same bytes: PEFT would write its sets in any order, the
        base model's path on this machine, and a model card.
        """
        if not self._peft:
            self._base.float().save_pretrained(folder, max_shard_size="1TB")
            copy_tokenizer(self._folder, folder)
            make_readable(folder)
            return folder / WEIGHTS_NAME
        self._save_adapter(folder)
        config = json.loads((folder / CONFIG_NAME).read_text())
        config["base_model_name_or_path"] = base_uri
        for name in ("target_modules", "feedforward_modules"):
            if isinstance(config.get(name), list):
                config[name] = sorted(config[name])
        (folder / CONFIG_NAME).write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
        make_readable(folder)
        return folder / ADAPTER_NAME

    _off = False

    @property
    def _peft(self) -> bool:
        return self.settings.method != "full" or self._start is not None

    @property
    def _off_at_first(self) -> bool:
        return self._peft and self._start is None

    def _with_method(self, plain: PreTrainedModel) -> Any:
        if not self._learns:
            return plain.requires_grad_(False)
        if not self._peft:
            freeze(plain, self.settings)
            return plain
        return with_adapter(plain, self.settings)

    @contextmanager
    def _as_at_first(self, first: dict[str, Tensor]) -> Iterator[None]:
        """Puts PiSSA's first weights back for a while: without any, its base is another model."""
        weights = dict(self.named_weights())
        trained = {name: weight.detach().clone() for name, weight in weights.items()}
        _fill(weights, first)
        try:
            yield
        finally:
            _fill(weights, trained)

    def _save_adapter(self, folder: Path) -> None:
        if self._first is None:
            self._adapted.save_pretrained(folder, selected_adapters=[_DEFAULT])
        else:
            self._save_pissa(folder)
        (folder / "README.md").unlink(missing_ok=True)

    def _save_pissa(self, folder: Path) -> None:
        weights = dict(self.named_weights())
        trained = {name: weight.detach().clone() for name, weight in weights.items()}
        _fill(weights, cast(dict[str, Tensor], self._first))
        self._adapted.peft_config["default"].init_lora_weights = True
        self._adapted.save_pretrained(folder / _START)
        _fill(weights, trained)
        self._adapted.peft_config["default"].init_lora_weights = "pissa"
        self._adapted.save_pretrained(
            folder, path_initial_model_for_weight_conversion=str(folder / _START)
        )
        for path in sorted((folder / _START).rglob("*"), reverse=True):
            path.unlink() if path.is_file() else path.rmdir()
        (folder / _START).rmdir()

    def _hidden(self, inputs: Tensor) -> Tensor:
        """Gives the last hidden states of `inputs`: [sequences, length, width]."""
        decoder = self._base.get_decoder()
        if self.settings.method == "prompt" and not self._off:
            return self._behind_virtual_tokens(decoder, inputs)
        cache = self._cache(decoder, len(inputs))
        if cache is None:
            return cast(Tensor, decoder(input_ids=inputs, use_cache=False).last_hidden_state)
        return cast(Tensor, decoder(input_ids=inputs, past_key_values=cache).last_hidden_state)

    def _cache(self, decoder: nn.Module, count: int) -> Any:
        """Gives keys and values of what stands before each sequence, or None."""
        if self.settings.method == "prefix" and not self._off:
            return self._adapted.get_prompt(count)
        if not self._prefix.numel():
            return None
        cache = decoder(input_ids=self._prefix, use_cache=True).past_key_values
        cache.batch_repeat_interleave(count)
        return cache

    def _behind_virtual_tokens(self, decoder: nn.Module, inputs: Tensor) -> Tensor:
        virtual = self._adapted.get_prompt(len(inputs))
        embedded = self._base.get_input_embeddings()(inputs)
        together = torch.cat([virtual.to(embedded.dtype), embedded], dim=1)
        hidden = decoder(inputs_embeds=together, use_cache=False).last_hidden_state
        return cast(Tensor, hidden[:, virtual.shape[1] :])


def _going_on(plain: PreTrainedModel, start: Path) -> Any:
    """Loads an adapter twice: to go on training, and as it is now."""
    adapted = PeftModel.from_pretrained(plain, str(start), is_trainable=True)
    adapted.load_adapter(str(start), _FIRST, is_trainable=False)
    adapted.set_adapter(_DEFAULT)
    return adapted


def load(
    folder: Path, settings: TuneSettings, device: torch.device, precision: torch.dtype
) -> PreTrainedModel:
    """Loads a base model from its folder, never from a hub, a pickle or with code of its own."""
    how: dict[str, Any] = {"dtype": precision, "local_files_only": True, "trust_remote_code": False}
    how["use_safetensors"] = True
    if settings.method == "qlora":
        # A model in four bits cannot be moved afterwards.
        how |= {"quantization_config": four_bit(precision), "device_map": {"": device}}
    model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(folder, **how)
    keep_learnable(model)
    return model.to(device) if settings.method != "qlora" else model


def _fill(weights: dict[str, Tensor], values: dict[str, Tensor]) -> None:
    with torch.no_grad():
        for name, weight in weights.items():
            weight.copy_(values[name])
