"""Trains a model with torch: one optimizer, one objective, one or many ranks."""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Final

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from wherry.tune.adapters.pytorch.memory import enough_memory
from wherry.tune.adapters.pytorch.model import Trainable
from wherry.tune.adapters.pytorch.objectives import Loss
from wherry.tune.adapters.pytorch.ranks import Ranks
from wherry.tune.adapters.pytorch.shards import part_of, whole
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
        self._optimizer = torch.optim.AdamW(_groups(self._weights, settings.weight_decay))
        self._best: dict[str, Tensor] = {}

    def learn(self, batch: Sequence[Example], rate: float) -> float:
        """Takes one optimizer step; a gradient that is no number counts as such a loss."""
        self.model.training(True)
        with self._enough_memory(batch):
            with self._own_randomness():
                loss = self._pass(batch, backward=True)
            if not self.model.spread:  # else they were added up where they arose
                self._ranks.add_up(self._gradients())
            weights = list(self._weights.values())
            norm = torch.nn.utils.clip_grad_norm_(weights, self._settings.clip_norm)
            if not math.isfinite(float(whole(norm))):
                return math.nan
            for group in self._optimizer.param_groups:
                group["lr"] = rate
            self._optimizer.step()
            self._optimizer.zero_grad(set_to_none=True)
        return loss

    def loss(self, batch: Sequence[Example]) -> float:
        """Gives the loss without learning from it."""
        self.model.training(False)
        with self._enough_memory(batch), torch.no_grad():
            return self._pass(batch, backward=False)

    def keep(self) -> None:
        """Remembers the weights as the best so far."""
        self._best = {name: w.detach().clone() for name, w in self._weights.items()}

    def restore(self) -> None:
        """Goes back to the weights that `keep` remembered."""
        with torch.no_grad():
            for name, weight in self._weights.items():
                weight.copy_(self._best[name])

    def settle(self) -> None:
        """Brings a model that is spread over the ranks together on the first; all call it."""
        self.model = self.model.together(first=self._ranks.first)

    def take_part(self) -> None:
        """Gives this rank's part of the state that the first rank saves meanwhile."""
        for _ in self._state():
            pass

    def save_state(self, folder: Path) -> None:
        """Writes weights, the best so far, AdamW's moments and the random states."""
        tensors = dict(self._state())
        tensors["random"] = torch.get_rng_state()
        if self.model.device.type == "cuda":
            tensors["random/cuda"] = torch.cuda.get_rng_state(self.model.device)
        save_file({name: t.contiguous() for name, t in tensors.items()}, folder / _STATE)

    def load_state(self, folder: Path) -> None:
        """Goes on where `save_state` left."""
        tensors = load_file(folder / _STATE)
        with torch.no_grad():
            for name, weight in self._weights.items():
                weight.copy_(part_of(tensors[f"weight/{name}"], weight))
                self._optimizer.state[weight] = _moments(tensors, name, weight)
        self._best = {
            name: part_of(tensors[f"best/{name}"], weight)
            for name, weight in self._weights.items()
            if f"best/{name}" in tensors
        }
        torch.set_rng_state(tensors["random"])
        if "random/cuda" in tensors:
            torch.cuda.set_rng_state(tensors["random/cuda"], self.model.device)

    @contextmanager
    def _own_randomness(self) -> Iterator[None]:
        """Gives this rank dropout of its own, and leaves the same random state on all of them.

        A checkpoint has the first rank's alone.
        """
        if self._ranks.size == 1:
            yield
            return
        seed = int(torch.randint(1 << 62, ()))
        device = self.model.device
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            torch.manual_seed(seed + self._ranks.rank)
            yield

    def _gradients(self) -> list[Tensor]:
        """Gives a gradient for every weight: a rank without a row in this batch has zeros."""
        for weight in self._weights.values():
            if weight.grad is None:
                weight.grad = torch.zeros_like(weight)
        return [weight.grad for weight in self._weights.values() if weight.grad is not None]

    def _pass(self, batch: Sequence[Example], *, backward: bool) -> float:
        """Runs a batch through the model a micro-batch at a time; gives its mean loss."""
        weight = self._objective.weight(batch)
        total = torch.zeros((), device=self.model.device)
        self._objective.begin(self.model, batch)
        for rows, share in self._micro_batches(batch):
            loss = self._objective.total(self.model, rows) / weight * share
            if backward:
                loss.backward()
            total += loss.detach()
        self._ranks.add_up([total])
        return float(total)

    def _micro_batches(self, batch: Sequence[Example]) -> Iterator[tuple[Sequence[Example], int]]:
        """Gives the rows that go through the model at once, and 1 if they count.

        All ranks gather the layers of a spread model together: one without rows left takes
        another's, for nothing.
        """
        own, most = self._ranks.share(batch), -(-len(batch) // self._ranks.size)
        size = self._settings.micro_batch or most
        for start in range(0, most, size):
            if rows := own[start : start + size]:
                yield rows, 1
            elif self.model.spread:
                yield batch[:1], 0

    def _state(self) -> Iterator[tuple[str, Tensor]]:
        """Gives whole tensors one at a time, in the same order on every rank."""
        for name, weight in self._weights.items():
            yield f"weight/{name}", whole(weight)
            if name in self._best:
                yield f"best/{name}", whole(self._best[name])
            for key, value in self._optimizer.state.get(weight, {}).items():
                yield f"adam/{key}/{name}", whole(value)

    def _enough_memory(self, batch: Sequence[Example]) -> AbstractContextManager[None]:
        """Says which setting to lower if memory runs out."""
        longest = max(example.longest for example in batch)
        share = -(-len(batch) // self._ranks.size)
        rows = min(self._settings.micro_batch or share, share)
        first = "Lower micro_batch in the tune settings first (the result stays the same), then "
        return enough_memory(
            f"with {rows} rows of up to {longest} tokens at once on {self.model.device}",
            (first if rows > 1 else "Lower ") + "max_length; recompute: true trades time for "
            "memory, and a higher frozen_share or a lower rank leaves less to be trained.",
        )


def _groups(weights: Mapping[str, Tensor], decay: float) -> list[dict[str, Any]]:
    """Gives AdamW's groups: as usual, what scales or shifts values does not decay.

    Norms, biases, DoRA's magnitudes and IA3's scales begin near one, and would let nothing
    through at zero.
    """
    spared = {name: weight.dim() < 2 or ".ia3_" in name for name, weight in weights.items()}
    groups = [
        {"params": [weights[n] for n in weights if spared[n] is own], "weight_decay": share}
        for own, share in ((False, decay), (True, 0.0))
    ]
    return [group for group in groups if group["params"]]


def _moments(tensors: dict[str, Tensor], name: str, weight: Tensor) -> dict[str, Tensor]:
    found = {}
    for key in ("step", "exp_avg", "exp_avg_sq"):
        if (moment := tensors.get(f"adam/{key}/{name}")) is not None:
            found[key] = moment if key == "step" else part_of(moment, weight)
    return found
