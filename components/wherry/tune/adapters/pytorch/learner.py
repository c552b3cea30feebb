"""Trains a model with torch: one optimizer, one objective, one or many ranks."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from wherry.contracts.errors import MemoryShortError
from wherry.tune.adapters.pytorch.model import Trainable
from wherry.tune.adapters.pytorch.objectives import Loss
from wherry.tune.adapters.pytorch.ranks import Ranks
from wherry.tune.examples import Example
from wherry.tune.settings import TuneSettings

_STATE: Final = "state.safetensors"


class TorchLearner:
    """A model that learns; see `wherry.tune.step.Learner`.

    Args:
        model: what is trained.
        objective: what the loss is taken on.
        settings: the recipe.
        ranks: the processes that learn together.
    """

    def __init__(
        self, model: Trainable, objective: Loss, settings: TuneSettings, ranks: Ranks
    ) -> None:
        self.model = model
        self._objective = objective
        self._settings = settings
        self._ranks = ranks
        self._weights = dict(model.named_weights())
        self._optimizer = torch.optim.AdamW(
            list(self._weights.values()), weight_decay=settings.weight_decay
        )
        self._best: dict[str, Tensor] = {}

    def learn(self, batch: Sequence[Example], rate: float) -> float:
        """Takes one optimizer step."""
        self.model.training(True)
        loss = self._pass(batch, backward=True)
        self._ranks.add_up(self._gradients())
        torch.nn.utils.clip_grad_norm_(list(self._weights.values()), self._settings.clip_norm)
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        return loss

    def loss(self, batch: Sequence[Example]) -> float:
        """Gives the loss without learning from it."""
        self.model.training(False)
        with torch.no_grad():
            return self._pass(batch, backward=False)

    def keep(self) -> None:
        """Remembers the weights as the best so far."""
        self._best = {name: w.detach().clone() for name, w in self._weights.items()}

    def restore(self) -> None:
        """Goes back to the weights that `keep` remembered."""
        with torch.no_grad():
            for name, weight in self._weights.items():
                weight.copy_(self._best[name])

    def save_state(self, folder: Path) -> None:
        """Writes weights, the best so far, AdamW's moments and the random states."""
        tensors = {f"weight/{name}": w.detach() for name, w in self._weights.items()}
        tensors |= {f"best/{name}": w for name, w in self._best.items()}
        for name, weight in self._weights.items():
            moments = self._optimizer.state.get(weight, {})
            tensors |= {f"adam/{key}/{name}": value for key, value in moments.items()}
        tensors["random"] = torch.get_rng_state()
        if self.model.device.type == "cuda":
            tensors["random/cuda"] = torch.cuda.get_rng_state(self.model.device)
        save_file({name: t.contiguous() for name, t in tensors.items()}, folder / _STATE)

    def load_state(self, folder: Path) -> None:
        """Goes on where `save_state` left."""
        tensors = load_file(folder / _STATE)
        with torch.no_grad():
            for name, weight in self._weights.items():
                weight.copy_(tensors[f"weight/{name}"])
                self._optimizer.state[weight] = _moments(tensors, name, weight.device)
        best = "best/"
        self._best = {
            n.removeprefix(best): t.to(self.model.device)
            for n, t in tensors.items()
            if n.startswith(best)
        }
        torch.set_rng_state(tensors["random"])
        if "random/cuda" in tensors:
            torch.cuda.set_rng_state(tensors["random/cuda"], self.model.device)

    def _gradients(self) -> list[Tensor]:
        """Gives a gradient for every weight: a rank without a row in this batch has zeros."""
        for weight in self._weights.values():
            if weight.grad is None:
                weight.grad = torch.zeros_like(weight)
        return [weight.grad for weight in self._weights.values() if weight.grad is not None]

    def _pass(self, batch: Sequence[Example], *, backward: bool) -> float:
        """Runs a batch through the model a micro-batch at a time; gives its mean loss."""
        own = self._ranks.share(batch)
        size = self._settings.micro_batch or len(own) or 1
        weight = self._objective.weight(batch)
        total = torch.zeros((), device=self.model.device)
        try:
            self._objective.begin(self.model, batch)
            for start in range(0, len(own), size):
                loss = self._objective.total(self.model, own[start : start + size]) / weight
                if backward:
                    loss.backward()
                total += loss.detach()
        except (torch.OutOfMemoryError, RuntimeError, MemoryError) as error:
            raise self._explained(error, batch) from error
        self._ranks.add_up([total])
        return float(total)

    def _explained(self, error: Exception, batch: Sequence[Example]) -> Exception:
        """Says which setting to lower when memory ran out; other errors stay what they are."""
        if isinstance(error, RuntimeError) and not _is_out_of_memory(error):
            return error
        longest = max(example.longest for example in batch)
        return MemoryShortError(
            f"Memory ran out with {len(self._ranks.share(batch))} rows of up to {longest} tokens "
            f"at once on {self.model.device}.",
            remedy="Lower micro_batch in the tune settings first (the result stays the same), "
            "then max_length; recompute: true trades time for memory.",
        )


def _is_out_of_memory(error: RuntimeError) -> bool:
    said = str(error)
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in said


def _moments(tensors: dict[str, Tensor], name: str, device: torch.device) -> dict[str, Tensor]:
    found = {}
    for key in ("step", "exp_avg", "exp_avg_sq"):
        if (moment := tensors.get(f"adam/{key}/{name}")) is not None:
            found[key] = moment if key == "step" else moment.to(device)
    return found
