"""Measures how much of a text repeats itself, as degenerate model output does."""

from itertools import groupby
from typing import Final

import polars as pl

_GRAM: Final = 3
"""Words, or characters of a text of few words, that are compared as one."""
_LONG_WORD: Final = 15
"""Characters; a text whose words are longer on average is measured by its characters."""
_SHORTEST: Final = 20
"""A shorter text, in characters, has no loop to speak of."""
_UNEVEN: Final = r"\s\s|[^\S ]|^ | $"
_RUN: Final = r"\S{20}|\s{20}"


def repetition(texts: pl.Series) -> pl.Series:
    """Gives the share of a text that repeats itself.

    It is the larger of two: the share of word trigrams that stood in the text before, and the
    longest run of one character, if of 20 at least, over the text's length. Where words are
    longer than 15 characters on average, as in scripts without spaces and in ``hahaha…``, each
    character is a word. Ordinary prose of some hundred words stays below 0.1, a loop nears 1.

    Args:
        texts: without nulls.

    Returns:
        One number a text, in [0, 1]; 0 for a text below 20 characters.
    """
    rows = (texts.str.len_chars() >= _SHORTEST).arg_true()
    shares = pl.repeat(0.0, len(texts), eager=True)
    if not len(rows):
        return shares
    long = texts.gather(rows)
    table = pl.DataFrame({"loop": _loops_of_all(_evened(long)), "run": _runs(long)})
    return shares.scatter(rows, table.select(pl.max_horizontal("loop", "run")).to_series())


def _evened(texts: pl.Series) -> pl.Series:
    """Gives the texts with one blank between words, and none around."""
    uneven = texts.str.contains(_UNEVEN).arg_true()
    if len(uneven):
        single = texts.gather(uneven).str.replace_all(r"\s+", " ").str.strip_chars(" ")
        texts = texts.clone().scatter(uneven, single)
    return texts


def _loops_of_all(texts: pl.Series) -> pl.Series:
    blanks = texts.str.count_matches(" ", literal=True)
    dense = texts.str.len_chars() > _LONG_WORD * (blanks + 1)
    loops = _loops(texts.str.split(" "))
    rows = dense.arg_true()
    return loops.scatter(rows, _loops(texts.gather(rows).str.split(""))) if len(rows) else loops


def _loops(words: pl.Series) -> pl.Series:
    """Gives the share of trigrams that stood before, of lists of words."""
    rows = pl.DataFrame({"words": words}).with_row_index("row")
    # A text in which no word comes twice has no trigram twice: most short texts end here.
    again = rows.filter(pl.col("words").list.n_unique() < pl.col("words").list.len())
    word = again.explode("words", empty_as_null=True).select(
        "row", pl.col("words").hash().alias("a")
    )
    grams = word.with_columns(
        (pl.col("a") ^ (pl.col("a").shift(-1) * 3) ^ (pl.col("a").shift(-2) * 7)).alias("gram"),
        pl.col("row").shift(1 - _GRAM).alias("last"),
    ).filter(pl.col("row") == pl.col("last"))
    share = grams.group_by("row").agg((1 - pl.col("gram").n_unique() / pl.len()).alias("share"))
    return rows.join(share, on="row", how="left", maintain_order="left")["share"].fill_null(0.0)


def _runs(texts: pl.Series) -> pl.Series:
    """Gives the longest run of one character over the length, where it is long enough to count."""
    rows = texts.str.contains(_RUN).arg_true()
    runs = pl.Series([_run(text) for text in texts.gather(rows)], dtype=pl.Float64)
    return pl.repeat(0.0, len(texts), eager=True).scatter(rows, runs)


def _run(text: str) -> float:
    longest = max(sum(1 for _ in same) for _, same in groupby(text))
    return longest / len(text) if longest >= _SHORTEST else 0.0
