"""Perplexity: how probable the references are to the model."""

from collections.abc import Callable, Mapping
from typing import Final

import numpy as np

from wherry.evaluate.estimates import Floats
from wherry.evaluate.measures.measure import Key, Measure, Terms, divided
from wherry.evaluate.predictions import Likelihood, Prediction

TERMS: Final = "likelihood"
"""Where a prediction keeps (nats, tokens, bytes)."""


def likelihood_terms(found: Likelihood, text: str) -> Terms:
    """Gives what a reference adds: its nats, its tokens and its bytes of UTF-8."""
    return (found.nats, float(found.tokens), float(len(text.encode())))


def perplexity() -> Measure:
    """Makes exp(nats / tokens): comparable between models of one tokenizer alone."""
    return Measure(_of(1), _exp("perplexity"), unit="per token")


def byte_perplexity() -> Measure:
    """Makes exp(nats / bytes): comparable whatever the tokenizer.

    Gao et al., "The Pile" (2020), section 3.1, has its logarithm to base 2 as bits per byte.
    """
    return Measure(_of(2), _exp("byte_perplexity"), unit="per byte")


def _of(column: int) -> Callable[[Prediction], Terms | None]:
    def row(made: Prediction) -> Terms | None:
        found = made.terms.get(TERMS)
        return None if found is None else (found[0], found[column])

    return row


def _exp(name: str) -> Callable[[Floats], Mapping[Key, Floats]]:
    return lambda sums: {(name, ""): np.exp(divided(sums[:, 0], sums[:, 1]))}
