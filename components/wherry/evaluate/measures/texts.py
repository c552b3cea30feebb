"""Free text beside its reference: token F1, ROUGE, BLEU and chrF.

Each function gives what one answer adds to the sums of its measure.
"""

import re
import string
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, Final

import numpy as np

from wherry.contracts.errors import ExtraMissingError
from wherry.evaluate.estimates import Floats
from wherry.evaluate.measures.measure import Key, Measure, Terms, divided, mean, right, told
from wherry.evaluate.predictions import Prediction

_ARTICLES: Final = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION: Final = str.maketrans("", "", string.punctuation)
_WORDS: Final = re.compile(r"[^\W_]+")
_BLEU_ORDER: Final = 4
_CHRF_ORDER: Final = 6
_CHRF_BETA: Final = 2
"""Recall counts twice as much as precision: chrF2, sacreBLEU's default."""


def squad_tokens(text: str) -> list[str]:
    """Gives the words that SQuAD counts: no case, no punctuation, no English articles.

    The official script, https://rajpurkar.github.io/SQuAD-explorer/, evaluate-v1.1.py.
    """
    return _ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split()


def squad_match(answer: str, reference: str) -> Terms:
    """Says whether an answer is the reference by SQuAD's rules."""
    return (float(squad_tokens(answer) == squad_tokens(reference)),)


def token_f1(answer: str, reference: str) -> Terms:
    """Gives F1 over the words of an answer, by SQuAD's rules.

    Two texts without a word agree, as in the script for SQuAD 2.0.

    Example::

        token_f1("the heart muscle", "heart")  # (0.667,): 1 of 2 words right, 1 of 1 found
    """
    said, wanted = Counter(squad_tokens(answer)), Counter(squad_tokens(reference))
    if not said or not wanted:
        return (float(said == wanted),)
    return (2 * (said & wanted).total() / (said.total() + wanted.total()),)


def rouge(order: int) -> Callable[[str, str], Terms]:
    """Gives the function for F1 over the n-grams of words; Lin, "ROUGE" (2004).

    Words are runs of letters and digits, without case and without stemming.
    """

    def terms(answer: str, reference: str) -> Terms:
        said, wanted = (_grams(_words(text), order) for text in (answer, reference))
        return (_f1((said & wanted).total(), said.total(), wanted.total()),)

    return terms


def rouge_l(answer: str, reference: str) -> Terms:
    """Gives F1 over the longest common subsequence of words, as ROUGE-L."""
    said, wanted = _words(answer), _words(reference)
    return (_f1(_common(said, wanted), len(said), len(wanted)),)


def _words(text: str) -> list[str]:
    return _WORDS.findall(text.casefold())


def _grams(units: Sequence[str], order: int) -> Counter[tuple[str, ...]]:
    return Counter(tuple(units[i : i + order]) for i in range(len(units) - order + 1))


def _f1(both: int, said: int, wanted: int) -> float:
    return 2 * both / (said + wanted) if said and wanted else 0.0


def _common(one: Sequence[str], other: Sequence[str]) -> int:
    """Gives the length of the longest common subsequence."""
    lengths = [0] * (len(other) + 1)
    for unit in one:
        above = lengths[:]
        for k, word in enumerate(other):
            lengths[k + 1] = above[k] + 1 if unit == word else max(above[k + 1], lengths[k])
    return lengths[-1]


def bleu_terms(answer: str, reference: str) -> Terms:
    """Gives right and possible n-grams of each order, and both lengths, as sacreBLEU counts."""
    found = _bleu().sentence_score(answer, [reference])
    return (*found.counts, *found.totals, found.sys_len, found.ref_len)


def _bleu_values(sums: Floats) -> Mapping[Key, Floats]:
    counted = sums.round().astype(int).tolist()
    found = [_bleu_of(*row[: 2 * _BLEU_ORDER], *row[2 * _BLEU_ORDER :]) for row in counted]
    return {("bleu", ""): np.array(found)}


def _bleu_of(*counts: int) -> float:
    right, possible = counts[:_BLEU_ORDER], counts[_BLEU_ORDER : 2 * _BLEU_ORDER]
    if not counts[-1]:
        return float("nan")
    scored = _bleu().compute_bleu(list(right), list(possible), *counts[-2:], smooth_method="exp")
    return float(scored.score) / 100


@cache
def _bleu() -> Any:
    """Gives sacreBLEU's BLEU with its defaults: tokenizer 13a, exponential smoothing."""
    try:
        from sacrebleu.metrics.bleu import BLEU
    except ModuleNotFoundError as error:
        raise ExtraMissingError(
            f"BLEU needs {error.name}, which is not installed.",
            remedy='Run: pip install "wherry[evaluate]"',
        ) from error
    # Of sentences only counts are taken: the warning about their scores is beside the point.
    return BLEU(effective_order=True)


def chrf_terms(answer: str, reference: str) -> Terms:
    """Gives for each order said, wanted and common n-grams of characters, spaces left out.

    Popović, "chrF: character n-gram F-score for automatic MT evaluation" (2015).
    """
    said, wanted = ("".join(text.split()) for text in (answer, reference))
    terms: list[float] = []
    for order in range(1, _CHRF_ORDER + 1):
        ours, theirs = _grams(said, order), _grams(wanted, order)
        # sacreBLEU: an order that the reference is too short for counts for nobody.
        there = ours.total() if theirs else 0
        terms += [there, theirs.total(), (ours & theirs).total()]
    return tuple(terms)


def _chrf_values(sums: Floats) -> Mapping[Key, Floats]:
    said, wanted, both = (sums[:, k::3] for k in range(3))
    precision, recall = divided(both, said), divided(both, wanted)
    counted = np.asarray((said > 0) & (wanted > 0), dtype=np.float64)
    precision, recall = (_mean_of(part, counted) for part in (precision, recall))
    weight = _CHRF_BETA**2
    below = weight * precision + recall
    found = np.where(below > 0, divided((1 + weight) * precision * recall, below), 0.0)
    return {("chrf", ""): np.where(wanted.sum(axis=1) > 0, found, np.nan)}


def _mean_of(orders: Floats, counted: Floats) -> Floats:
    kept = counted * np.nan_to_num(orders)
    return np.nan_to_num(divided(kept.sum(axis=1), counted.sum(axis=1)))


TEXT_TERMS: Final[Mapping[str, Callable[[str, str], Terms]]] = {
    "squad_exact_match": squad_match,
    "token_f1": token_f1,
    "rouge_1": rouge(1),
    "rouge_2": rouge(2),
    "rouge_l": rouge_l,
    "bleu": bleu_terms,
    "chrf": chrf_terms,
}
"""What each measure of texts takes from an answer and its reference."""


def text_measure(name: str) -> Measure:
    """Makes the measure of this name; its terms stand in the predictions.

    Args:
        name: one of `TEXT_TERMS`.
    """
    if name == "bleu":
        return Measure(_kept(name), _bleu_values, terms=2 * _BLEU_ORDER + 2)
    if name == "chrf":
        return Measure(_kept(name), _chrf_values, terms=3 * _CHRF_ORDER)
    if name == "squad_exact_match":
        return right(name, told(name))
    return mean(name)


def _kept(name: str) -> Callable[[Prediction], Terms | None]:
    return lambda made: made.terms.get(name)
