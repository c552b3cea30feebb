"""What counts of an answer, and what does not."""

import re
import string
import unicodedata
from typing import Final

_TELLING: Final = frozenset("+-#%")
"""Marks that make another answer of a word or a number: ``-5``, ``C++``, ``C#``, ``5%``."""
_BULLET: Final = re.compile(r"[+\-#]+ ")


def normalise(text: str) -> str:
    """Gives what counts of an answer: case, outer punctuation and spacing do not.

    A sign of a number or a name, and an answer of nothing but marks, are no punctuation.

    Example::

        normalise(" Heart. ")  # "heart"
        normalise("-5")  # "-5"
    """
    plain = " ".join(unicodedata.normalize("NFKC", text).casefold().split())
    marks = "".join({" ", *filter(_is_punctuation, set(plain))})
    bare = plain.strip(marks)
    if bullet := _BULLET.match(bare):
        bare = bare[bullet.end() :].strip(marks)
    return bare or plain


def _is_punctuation(mark: str) -> bool:
    known = mark in string.punctuation or unicodedata.category(mark).startswith("P")
    return known and mark not in _TELLING
