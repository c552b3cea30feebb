"""Decides whether two forms of a model are the same model."""

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from wherry.contracts import Digest, Message, ModelRef, digest_bytes
from wherry.contracts.errors import DigestError, FormatError, TemplateError
from wherry.contracts.parity import Comparison, Parity
from wherry.quantize.settings import Limits, QuantizeSettings

Logits = NDArray[np.float32]
"""Shape [positions, vocabulary]."""
_AT_ONCE: Final = 64
"""Positions compared at once: of a vocabulary of 262,144 each takes 2 MB, several times over."""


@dataclass(frozen=True)
class Rendered:
    """A conversation as a model is given it."""

    text: str
    ids: tuple[int, ...]


@dataclass(frozen=True)
class Sample:
    """One token sequence and the positions whose next-token logits are wanted."""

    ids: tuple[int, ...]
    keep: tuple[int, ...]
    """Ascending indices into `ids`."""


class Renderer(Protocol):
    """A chat template with a tokenizer."""

    def render(self, messages: Sequence[Message]) -> Rendered:
        """Renders a conversation and opens the assistant's turn, special tokens included."""


class Predictor(Protocol):
    """A model in one of its forms."""

    def logits(self, samples: Iterable[Sample]) -> Iterator[Logits]:
        """Gives for each sample its logits, shape [kept positions, vocabulary]."""


def distinct_samples(rows: Iterable[Sequence[int]], limit: int) -> list[Sample]:
    """Keeps every context once, so that a prompt shared by all rows weighs as one.

    Args:
        rows: token sequences.
        limit: contexts kept in all, at most.
    """
    seen: set[tuple[int, ...]] = set()
    samples = []
    for row in rows:
        ids = tuple(row)
        keep = [i for i in range(len(ids)) if ids[: i + 1] not in seen][: limit - len(seen)]
        seen.update(ids[: i + 1] for i in keep)
        if keep:
            # What follows the last context kept cannot change it.
            samples.append(Sample(ids[: keep[-1] + 1], tuple(keep)))
    return samples


def token_agreement(reference: Sequence[Rendered], candidate: Sequence[Rendered]) -> float:
    """Gives the share of rows, in [0, 1], with equal text and equal tokens; 0 of none is 0."""
    equal = sum(one == other for one, other in zip(reference, candidate, strict=True))
    return equal / len(reference) if reference else 0.0


@dataclass(frozen=True)
class Divergence:
    """How two forms' next-token distributions differ, over all positions."""

    positions: int
    agreement: float
    kl: float


def diverge(reference: Iterable[Logits], candidate: Iterable[Logits]) -> Divergence:
    """Compares logits over the same contexts; nothing compared is infinitely far apart.

    Example::

        diverge([np.log([[0.5, 0.5]])], [np.log([[0.5, 0.5]])])  # kl 0.0, agreement 1.0
    """
    positions, same, kl = 0, 0, 0.0
    for one, other in zip(reference, candidate, strict=True):
        positions += len(one)
        same += int((one.argmax(-1) == other.argmax(-1)).sum())
        kl += sum(
            float(_kl(one[at : at + _AT_ONCE], other[at : at + _AT_ONCE]).sum())
            for at in range(0, len(one), _AT_ONCE)
        )
    return Divergence(
        positions,
        same / positions if positions else 0.0,
        kl / positions if positions else math.inf,
    )


def _kl(one: Logits, other: Logits) -> NDArray[np.float64]:
    log_p, log_q = log_softmax(one), log_softmax(other)
    divergence: NDArray[np.float64] = (np.exp(log_p) * (log_p - log_q)).sum(-1)
    return divergence


def log_softmax(logits: Logits) -> NDArray[np.float64]:
    """Gives log-probabilities of the same shape, in nats."""
    shifted = logits.astype(np.float64) - logits.max(-1, keepdims=True)
    total: NDArray[np.float64] = np.exp(shifted).sum(-1, keepdims=True)
    logs: NDArray[np.float64] = shifted - np.log(total)
    return logs


def judge(
    name: Literal["merge", "conversion", "quantization"],
    forms: tuple[str, str],
    found: Divergence,
    settings: QuantizeSettings,
    kind: str = "",
) -> Comparison:
    """Holds a divergence against its limits; a value that is not a number never passes.

    Args:
        name: which step of the way was compared.
        forms: the reference and the candidate, in words.
        found: what was measured.
        settings: where the limits stand.
        kind: the type of a quantized file, by which its limits go; empty for the settings' own.
    """
    exact = Limits(settings.max_conversion_kl, settings.min_conversion_agreement)
    asked = settings.limits_of(kind or settings.type) if name == "quantization" else exact
    return Comparison(
        name=name,
        reference=forms[0],
        candidate=forms[1],
        positions=found.positions,
        next_token_agreement=found.agreement,
        min_agreement=asked.min_agreement,
        kl=found.kl if math.isfinite(found.kl) else None,
        max_kl=asked.max_kl,
        passed=found.agreement >= asked.min_agreement and found.kl <= asked.max_kl,
    )


