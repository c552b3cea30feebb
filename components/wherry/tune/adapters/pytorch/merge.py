"""Folds an adapter into its base, and sees that the model stays the same."""

import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

import torch
from peft import PeftModel
from torch import Tensor
from torch.nn import functional
from transformers import AutoModelForCausalLM

from wherry.contracts.errors import ParityError
from wherry.tune.examples import Example

MAX_KL: Final = 1e-4
"""In nats a token. Measured merges differ by 1e-4 in logits, which is below 1e-8 here."""
SAMPLES: Final = 8
LAST: Final = 64
"""Tokens at each sample's end that are compared: of a vocabulary of 262,144 each takes 1 MB, and
whole rows would take more memory than the tuning did."""
_BESIDE: Final = ("*.json", "*.jinja", "*.model", "*.txt")
"""What a model's folder holds besides weights: configuration, tokenizer, template."""
_NOT_OURS: Final = frozenset(
    {"model.json", "manifest.json", "config.json", "model.safetensors.index.json"}
)


def merge(base: Path, adapter: Path, folder: Path, samples: Sequence[Example]) -> float:
    """Writes base and adapter as one model, in float32.

    Args:
        base: the base's folder for transformers.
        adapter: the adapter's, in PEFT's form.
        folder: gets the weights, the configuration and the tokenizer.
        samples: rows on which both forms are compared.

    Returns:
        The mean KL divergence between both, in nats a token.

    Raises:
        ParityError: if they differ by more than `MAX_KL`.
    """
    # float32 whatever was trained on: merging into four bits moves logits by whole units.
    plain = AutoModelForCausalLM.from_pretrained(
        base, dtype=torch.float32, local_files_only=True, trust_remote_code=False
    )
    beside = PeftModel.from_pretrained(plain, str(adapter)).eval()
    before = [_logits(beside, sample) for sample in samples[:SAMPLES]]
    merged = beside.merge_and_unload(safe_merge=True).eval()
    found = _divergence(before, (_logits(merged, sample) for sample in samples[:SAMPLES]))
    if not found <= MAX_KL:
        raise ParityError(
            f"The merged model differs from the adapter on its base by {found:.2g} nats a token, "
            f"expected at most {MAX_KL:g}.",
            remedy="Ship the adapter unmerged, and report this with the method and the model.",
        )
    merged.save_pretrained(folder, max_shard_size="1TB")
    copy_tokenizer(base, folder)
    make_readable(folder)
    return found


def copy_tokenizer(base: Path, folder: Path) -> None:
    """Puts a base's tokenizer and chat template beside weights made from it."""
    for pattern in _BESIDE:
        for path in sorted(base.glob(pattern)):
            if path.name not in _NOT_OURS and not (folder / path.name).exists():
                shutil.copyfile(path, folder / path.name)


def make_readable(folder: Path) -> None:
    """Lets other users read a folder's files: the next stage may run as another one.

    transformers and PEFT write weights for their owner alone.
    """
    for path in folder.iterdir():
        path.chmod(0o644)


def _logits(model: Any, sample: Example) -> Tensor:
    """Gives the logits at a sample's end: [tokens, vocabulary]."""
    tokens = torch.tensor([[*sample.prompt, *sample.completion]])
    with torch.inference_mode():
        found: Tensor = model(input_ids=tokens, logits_to_keep=LAST, use_cache=False).logits[0]
    return found.float()


def _divergence(one: Iterable[Tensor], other: Iterable[Tensor]) -> float:
    total, tokens = 0.0, 0
    for a, b in zip(one, other, strict=True):
        p, q = functional.log_softmax(a, -1), functional.log_softmax(b, -1)
        total += float(functional.kl_div(q, p, log_target=True, reduction="sum"))
        tokens += len(a)
    return total / tokens