@dataclass(frozen=True)
class Seen:
    """What the checks on the way saw."""

    rows: int
    token_agreement: float
    """Share of rows with equal text and tokens, in [0, 1]."""
    comparisons: tuple[Comparison, ...]
    losses: tuple[str, ...] = ()
    """What the file lost too much of, but for what the comparisons say."""


def conclude(seen: Seen, model: Digest, data: Digest, settings: QuantizeSettings) -> Parity:
    """Gives the verdict on a file; without rows or comparisons it does not pass.

    Args:
        seen: the checks.
        model: the file's digest.
        data: of the split's file that the rows came from.
        settings: where the limits stand.
    """
    reasons = tuple(_complaints(seen, settings.min_token_agreement))
    return Parity(
        passed=not reasons,
        model_digest=model,
        data_digest=data,
        rows=seen.rows,
        token_agreement=seen.token_agreement,
        min_token_agreement=settings.min_token_agreement,
        comparisons=seen.comparisons,
        reasons=reasons,
    )


def _complaints(seen: Seen, min_token_agreement: float) -> Iterator[str]:
    if not (seen.rows and seen.comparisons):
        yield "nothing was compared"
    if seen.token_agreement < min_token_agreement:
        yield (
            f"tokens: {100 * seen.token_agreement:.1f}% of {seen.rows} rows are rendered and "
            f"tokenized alike (at least {100 * min_token_agreement:g}%)"
        )
    yield from (complaint(made) for made in seen.comparisons if not made.passed)
    yield from seen.losses


def complaint(made: Comparison) -> str:
    """Says what was asked of a comparison and what was seen."""
    kl = "no finite KL" if made.kl is None else f"KL {made.kl:.2g}"
    return (
        f"{made.name}: {made.candidate} against {made.reference} over {made.positions} "
        f"contexts has {kl} (at most {made.max_kl:g}) and next-token agreement "
        f"{made.next_token_agreement:.3f} (at least {made.min_agreement:g})"
    )


def check_pair(base: ModelRef, adapter: ModelRef) -> None:
    """Refuses an adapter, or a model tuned in full, that does not belong to the base.

    Raises:
        FormatError: if they are not a transformers model and an adapter.
        DigestError: if the adapter was trained on another base.
        TemplateError: if it was trained with another chat template.
    """
    if base.format != "transformers" or adapter.format not in ("adapter", "transformers"):
        raise FormatError(
            "Expected a transformers base and an adapter or a whole tuned model, got "
            f"{base.format} and {adapter.format}.",
            remedy="Hand over what fetch_base and tune made.",
        )
    if adapter.base_digest != base.digest:
        raise DigestError(
            f"The adapter was trained on a base of digest {adapter.base_digest}, got "
            f"{base.digest}.",
            remedy="Hand over the base that the adapter was trained on.",
        )
    if adapter.template_digest != base.template_digest:
        raise TemplateError(
            f"The adapter was trained with a chat template of digest {adapter.template_digest}, "
            f"the base has {base.template_digest}.",
            remedy="Tune again on this base.",
        )


def check_template(text: str, base: ModelRef) -> None:
    """Refuses a source file whose chat template is not the one that training used.

    Args:
        text: the template that the GGUF file embeds; it goes on into the new file.
        base: what training used.

    Raises:
        TemplateError: naming both digests, or if there is no template at all.
    """
    if not text:
        raise TemplateError(
            f"The base {base.name} has no chat template; conversations judge what is made of it.",
            remedy="Fetch it with one, `base: {uri: …, template: chatml}`, and tune on that.",
        )
    if (found := digest_bytes(text.encode())) != base.template_digest:
        raise TemplateError(
            f"The GGUF file of the base embeds a chat template of digest {found}, training used "
            f"{base.template_digest}.",
            remedy="Fetch the base again.",
        )


def file_name(model: str, quantization: str) -> str:
    """Gives a file's name as llama.cpp's users know it: ``NAME.Q8_0.gguf``."""
    return f"{re.sub(r'[^A-Za-z0-9._-]+', '-', model)}.{quantization}.gguf"
